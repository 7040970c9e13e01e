"""Named, versioned normalisers, for training targets and for scoring. A score's signature carries name and version.

The promise that all of them keep: letters and dependent marks (Unicode categories L and M) of a text's NFC form are
never deleted and never changed, apart from letter case and the lists `FOLDED`, `ENGLISH_FOLDED` and `INDIC_FOLDED`.
Normalisers that strip "diacritics" delete the vowel signs of Devanagari, Tamil or Thai, and with them a good part of
the errors. Candrabindu and anusvara, visarga, nukta: all are kept, and a text that lacks one is an error.

A name may carry options, in any order: `indic+drop-joiners+latin-digits`.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from speechxfer.errors import ConfigError

# marks that go in every normaliser but `none` and `nfc`: they only choose between a symbol's text and emoji glyph
FOLDED: dict[str, str] = {"\ufe0e": "", "\ufe0f": ""}

# letters that `english` writes with a-z; besides these it takes the accents off a-z (café -> cafe, naïve -> naive)
ENGLISH_FOLDED: dict[str, str] = {
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "ß": "ss",
    "ł": "l",
    "đ": "d",
    "ð": "th",
    "þ": "th",
}

# letters that older texts spell as consonant, virama and joiner, and that `indic` writes as the one letter which they
# became in Unicode 4.1 (Bengali khanda ta) and 5.1 (Malayalam chillus): https://unicode.org/versions/Unicode5.1.0/
INDIC_FOLDED: dict[str, str] = {
    "\u09a4\u09cd\u200d": "\u09ce",
    "\u0d15\u0d4d\u200d": "\u0d7f",
    "\u0d23\u0d4d\u200d": "\u0d7a",
    "\u0d28\u0d4d\u200d": "\u0d7b",
    "\u0d30\u0d4d\u200d": "\u0d7c",
    "\u0d32\u0d4d\u200d": "\u0d7d",
    "\u0d33\u0d4d\u200d": "\u0d7e",
}

JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner: they choose between conjunct forms


class _Characters(dict):
    """What becomes of each character, by its Unicode category: a table for str.translate that fills itself.

    Punctuation, symbols, separators and controls become a space, invisible format characters vanish, all else stays:
    letters, marks, digits, and characters that are newer than Python's tables.
    """

    def __init__(self, keep: str = ""):
        super().__init__(str.maketrans(FOLDED | dict.fromkeys("'\u2018\u2019\uff07", "'") | {c: c for c in keep}))
        self[0x200B] = " "  # zero-width space: a word boundary in Khmer and Thai, though a format character to Unicode

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = "" if category == "Cf" else " " if category[0] in "PSZ" or category == "Cc" else chr(code)
        return self[code]


_PLAIN, _JOINED = _Characters(), _Characters(keep=JOINERS)
_LATIN = str.maketrans(ENGLISH_FOLDED)
_LEGACY = re.compile("|".join(INDIC_FOLDED))


def none(text: str) -> str:
    """The text as it is."""
    return text


def nfc(text: str) -> str:
    """Unicode's canonical composition and nothing else: case, punctuation and spaces stay. For translation metrics."""
    return unicodedata.normalize("NFC", text)


def _lower(text: str, table: _Characters) -> str:
    return unicodedata.normalize("NFC", text).translate(table).lower()


def _spaced(text: str) -> str:
    words = (word.strip("'" + JOINERS) for word in text.split())  # an apostrophe or joiner at an edge joins nothing
    return unicodedata.normalize("NFC", " ".join(word for word in words if word))


def basic(text: str) -> str:
    """NFC, lower case, words of letters, marks and digits between single spaces; the apostrophe inside a word is kept.

    Case is that of `str.lower`, which keeps the letters ("ß" stays, unlike `str.casefold`) and knows no Turkish i.

    >>> basic("Well-known: it’s the “Café”, 50%!")
    "well known it's the café 50"
    """
    return _spaced(_lower(text, _PLAIN))


def english(text: str) -> str:
    """`basic`, with accented Latin letters written as a-z. Digits, contractions and spelling (colour, color) stay.

    Letters of other scripts stay too: whether the model can write them is for its vocabulary to say.

    >>> english("Don’t visit the naïve Æsir’s café at 5.")
    "don't visit the naive aesir's cafe at 5"
    """
    folded = basic(text).translate(_LATIN)
    bare = re.sub("(?<=[a-z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare)


def indic(text: str) -> str:
    """`basic` for the Brahmic scripts: keeps the zero-width joiners inside words, which choose between conjunct forms.

    NFC makes precomposed and decomposed nukta letters equal, and two-part vowel signs; `INDIC_FOLDED` the old and the
    new spelling of chillus and khanda ta. Danda and double danda separate words as any punctuation does. Digits stay
    in the script that they were written in.

    >>> indic("क़लम।") == indic("क\u093cलम")
    True
    """
    text = _lower(text, _JOINED)
    if "\u200d" in text:  # most texts have none
        text = _LEGACY.sub(lambda spelling: INDIC_FOLDED[spelling[0]], text)
    return _spaced(text)


def drop_joiners(text: str) -> str:
    """Without zero-width joiners, for systems that cannot write them. Words become equal that are not: Marathi
    दर्\u200dया (valleys, with an eyelash ra) and दर्या (sea).
    """
    return unicodedata.normalize("NFC", text.replace("\u200c", "").replace("\u200d", ""))


def latin_digits(text: str) -> str:
    """Decimal digits of all scripts (category Nd) as 0-9.

    >>> latin_digits("१२ ৩ ٤")
    '12 3 4'
    """
    return re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), text)


