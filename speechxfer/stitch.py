"""Examples of about the length that a model hears at once: long recordings cut, short utterances joined.

A recording is cut at the borders of its segments (`windows`). Neighbouring utterances are joined to stitched examples
(`stitch`), as fine-tuning of Whisper on single utterances makes it forget how to write long ones and their times
(Timmel et al. 2024, "Fine-tuning Whisper on Low-Resource Languages for Real-World Applications"). Both are pure
functions of the manifest and the seconds, so a resumed run, or a worker, makes the same examples again.
"""

import bisect
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.columns import floats, join
from speechxfer.manifest import Example, Manifest
from speechxfer.problems import PIECE_TOLERANCE, Problems

WAYS = 4  # of grouping a manifest, one for each pass over it in turn
ROUNDING = 1e-7  # seconds that sums of lengths may be off

Segments = tuple[tuple[str, float, float], ...]


def windows(manifest: Manifest, seconds: float = 30.0) -> Manifest:
    """The manifest with rows that last longer than `seconds` and have `segments` cut into several.

    A window is as many segments as fit, from the start of the first to the end of the last; its id is `ID@START`, of
    the start within the file. Where the row has a prompt, the others get what stands before them, the text of the
    window before. Raises ManifestError with every segment that alone is longer than `seconds`.
    """
    counts = pc.fill_null(pc.list_value_length(manifest.column("segments")), 0).to_numpy()
    if not counts.any():
        return manifest
    rows = np.flatnonzero((counts > 0) & (manifest.seconds > seconds))
    problems, cut = Problems(manifest.name), {}
    for row, line in zip(rows.tolist(), manifest.column("line").to_numpy()[rows].tolist(), strict=True):
        example = manifest[row]
        for _, start, end in example.segments:
            if end - start > seconds + ROUNDING:
                problems.add(
                    "long",
                    line,
                    f"a segment lasts {end - start:g} s, from {start:g} to {end:g} s; expected at most {seconds:g} s:"
                    " cut it in two where the speaker pauses",
                )
        last = example.segments[-1][2]
        if last > example.seconds + PIECE_TOLERANCE:
            problems.add(
                "end", line, f"segments end at {last:g} s; expected at most the {example.seconds:g} s of the audio"
            )
        cut[row] = list(_windows(example, seconds))
    problems.raise_any()
    return manifest.replace(cut) if cut else manifest


def _windows(example: Example, seconds: float) -> Iterator[Example]:
    begin, prompt, first = example.start or 0.0, example.prompt, 0
    segments = tuple((text, start, min(end, example.seconds)) for text, start, end in example.segments)
    while first < len(segments):
        start = segments[first][1]
        last = first + 1
        while last < len(segments) and segments[last][2] - start <= seconds + ROUNDING:
            last += 1
        end = segments[last - 1][2]
        length = min(end - start, seconds)
        text = join(text for text, *_ in segments[first:last])
        yield replace(
            example,
            id=f"{example.id}@{begin + start:.3f}".rstrip("0").rstrip("."),
            text=text,
            start=begin + start,
            end=begin + start + length,
            seconds=length,
            segments=_shifted(segments[first:last], start, length),
            words=_shifted((word for word in example.words if start <= (word[1] + word[2]) / 2 < end), start, length),
            prompt=prompt,
        )
        first, prompt = last, None if prompt is None else text


def _shifted(spans, start: float, length: float) -> Segments:
    return tuple((text, *(min(max(time - start, 0.0), length) for time in times)) for text, *times in spans)


def stitch(manifest: Manifest, seconds: float = 30.0) -> "Stitched":
    """Every utterance joined to its neighbours, up to `seconds` together, in several ways.

    Neighbours are pieces of one recording in the order of their starts, else utterances of one speaker, else of any, in
    the order of the manifest; always of one language and task. A recording or speaker that would not fill half
    an example is put to those of no name. An utterance that has no neighbour to go with stands alone.
    """
    order, borders = _chains(manifest, seconds)
    total = [0.0, *np.cumsum(manifest.seconds[order]).tolist()]
    taken = bytearray(len(total))
    return Stitched(manifest, order, tuple(_cut(total, borders, seconds, taken) for _ in range(WAYS)))


