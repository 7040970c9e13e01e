"""From what a file holds to the manifest's own columns: names, types, and what follows from the rest.

Whole columns are cast by Arrow (`cast`); only a table that Arrow cannot cast goes through `convert_rows`, row by
row, to understand what Arrow does not (mixed types, `words` as lists) and to name every value that is wrong.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from speechxfer.problems import Problems

WORDS, SEGMENTS = (
    pa.list_(pa.struct([(name, pa.string()), ("start", pa.float64()), ("end", pa.float64())]))
    for name in ("word", "text")
)

# field -> its Arrow type and the names that other toolkits give it (the first one found wins)
FIELDS: dict[str, tuple[pa.DataType, tuple[str, ...]]] = {
    "id": (pa.string(), ("utt_id", "utterance_id", "key")),
    "text": (
        pa.string(),
        (
            *("sentence", "transcript", "transcription", "normalized_text"),
            *("target", "target_text", "tgt", "tgt_text", "trg", "translation"),
        ),
    ),
    "audio": (pa.string(), ("audio_filepath", "audio_path", "path", "file", "filename", "wav")),
    "source": (pa.string(), ("src", "source_text", "src_text")),
    "start": (pa.float64(), ("offset",)),
    "end": (pa.float64(), ()),
    "channel": (pa.int32(), ()),
    "seconds": (pa.float64(), ("duration", "length")),
    "words": (WORDS, ()),
    "segments": (SEGMENTS, ()),
    "lang": (pa.string(), ("language", "locale")),
    "prompt": (pa.string(), ()),
    "task": (pa.string(), ()),
}

# letters of scripts that put no spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")

# columns that become keys of `group`, with their aliases; other keys are given in the `group` object
GROUPS: dict[str, tuple[str, ...]] = {
    "speaker": ("speaker_id", "client_id", "spk", "spk_id"),
    "accent": ("accents",),
    "gender": ("sex",),
    "age": (),
    "dialect": ("variant",),
    "region": (),
    "domain": ("sentence_domain",),
    "population": (),
    "recording": ("recording_id", "session"),
    "document": ("document_id", "doc", "doc_id"),
}

BATCH = 10_000  # rows that stand as Python objects at a time


def type_of(name: str) -> pa.DataType:
    return pa.string() if name.startswith("group.") else FIELDS[name][0]


def rename(columns: Sequence[str]) -> tuple[dict[str, str], str]:
    """Column -> canonical name (`group.KEY` for groups), and a line that says what was renamed or is ignored."""
    names = {name: (name, *aliases) for name, (_, aliases) in FIELDS.items()}
    names |= {f"group.{key}": (key, *aliases) for key, aliases in GROUPS.items()}
    taken: dict[str, str] = {}
    for name, choices in names.items():
        found = next((column for column in choices if column in columns), None)
        if found is not None:
            taken[found] = name
    renamed = [f"{column} as {name}" for column, name in taken.items() if name not in (column, f"group.{column}")]
    ignored = [column for column in columns if column not in taken and column != "group"]
    notes = ["reads " + ", ".join(renamed)] * bool(renamed) + ["ignores " + ", ".join(ignored)] * bool(ignored)
    return taken, "; ".join(notes)


def cast(table: pa.Table, taken: Mapping[str, str]) -> pa.Table:
    """Canonical columns and `line`; empty columns are left out. Raises ArrowException where a closer look is needed."""
    columns: dict[str, pa.ChunkedArray] = {"line": table["line"]}
    for column, name in taken.items():
        columns[name] = _cast_column(table[column], name)
    if "group" in table.column_names and not pa.types.is_null(table["group"].type):
        if not pa.types.is_struct(table["group"].type):
            raise pa.ArrowTypeError("group is no object")
        for i, key in enumerate(field.name for field in table["group"].type):
            values = _cast_column(pc.struct_field(table["group"], i), f"group.{key}")
            beside = columns.get(f"group.{key}")  # a column of the same name
            columns[f"group.{key}"] = values if beside is None else pc.coalesce(values, beside)
    return pa.table({n: column for n, column in columns.items() if n == "line" or column.null_count < len(table)})


def _cast_column(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if name == "audio" and pa.types.is_struct(column.type) and column.type.get_field_index("path") >= 0:
        column = pc.struct_field(column, "path")  # an undecoded datasets.Audio
    found, wanted = column.type, type_of(name)
    whole = pa.types.is_integer(found)
    fits = pa.types.is_null(found) or found == wanted
    if wanted == pa.string():
        fits |= pa.types.is_large_string(found) or pa.types.is_string_view(found) or (whole and _may_be_a_number(name))
    elif not pa.types.is_list(wanted):
        fits |= whole or pa.types.is_floating(found)
    if not fits:  # Arrow would cast more than we want, such as timestamps that it saw in a text
        raise pa.ArrowTypeError(f"{name} is {found}")
    column = column.cast(wanted)
    column.validate(full=True)  # Arrow's JSON reader lets text through that is not UTF-8
    return column


def _may_be_a_number(name: str) -> bool:
    return name in ("id", "lang") or name.startswith("group.")


def convert_rows(rows: Iterable[tuple[int, dict]], taken: Mapping[str, str], problems: "Problems") -> pa.Table:
    """The same as `cast`, from (line, row): every value that is not what was expected is added to `problems`."""
    tables, batch = [], []

    def flush() -> None:
        names = ["line", *dict.fromkeys(name for row in batch for name in row if name != "line")]
        types = [pa.int32() if name == "line" else type_of(name) for name in names]
        columns = [pa.array([row.get(name) for row in batch], type) for name, type in zip(names, types, strict=True)]
        tables.append(pa.table(columns, names))
        batch.clear()

    for line, row in rows:
        clean: dict[str, object] = {"line": line}
        values = [(column, name, row[column]) for column, name in taken.items() if row.get(column) is not None]
        group = row.get("group")
        if isinstance(group, dict):
            values += [(f"group.{key}", f"group.{key}", value) for key, value in group.items() if value is not None]
        elif group is not None:
            problems.add("group", line, f"group is {_show(group)}; expected an object of strings")
        for column, name, value in values:
            try:
                clean[name] = _convert(name, value)
            except ValueError as error:
                problems.add(name, line, f"{column} is {_show(value)}; expected {error}")
        batch.append(clean)
        if len(batch) == BATCH:
            flush()
    if batch or not tables:
        flush()
    return pa.concat_tables(tables, promote_options="default")


def _convert(name: str, value: object) -> object:
    """One value as its column's type. Raises ValueError with what was expected."""
    wanted = type_of(name)
    if pa.types.is_list(wanted):
        return _timed(value, wanted.value_type[0].name)
    if wanted == pa.string():
        if name == "audio" and isinstance(value, dict):  # an undecoded datasets.Audio
            value = value.get("path")
        if _is_number(value) and _may_be_a_number(name):
            value = str(int(value) if value % 1 == 0 else value)
        if not _is_text(value):
            raise ValueError("a string")
        return value
    if not _is_number(value):
        raise ValueError("a number")
    if wanted != pa.int32():
        return float(value)
    if value % 1 or abs(value) >= 2**31:
        raise ValueError("a whole number")
    return int(value)


