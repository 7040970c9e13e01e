"""What is wrong with a manifest: all of it at once, checked on whole columns."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.columns import FIELDS
from speechxfer.errors import ManifestError

SHOWN = 20  # problems of one kind that are spelled out; the others are counted
PIECE_TOLERANCE = 0.1  # seconds by which a stated length may differ from end - start, or be passed by segments
ROUNDING = 1e-6  # seconds that sums of times may be off


class Problems:
    """Problems by kind: the first lines of each kind, and a count of the others."""

    def __init__(self, name: str):
        self.name = name
        self.lines: set[int] = set()  # every line with a problem
        self._counts: dict[str, int] = {}
        self._shown: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: str, line: int, message: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self.lines.add(int(line))
        shown = self._shown.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(f"{self.name}:{line}: {message}")

    def add_rows(self, kind: str, lines: np.ndarray, message: Callable[[int], str]) -> None:
        """One problem at each of `lines`; `message` is given the place in `lines`, and asked only for what is shown."""
        for place, line in enumerate(lines[:SHOWN]):
            self.add(kind, line, message(place))
        if len(lines) > SHOWN:
            self._counts[kind] += len(lines) - SHOWN
            self.lines.update(lines[SHOWN:].tolist())

    def shown(self) -> list[str]:
        """What is spelled out, as `FILE:LINE: what was found; what was expected`."""
        return [message for shown in self._shown.values() for message in shown]

    def raise_any(self) -> None:
        """Raises ManifestError if there are any."""
        messages = []
        for kind, shown in self._shown.items():
            messages += shown
            if self._counts[kind] > len(shown):
                messages.append(f"{self.name}: ... and {self._counts[kind] - len(shown)} more of this kind")
        if messages:
            raise ManifestError("\n".join(messages))


def check(table: pa.Table, ids: pa.ChunkedArray, require: Sequence[str], problems: Problems) -> None:
    """Add every row of a canonical table that makes no sense or lacks a field of `require`."""
    lines = table["line"].to_numpy()
    refused = np.isin(lines, list(problems.lines))  # a value that could not be read is not missing as well

    def given(name: str) -> np.ndarray:
        return table[name].is_valid().to_numpy() if name in table.column_names else np.zeros(len(table), bool)

    def number(name: str) -> np.ndarray:
        if name not in table.column_names:
            return np.full(len(table), np.nan)
        return table[name].cast(pa.float64()).to_numpy()

    def report(kind: str, wrong: np.ndarray, message: Callable[[int], str]) -> None:
        rows = np.flatnonzero(wrong)
        problems.add_rows(kind, lines[rows], lambda place: message(int(rows[place])))

    def report_number(name: str, right: np.ndarray, expected: str) -> None:
        values = number(name)
        wrong = given(name) & ~(right & np.isfinite(values))
        report(name, wrong, lambda i: f"{name} is {values[i]:g}; expected {expected}")

    seconds, start, end, channel = number("seconds"), number("start"), number("end"), number("channel")
    begin = np.where(given("start"), start, 0.0)
    report_number("seconds", seconds > 0, "> 0")
    report_number("start", start >= 0, ">= 0")
    report_number("end", end > begin, "> start")
    report_number("channel", channel >= 0, "0 (the first) or above")
    report(
        "piece",
        (end > begin) & (seconds > 0) & (np.abs(end - begin - seconds) > PIECE_TOLERANCE),
        lambda i: (
            f"seconds is {seconds[i]:g} but end - start is {end[i] - begin[i]:g}; "
            "expected the length of the piece, or only one of the two"
        ),
    )
    if "words" in table.column_names:
        _check_words(table["words"], report)
    if "segments" in table.column_names:
        _check_segments(table["segments"], np.where(seconds > 0, seconds, end - begin), report)
    for name in require:
        if given(name).any() or refused.any():
            report(name, ~given(name) & ~refused, lambda i, name=name: f"no {name}; expected one in every row")
        elif len(table):
            problems.add(name, lines[0], f"no {name} here nor in any row; expected {_choices(name)}")
            problems.lines.update(lines.tolist())
    if not {"audio", "source"} & set(require):
        if given("audio").any() or given("source").any() or refused.any():
            neither = ~given("audio") & ~given("source") & ~refused
            report("input", neither, lambda i: "neither audio nor source; expected one of them")
        elif len(table) and "text" not in require:  # who asks for text alone may have text of one language
            expected = f"{_choices('audio')}, or {_choices('source')}"
            problems.add("input", lines[0], f"neither audio nor source here nor in any row; expected {expected}")
            problems.lines.update(lines.tolist())
    if pc.count_distinct(ids).as_py() < len(table):
        _check_twins(ids, lines, report)


def _choices(name: str) -> str:
    return " or ".join([name, *FIELDS[name][1]])


def _check_words(words: pa.ChunkedArray, report: Callable) -> None:
    times = pc.list_flatten(words)
    start, end = (pc.struct_field(times, key).cast(pa.float64()).to_numpy() for key in ("start", "end"))
    wrong = np.zeros(len(words), bool)
    row_of_word = pc.list_parent_indices(words.combine_chunks()).to_numpy()
    wrong[row_of_word[~((start >= 0) & (end >= start) & np.isfinite(end))]] = True
    report("words", wrong, lambda i: "words has times that are negative or run backwards; expected 0 <= start <= end")


def _check_segments(segments: pa.ChunkedArray, seconds: np.ndarray, report: Callable) -> None:
    """`seconds` is the length of each row's piece, NaN where it is not known."""
    one = segments.combine_chunks()
    flat, row = pc.list_flatten(one), pc.list_parent_indices(one).to_numpy()
    start, end = (
        pc.struct_field(flat, key).cast(pa.float64()).to_numpy(zero_copy_only=False) for key in ("start", "end")
    )

    def first(wrong: np.ndarray) -> dict[int, int]:
        """Row -> its first wrong segment."""
        places = np.flatnonzero(wrong)[::-1]
        return dict(zip(row[places].tolist(), places.tolist(), strict=True))

    def report_first(kind: str, wrong: dict[int, int], message: Callable[[int, int], str]) -> None:
        report(kind, np.isin(np.arange(len(segments)), list(wrong)), lambda i: f"segments {message(i, wrong[i])}")

    untold = pc.struct_field(flat, "text").is_null().to_numpy(zero_copy_only=False)
    report_first("segment-text", first(untold), lambda i, at: 'has one without a text; expected "" where none is said')
    unreal = ~((start >= 0) & (end > start) & np.isfinite(end))
    report_first(
        "segments",
        first(unreal),
        lambda i, at: f"has one from {start[at]:.9g} to {end[at]:.9g} s; expected 0 <= start < end",
    )
    real = ~np.isin(row, row[unreal])
    overlap = np.zeros(len(row), bool)
    overlap[1:] = (row[1:] == row[:-1]) & (start[1:] < end[:-1] - ROUNDING) & real[1:]
    report_first(
        "segment-order",
        first(overlap),
        lambda i, at: (
            f"has one that starts at {start[at]:.9g} s, before the end of the last one at {end[at - 1]:.9g} s;"
            " expected them in order, without overlap"
        ),
    )
    beyond = real & (end > seconds[row] + PIECE_TOLERANCE)
    report_first(
        "segment-end",
        first(beyond),
        lambda i, at: f"has one that ends at {end[at]:.9g} s; expected at most the {seconds[i]:g} s of the piece",
    )


def _check_twins(ids: pa.ChunkedArray, lines: np.ndarray, report: Callable) -> None:
    chunks = ids.dictionary_encode().unify_dictionaries().chunks
    code = np.concatenate([chunk.indices.to_numpy() for chunk in chunks])  # equal where ids are equal
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    first = first[which]  # of each row, the first row with its id
    report(
        "id",
        first < np.arange(len(ids)),
        lambda i: f"id {ids[i].as_py()!r} stands in line {lines[first[i]]} already; ids must be unique",
    )
