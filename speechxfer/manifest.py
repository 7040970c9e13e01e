"""Manifests: which audio (or source sentence) belongs to which text. manifests/README.md defines the format.

Arrow parses and checks whole columns, and `datasets` holds them, so five million rows never become five million
Python objects. Only a file that Arrow cannot make sense of is read row by row, and then every problem is named.
"""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.atomic import replacing
from speechxfer.columns import FIELDS, cast, convert_rows, derive, digest, fill_text, floats, ids, rename, type_of
from speechxfer.errors import AudioError, ManifestError
from speechxfer.formats import Raw, arrow, dataset_table, load_dataset, parquet_table, write_bytes
from speechxfer.parallel_text import choose, place, read
from speechxfer.problems import SHOWN, Problems, check

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1_000  # rows that iteration turns into Python objects at a time
TIMED = {"words": "word", "segments": "text"}  # lists of spans -> what the text of one is called


@dataclass(frozen=True)
class Example:
    """One utterance or sentence pair. `text` is what the model must produce; times are seconds.

    `start`/`end` cut a piece out of a long file, `channel` (from 0) picks one side of a call, `seconds` is the
    length of the piece, `words` are (word, start, end) counted from the start of the piece, and `segments` likewise
    (text, start, end) of its sentences. `prompt` is the text that stands before what is said, `task` is "transcribe"
    or "translate". A stitched example has `pieces`, which are heard one after the other, in place of `audio`.
    """

    id: str
    text: str | None = None
    audio: Path | None = None
    source: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    seconds: float | None = None
    words: tuple[tuple[str, float, float], ...] = ()
    group: dict[str, str] = field(default_factory=dict)
    lang: str | None = None
    segments: tuple[tuple[str, float, float], ...] = ()
    prompt: str | None = None
    task: str | None = None
    pieces: tuple["Example", ...] = ()  # made by speechxfer.stitch, never read from a file