def _timed(value: object, name: str) -> list[dict]:
    expected = f'a list of [{name}, start, end] or {{"{name}", "start", "end"}}'
    if not isinstance(value, list):
        raise ValueError(expected)
    spans = []
    for item in value:
        parts = [item.get(key) for key in (name, "start", "end")] if isinstance(item, dict) else item
        if not (isinstance(parts, list) and len(parts) == 3 and _is_text(parts[0]) and all(map(_is_number, parts[1:]))):
            raise ValueError(expected)
        spans.append({name: parts[0], "start": float(parts[1]), "end": float(parts[2])})
    return spans


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        return False


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def ids(table: pa.Table) -> pa.ChunkedArray:
    """Ids as given; else the audio's path without its ending (with `.chN` and `@START`); else the line number."""
    made = table["line"].cast(pa.string())
    if "audio" in table.column_names:
        stem = pc.replace_substring_regex(table["audio"], r"\.[^./]*$", "")
        for name, mark in (("channel", ".ch"), ("start", "@")):
            if name in table.column_names:
                suffix = pc.binary_join_element_wise(mark, table[name].cast(pa.string()), "")
                stem = pc.binary_join_element_wise(stem, pc.fill_null(suffix, ""), "")
        made = pc.coalesce(stem, made)
    return pc.coalesce(table["id"], made) if "id" in table.column_names else made


