"""A bilingual word list for `graft`, from sentence pairs: of the new language and the one that the parent wrote.

The two rarely have sentences in common, but the source language of both pairs is the same one, and leads from one to
the other: Hindi words to English ones in the new pair, these to German ones in the parent's own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from speechxfer.atomic import replacing
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
NOTHING = ""  # what a word stands for that is there for grammar alone
ROUNDS = 6
UNLIKELY = 0.05  # translations below this are noise
LEAST = 0.1  # a word whose best translation is below this is not listed

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Lexicon:
    """`table`[i, j] is the probability that `words`[i] becomes `others`[j]."""

    words: dict[str, int]
    others: dict[str, int]
    table: "csr_array"


def lexicon(pairs: Pairs) -> Lexicon:
    """Word translation probabilities of sentence pairs, lower case: IBM model 1 (Brown et al. 1993, section 4.2)."""
    from scipy.sparse import csr_array

    words: dict[str, int] = {NOTHING: 0}
    others: dict[str, int] = {}
    cells: list[np.ndarray] = []  # (place of the other word in the corpus, word, other), for all pairs of a sentence
    places = 0
    for left, right in pairs:
        mine = [0, *(words.setdefault(word, len(words)) for word in _words(left))]
        theirs = [others.setdefault(word, len(others)) for word in _words(right)]
        here = range(places, places + len(theirs))
        cells.append(np.array([(p, i, j) for p, j in zip(here, theirs, strict=True) for i in mine], int).reshape(-1, 3))
        places += len(theirs)
    if not places:
        raise ConfigError("word list: no sentence pair has words on both sides")
    place, word, other = np.concatenate(cells).T
    known, cell = np.unique(word * len(others) + other, return_inverse=True)
    row, column = np.divmod(known, len(others))
    probability = np.ones(len(known))
    for _ in range(ROUNDS):
        share = probability[cell]
        share /= np.bincount(place, share)[place]
        probability = np.bincount(cell, share)
        probability /= np.bincount(row, probability)[row]
    probability[probability < UNLIKELY] = 0
    return Lexicon(words, others, csr_array((probability, (row, column)), shape=(len(words), len(others))))


def word_list(new: Pairs, parent: Pairs) -> list[tuple[str, str]]:
    """(word of the new language, word of the parent's) of sentence pairs (source, text) of each.

    Words are listed as they are written: all forms of a new word, with the commonest form of its likeliest translation.
    Raises ConfigError where no word leads to another.
    """
    new, parent = list(new), list(parent)
    to_source = lexicon((text, source) for source, text in new)
    to_parent = lexicon(parent)
    bridge = [to_parent.words.get(word, 0) for word in to_source.others]  # of no word they know becomes nothing
    through = to_parent.table[bridge]
    through.data[np.repeat(np.array(bridge) == 0, np.diff(through.indptr))] = 0
    table = (to_source.table @ through).tocsr()
    forms, parent_forms = _forms(text for _, text in new), _forms(text for _, text in parent)
    others = list(to_parent.others)
    found = []
    for word, i in to_source.words.items():
        row = table[[i]]
        if i and row.nnz and row.data.max() >= LEAST:
            best = parent_forms[others[row.indices[row.data.argmax()]]].most_common(1)[0][0]
            found += [(form, best) for form in sorted(forms[word])]
    if not found:
        raise ConfigError("word list: the two corpora share no words of the source language; are they its pairs?")
    return found


def write_word_list(file: str | Path, new: Pairs, parent: Pairs) -> Path:
    """Write `word_list` as the TSV that `Graft.mapping` reads. Raises ConfigError."""
    rows = word_list(new, parent)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(file)) as partial:
        partial.write_text("".join(f"{word}\t{other}\n" for word, other in rows), encoding="utf-8")
    return Path(file)


def _words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def _forms(texts: Iterable[str]) -> dict[str, Counter[str]]:
    """How often a word is written how."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for word in WORD.findall(text):
            forms[word.lower()][word] += 1
    return forms
