r"""What must come out of a translation as it went in: placeholders, tags, URLs and numbers.

    placeholders   {name} {0} {{x}} ${x} %{x} %s %d %1$s %(x)s; $1 where a reference has it too, else it is an amount
    tags           <b> </a> <br/> <a href="..."> <1>, and entities: &nbsp; &#160;
    urls           with a scheme, www. or a common ending (.com, .org ...), and e-mail addresses
    numbers        digits of any script: 1,000 = 1.000 = 1 000 = १,००० = 1000; 1,00,000 = 100000; 3.5 = 3,5

Numbers are compared without sign, unit and per cent, which have names in many languages. 1.000 is read as a thousand
wherever it stands. The same digits in other pieces are kept: 10:30 as 10.30, and 2 500, which may be one number or two,
as "2 of 500". A number that the translation writes in
words is lost, unless a list of equivalences has them (`Numerals`); so is 1.5 million that becomes 15 lakh.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechxfer.scoring.equivalence import Equivalences
from speechxfer.text import latin_digits, normalise, signature

KINDS = ("placeholders", "tags", "urls", "numbers")
COLUMNS = (*(column for kind in KINDS for column in (f"{kind}_kept", kind)), "invented")
VERSION = 2  # of the patterns, for the signature: raise it whenever something else is found in any text

_PLACEHOLDER = r"""
    \{\{\s*[\w.:|-]+\s*\}\} | [$%]\{\s*[\w.:-]+\s*\} | \{\s*[\w.:!-]*\s*\} | %\(\w+\)[a-zA-Z]
    | (?<![\w%])%(?:[0-9]{1,2}\$)?[-+\#]?[0-9]{0,3}(?:\.[0-9]{1,2})?(?:ll?|hh?)?[diouxXeEfgGcs@](?![A-Za-z])
    | (?<![\w$])\$[1-9](?![.,]?[0-9])"""
_TAG = r"""
    </?[A-Za-z][\w:-]*(?:\s+[\w:.@-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+))*\s*/?>
    | </?[0-9]+\s*/?> | &(?:[A-Za-z][A-Za-z0-9]+|\#[0-9]+|\#[xX][0-9A-Fa-f]+);"""
_IN_URL = r"[A-Za-z0-9._~:/?\#@!$&'*+,;=%\[\]-]"
_LAST = r"[A-Za-z0-9_~/\#@$&*+=%-]"  # the full stop and bracket behind a URL are the sentence's
_REST = rf"(?:{_IN_URL}|\({_IN_URL}*\))*(?:{_LAST}|\({_IN_URL}*\))"
_ENDING = r"(?i:com|org|net|edu|gov|int)(?![A-Za-z0-9@-])"
_URL = rf"""
    (?<![A-Za-z0-9])(?: (?i:https?://|ftp://|www\.){_REST}
    | [A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+
    | (?<![A-Za-z0-9][.-])(?:[A-Za-z0-9][A-Za-z0-9-]*\.){{1,5}}{_ENDING}(?:/{_REST})?)"""
_NUMBER = r"""
    (?<![0-9][.,])(?:
        [1-9][0-9]{0,2}(?P<mark>[,.'’٬\ \u00a0\u2009\u202f])[0-9]{3}(?:(?P=mark)[0-9]{3})*
            (?:(?!(?P=mark))[.,٫][0-9]+)?(?![.,'’٬٫]?[0-9])
        | [1-9][0-9]?(?P<indian>,)(?:[0-9]{2},)+[0-9]{3}(?:\.[0-9]+)?(?![.,]?[0-9])
        | [0-9]+[.,٫][0-9]+(?![.,٫]?[0-9])
    ) | [0-9]+"""
_PROTECTED = re.compile(
    rf"(?P<tags>{_TAG}) | (?P<urls>{_URL}) | (?P<placeholders>{_PLACEHOLDER}) | (?P<numbers>{_NUMBER})", re.VERBOSE
)


@dataclass(frozen=True)
class Numerals:
    """Numbers in words: what a list of `equivalences`, whose forms the `normaliser` wrote, says of them."""

    normaliser: str
    equivalences: Equivalences

    @property
    def signature(self) -> str:
        return f"{self.equivalences.signature}:{signature(self.normaliser)}"

    def spelled(self, number: str, sentence: str) -> int:
        """How often the sentence has the number ("25", "3.5") in words."""
        texts = [latin_digits(normalise(self.normaliser, one)) for one in (number, sentence)]
        both = _times(*(latin_digits(self.equivalences.apply(one)) for one in texts))
        return max(0, both - _times(*texts))


def _times(form: str, sentence: str) -> int:
    """How often a sequence of words occurs."""
    return len(re.findall(rf"(?<!\S){re.escape(form)}(?!\S)", sentence))


@dataclass(frozen=True)
class Survival:
    """What became of one source: of each kind, how many were kept and how many there were; which ones were not.

    `invented` are URLs and numbers of the hypothesis that neither the source nor a reference has.
    """

    kept: dict[str, int]
    total: dict[str, int]
    lost: tuple[str, ...]
    invented: tuple[str, ...]


def protected(sentence: str) -> dict[str, Counter[str]]:
    """What must survive, by kind, with how often it occurs; numbers in ASCII digits with a point for decimals alone.

    >>> protected("Dial {n} or १,००० on <b>www.x.org</b>.")["numbers"]
    Counter({'1000': 1})
    """
    found = {kind: Counter() for kind in KINDS}
    for match in _PROTECTED.finditer(latin_digits(sentence)):
        kind = match.lastgroup if match.lastgroup in KINDS else "numbers"
        found[kind][_in_one_spelling(kind, match)] += 1
    return found


def _in_one_spelling(kind: str, match: re.Match) -> str:
    if kind == "placeholders":
        return re.sub(r"\s", "", match[0])  # {{ x }}
    if kind == "tags":
        return re.sub(r"\s*(/?>)$", r"\1", " ".join(match[0].split()))  # <br />
    if kind == "urls":
        return match[0]
    mark = match["mark"] or match["indian"]
    return re.sub("[,٫]", ".", match[0].replace(mark, "") if mark else match[0])


def compare(source: str, references: Sequence[str], hypothesis: str, numerals: Numerals | None = None) -> Survival:
    """What of the source the hypothesis has kept, and what it has invented. Case counts; order does not."""
    before, after, *others = texts = [protected(text) for text in (source, hypothesis, *references)]
    # "$5" is a placeholder or money: the references know
    for amount in {one for found in texts for one in found["placeholders"] if re.fullmatch(r"\$[0-9]", one)}:
        if not any(amount in found["placeholders"] for found in others):
            for found in texts:
                found["numbers"][amount[1:]] += found["placeholders"].pop(amount, 0)
    lost = {kind: before[kind] - after[kind] for kind in KINDS}
    lost["numbers"], new = _unmatched(before["numbers"], after["numbers"])
    if numerals:
        for number in lost["numbers"]:
            lost["numbers"][number] -= min(lost["numbers"][number], numerals.spelled(number, hypothesis))
    for other in others:
        new &= _unmatched(other["numbers"], after["numbers"])[1]
    known = {one for kind in ("urls", "numbers") for found in (before, *others) for one in found[kind]}
    invented = [one for one in (*after["urls"], *new) if one not in known]
    if numerals:
        invented = [one for one in invented if not any(numerals.spelled(one, text) for text in (source, *references))]
    return Survival(
        kept={kind: before[kind].total() - lost[kind].total() for kind in KINDS},
        total={kind: before[kind].total() for kind in KINDS},
        lost=tuple(one for kind in KINDS for one in lost[kind].elements()),
        invented=tuple(invented),
    )


def _unmatched(first: Counter[str], second: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """The numbers that only one side has. 10:30 is two numbers and 10.30 one: the same digits in pieces are a match.

    So are the thousands of a whole number, for "2 500" is read as one wherever it stands.
    """
    left, right = first - second, second - first
    for whole, parts in ((left, right), (right, left)):
        for number in list(whole.elements()):
            pieces = Counter(re.findall("[0-9]+", f"{int(number):,}" if number.isdigit() else number))
            if pieces.total() > 1 and pieces <= parts:
                whole[number] -= 1
                parts.subtract(pieces)
    return +left, +right


def statistics(
    numerals: Numerals | None,
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
) -> np.ndarray:
    """[n, 9], COLUMNS: for each kind how many were kept and how many the source has, and how many were invented."""
    rows = []
    for source, refs, hypothesis in zip(sources, references, hypotheses, strict=True):
        one = compare(source, refs, hypothesis, numerals)
        rows.append([n for kind in KINDS for n in (one.kept[kind], one.total[kind])] + [len(one.invented)])
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def kept_value(sums: np.ndarray) -> np.ndarray:
    """The share that was kept, 0..1, of sums [..., 9]; NaN where there was nothing to keep."""
    kept, total = sums[..., 0:-1:2].sum(axis=-1), sums[..., 1:-1:2].sum(axis=-1)
    return np.divide(kept, total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0)