class Manifest:
    """An immutable sequence of Examples, held by `datasets` as Arrow columns. Made by `read_manifest`."""

    def __init__(self, name: str, folder: Path, dataset: "Dataset", rows: np.ndarray | None = None):
        self.name = name
        self.folder = folder  # what audio paths are relative to
        self.dataset = dataset  # the fields, `group.KEY` and `line`; a column without any value is absent
        self.rows = rows  # int64: which rows of the dataset, in which order; None: all as they stand

    def __len__(self) -> int:
        return len(self.dataset) if self.rows is None else len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.dataset[self._row(index)]
        return self._example(row, self._measured[index] if self._measured is not None else None)

    def __iter__(self) -> Iterator[Example]:
        for first in range(0, len(self), BATCH):
            span = slice(first, first + BATCH)
            batch = self.dataset[span if self.rows is None else self.rows[span]]
            for i, values in enumerate(zip(*batch.values(), strict=True), first):
                row = dict(zip(batch, values, strict=True))
                yield self._example(row, self._measured[i] if self._measured is not None else None)

    @property
    def _measured(self) -> np.ndarray | None:
        return self.__dict__.get("seconds")  # if anybody has asked for the lengths yet

    def _example(self, row: Mapping, measured: float | None) -> Example:
        values = {name: row[name] for name in FIELDS if row.get(name) is not None}
        if measured is not None and not np.isnan(measured):
            values["seconds"] = float(measured)
        if "audio" in values:
            values["audio"] = self.folder / values["audio"]
        for name in values.keys() & TIMED.keys():
            values[name] = tuple((span[TIMED[name]], span["start"], span["end"]) for span in values[name])
        group = {key[6:]: value for key, value in row.items() if key.startswith("group.") and value is not None}
        return Example(**values, group=group)

    def texts(self) -> Iterator[str]:
        """Every row's text, in order. Raises ManifestError where one is missing."""
        self.require_text()
        for chunk in self.column("text").iterchunks():
            yield from chunk.to_pylist()

    def select(self, indices: Sequence[int] | np.ndarray) -> "Manifest":
        """The rows at `indices`, in that order, without copying them."""
        indices = np.asarray(indices, dtype=np.int64)
        rows = np.arange(len(self))[indices] if self.rows is None else self.rows[indices]
        chosen = Manifest(self.name, self.folder, self.dataset, rows)
        if self._measured is not None:
            chosen.__dict__["seconds"] = self._measured[indices]
        return chosen

    def replace(self, rows: Mapping[int, Sequence[Example]]) -> "Manifest":
        """With some rows each replaced by examples of the same audio file and group, which keep the row's line."""
        made = [example for examples in rows.values() for example in examples]
        origin = np.repeat(list(rows), [len(examples) for examples in rows.values()]).astype(np.int64)
        old = pa.table({name: self.column(name) for name in self.dataset.column_names})
        new = old.take(pa.array(origin))
        for name in FIELDS.keys() - {"audio"}:
            values = [getattr(example, name) for example in made]
            if name in TIMED:
                keys = (TIMED[name], "start", "end")
                values = [[dict(zip(keys, span, strict=True)) for span in spans] for spans in values]
            if name in new.column_names:
                new = new.drop_columns([name])
            if any(value not in (None, []) for value in values):
                new = new.append_column(name, pa.array(values, type_of(name)))
        kept = np.setdiff1d(np.arange(len(self)), origin)
        order = np.argsort(np.concatenate([kept, origin]), kind="stable")
        table = pa.concat_tables([old.take(pa.array(kept)), new], promote_options="default").take(pa.array(order))
        changed = Manifest(self.name, self.folder, _dataset(table))
        lengths = np.array([example.seconds for example in made], dtype=np.float64)
        changed.__dict__["seconds"] = np.concatenate([self.seconds[kept], lengths])[order]
        return changed

    def where(self, index: int) -> str:
        """`train.jsonl:17`: the line of a text file, the row (from 1) of anything else."""
        return f"{self.name}:{self.dataset[self._row(index)]['line']}"

    @functools.cached_property
    def sha256(self) -> str:
        """Of the rows as read: the same for the same rows in any format, folder, process or memory layout."""
        content = hashlib.sha256()
        for name in sorted(set(self.dataset.column_names) - {"line"}):
            column = self.column(name)
            if column.null_count < len(column):  # else as if the column were absent
                content.update(f"{name}\0".encode() + digest(column))
        return content.hexdigest()

    @functools.cached_property
    def seconds(self) -> np.ndarray:
        """float64 (n,): the length of each piece; NaN where there is no audio.

        Where the manifest does not say, it is read from the file's header. Raises ManifestError naming every
        row whose header cannot be read.
        """
        values = floats(self.column("seconds")).copy()
        unknown = np.flatnonzero(np.isnan(values) & self._has("audio"))
        if len(unknown):
            values[unknown] = self._measure(unknown)
        values.flags.writeable = False
        return values

    def require(self, *fields: str) -> None:
        """Raises ManifestError naming every row that lacks one of `fields`."""
        problems = Problems(self.name)
        for name in fields:
            rows = np.flatnonzero(~self._has(name))
            problems.add_rows(name, self._lines(rows), lambda place, name=name: f"no {name}; expected one in every row")
        problems.raise_any()

    def require_text(self) -> None:
        self.require("text")

    def require_audio(self) -> None:
        self.require("audio")

    def check_audio(self) -> None:
        """Raises ManifestError naming every row whose audio file does not exist. Seconds for a million files."""
        names = self.column("audio")
        missing = [n for n in pc.unique(names).to_pylist() if n is not None and not os.path.isfile(self.folder / n)]
        rows = np.flatnonzero(pc.is_in(names, pa.array(missing, pa.string())).to_numpy())
        shown = [self.folder / name for name in names.take(rows[:SHOWN]).to_pylist()]
        problems = Problems(self.name)
        problems.add_rows(
            "audio",
            self._lines(rows),
            lambda place: f"no such file {shown[place]}; audio paths are relative to {self.folder}",
        )
        problems.raise_any()

    def column(self, name: str) -> pa.ChunkedArray:
        """A field of every row, in order, as Arrow; nulls where no row has it."""
        if name not in self.dataset.column_names:
            return pa.chunked_array([pa.nulls(len(self), type_of(name))])
        column = self.dataset.data.column(name)
        if self.rows is None:
            return column
        taken = column.combine_chunks().take(pa.array(self.rows))  # 20 times faster than from many chunks
        return taken if isinstance(taken, pa.ChunkedArray) else pa.chunked_array([taken])

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} rows; found index {index}")
        index = int(index) % len(self)
        return index if self.rows is None else int(self.rows[index])

    def _has(self, name: str) -> np.ndarray:
        return self.column(name).is_valid().to_numpy()

    def _lines(self, rows: np.ndarray) -> np.ndarray:
        return self.column("line").to_numpy()[rows]

    def _measure(self, rows: np.ndarray) -> np.ndarray:
        """The length in seconds of each row of `rows`, from the header of its file."""
        from tqdm import tqdm

        from speechxfer import audio

        def header(name: str) -> float | AudioError:
            try:
                return audio.info(self.folder / name).seconds
            except AudioError as error:
                return error

        names = self.column("audio").take(rows).to_pylist()
        files = list(dict.fromkeys(names))  # a long recording holds many pieces
        with ThreadPoolExecutor(8) as pool:  # the disk is what takes time
            found = tqdm(pool.map(header, files), f"{self.name}: audio headers", len(files), disable=None)
            length = dict(zip(files, found, strict=True))
        starts = np.nan_to_num(floats(self.column("start").take(rows)))
        problems, seconds = Problems(self.name), np.full(len(rows), np.nan)
        for i, (name, line) in enumerate(zip(names, self._lines(rows), strict=True)):
            if isinstance(length[name], AudioError):
                problems.add("header", line, str(length[name]))
            elif length[name] <= starts[i]:
                problems.add("start", line, f"start is {starts[i]:g}; expected less than the file's {length[name]:g} s")
            else:
                seconds[i] = length[name] - starts[i]
        problems.raise_any()
        return seconds


