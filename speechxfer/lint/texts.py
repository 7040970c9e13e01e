"""Columns of texts a chunk at a time: which rows a pattern matches, which words there are, which texts are equal.

Patterns run in Arrow's RE2, at some nanoseconds a byte. The few rows that they find are then looked at in Python, with
`regex`, which reads the same patterns: so they are written without what only one of the two knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.manifest import Manifest

CHUNK = 65_536  # rows that stand as Python or numpy objects at a time
NONSPEECH = "no"  # of group.speech: a recording without speech, whose text is empty on purpose
CLIPPED = 60  # characters of a text that a message quotes


def chunks(column: pa.ChunkedArray, size: int = CHUNK) -> Iterator[tuple[int, pa.Array]]:
    """The first row and the texts of each chunk; "" where there is none."""
    first = 0
    for array in column.chunks:
        for start in range(0, len(array), size):
            piece = array.slice(start, size)
            yield first, pc.fill_null(piece, "")
            first += len(piece)


def sides(manifest: Manifest) -> dict[str, pa.ChunkedArray]:
    """The columns that hold sentences: `text` and, of parallel text, `source`."""
    columns = {name: manifest.column(name) for name in ("text", "source")}
    return {name: column for name, column in columns.items() if column.null_count < len(column)}


def matching(column: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """The rows that a pattern matches somewhere."""
    return np.flatnonzero(pc.fill_null(pc.match_substring_regex(column, pattern), False).to_numpy())


def taken(column: pa.ChunkedArray, rows: np.ndarray) -> Iterator[str]:
    """The texts of some rows."""
    for start in range(0, len(rows), CHUNK):
        yield from column.take(pa.array(rows[start : start + CHUNK])).to_pylist()


def blank(column: pa.ChunkedArray) -> np.ndarray:
    """[n] bool: no text, or nothing but spaces."""
    return pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0), True).to_numpy()


def nonspeech(manifest: Manifest) -> np.ndarray:
    """[n] bool: rows that are marked `"group": {"speech": "no"}`."""
    if "group.speech" not in manifest.dataset.column_names:
        return np.zeros(len(manifest), bool)
    marks = pc.utf8_lower(pc.utf8_trim_whitespace(manifest.column("group.speech")))
    return pc.fill_null(pc.equal(marks, NONSPEECH), False).to_numpy()


def fingerprints(column: pa.ChunkedArray) -> np.ndarray:
    """[n] int64, equal where texts are equal (and, once in 2^64 pairs, where they are not)."""
    found = [np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts)) for _, texts in chunks(column)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Words:
    """The words of n texts, split at spaces."""

    distinct: list[str]
    word: np.ndarray  # [m] of each word its place in `distinct`
    row: np.ndarray  # [m] and its text


def words(texts: pa.Array) -> Words:
    """The words of a chunk. Empty ones, at spaces beside spaces, are left out."""
    split = pc.split_pattern(texts, " ")
    coded = split.flatten().dictionary_encode()
    distinct, word, row = coded.dictionary.to_pylist(), coded.indices.to_numpy(), pc.list_parent_indices(split)
    if "" in distinct:
        kept = word != distinct.index("")
        return Words(distinct, word[kept], row.to_numpy()[kept])
    return Words(distinct, word, row.to_numpy())


def wholes(texts: pa.Array) -> Words:
    """Every text as one word."""
    coded = texts.dictionary_encode()
    return Words(coded.dictionary.to_pylist(), coded.indices.to_numpy(), np.arange(len(texts)))


def clipped(text: str, start: int = 0, end: int = 0) -> str:
    """A quotation of a text, or of what stands around text[start:end] where it is long."""
    if len(text) <= CLIPPED:
        return repr(text)
    first = max(0, min(start - CLIPPED // 3, len(text) - CLIPPED))
    last = max(first + CLIPPED, end)
    return repr("…" * (first > 0) + text[first:last] + "…" * (last < len(text)))


def named(character: str) -> str:
    """`'é' (U+00E9)`; for what cannot be seen, only the code point."""
    import unicodedata

    code = f"U+{ord(character):04X}"
    if unicodedata.category(character)[0] in "CZ":
        return f"{code} {unicodedata.name(character, 'control character').lower()}"
    return f"{character!r} ({code})"