def _chains(manifest: Manifest, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows in an order in which neighbours stand side by side [n], and where chains of them end."""
    start = floats(manifest.column("start"))
    piece = ~np.isnan(start) | ~np.isnan(floats(manifest.column("end")))
    kind = _combined(*(_codes(manifest.column(name)) for name in ("lang", "task")))
    file, channel, speaker = (_codes(manifest.column(name)) for name in ("audio", "channel", "group.speaker"))
    chain = _combined(kind, np.where(piece, file, -1), np.where(piece, channel, -1), np.where(piece, -1, speaker))
    loose = ~piece & (speaker < 0) | (np.bincount(chain, manifest.seconds)[chain] < seconds / 2)
    chain = _combined(kind, np.where(loose, -1, chain))
    order = np.lexsort((np.where(piece & ~loose, np.nan_to_num(start), 0.0), chain))  # stable: else as they stand
    return order, np.flatnonzero(np.diff(chain[order], append=-1)) + 1


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers [n], equal where values are equal; -1 for null."""
    chunks = column.dictionary_encode().unify_dictionaries().chunks
    return np.concatenate([pc.fill_null(chunk.indices, -1).to_numpy() for chunk in chunks]).astype(np.int64)


def _combined(*codes: np.ndarray) -> np.ndarray:
    """Numbers from 0 [n], equal where all `codes`, >= -1 [n], are equal."""
    both = np.zeros(len(codes[0]), np.int64)
    for code in codes:
        both = np.unique(both * (code.max() + 2) + code + 1, return_inverse=True)[1]
    return both


def _cut(total: list[float], borders: np.ndarray, seconds: float, taken: bytearray) -> np.ndarray:
    """Where each group ends [groups], with lengths up to each utterance [n + 1] in `total`.

    A group takes as many as fit, but ends where no earlier way has ended one (`taken` [n + 1], which it marks) if there
    is such a place near: else two ways that once end a group together would have the same groups from there on.
    """
    ends, first = [], 0
    for border in borders.tolist():
        while first < border:
            most = bisect.bisect_right(total, total[first] + seconds + ROUNDING, lo=first) - 1
            most = max(min(most, border), first + 1)
            near = range(most, max(first, most - WAYS), -1) if most < border else ()
            first = next((end for end in near if not taken[end]), most)
            taken[first] = True
            ends.append(first)
    return np.array(ends)


@dataclass(frozen=True, eq=False)
class Stitched:
    """The stitched examples of a manifest, those of one way of grouping after those of another.

    To a mixture and a frontend it is a manifest of its own.
    """

    manifest: Manifest
    order: np.ndarray  # [n] rows, neighbours side by side
    ends: tuple[np.ndarray, ...]  # of the groups of each way: places in `order`

    @property
    def name(self) -> str:
        return f"{self.manifest.name} (stitched)"

    @property
    def ways(self) -> tuple[int, ...]:
        """How many examples each way has: together they have every utterance once."""
        return tuple(map(len, self.ends))

    @functools.cached_property
    def _spans(self) -> np.ndarray:
        """[examples, 2] first and last + 1 place in `order`."""
        return np.concatenate([np.stack([np.append(0, ends[:-1]), ends], axis=1) for ends in self.ends])

    @functools.cached_property
    def seconds(self) -> np.ndarray:
        """float64 (examples,)"""
        total = np.concatenate([[0.0], np.cumsum(self.manifest.seconds[self.order])])
        return total[self._spans[:, 1]] - total[self._spans[:, 0]]

    @functools.cached_property
    def sha256(self) -> str:
        content = hashlib.sha256(self.manifest.sha256.encode())
        for numbers in (self.order, *self.ends):
            content.update(numbers.astype(np.int64).tobytes())
        return content.hexdigest()

    def __len__(self) -> int:
        return len(self._spans)

    def rows(self, index: int) -> np.ndarray:
        """The rows of the manifest that an example joins."""
        return self.order[slice(*self._spans[index])]

    def __getitem__(self, index: int) -> Example:
        pieces = tuple(self.manifest[int(row)] for row in self.rows(index))
        first, last = pieces[0], pieces[-1]
        return Example(
            id=first.id if first is last else f"{first.id}..{last.id}",
            text=join(piece.text for piece in pieces),
            seconds=float(self.seconds[index]),
            group={key: v for key, v in first.group.items() if all(piece.group.get(key) == v for piece in pieces)},
            lang=first.lang,
            prompt=first.prompt,
            task=first.task,
            pieces=pieces,
        )

    def texts(self) -> Iterator[str]:
        """Every example's text, in order."""
        texts = list(self.manifest.texts())
        for first, last in self._spans:
            yield join(texts[row] for row in self.order[first:last])

    def column(self, name: str) -> pa.ChunkedArray:
        """A field of every example, in order; of the fields of an utterance that of its first one."""
        if name == "text":
            return pa.chunked_array([pa.array(self.texts(), pa.string())])
        if name == "seconds":
            return pa.chunked_array([pa.array(self.seconds)])
        return self.manifest.column(name).take(pa.array(self.order[self._spans[:, 0]]))

    def where(self, index: int) -> str:
        """`train.jsonl:17 (and 5 stitched to it)`"""
        first, *others = self.rows(index)
        return self.manifest.where(int(first)) + (f" (and {len(others)} stitched to it)" if others else "")
