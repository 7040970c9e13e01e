"""Words that mix scripts by mistake: a Latin letter in a Cyrillic word looks right and is another label.

Not every mixed word is one. Loans take endings (`Facebookൽ`, `SMSка`), units and symbols are Greek (`μm`, `ΔT`), and
scripts that are written without spaces stand beside Latin at all times.
"""

from itertools import groupby

import regex

from speechxfer.lint.scripts import NEUTRAL, script_of

# alphabets and Indic scripts, which are written with spaces: `regex` and RE2's name -> ISO 15924
SPACED = {
    **{"Latin": "Latn", "Cyrillic": "Cyrl", "Greek": "Grek", "Armenian": "Armn", "Georgian": "Geor", "Hebrew": "Hebr"},
    **{"Arabic": "Arab", "Ethiopic": "Ethi", "Devanagari": "Deva", "Bengali": "Beng", "Gurmukhi": "Guru"},
    **{"Gujarati": "Gujr", "Oriya": "Orya", "Tamil": "Taml", "Telugu": "Telu", "Kannada": "Knda"},
    **{"Malayalam": "Mlym", "Sinhala": "Sinh", "Ol_Chiki": "Olck", "Meetei_Mayek": "Mtei"},
}
_CLASSES = [rf"\p{{{name}}}" for name in SPACED]

# a letter beside one of another of these scripts
MIXED = "|".join(f"{one}[{''.join(other for other in _CLASSES if other != one)}]" for one in _CLASSES)

# script -> its letters that look like Latin ones, and the Latin letters that look like its own
LIKE_LATIN = {
    "Cyrl": frozenset("аеорсухіјѕһԁАВЕКМНОРСТУХІЈЅ"),
    "Grek": frozenset("οΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"),
    "Armn": frozenset("օոսՕՏԼ"),
}
LIKE_OTHER = {
    "Cyrl": frozenset("aeopcyxABEKMHOPCTYX"),
    "Grek": frozenset("ovABEZHIKMNOPTYX"),
    "Armn": frozenset("onuOSL"),
}

_WORD = regex.compile(r"[\p{L}\p{M}\u200c\u200d]+")


def odd_word(text: str) -> tuple[int, int] | None:
    """Where the first word stands that mixes scripts by mistake; None where there is none.

    >>> odd_word("он рaботал"), odd_word("он купил SMSку")
    ((3, 10), None)
    """
    for word in _WORD.finditer(text):
        letters = [(script_of(c), c) for c in word[0]]
        letters = [(script, c) for script, c in letters if script != NEUTRAL]
        found = {script for script, _ in letters}
        if len(found & set(SPACED.values())) > 1:
            runs = [(script, "".join(c for _, c in run)) for script, run in groupby(letters, key=lambda pair: pair[0])]
            if _odd(runs, text[: word.start()] + text[word.end() :]):
                return word.span()
    return None


def _odd(runs: list[tuple[str, str]], rest: str) -> bool:
    """`runs`: (script, letters) of a word; `rest`: the text without it."""
    written = {script: "".join(letters for s, letters in runs if s == script) for script, _ in runs}
    latin = written.pop("Latn", "")
    if not latin or len(written) > 1:
        return True  # no two other scripts share a word
    ((other, letters),) = written.items()
    if other not in LIKE_LATIN:
        return len(runs) > 2 or (len(latin) == 1 and latin.islower())
    if len(runs) > 2 and other != "Grek":
        return True
    latin_alike, other_alike = LIKE_OTHER[other].issuperset(latin), LIKE_LATIN[other].issuperset(letters)
    at_home = sum(script_of(c) == other for c in rest) > sum(script_of(c) == "Latn" for c in rest)
    stem = runs[0][0] == "Latn" and len(runs) == 2 and len(latin) > 1 and (latin.isupper() or not latin_alike)
    if at_home and stem:
        return False  # a loan with an ending
    symbol = other == "Grek" and not at_home
    return other_alike or (latin_alike and not symbol)