def join(texts: Iterable[str]) -> str:
    """One text of several, with a space between two of them but where both sides are of a script that has none."""
    joined = ""
    for text in filter(None, (text.strip() for text in texts)):
        sides = (next((c for c in side if c.isalpha()), "") for side in (reversed(joined), text))
        joined += (" " if joined and not all(UNSPACED.match(letter) for letter in sides) else "") + text
    return joined


def fill_text(table: pa.Table) -> pa.Table:
    """With the text of its segments where a row has segments and no text."""
    if "segments" not in table.column_names:
        return table
    text = table["text"] if "text" in table.column_names else pa.chunked_array([pa.nulls(len(table), pa.string())])
    lacking = pc.and_(text.is_null(), pc.fill_null(pc.greater(pc.list_value_length(table["segments"]), 0), False))
    if not pc.any(lacking).as_py():
        return table
    made = [join(segment["text"] or "" for segment in row.as_py()) for row in table["segments"].filter(lacking)]
    filled = pc.replace_with_mask(text.combine_chunks(), lacking.combine_chunks(), pa.array(made, pa.string()))
    others = table.drop_columns(["text"]) if "text" in table.column_names else table
    return others.append_column("text", filled)


def derive(table: pa.Table) -> pa.Table:
    """Fill in what follows from the rest: ids; `end` = start + seconds (NeMo's offset); `seconds` = end - start."""
    columns = {"id": ids(table)} | {name: table[name] for name in table.column_names if name != "id"}
    start, end, seconds = (columns.get(name) for name in ("start", "end", "seconds"))
    if start is not None and seconds is not None:
        columns["end"] = pc.add(start, seconds) if end is None else pc.coalesce(end, pc.add(start, seconds))
    if end is not None:
        length = end if start is None else pc.subtract(end, pc.fill_null(start, 0.0))
        columns["seconds"] = length if seconds is None else pc.coalesce(seconds, length)
    return pa.table(columns)


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """float64 (n,), NaN for null."""
    return column.cast(pa.float64()).to_numpy()


def digest(column: pa.ChunkedArray) -> bytes:
    """SHA-256 of a column's values whatever its chunks: of validity, lengths and contents, each as one stream."""
    validity, lengths, contents = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for chunk in column.iterchunks():
        validity.update(chunk.is_valid().to_numpy(zero_copy_only=False))
    if pa.types.is_list(column.type):
        for chunk in column.iterchunks():
            lengths.update(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy())
        contents.update(digest(pc.list_flatten(column)))
    elif pa.types.is_struct(column.type):
        for i in range(column.type.num_fields):
            contents.update(digest(pc.struct_field(column, i)))
    elif pa.types.is_string(column.type):
        for chunk in pc.fill_null(column, "").iterchunks():
            _, offsets, data = chunk.buffers()
            offsets = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            lengths.update(np.diff(offsets))
            if len(chunk) and data is not None:
                contents.update(memoryview(data)[offsets[0] : offsets[-1]])
    else:
        for chunk in pc.fill_null(column, 0).iterchunks():
            contents.update(chunk.to_numpy())
    return validity.digest() + lengths.digest() + contents.digest()
