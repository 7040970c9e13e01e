"""Which sets, and which of their rows, are the same: by file, by samples, by id and by sentence.

Sentences are compared as `text.basic` leaves them, without case and punctuation; what is kept of one is nine bytes.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.columns import floats
from speechxfer.lint.rules import Subject
from speechxfer.lint.texts import chunks
from speechxfer.manifest import Manifest
from speechxfer.text import basic

TRAIN = (("train", "dev"), ("train", "test"), ("train", "retain"))
CHOICE = (("dev", "test"),)  # the set that a model is chosen by, and the one that it is judged by
WORDS = 5  # of a sentence that two people rarely come by independently
UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"  # Thai to Han: no spaces
SAME_LENGTH = 0.02  # seconds, between two files of one recording
ENDLESS = 1e9  # seconds

_UNSPACED = re.compile(UNSPACED)
_CROOKED = r"^/|(^|/)\.{0,2}(/|$)"  # absolute paths, and those with `//`, `.` or `..`


class Twins(NamedTuple):
    rows: np.ndarray  # [n] of one set, ascending
    others: np.ndarray  # [n] a row of the other set that is the same

    def without(self, rows: np.ndarray) -> "Twins":
        """But for these rows of the one set."""
        keep = ~np.isin(self.rows, rows)
        return Twins(self.rows[keep], self.others[keep])


def pairs(subjects: Sequence[Subject], names: Sequence[tuple[str, str]]) -> Iterator[tuple[Subject, Subject]]:
    """Every two sets of these names, but for a set that is given twice: `same_set` says all there is to say of it."""
    return ((one, other) for one, other in every_two(subjects, names) if not is_same(one.manifest, other.manifest))


def every_two(subjects: Sequence[Subject], names: Sequence[tuple[str, str]]) -> Iterator[tuple[Subject, Subject]]:
    return ((one, other) for two in names for one in subjects for other in subjects if (one.name, other.name) == two)


def is_same(one: Manifest, other: Manifest) -> bool:
    """Whether they are the same rows, and of the same audio."""
    if one is other:
        return True
    same_audio = not has(one, "audio") or os.path.realpath(one.folder) == os.path.realpath(other.folder)
    return len(one) == len(other) and same_audio and one.sha256 == other.sha256


def has(manifest: Manifest, name: str) -> bool:
    """Whether any row has this field."""
    column = manifest.column(name)
    return column.null_count < len(column)


def are_parallel(one: Subject, other: Subject) -> bool:
    return has(one.manifest, "source") and has(other.manifest, "source")


def fold(text: str) -> str:
    """A sentence as it is compared; characters of scripts that put no spaces between words stand alone.

    >>> fold("Well, it’s 5 o’clock!"), fold("今日は。")
    ("well it's 5 o'clock", '今 日 は')
    """
    text = basic(text)
    return text if text.isascii() or not _UNSPACED.search(text) else basic(_UNSPACED.sub(r" \g<0> ", text))


def folded(column: pa.ChunkedArray) -> Iterator[tuple[int, pa.Array]]:
    """The first row and the sentences of each chunk; null where there is none."""
    for first, texts in chunks(column):
        yield first, pa.array([fold(text) or None for text in texts.to_pylist()], pa.string())


def are_long(texts: pa.Array) -> np.ndarray:
    """[n] bool: folded sentences of WORDS words or more. A character of a script without spaces is half a word."""
    words = pc.add(pc.count_substring(texts, " "), 1)
    words = pc.subtract(words, pc.divide(pc.count_substring_regex(texts, UNSPACED), 2.0))
    return pc.fill_null(pc.greater_equal(words, WORDS), False).to_numpy(zero_copy_only=False)


def among(values: pa.Array | pa.ChunkedArray, held: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """[n] int: of each value the first place where it is held, -1 where it is not."""
    if isinstance(held, pa.ChunkedArray):
        held = held.combine_chunks()
    return pc.fill_null(pc.index_in(values, held, skip_nulls=True), -1).to_numpy()


@dataclass(frozen=True)
class Sentences:
    """Of one side of a set."""

    keys: np.ndarray  # int64 [n], equal where folded sentences are (and once in 2^64 pairs where they are not); 0: none
    long: np.ndarray  # bool [n]


_SENTENCES: WeakKeyDictionary[Manifest, dict[str, Sentences]] = WeakKeyDictionary()  # most rules need them


def sentences(manifest: Manifest, side: str) -> Sentences:
    """The sentences of a column, folded once as long as the manifest is in use."""
    known = _SENTENCES.setdefault(manifest, {})
    if side not in known:
        keys, long = [np.zeros(0, np.int64)], [np.zeros(0, bool)]
        for _, texts in folded(manifest.column(side)):
            keys.append(np.fromiter((hash(text) if text else 0 for text in texts.to_pylist()), np.int64, len(texts)))
            long.append(are_long(texts))
        known[side] = Sentences(np.concatenate(keys), np.concatenate(long))
    return known[side]


def same_sentences(one: Manifest, other: Manifest, side: str, *, long: bool) -> Twins:
    """Rows of `one` whose sentence is one of `other`: of the long sentences, or of the short ones."""
    mine, held = sentences(one, side), sentences(other, side)
    keys, first = np.unique(held.keys, return_index=True)
    first = first[keys != 0]
    keys = keys[keys != 0]
    rows = np.flatnonzero((mine.long == long) & np.isin(mine.keys, keys))
    return Twins(rows, first[np.searchsorted(keys, mine.keys[rows])])


def share(twins: Twins, one: Manifest, other: Subject, side: str) -> str:
    """`312 of 320 sentences of test`, counting rows of the other set."""
    held = sentences(other.manifest, side).keys
    found = np.isin(held, sentences(one, side).keys[twins.rows])
    return f"{np.count_nonzero(found):,} of {np.count_nonzero(held):,} sentences of {other.name}"


def same_recordings(one: Subject, other: Subject) -> Twins:
    """Rows of `one` that are the same piece of the same recording as a row of `other`: the same file (more than half
    of the shorter piece), or the same id with the same text and length.

    Ids count only where every id that both sets have goes with one text: else they are numbers that repeat by chance.
    """
    if not (has(one.manifest, "audio") and has(other.manifest, "audio")):
        return Twins(np.zeros(0, np.int64), np.zeros(0, np.int64))
    by_file, by_id = _same_files(one.manifest, other.manifest), _same_ids(one, other)
    found = dict(zip(*by_id, strict=True)) | dict(zip(*by_file, strict=True))
    rows = np.array(sorted(found), np.int64)
    return Twins(rows, np.array([found[row] for row in rows.tolist()], np.int64))


def _same_files(one: Manifest, other: Manifest) -> Twins:
    files, held = files_of(one), files_of(other)
    shared = np.flatnonzero(among(files, held) >= 0)
    rows, others = [], []
    if len(shared):
        pieces = defaultdict(list)
        kept = np.flatnonzero(among(held, files.take(shared)) >= 0)
        for row, file in zip(kept.tolist(), held.take(kept).to_pylist(), strict=True):
            pieces[file].append(row)
        pieces = {file: np.array(places) for file, places in pieces.items()}
        (start, end, channel), (starts, ends, channels) = _spans(one), _spans(other)
        for row, file in zip(shared.tolist(), files.take(shared).to_pylist(), strict=True):
            places = pieces[file]
            overlap = np.minimum(ends[places], end[row]) - np.maximum(starts[places], start[row])
            shorter = np.minimum(ends[places] - starts[places], end[row] - start[row])
            apart = (channels[places] != channel[row]) & ~np.isnan(channels[places]) & ~np.isnan(channel[row])
            found = places[(overlap > shorter / 2) & ~apart]
            if len(found):
                rows.append(row)
                others.append(found[0])
    return Twins(np.array(rows, np.int64), np.array(others, np.int64))


def _spans(manifest: Manifest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end in seconds, and channel (NaN: all), of every row."""
    start, end, channel = (floats(manifest.column(name)) for name in ("start", "end", "channel"))
    return np.nan_to_num(start), np.nan_to_num(end, nan=ENDLESS), channel


