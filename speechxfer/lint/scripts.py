"""In which script texts are written (ISO 15924: Latn, Deva, ...), and in which one a language is."""

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.lint.texts import chunks

PROSE_WORDS = 3
NEUTRAL = "Zyyy"  # digits, punctuation and marks that all scripts share

# scripts that are written side by side: what `langcodes` calls by one name
TOGETHER = {
    "Jpan": {"Hira", "Kana", "Hani"},
    "Kore": {"Hang", "Hani"},
    "Hans": {"Hani", "Bopo"},
    "Hant": {"Hani", "Bopo"},
}
# languages that are customarily written in more scripts than their usual one
ALSO = {
    **dict.fromkeys(("sr", "bs", "sh", "tg", "tk", "tt", "crh"), {"Latn", "Cyrl"}),
    **dict.fromkeys(("uz", "az", "kk", "ky", "ug"), {"Latn", "Cyrl", "Arab"}),
    **dict.fromkeys(("ku", "kmr", "ckb", "ms", "ha"), {"Latn", "Arab"}),
    **dict.fromkeys(("pa", "lah", "skr"), {"Guru", "Arab"}),
    **dict.fromkeys(("sd", "ks", "doi"), {"Arab", "Deva"}),
    **dict.fromkeys(("kok", "gom"), {"Deva", "Latn", "Knda", "Mlym"}),
    "mni": {"Beng", "Mtei"},
    "sat": {"Olck", "Deva", "Beng", "Orya", "Latn"},
    "mn": {"Cyrl", "Mong"},
    "sa": {"Deva", "Knda", "Telu", "Mlym", "Taml", "Gran", "Beng", "Orya", "Gujr"},
    "ber": {"Latn", "Tfng", "Arab"},
    "zgh": {"Tfng", "Latn"},
    "iu": {"Cans", "Latn"},
    "chr": {"Cher", "Latn"},
}


@cache
def script_of(character: str) -> str:
    """Zyyy for what belongs to no script by itself."""
    from fontTools.unicodedata import script

    found = script(character)
    return NEUTRAL if found in ("Zinh", "Zzzz") else found


class Scripts:
    """Numbers of scripts: 0 for what belongs to none, the others as characters of them are met."""

    def __init__(self):
        self.names = [NEUTRAL]
        self._numbers = np.full(0x110000, -1, np.int16)  # by code point; -1: not met yet

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Code points [m] uint32 -> numbers [m] int16."""
        found = self._numbers[codes]
        new = np.unique(codes[found < 0])
        for code in new.tolist():
            name = script_of(chr(code))
            if name not in self.names:
                self.names.append(name)
            self._numbers[code] = self.names.index(name)
        return self._numbers[codes] if len(new) else found


@cache
def scripts() -> Scripts:
    """The one numbering of this process."""
    return Scripts()


def dominant(column: pa.ChunkedArray) -> np.ndarray:
    """[n] int16: the script that most characters of each text are in, as `scripts` numbers it; 0 for none."""
    found = [np.zeros(0, np.int16)]
    for _, texts in chunks(column):
        numbers = scripts().of(np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), np.uint32))
        ends = np.cumsum(pc.utf8_length(texts).to_numpy())
        best, most = np.zeros(len(texts), np.int16), np.zeros(len(texts), np.int64)
        for number in np.flatnonzero(np.bincount(numbers)):
            if number:
                before = np.concatenate([[0], np.cumsum(numbers == number)])
                count = np.diff(before[ends], prepend=0)
                best[count > most] = number
                most = np.maximum(most, count)
        found.append(best)
    return np.concatenate(found)


def is_prose(text: str, script: str) -> bool:
    """Whether so many words are all in this script that they are no names: they are not capitalised, or cannot be."""
    words = [[c for c in word if c.isalpha()] for word in text.split()]
    words = [word for word in words if word and all(script_of(c) == script for c in word)]
    return sum(not word[0].isupper() for word in words) >= PROSE_WORDS


@cache
def expected(lang: str) -> frozenset[str]:
    """The scripts that a language is written in; none where the tag or the language is not known.

    >>> expected("hi-IN"), sorted(expected("sr")), expected("hi-Latn")
    (frozenset({'Deva'}), ['Cyrl', 'Latn'], frozenset({'Latn'}))
    """
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    try:
        tag = langcodes.Language.get(lang)
    except ValueError:  # LanguageTagError
        return frozenset()
    if tag.script is None and tag.language not in LIKELY_SUBTAGS and tag.language not in ALSO:
        return frozenset()
    usual = tag.maximize().script
    scripts = TOGETHER.get(usual, {usual})
    return frozenset(scripts if tag.script else scripts | ALSO.get(tag.language, set()))