# A sentence of Devanagari ends with a danda, with a bar behind Devanagari that stands for one or, at the end of the
# text, a full stop; closing quotes may stand before and after it. Within a text a full stop may belong to an
# abbreviation. At its end a digit, Latin or % may stand before it, where the text has Devanagari at all.
_DEVANAGARI = "\u0900-\u0963\u0970-\u097f"  # but for the dandas and digits
_CLOSING = "[\"'\u201d\u2019)]*"
_SENTENCE = f"(?={_CLOSING}(?:\\s|$))"
_END = re.compile(
    rf"(?<![ \u0964]) *\u0964{_SENTENCE}"
    rf"|(?<=[{_DEVANAGARI}])(?P<quote>{_CLOSING}) ?\|{_SENTENCE}"
    rf"|(?<=[{_DEVANAGARI}\u0966-\u096f0-9A-Za-z\u00c0-\u024f%])(?P<closing>{_CLOSING}) ?\.(?={_CLOSING}\s*$)"
)
_HAS_DEVANAGARI = re.compile(f"[{_DEVANAGARI}]")


def _ended(text: str, mark: str) -> str:
    """With `mark` for what ends its sentences, and no space before it."""

    def end(found: re.Match) -> str:
        if found["closing"] is not None and not devanagari:
            return found[0]
        return f"{found['quote'] or found['closing'] or ''}{mark}"

    devanagari = _HAS_DEVANAGARI.search(text)
    return _END.sub(end, text)


def danda(text: str) -> str:
    """Sentences of Devanagari end with a danda, also where a bar or the last full stop stands for it.

    >>> danda("यह ठीक है | डॉ. राव 3.5 पर आए.")
    'यह ठीक है। डॉ. राव 3.5 पर आए।'
    """
    return _ended(text, "\u0964")


def full_stop(text: str) -> str:
    """Sentences of Devanagari end with a full stop.

    >>> full_stop("यह ठीक है।")
    'यह ठीक है.'
    """
    return _ended(text, ".")


@dataclass(frozen=True)
class Normaliser:
    """A function that changes each word by itself for comparison, and the options that may follow its name.

    Raise `version` whenever any text comes out differently.
    """

    function: Callable[[str], str]
    version: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """What is done to the normalised text, by word or to the text as a whole.

    Raise `version` whenever any text comes out differently: a signature shows it from the second on.
    """

    function: Callable[[str], str]
    by_word: bool = True
    version: int = 1

    def signature(self, name: str) -> str:
        return name if self.version == 1 else f"{name}.v{self.version}"


NORMALISERS: dict[str, Normaliser] = {
    "none": Normaliser(none, 1),
    "nfc": Normaliser(nfc, 1, ("latin-digits", "danda", "full-stop")),
    "basic": Normaliser(basic, 1, ("latin-digits",)),
    "english": Normaliser(english, 1, ("latin-digits",)),
    "indic": Normaliser(indic, 2, ("drop-joiners", "latin-digits")),
}

# in the order in which they are done and stand in a signature
OPTIONS: dict[str, Option] = {
    "drop-joiners": Option(drop_joiners),
    "latin-digits": Option(latin_digits),
    "danda": Option(danda, by_word=False, version=2),
    "full-stop": Option(full_stop, by_word=False, version=2),
}


def _refuse(name: str, problem: str, base: str, options: list[str]) -> ConfigError:
    """The error for `name`, with the nearest name that there is."""
    near = difflib.get_close_matches(base, NORMALISERS, 1)
    hint = ""
    if near:
        known = NORMALISERS[near[0]].options
        meant = {close for option in options for close in difflib.get_close_matches(option, known, 1)}
        hint = f"; did you mean {'+'.join([near[0], *(option for option in OPTIONS if option in meant)])}?"
    return ConfigError(f"no normaliser {name!r}{problem}{hint}")


@cache  # asked for every text
def _parse(name: str) -> tuple[tuple[Callable[[str], str], ...], str, bool]:
    """The steps of a normaliser by its full name, its signature, and whether it goes by word."""
    base, *options = name.split("+")
    if base not in NORMALISERS:
        raise _refuse(name, f"; expected one of {', '.join(NORMALISERS)}", base, options)
    normaliser = NORMALISERS[base]
    unknown = [option for option in options if option not in normaliser.options]
    if unknown:
        choice = f"expected {' or '.join(normaliser.options)}" if normaliser.options else "it has none"
        raise _refuse(name, f": {base} has no option {unknown[0]!r}, {choice}", base, options)
    twice = [option for option in OPTIONS if options.count(option) > 1]
    if twice:
        raise _refuse(name, f": option {twice[0]!r} is given twice", base, options)
    if {"danda", "full-stop"} <= set(options):
        raise _refuse(name, ": danda and full-stop exclude each other", base, options[:1])
    chosen = [option for option in OPTIONS if option in options]
    steps = (normaliser.function, *(OPTIONS[option].function for option in chosen))
    names = [f"{base}.v{normaliser.version}", *(OPTIONS[option].signature(option) for option in chosen)]
    return steps, "+".join(names), all(OPTIONS[option].by_word for option in chosen)


def normalise(name: str, text: str) -> str:
    """`text` as the normaliser `name` writes it. Raises ConfigError for a name or an option that there is not.

    >>> normalise("indic+latin-digits", "कक्षा १२।")
    'कक्षा 12'
    """
    for step in _parse(name)[0]:
        text = step(text)
    return text


def signature(name: str) -> str:
    """`indic.v2+latin-digits`: what a score must say about its texts. Raises ConfigError as `normalise` does."""
    return _parse(name)[1]


def by_word(name: str) -> bool:
    """Whether a normaliser changes each word between spaces by itself. Raises ConfigError as `normalise` does.

    >>> by_word("nfc"), by_word("nfc+danda")
    (True, False)
    """
    return _parse(name)[2]
