"""The files and datasets that a manifest can be read from, as raw columns.

Each reader gives the names of its columns and two ways to its rows: all columns at once as Arrow parses them, and,
for what Arrow refuses, one row at a time with its line number. Two files of text are read by `parallel_text`, and
translation memories by `tmx`.
"""

import csv
import functools
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from speechxfer.columns import BATCH, FIELDS, rename
from speechxfer.errors import ManifestError
from speechxfer.problems import Problems

if TYPE_CHECKING:
    from datasets import Dataset

BLOCK = 16 << 20  # bytes that Arrow parses at a time; a row must fit


@dataclass(frozen=True)
class Raw:
    """A file's columns: `table()` has them all and `line`, and raises ArrowException where the file is not plain.

    `rows(problems)` yields (line, row) and reports the rows that cannot be parsed. `note` is what the user should know
    of how it was read.
    """

    columns: list[str]
    table: Callable[[], pa.Table]
    rows: Callable[[Problems], Iterator[tuple[int, dict]]]
    note: str = ""


def ending(path: Path) -> str:
    """The suffix, with what stands before `.gz`: `.jsonl`, `.jsonl.gz`."""
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """A file's content, unpacked where its name ends in `.gz`. Raises ManifestError where that is not whole."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ManifestError(f"{path}: {error}; expected a whole gzip file") from None


def jsonl(path: Path) -> Raw:
    @functools.cache
    def table() -> pa.Table:
        with open_bytes(path) as file:
            parsed = pyarrow.json.read_json(file, read_options=pyarrow.json.ReadOptions(block_size=BLOCK))
        return with_lines(parsed, _lines_of_rows(path, len(parsed), header=0))

    def rows(problems: Problems) -> Iterator[tuple[int, dict]]:
        for number, line in _decoded(path, problems):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                problems.add("json", number, f"not JSON ({error}); expected one object a line")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                problems.add("json", number, f"found {type(row).__name__}; expected one object a line")

    try:
        columns = table().column_names
    except pa.ArrowException:
        columns = list(dict.fromkeys(key for _, row in rows(Problems(str(path))) for key in row))
    return Raw([column for column in columns if column != "line"], table, rows)


def csv_file(path: Path) -> Raw:
    return _separated(path, ",", '"')


def tsv_file(path: Path) -> Raw:
    """Without quoting, as Common Voice writes it: a quotation mark is a part of the sentence."""
    return _separated(path, "\t", None)


def _separated(path: Path, delimiter: str, quote: str | None) -> Raw:
    def cells(problems: Problems) -> Iterator[tuple[int, list[str]]]:
        quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader = csv.reader((line for _, line in _decoded(path, problems)), delimiter=delimiter, quoting=quoting)
        before = 0
        try:
            for row in reader:
                if row:
                    yield before + 1, row
                before = reader.line_num
        except csv.Error as error:
            problems.add("csv", before + 1, f"{error}; is a quotation mark never closed?")

    columns = next(cells(Problems(str(path))), (1, []))[1]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ManifestError(f"{path}:1: columns {twice} occur twice; expected every name once")
    named = [
        column for column in columns if column not in ("words", "segments", "group")
    ]  # a cell holds no lists or objects
    kinds = {column: FIELDS[name][0] for column, name in rename(named)[0].items() if name in FIELDS}
    types = {column: kinds.get(column, pa.string()) for column in columns}

    @functools.cache
    def table() -> pa.Table:
        with open_bytes(path) as file:
            parsed = pyarrow.csv.read_csv(
                file,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=quote or False),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=types, include_columns=named, null_values=[""], strings_can_be_null=True
                ),
            )
        return with_lines(parsed, _lines_of_rows(path, len(parsed), header=1))

    def rows(problems: Problems) -> Iterator[tuple[int, dict]]:
        every = cells(problems)
        next(every, None)  # the header
        for number, row in every:
            if len(row) != len(columns):
                problems.add("cells", number, f"found {len(row)} cells; expected {len(columns)} as in the header")
            else:
                pairs = zip(columns, row, strict=True)
                yield number, {column: _cell(cell, types[column]) for column, cell in pairs if cell and column in named}

    return Raw(named, table, rows)


def _cell(cell: str, wanted: pa.DataType) -> str | float:
    """A cell as the number that its column should hold, or as it stands."""
    if wanted == pa.string():
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell


def parquet(path: Path) -> Raw:
    return arrow(parquet_table(path), str(path))


def parquet_table(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path)
    except pa.ArrowException as error:
        raise ManifestError(f"{path}: {error}; expected Parquet") from None


def arrow(table: pa.Table, name: str) -> Raw:
    """Raises ManifestError where a column holds audio as bytes: examples name files."""
    for column in byte_columns(table):
        if pc.struct_field(table[column], "bytes").null_count < len(table):
            raise ManifestError(
                f"{name}: column {column} holds the audio itself; expected paths. Write the files and a manifest with\n"
                f"  python -c \"from speechxfer.manifest import unpack_audio as u; u({name!r}, 'FOLDER')\""
            )

    return numbered(with_lines(table, np.arange(1, len(table) + 1)))


def numbered(table: pa.Table, note: str = "") -> Raw:
    """Of a table that has `line`."""

    def rows(problems: Problems) -> Iterator[tuple[int, dict]]:
        for batch in table.to_batches(max_chunksize=BATCH):
            for row in batch.to_pylist():
                yield row.pop("line"), row

    return Raw([column for column in table.column_names if column != "line"], lambda: table, rows, note)


def byte_columns(table: pa.Table) -> list[str]:
    """Columns of {bytes, path}, as `datasets` stores audio."""
    structs = [column for column in table.column_names if pa.types.is_struct(table[column].type)]
    return [column for column in structs if {"bytes", "path"} <= {field.name for field in table[column].type}]


def write_bytes(table: pa.Table, folder: Path) -> pa.Table:
    """Write audio held as bytes to ROW.ENDING in `folder`, and return the table with paths in its place."""
    for column in byte_columns(table):
        paths = []
        for batch in table[column].iterchunks():
            for item in batch:  # one at a time: a recording is large
                item = item.as_py() or {"bytes": None, "path": None}
                if item["bytes"] is None:
                    paths.append(item["path"] and os.path.abspath(item["path"]))
                else:
                    paths.append(f"{len(paths):08d}{Path(item['path'] or '').suffix or '.wav'}")
                    (folder / paths[-1]).write_bytes(item["bytes"])
        table = table.set_column(table.column_names.index(column), column, pa.array(paths, pa.string()))
    return table


READERS: dict[str, Callable[[Path], Raw]] = {
    ".jsonl": jsonl,
    ".json": jsonl,
    ".csv": csv_file,
    ".tsv": tsv_file,
    ".parquet": parquet,
    ".jsonl.gz": jsonl,
    ".json.gz": jsonl,
    ".csv.gz": csv_file,
    ".tsv.gz": tsv_file,
}


def load_dataset(source: str) -> "Dataset":
    """A folder that `Dataset.save_to_disk` wrote, or a hub dataset: NAME, NAME:SPLIT or NAME:CONFIG:SPLIT."""
    import datasets

    name, *rest = source.split(":")
    if len(rest) > 2:
        raise ManifestError(f"{source}: expected NAME, NAME:SPLIT or NAME:CONFIG:SPLIT")
    if Path(name).is_dir():
        try:
            loaded = datasets.load_from_disk(name)
        except FileNotFoundError:
            raise ManifestError(f"{name}: expected a manifest, or a folder that Dataset.save_to_disk wrote") from None
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ManifestError(f"{name}: no such file or folder; expected a manifest")
    else:
        try:
            loaded = datasets.load_dataset(name, rest[0] if len(rest) == 2 else None)
        except (OSError, ValueError) as error:  # unknown, unreachable, or needs a configuration
            raise ManifestError(f"{source}: no such file, and no dataset that can be loaded ({error})") from None
    if not isinstance(loaded, datasets.DatasetDict):
        return loaded
    split = rest[-1] if rest else next(iter(loaded)) if len(loaded) == 1 else None
    if split not in loaded:
        found = "several splits" if split is None else f"no split {split!r}"
        raise ManifestError(f"{source}: {found}; expected one of {', '.join(f'{name}:{split}' for split in loaded)}")
    return loaded[split]


def dataset_table(dataset: "Dataset", name: str) -> pa.Table:
    """The rows of a dataset with audio left undecoded and class labels as their names."""
    import datasets

    if not isinstance(dataset, datasets.Dataset):
        found = type(dataset).__name__
        raise ManifestError(f"{name}: found {found}; expected a path or a datasets.Dataset (one split, not streaming)")
    table = dataset.with_format("arrow")[:]  # also applies what select() and shuffle() left as indices
    for i, (column, feature) in enumerate(dataset.features.items()):
        if isinstance(feature, datasets.ClassLabel):
            table = table.set_column(i, column, pa.array(feature.names).take(table[column].combine_chunks()))
    return table


def _decoded(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                problems.add("utf-8", number, f"{error.reason} at byte {error.start}; expected UTF-8")
                yield number, "\n"  # keeps the count of lines


def _lines_of_rows(path: Path, count: int, header: int) -> np.ndarray:
    """The line of each row. Raises ArrowInvalid when rows and lines do not match one to one."""
    total, last = 0, b"\n"
    with open_bytes(path) as file:
        while block := file.read(BLOCK):
            total, last = total + block.count(b"\n"), block[-1:]
    total += last != b"\n"
    if total == header + count:
        return np.arange(1 + header, total + 1)
    with open_bytes(path) as file:  # blank lines, then
        numbers = [number for number, line in enumerate(file, 1) if line.strip()][header:]
    if len(numbers) != count:
        raise pa.ArrowInvalid(f"{count} rows in {len(numbers)} lines")
    return np.array(numbers)


def with_lines(table: pa.Table, lines: np.ndarray) -> pa.Table:
    """With `line`, the number of each row's line, in place of a column of that name."""
    table = table.drop_columns(["line"]) if "line" in table.column_names else table
    return table.append_column("line", pa.array(lines.astype(np.int32)))
