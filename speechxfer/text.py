"""Named, versioned normalisers, for training targets and for scoring. A score's signature carries name and version.

The promise that all of them keep: letters and dependent marks (Unicode categories L and M) of a text's NFC form are
never deleted and never changed, apart from letter case and the lists `FOLDED` and `ENGLISH_FOLDED`. Normalisers that
strip "diacritics" delete the vowel signs of Devanagari, Tamil or Thai, and with them a good part of the errors.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from speechxfer.errors import ConfigError

# marks that go in every normaliser but `none`: they only choose between a symbol's text and emoji glyph
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


def _none(text: str) -> str:
    return text


def _words(text: str, table: _Characters) -> str:
    text = unicodedata.normalize("NFC", text).translate(table).lower()
    words = (word.strip("'" + JOINERS) for word in text.split())  # an apostrophe or joiner at an edge joins nothing
    return unicodedata.normalize("NFC", " ".join(word for word in words if word))


def basic(text: str) -> str:
    """NFC, lower case, words of letters, marks and digits between single spaces; the apostrophe inside a word is kept.

    Case is that of `str.lower`, which keeps the letters ("ß" stays, unlike `str.casefold`) and knows no Turkish i.

    >>> basic("Well-known: it’s the “Café”, 50%!")
    "well known it's the café 50"
    """
    return _words(text, _PLAIN)


def english(text: str) -> str:
    """`basic`, with accented Latin letters written as a-z. Digits, contractions and spelling (colour, color) stay.

    Letters of other scripts stay too: whether the model can write them is for its vocabulary to say.

    >>> english("Don’t visit the naïve Æsir’s café at 5.")
    "don't visit the naive aesir's cafe at 5"
    """
    folded = basic(text).translate(str.maketrans(ENGLISH_FOLDED))
    bare = re.sub("(?<=[a-z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare)


def indic(text: str) -> str:
    """`basic` for the scripts of India: keeps the zero-width joiners inside words, which choose between conjunct forms.

    NFC makes precomposed and decomposed nukta letters equal; danda and double danda separate words as any
    punctuation does; digits stay in the script that they were written in.

    >>> indic("क़लम।") == indic("क\u093cलम")
    True
    """
    return _words(text, _JOINED)


@dataclass(frozen=True)
class Normaliser:
    """A function that changes a text for comparison. Raise `version` whenever any text comes out differently."""

    function: Callable[[str], str]
    version: int

    def __call__(self, text: str) -> str:
        return self.function(text)


NORMALISERS: dict[str, Normaliser] = {
    "none": Normaliser(_none, 1),
    "basic": Normaliser(basic, 1),
    "english": Normaliser(english, 1),
    "indic": Normaliser(indic, 1),
}


def _find(name: str) -> Normaliser:
    if name not in NORMALISERS:
        near = difflib.get_close_matches(str(name), NORMALISERS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"no normaliser {name!r}; expected one of {', '.join(NORMALISERS)}{hint}")
    return NORMALISERS[name]


def normalise(name: str, text: str) -> str:
    """`text` as the normaliser `name` writes it. Raises ConfigError for an unknown name."""
    return _find(name)(text)


def signature(name: str) -> str:
    """`basic.v1`: what a score must say about its texts. Raises ConfigError for an unknown name."""
    return f"{name}.v{_find(name).version}"
