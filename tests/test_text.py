import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ConfigError
from speechxfer.text import ENGLISH_FOLDED, FOLDED, JOINERS, NORMALISERS, normalise, signature

NFC = "NFC"
EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
NAMES = list(NORMALISERS)


def letters(text):
    """The letters and marks of a text's NFC form, in lower case."""
    text = unicodedata.normalize(NFC, "".join(FOLDED.get(c, c) for c in unicodedata.normalize(NFC, text)))
    return [c for c in unicodedata.normalize(NFC, text.lower()) if unicodedata.category(c)[0] in "LM"]


@pytest.mark.parametrize("name", ["basic", "indic"])
def test_no_letter_or_mark_of_unicode_is_lost_or_changed(name):
    # between two letters, at a word's edge, and alone: where stripping could strike
    for frame in ("क{}क", "{}a", "a{}", "{}"):
        for i in range(0, len(EVERY), 4096):
            text = " ".join(frame.format(c) for c in EVERY[i : i + 4096])
            assert letters(normalise(name, text)) == letters(text), (frame, hex(ord(EVERY[i])))


def test_english_changes_only_the_latin_letters_that_it_lists():
    candidates = [c for c in EVERY if unicodedata.category(c)[0] in "LM"]
    changed = {c for c in candidates if letters(normalise("english", c)) != letters(c)}
    for c in changed:
        bare = [d for d in unicodedata.normalize("NFD", c.lower()) if not "\u0300" <= d <= "\u036f"]
        expected = "".join(ENGLISH_FOLDED.get(d, d) for d in bare)
        assert normalise("english", c) == expected and expected.isascii() and expected.isalpha(), hex(ord(c))
    assert {"é", "Ç", "æ"} <= changed
    assert not changed & set("кйアеёकि")  # й and ё keep their marks: they are other letters, not accented ones
    assert letters(normalise("english", "йकि")) == letters("йकि")


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text() | st.text(st.sampled_from("aéΣİß'’- ़कङि\u0301\u0338=<\u200c\u200d\u200b\u00ad।٠Ⅷ\ufe0f\n")))
def test_idempotent_and_equal_for_canonically_equal_texts(name, text):
    once = normalise(name, text)
    assert normalise(name, once) == once
    if name != "none":
        assert normalise(name, unicodedata.normalize("NFD", text)) == once
        assert once == " ".join(once.split())
        assert not [c for c in once if unicodedata.category(c)[0] in "PS" and c != "'"]


@given(text=st.text(st.sampled_from("aB9éकिÿ़ிア '’-.।\u200c\u00ad\u0301")))
def test_no_letter_is_lost_in_whole_texts(text):
    for name in ("basic", "indic"):
        # what a deleted soft hyphen stood between composes afterwards, so compare decomposed
        both = (unicodedata.normalize("NFD", "".join(letters(t))) for t in (normalise(name, text), text))
        assert len({"".join(sorted(t)) for t in both}) == 1


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("none", " As  It’s. ", " As  It’s. "),
        ("basic", "  “Well-known”,\tIT’S O'Brien's\n dogs' 'n' £5.50!", "well known it's o'brien's dogs n 5 50"),
        ("basic", "STRASSE Straße", "strasse straße"),
        ("basic", "e\u0301te\u0301 co\u00adop", "été coop"),
        ("basic", "ΛΟΓΟΣ", "λογος"),
        ("basic", "हिन्दी में, नमस्ते।", "हिन्दी में नमस्ते"),
        ("basic", "क्\u200dष", "क्ष"),
        ("basic", "❤️ ok 👨‍👩", "ok"),
        ("english", "Don’t: the Façade’s £10, naïve Œuvre & Straße", "don't the facade's 10 naive oeuvre strasse"),
        ("english", "colour color 42", "colour color 42"),
        ("indic", "नमस्ते॥ ठीक। हाँ|", "नमस्ते ठीक हाँ"),
        ("indic", "क्\u200dष \u200cअ\u200d", "क्\u200dष अ"),
        ("indic", "१२ 12 ৩", "१२ 12 ৩"),
        ("indic", "தமிழ் ஹௌ", "தமிழ் ஹௌ"),
    ],
)
def test_examples(name, text, expected):
    assert normalise(name, text) == expected


NUKTA = "\u0929\u0931\u0934\u0958\u0959\u095a\u095b\u095c\u095d\u095e\u095f\u09dc\u09dd\u09df\u0a59\u0b5c"


@pytest.mark.parametrize("composed", NUKTA)
def test_nukta_forms_are_one(composed):
    decomposed = unicodedata.normalize("NFD", composed)
    assert len(decomposed) == 2
    assert normalise("indic", composed) == normalise("indic", decomposed)


def test_joiners_matter_to_indic_alone():
    for joiner in JOINERS:
        assert normalise("indic", f"क्{joiner}ष") != normalise("indic", "क्ष")
        assert normalise("basic", f"क्{joiner}ष") == normalise("basic", "क्ष")


def test_signature_and_unknown_names():
    assert [signature(name) for name in NAMES] == ["none.v1", "basic.v1", "english.v1", "indic.v1"]
    message = "no normaliser 'englsh'; expected one of none, basic, .*did you mean english"
    for call in (signature, lambda name: normalise(name, "x")):
        with pytest.raises(ConfigError, match=message):
            call("englsh")


def test_needs_nothing_but_the_standard_library():
    code = "import sys, speechxfer.text; print({'torch', 'numpy', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
