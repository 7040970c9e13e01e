"""Edits that turn references into hypotheses: the insertions, deletions, substitutions and hits of jiwer 4, fast.

jiwer takes them from rapidfuzz, and so does this module: the alignments are the same, only nothing is built around
them. A thousand pairs or a million, the work is linear, and a pair's tokens live as long as the pair is counted.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from rapidfuzz.distance.Levenshtein import editops, opcodes

from speechxfer.errors import ConfigError, ScoreError


@dataclass(frozen=True)
class Counts:
    """Edits that turn references into hypotheses, and the references' length in tokens. Counts add.

    Raises ScoreError for counts that no pair of texts has: negative or broken numbers, or more reference
    tokens deleted and substituted than there are.
    """

    insertions: int
    deletions: int
    substitutions: int
    length: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 0:
                raise ScoreError(f"{name} is {value!r}; expected a whole number >= 0")
        if self.deletions + self.substitutions > self.length:
            raise ScoreError(
                f"{self.deletions} deletions and {self.substitutions} substitutions in {self.length} reference tokens; "
                "expected no more than there are tokens"
            )

    @classmethod
    def zero(cls) -> "Counts":
        return cls(0, 0, 0, 0)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.length + other.length,
        )

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """errors / length. May exceed 1. With no reference token it is the number of insertions, as in jiwer 4."""
        return self.errors / max(self.length, 1)


# From a text to its tokens

_SPACES = re.compile(r"\s\s+")


def words(text: str) -> list[str]:
    """Words as jiwer splits them: at spaces, and at any run of two or more whitespace characters.

    A tab or no-break space that stands alone is part of a word.

    >>> words(" two  words ")
    ['two', 'words']
    """
    if text.isprintable():  # no whitespace but the plain space, as in every normalised text: twice as fast
        return text.split()
    return [word for word in _SPACES.sub(" ", text).strip().split(" ") if word]


def characters(text: str) -> str:
    """The code points. Spaces between words are characters; those at the ends are not."""
    return text.strip()


def graphemes(text: str) -> list[str]:
    """What a reader sees as one character: extended grapheme clusters (Unicode Standard Annex 29), ends stripped.

    A vowel sign counts with its consonant, and a conjunct as one. Spaces between words count.

    >>> graphemes("क्षमा")
    ['क्ष', 'मा']
    """
    return _cluster().findall(text.strip())


@cache
def _cluster():
    import regex

    return regex.compile(r"\X")


TOKENS: dict[str, Callable[[str], Sequence[str]]] = {"words": words, "chars": characters, "graphemes": graphemes}
COUNTED: dict[str, str] = {"wer": "words", "cer": "chars", "gcer": "graphemes", "mer": "words", "wil": "words"}


# From tokens to edits


def edit_counts(refs: Iterable[Sequence[str]], hyps: Iterable[Sequence[str]]) -> np.ndarray:
    """int64 [n, 4]: insertions, deletions, substitutions and hits of each of n pairs of token sequences.

    A string is a sequence of its characters. Give `map(words, texts)` rather than a list of lists: two million
    words kept alive at once cost Python's garbage collector more time than the counting takes. Tokens of several
    characters are compared by their 64-bit hash. Raises ValueError where the two differ in length.
    """
    rows = (_edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True))
    return np.fromiter(rows, dtype=np.dtype((np.int64, 4)))


def _edits(ref: Sequence[str], hyp: Sequence[str]) -> tuple[int, int, int, int]:
    if ref == hyp:
        return 0, 0, 0, len(ref)
    kinds = [kind for kind, _, _ in editops(ref, hyp).as_list()]
    deletions, substitutions = kinds.count("delete"), kinds.count("replace")
    insertions = len(kinds) - deletions - substitutions
    return insertions, deletions, substitutions, len(ref) - deletions - substitutions


def count(metric: str, ref: str, hyp: str) -> Counts:
    """The counts of one pair of texts, which are taken as they are. Raises ConfigError for a metric without edits."""
    if metric not in COUNTED:
        raise ConfigError(f"no edits are counted for {metric!r}; expected one of {', '.join(COUNTED)}")
    tokens = TOKENS[COUNTED[metric]]
    insertions, deletions, substitutions, hits = _edits(tokens(ref), tokens(hyp))
    return Counts(insertions, deletions, substitutions, hits + substitutions + deletions)


def alignment(ref: Sequence[str], hyp: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
    """The edits in order: ("equal" | "substitute" | "insert" | "delete", reference token, hypothesis token).

    The one alignment that the counts come from; others may need as few edits. An inserted token has no reference
    (None), a deleted one no hypothesis.

    >>> alignment("the cat".split(), "a black cat".split())
    [('insert', None, 'a'), ('substitute', 'the', 'black'), ('equal', 'cat', 'cat')]
    """
    steps = []
    for kind, ref_start, ref_end, hyp_start, hyp_end in opcodes(ref, hyp).as_list():
        if kind == "insert":
            steps += [("insert", None, token) for token in hyp[hyp_start:hyp_end]]
        elif kind == "delete":
            steps += [("delete", token, None) for token in ref[ref_start:ref_end]]
        else:
            name = "equal" if kind == "equal" else "substitute"
            steps += [(name, *both) for both in zip(ref[ref_start:ref_end], hyp[hyp_start:hyp_end], strict=True)]
    return steps
