"""Rules about sentence pairs: what to translate (`source`) and its translation (`text`)."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.scripts import dominant, is_prose, scripts
from speechxfer.lint.texts import blank, clipped, fingerprints, taken
from speechxfer.manifest import Manifest
from speechxfer.text import basic

LEAST_ROWS = 50  # before a set says what is usual in it
FAR = 6.0  # robust standard deviations from the usual length
FAR_RATIO = 2.5  # and times the usual length
MANY_TARGETS = 10
COPIED_WORDS = 3  # not capitalised: names are the same in both languages
USUAL = 0.8  # share of a side's texts from which on their script is the script of that side


def source_empty(subject: Subject) -> Iterator[Found]:
    manifest = subject.manifest
    source = manifest.column("source")
    if source.null_count == len(source):
        return
    rows = np.flatnonzero(blank(source) & manifest.column("audio").is_null().to_numpy())
    yield Found(subject, rows, lambda _: "no source; expected a sentence to translate")


def length_ratio(subject: Subject) -> Iterator[Found]:
    """Gale and Church 1993 (https://aclanthology.org/J93-1004): the length of a translation varies around a multiple c
    of the source's with a variance that grows with the length. Both are taken from the set, by medians.
    """
    rows = _pairs(subject.manifest)
    if len(rows) < LEAST_ROWS:
        return
    source, text = (_lengths(subject.manifest.column(name), rows) for name in ("source", "text"))
    usual = np.exp(np.median(np.log(text / source)))
    off = (text - usual * source) / np.sqrt((text + usual * source) / 2)
    spread = 1.4826 * np.median(np.abs(off - np.median(off)))
    ratio = text / source / usual
    far = (np.abs(off) > FAR * spread) & (np.maximum(ratio, 1 / ratio) > FAR_RATIO)
    source, text, ratio, rows = source[far], text[far], ratio[far], rows[far]

    def message(i: int) -> str:
        times = f"{ratio[i]:.1f} times as long" if ratio[i] > 1 else f"{1 / ratio[i]:.1f} times shorter"
        usually = f"{times} as is usual in this set" if ratio[i] > 1 else f"{times} than is usual in this set"
        return f"{source[i]:.0f} characters became {text[i]:.0f}: {usually}"

    yield Found(subject, rows, message)


def untranslated(subject: Subject) -> Iterator[Found]:
    manifest = subject.manifest
    source, text = manifest.column("source"), manifest.column("text")
    rows = _pairs(manifest)
    # equal when read loosely: so they are about as long, which leaves few to be compared
    alike = np.abs(np.log(_lengths(source, rows) / _lengths(text, rows))) < np.log(1.5)
    first = [_beginnings(column, rows) for column in (source, text)]
    rows = rows[alike & (first[0] == first[1])]
    pairs = zip(taken(source, rows), taken(text, rows), strict=True)
    rows = rows[np.array([_copied(*pair) for pair in pairs], bool)]
    yield Found(
        subject, rows, lambda i: f"the translation of {clipped(source[rows[i]].as_py())} is the sentence itself"
    )


def wrong_side(subject: Subject) -> Iterator[Found]:
    rows = _pairs(subject.manifest)
    if len(rows) < LEAST_ROWS:
        return
    columns = [subject.manifest.column(name) for name in ("source", "text")]
    written = [dominant(column)[rows] for column in columns]
    usual = [_usual(numbers) for numbers in written]
    if usual[0] == usual[1] or None in usual:
        return
    names = scripts().names
    odd = [numbers == other for numbers, other in zip(written, reversed(usual), strict=True)]
    swapped = odd[0] & odd[1]
    for side in (0, 1):  # on one side alone it may be a name that is written as in the other language
        found = np.flatnonzero(odd[side] & ~swapped)
        texts = taken(columns[side], rows[found])
        odd[side][found] = [is_prose(text, names[usual[1 - side]]) for text in texts]
    whole = f"sources in {names[usual[0]]} and texts in {names[usual[1]]}"
    for wrong, what in (
        (swapped, "source and text are swapped"),
        (odd[0] & ~odd[1], f"the source is in {names[usual[1]]}"),
        (~odd[0] & odd[1], f"the text is in {names[usual[0]]}"),
    ):
        found = rows[wrong]

        def message(i: int, found=found, what=what) -> str:
            source, text = (clipped(column[found[i]].as_py()) for column in columns)
            return f"{what}: {source} to {text}; expected {whole}, as in the rest"

        yield Found(subject, found, message)


def many_targets(subject: Subject) -> Iterator[Found]:
    rows, prints, pairs = _prints(subject.manifest)
    _, first = np.unique(pairs, return_index=True)
    sentences, targets = np.unique(prints[first], return_counts=True)
    if not len(rows):
        return
    times = targets[np.searchsorted(sentences, prints)]
    rows, times = rows[times >= MANY_TARGETS], times[times >= MANY_TARGETS]
    source = subject.manifest.column("source")
    yield Found(
        subject,
        rows,
        lambda i: f"{clipped(source[rows[i]].as_py())} has {times[i]} different translations in this set",
    )


def same_pair(subject: Subject) -> Iterator[Found]:
    rows, _, pairs = _prints(subject.manifest)
    _, first, which = np.unique(pairs, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[which] < np.arange(len(pairs)))
    before, source = rows[first[which[again]]], subject.manifest.column("source")

    def message(i: int) -> str:
        return (
            f"{clipped(source[before[i]].as_py())} and its translation stand at {subject.manifest.where(before[i])} too"
        )

    yield Found(subject, rows[again], message)


def _pairs(manifest: Manifest) -> np.ndarray:
    """The rows that have both sides."""
    return np.flatnonzero(~blank(manifest.column("source")) & ~blank(manifest.column("text")))


def _lengths(column: pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    return pc.utf8_length(column).to_numpy()[rows].astype(float)


def _beginnings(column: pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    """Fingerprints of the first letters or digits of each text, in lower case."""
    letters = pc.replace_substring_regex(pc.utf8_lower(pc.utf8_slice_codeunits(column, 0, 24)), r"[^\pL\pN]+", "")
    return fingerprints(pc.utf8_slice_codeunits(letters, 0, 8))[rows]


def _copied(source: str, text: str) -> bool:
    same = basic(source) == basic(text)
    return same and sum(word[0].isalpha() and not word[0].isupper() for word in text.split()) >= COPIED_WORDS


def _usual(numbers: np.ndarray) -> int | None:
    """The script of a side, where it has one."""
    counts = np.bincount(numbers[numbers > 0], minlength=1)
    return int(counts.argmax()) if counts.sum() and counts.max() >= USUAL * counts.sum() else None


def _prints(manifest: Manifest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that have both sides, and of each the fingerprints of its source and of the pair."""
    rows = _pairs(manifest)
    source, text = (fingerprints(manifest.column(name))[rows] for name in ("source", "text"))
    return rows, source, source * 31 + text  # wraps around


RULES = (
    Rule(
        "pair-source-empty",
        "error",
        "a row has no source sentence",
        "give the sentence to translate, or leave the row out",
        source_empty,
    ),
    Rule(
        "pair-wrong-side",
        "error",
        "a sentence stands on the wrong side, or on both: it is in the other side's script",
        "swap the two where they are swapped; leave out rows that have one language on both sides",
        wrong_side,
    ),
    Rule(
        "pair-untranslated",
        "warning",
        "the translation is the source sentence",
        "leave the row out: such rows teach a model to copy",
        untranslated,
    ),
    Rule(
        "pair-length",
        "warning",
        "a translation is far longer or shorter than the set's others are for their sources",
        "look whether the two belong together: a part may be missing, or a line slipped against the other side",
        length_ratio,
    ),
    Rule(
        "pair-many-targets",
        "note",
        "one source sentence has very many different translations",
        "keep the best: the model learns none of them well, and a score knows only one",
        many_targets,
    ),
    Rule(
        "pair-twice",
        "note",
        "the same pair stands in the set more than once",
        "keep one of them: it weighs double in training, and in a score",
        same_pair,
    ),
)
