"""Terms whose translation is laid down, from a file: how many of them a translation has honoured.

    source <TAB> target
    fever        बुखार|ज्वर       any of several targets is right
    vaccin*      टीक*|वैक्सीन      a form that ends in * may go on: vaccine, vaccination; टीका, टीके
    face mask    मास्क

Forms are found as whole words, letter by letter in NFC, whatever their case; of scripts that write no spaces (Chinese,
Japanese, Thai ...) anywhere. Where terms overlap in the source the longest counts. A target in the translation honours
one occurrence in the source: who says "fever" twice needs two.
"""

import functools
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import DELIMITERS
from speechxfer.scoring.diagnosis import UNSPACED
from speechxfer.scoring.prediction_table import cells

if TYPE_CHECKING:
    import regex

COLUMNS = ("honoured", "terms")
NAMES = ("source", "target")  # the columns of the file


@dataclass(frozen=True)
class Form:
    """Words in a row, each in one spelling of case; the last of a `prefix` may go on."""

    words: tuple[str, ...]
    prefix: bool

    def stands_at(self, place: int, words: Sequence[str]) -> bool:
        found = tuple(words[place : place + len(self.words)])
        if not self.prefix:
            return found == self.words
        return len(found) == len(self.words) and found[:-1] == self.words[:-1] and found[-1].startswith(self.words[-1])

    def __str__(self) -> str:
        return " ".join(self.words) + "*" * self.prefix


@dataclass(frozen=True)
class Term:
    """A term of the source language and its translations."""

    written: str  # as the file has it
    source: Form
    targets: tuple[Form, ...]


@dataclass(frozen=True)
class Glossary:
    """Made by `read_glossary`, which checks the terms."""

    name: str
    terms: tuple[Term, ...]

    @cached_property
    def signature(self) -> str:
        """`<file stem>.<8 hex digits>`; the digits are of the forms, whatever their order, case and spaces."""
        lines = sorted(f"{term.source}\t{'|'.join(sorted(map(str, term.targets)))}" for term in self.terms)
        return f"{self.name}.{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:8]}"

    @cached_property
    def _by_first(self) -> dict[str, list[Term]]:
        """By the first word of the source; of a prefix, by as much of it as the file has."""
        index: dict[str, list[Term]] = {}
        for term in self.terms:
            index.setdefault(term.source.words[0], []).append(term)
        return index

    def check(self, source: str, hypothesis: str) -> Iterator[tuple[Term, bool]]:
        """Every term that occurs in the source, as often as it does, and whether the hypothesis honours it."""
        said = words(hypothesis)
        spans = {}  # where each term's targets stand in the hypothesis
        for term in (found := list(self.occurrences(source))):
            if term not in spans:
                spans[term] = sorted(_spans(term.targets, said), key=lambda span: (span[0] - span[1], span))
        taken: set[int] = set()
        for term in sorted(found, key=lambda term: len(spans[term])):  # those with a choice leave it to the others
            free = next((span for span in spans[term] if taken.isdisjoint(range(*span))), None)
            if free:
                taken.update(range(*free))
            yield term, free is not None

    def occurrences(self, source: str) -> Iterator[Term]:
        """The terms of a source, the longest first; none overlaps another."""
        said = words(source)
        found = []
        for place, word in enumerate(said):
            for start in (word[:end] for end in range(1, len(word) + 1)):
                found += [(term, place) for term in self._by_first.get(start, ()) if term.source.stands_at(place, said)]
        taken: set[int] = set()
        for term, place in sorted(found, key=lambda one: (-len(one[0].source.words), one[0].source.prefix, one[1])):
            span = range(place, place + len(term.source.words))
            if taken.isdisjoint(span):
                taken.update(span)
                yield term


def _spans(forms: Sequence[Form], said: Sequence[str]) -> set[tuple[int, int]]:
    return {
        (place, place + len(form.words)) for form in forms for place in range(len(said)) if form.stands_at(place, said)
    }


def words(sentence: str) -> list[str]:
    """Runs of letters, marks, digits and joiners; each other sign for itself, and each letter of unspaced scripts.

    >>> words("COVID-19, C++ तथा क़लम।")
    ['covid', '-', '19', ',', 'c', '+', '+', 'तथा', 'क़लम', '।']
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", sentence).casefold())
    return _units().findall(folded.replace("’", "'"))


@functools.cache
def _units() -> "regex.Pattern":
    import regex

    letter = r"[\p{L}\p{M}\p{N}\u200c\u200d]"
    return regex.compile(rf"{UNSPACED}\p{{M}}*|(?:(?!{UNSPACED}){letter})+|\S")


def read_glossary(path: str | Path) -> Glossary:
    """The terms of a file, .tsv or .csv, whose header names the columns `source` and `target`.

    Raises ConfigError, all problems at once, for lines without a term or a target, forms without words, and a term
    that stands there twice.
    """
    path = Path(path)
    if path.suffix.lower() not in DELIMITERS:
        raise ConfigError(f"{path}: expected a glossary in .tsv or .csv, with the columns source and target")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a glossary with the columns source and target")
    problems, terms, lines = [], [], {}
    try:
        for line, row in cells(path, DELIMITERS[path.suffix.lower()]):
            try:
                if isinstance(row, ValueError):
                    raise row
                term = _term(path, row)
                first = lines.setdefault(term.source, line)
                if first != line:
                    mend = "write all of its targets in one line, with | between them"
                    raise ValueError(f"the term {term.written!r} is that of line {first}; {mend}")
                terms.append(term)
            except ValueError as problem:
                problems.append(f"{path}:{line}: {problem}")
    except ScoreError as error:  # of the header
        raise ConfigError(str(error)) from None
    if not lines and not problems:
        problems.append(f"{path}: no terms; expected a header, source and target, and a line for each term")
    if problems:
        raise ConfigError("\n".join(problems))
    return Glossary(path.stem, tuple(terms))


def _term(path: Path, row: dict[str, str]) -> Term:
    """Raises ValueError with what is wrong with the row; ConfigError where the table has not the two columns."""
    lacking = [name for name in NAMES if name not in row]
    if lacking:
        raise ConfigError(f"{path}: no column {' and '.join(lacking)} in {', '.join(row)}; expected source and target")
    source, target = (row[name].strip() for name in NAMES)
    if not source or not target:
        raise ValueError(f"{'target' if source else 'source'} is empty; expected a term and its translation")
    if "|" in source:
        raise ValueError(f"source is {source!r}; expected one term: only targets may be several, with | between them")
    return Term(source, _form("source", source), tuple(_form("target", one.strip()) for one in target.split("|")))


def _form(name: str, written: str) -> Form:
    found = tuple(words(written.removesuffix("*")))
    if not any(unit.isalnum() for word in found for unit in word):
        raise ValueError(f"{name} {written!r} has no word; expected letters or digits")
    return Form(found, written.endswith("*"))


def statistics(glossary: Glossary | None, sources: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """[n, 2], COLUMNS: of the terms in each source how many are honoured, and how many there are.

    Raises ConfigError where there is no glossary.
    """
    if glossary is None:
        raise ConfigError(
            "glossary: no file of terms was given; expected one (.tsv or .csv, columns source and target)"
        )
    rows = []
    for source, hypothesis in zip(sources, hypotheses, strict=True):
        found = [honoured for _, honoured in glossary.check(source, hypothesis)]
        rows.append([sum(found), len(found)])
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))