def files_of(manifest: Manifest) -> pa.Array:
    """Where the audio of every row is, spelled in one way; null where there is none."""
    names = manifest.column("audio").combine_chunks()
    crooked = pc.fill_null(pc.match_substring_regex(names, _CROOKED), False)
    folder = os.path.realpath(manifest.folder)
    paths = pc.binary_join_element_wise(folder, names, "/")
    straight = [os.path.split(os.path.join(folder, name)) for name in names.filter(crooked).to_pylist()]
    real = {folder: os.path.realpath(folder) for folder in {folder for folder, _ in straight}}
    straight = [os.path.join(real[folder], name) for folder, name in straight]
    return pc.replace_with_mask(paths, crooked, pa.array(straight, pa.string()))


def _same_ids(one: Subject, other: Subject) -> Twins:
    a, b = one.manifest, other.manifest
    others = among(a.column("id"), b.column("id"))
    rows = np.flatnonzero(others >= 0)
    others = others[rows]
    texts, held = a.column("text").take(rows).to_pylist(), b.column("text").take(others).to_pylist()
    if any(fold(text or "") != fold(twin or "") for text, twin in zip(texts, held, strict=True)):
        rows = others = rows[:0]
    as_long = np.abs(_seconds(one)[rows] - _seconds(other)[others]) <= SAME_LENGTH
    return Twins(rows[as_long], others[as_long])


def _seconds(subject: Subject) -> np.ndarray:
    return subject.sound.seconds if subject.sound else floats(subject.manifest.column("seconds"))


def same_samples(one: Subject, other: Subject) -> Twins:
    """Rows of `one` whose samples are those of a row of `other`. Digital silence is nobody's."""
    if one.sound is None or other.sound is None:
        return Twins(np.zeros(0, np.int64), np.zeros(0, np.int64))
    held = np.flatnonzero(other.sound.peak > 0)
    digests, first = np.unique(other.sound.digest[held], return_index=True)
    rows = np.flatnonzero((one.sound.peak > 0) & np.isin(one.sound.digest, digests))
    return Twins(rows, held[first[np.searchsorted(digests, one.sound.digest[rows])]])


def same_audio(one: Subject, other: Subject) -> np.ndarray:
    """Rows of `one` that are a recording of `other`, by any name. Other rules have nothing to add to them."""
    return np.union1d(same_recordings(one, other).rows, same_samples(one, other).rows)
