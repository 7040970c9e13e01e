"""Nearly the same sentence in two sets, found by MinHash (Broder 1997) and then compared word by word.

Only the held set (dev, test, `retain`) is indexed; train streams past it. A sentence is the set of its pairs of
neighbouring words, its ends among them. Two sets that share a part J of their union have the same minimum under a
random order with probability J, and so all minima of one of BANDS bands at least with 1 - (1 - J ** 4) ** BANDS: one
word changed in ten leaves J = 9/13 (found with 0.99996), one in seven 6/10 (0.996), and two sentences that have only
"in the" in common J = 0.05 (0.0003). What is found so is compared, and what is too different is forgotten.

Near is nine tenths of the information, where a word has -log2 of how often the held set has it. By characters or
words alone, sentences of one pattern would be near though they say different things: "how far is it to the inn",
"... to the motel". There the rare word is what differs; in a copy that was edited it is mostly an "is" or "the".
"""

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import log2
from typing import TYPE_CHECKING

import numpy as np

from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.texts import clipped
from speechxfer.lint.twins import CHOICE, TRAIN, Twins, are_parallel, folded, has, pairs, same_audio, sentences
from speechxfer.manifest import Manifest

if TYPE_CHECKING:
    from rensa import RMinHash, RMinHashLSH

SIMILAR = 0.9  # share of their information that two near sentences have in common, in order
BANDS, MINIMA = 40, 160
MOST = 100_000  # sentences of a set that are indexed, some 4 kB each; of more every k-th
TRIED = 20  # candidates that a sentence is compared with: more than that have it in common to be of one pattern
SEED = 0  # the same orders in every run, so that a finding comes again
UNKNOWN = ""  # stands for any word that no held sentence has


@dataclass(frozen=True)
class Index:
    """The held sentences, by place."""

    words: list[list[str]]
    bits: dict[str, float]  # of each word its information, and of one that is UNKNOWN
    minima: "RMinHashLSH"


def build(texts: Sequence[str]) -> Index:
    """Index folded sentences."""
    from rensa import RMinHashLSH

    words = [text.split() for text in texts]
    counts = Counter(word for sentence in words for word in sentence)
    counts[UNKNOWN] = 0
    total = counts.total() + len(counts) / 2
    bits = {word: log2(total / (count + 0.5)) for word, count in counts.items()}
    minima = RMinHashLSH(SIMILAR, MINIMA, BANDS)
    for place, sentence in enumerate(words):
        minima.insert(place, _minima(sentence))
    return Index(words, bits, minima)


def _minima(words: Sequence[str]) -> "RMinHash":
    from rensa import RMinHash

    minima = RMinHash(MINIMA, SEED)
    minima.update([f"{one} {other}" for one, other in pairwise(["", *words, ""])])
    return minima


def similarity(one: Sequence[str], other: Sequence[str], bits: Mapping[str, float]) -> float:
    """Share of the information of both, given their words, that is common and in the same order: 2 common / both."""
    from rapidfuzz.distance import Indel

    edits = Indel.editops(one, other)
    lone = [one[edit.src_pos] if edit.tag == "delete" else other[edit.dest_pos] for edit in edits]
    both, lone = (sum(bits.get(word, bits[UNKNOWN]) for word in words) for words in ([*one, *other], lone))
    return 1 - lone / both


def search(index: Index, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Place of a folded sentence, in ascending order, and of a held one that is near, of all that are found."""
    bits = index.bits
    for place, text in enumerate(texts):
        words = text.split()
        known = [bits[word] for word in words if word in bits]
        # no unknown word is in common: 2 known / (2 known + unknown) is the most that a similarity can be
        if SIMILAR * (len(words) - len(known)) * bits[UNKNOWN] <= 2 * sum(known) * (1 - SIMILAR):
            for near in sorted(index.minima.query(_minima(words)))[:TRIED]:
                if similarity(words, index.words[near], bits) >= SIMILAR:
                    yield place, near


def near_twins(one: Manifest, others: Sequence[Manifest], side: str) -> list[Twins]:
    """For each of the other sets, rows of `one` whose sentence is nearly, but not exactly, one of that set."""
    rows = [distinct(other, side) for other in others]  # of each set those that are indexed
    index = build([text for other, of in zip(others, rows, strict=True) for text in _folded(other, side, of)])
    begins, row_of = list(accumulate(map(len, rows), initial=0)), np.concatenate(rows)
    exact = [np.isin(sentences(one, side).keys, sentences(other, side).keys) for other in others]
    wanted = sentences(one, side).long & ~np.logical_and.reduce(exact)
    found: list[dict[int, int]] = [{} for _ in others]
    for first, texts in folded(one.column(side)):
        places = np.flatnonzero(wanted[first : first + len(texts)])
        for place, near in search(index, texts.take(places).to_pylist()):
            row, which = first + int(places[place]), bisect_right(begins, near) - 1
            if not exact[which][row]:
                found[which].setdefault(row, int(row_of[near]))
    return [Twins(np.fromiter(near, np.int64), np.fromiter(near.values(), np.int64)) for near in found]


def distinct(manifest: Manifest, side: str) -> np.ndarray:
    """Rows of the long sentences of a set, each once, at most MOST."""
    held = sentences(manifest, side)
    rows = np.flatnonzero(held.long)
    rows = np.sort(rows[np.unique(held.keys[rows], return_index=True)[1]])
    return rows[:: max(1, -(-len(rows) // MOST))]


def _folded(manifest: Manifest, side: str, rows: np.ndarray) -> list[str]:
    return [text for _, texts in folded(manifest.column(side).take(rows)) for text in texts.to_pylist()]


def leak_near(subjects: Sequence[Subject]) -> Iterator[Found]:
    others: dict[int, list[Subject]] = {}
    for one, other in pairs(subjects, (*TRAIN, *CHOICE)):
        others.setdefault(id(one), []).append(other)
    for one in subjects:
        for side in ("source", "text"):
            held = [other for other in others.get(id(one), ()) if side == "text" or are_parallel(one, other)]
            if held and has(one.manifest, side):
                for other, twins in zip(held, near_twins(one.manifest, [o.manifest for o in held], side), strict=True):
                    if not are_parallel(one, other):
                        twins = twins.without(same_audio(one, other))
                    yield _found(one, other, side, twins)


def _found(one: Subject, other: Subject, side: str, twins: Twins) -> Found:
    looked_for = len(distinct(other.manifest, side))
    count = f"{len(np.unique(twins.others)):,} of {looked_for:,} different sentences of {other.name}"
    what = "source " if side == "source" else ""

    def message(place: int) -> str:
        row, twin = int(twins.rows[place]), int(twins.others[place])
        mine, theirs = one.manifest.column(side)[row].as_py(), other.manifest.column(side)[twin].as_py()
        apart = len(os.path.commonprefix([mine, theirs]))
        where = other.manifest.where(twin)
        return f"{what}{clipped(mine, apart)} is nearly {where} {clipped(theirs, apart)}; in all {count}"

    return Found(one, twins.rows, message)


RULES = (
    Rule(
        "leak-near",
        "warning",
        "nearly the same sentence is in two sets",
        "leave it out of train where it comes from the same text: the model has seen nine tenths of the answer",
        leak_near,
    ),
)