def read_manifest(source: "str | Path | Dataset", *, require: Sequence[str] = ()) -> Manifest:
    """Read JSONL (.jsonl, .json), CSV, TSV, TMX, Parquet, a folder of `Dataset.save_to_disk`, a hub dataset, a Dataset.

    A hub dataset is NAME, NAME:SPLIT or NAME:CONFIG:SPLIT; a saved DatasetDict is FOLDER:SPLIT; two line-aligned files
    are SOURCE+TEXT; NAME@SOURCE:TEXT chooses from several languages (see `parallel_text`). `require` names fields
    that every row must have, such as "text". One line on stderr says which columns were taken for others
    and which are ignored. Raises ManifestError with all problems at once.
    """
    manifest, problems = read_good_rows(source, require=require)
    problems.raise_any()
    return manifest


def expect_files(sources: Iterable[str | Path]) -> None:
    """Raises ManifestError naming all manifests whose file is not there: told before anything takes time."""
    gone = [file for source in sources for file in place(str(source)).files if not file.is_file()]
    if gone:
        raise ManifestError("\n".join(f"{file}: no such file; expected a manifest" for file in dict.fromkeys(gone)))


def read_good_rows(source: "str | Path | Dataset", *, require: Sequence[str] = ()) -> tuple[Manifest, Problems]:
    """Like `read_manifest`, but rows with problems (maybe all) are left out, and the problems returned with the others.

    Raises ManifestError where the whole is wrong: no such file, not Parquet, a column that occurs twice.
    """
    if not isinstance(source, (str, Path)):
        return _build("dataset", Path(), choose(arrow(_dataset_table(source), "dataset"), None, "dataset"), require)
    found = place(str(source))
    if found.files:
        return _build(str(source), found.files[0].parent, read(found), require)
    raw = arrow(_dataset_table(found.name), found.name)
    return _build(str(source), Path(), choose(raw, found.languages, found.name), require)


def _dataset_table(source: "str | Path | Dataset") -> pa.Table:
    if isinstance(source, (str, Path)):
        return dataset_table(load_dataset(str(source)), str(source))
    return dataset_table(source, "dataset")


def _build(name: str, folder: Path, raw: Raw, require: Sequence[str]) -> tuple[Manifest, Problems]:
    taken, note = rename(raw.columns)
    if notes := [one for one in (raw.note, note) if one]:
        _say(f"{name}: {'; '.join(notes)}")
    if "client_id" in taken and taken.get("path") == "audio" and (folder / "clips").is_dir():
        folder = folder / "clips"  # Common Voice as it comes
    problems = Problems(name)
    try:
        table = cast(raw.table(), taken)
    except pa.ArrowException:
        table = convert_rows(raw.rows(problems), taken, problems)
    table = fill_text(table)
    if not len(table) and not problems:
        problems.add("empty", 1, "no rows; expected at least one")
    check(table, ids(table), require, problems)
    good = None
    if problems:
        good = np.flatnonzero(~np.isin(table["line"].to_numpy(), list(problems.lines)))
    return Manifest(name, folder, _dataset(derive(table)), good), problems


def _dataset(table: pa.Table) -> "Dataset":
    from datasets import Dataset

    # `datasets` would pickle the whole table to make a fingerprint, which only its disk cache needs
    return Dataset(table, fingerprint=os.urandom(8).hex())


@functools.cache  # once for each process
def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr)


def write_manifest(path: str | Path, examples: Iterable[Example]) -> None:
    """Write JSONL whole or not at all, with audio paths relative to the manifest's folder.

    Raises ManifestError at a stitched example, which is no row.
    """
    path = Path(path)
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        folder = os.path.realpath(path.parent)  # where ".." leads to, should the folder be a link
        for example in examples:
            if example.pieces:
                raise ManifestError(f"{path}: example {example.id} is stitched; expected its pieces, a row for each")
            row = {name: getattr(example, name) for name in (*FIELDS, "group")}
            row = {name: value for name, value in row.items() if value not in (None, (), {})}
            if example.audio is not None:
                row["audio"] = os.path.relpath(Path(os.path.realpath(example.audio.parent), example.audio.name), folder)
            for name in row.keys() & TIMED.keys():  # objects, since Arrow reads no lists of mixed types
                row[name] = [{TIMED[name]: text, "start": start, "end": end} for text, start, end in row[name]]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def unpack_audio(source: "str | Path | Dataset", folder: str | Path) -> Manifest:
    """Write the audio that a dataset or a Parquet file holds as bytes to files in `folder`, beside a manifest.jsonl."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(source) if isinstance(source, (str, Path)) else None
    table = parquet_table(path) if path and path.suffix == ".parquet" else _dataset_table(source)
    manifest, problems = _build(str(source), folder, arrow(write_bytes(table, folder), ""), ())
    problems.raise_any()
    write_manifest(folder / "manifest.jsonl", manifest)
    return read_manifest(folder / "manifest.jsonl")
