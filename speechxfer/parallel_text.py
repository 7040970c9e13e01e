"""Parallel text: which files a manifest's name stands for, and which of their languages are its source and its text.

`NAME@SOURCE:TEXT` is one rule for all that holds several languages: a translation memory (`memory.tmx@en:hi`), columns
named by languages (`pairs.tsv@en:hi`), the `translation` column of `datasets` (`opus100:en-hi:train@en:hi`). Two
line-aligned files, as Moses has them, are `corpus.en+corpus.hi`.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.columns import rename
from speechxfer.errors import ManifestError
from speechxfer.formats import BLOCK, READERS, Raw, ending, open_bytes, with_lines
from speechxfer.problems import Problems
from speechxfer.tmx import likeness, tmx

TMX = (".tmx", ".tmx.gz")
ENDINGS = (*READERS, *TMX)
# Endings of line-aligned files that look like a language's code and are none (but for a few small languages).
NO_LANGUAGE = {"txt", "raw", "tok", "src", "tgt", "trg", "ref", "hyp", "bpe", "spm", "seg", "low", "lc", "out", "dev"}
Languages = tuple[str, str]  # of the source and of the text


@dataclass(frozen=True)
class Place:
    """The name of a manifest taken apart."""

    name: str  # without the languages
    files: tuple[Path, ...]  # one; two that are line-aligned, the source first; none: a dataset, or no such file
    languages: Languages | None = None


def place(source: str) -> Place:
    """`FILE`, `SOURCE_FILE+TEXT_FILE` or the name of a dataset, each perhaps with `@SOURCE:TEXT`."""
    if Path(source).is_file():
        return Place(source, (Path(source),))
    match = re.fullmatch(r"(.+)@([\w-]+):([\w-]+)", source)
    if not match or (_is_folder(source) and not _is_folder(match[1])):  # a folder's own name may have an @
        return Place(source, _files(source))
    name, *languages = match.groups()
    if languages[0] == languages[1]:
        raise ManifestError(f"{source}: both languages are {languages[0]}; expected two, such as {name}@en:hi")
    return Place(name, _files(name), tuple(languages))


def _files(name: str) -> tuple[Path, ...]:
    path = Path(name)
    if path.is_file() or ending(path) in ENDINGS:
        return (path,)
    pluses = [i for i, letter in enumerate(name) if letter == "+" and 0 < i < len(name) - 1]
    if not pluses or _is_folder(name):
        return ()
    pairs = [(Path(name[:i]), Path(name[i + 1 :])) for i in pluses]
    return max(pairs, key=lambda pair: sum(file.is_file() for file in pair))  # a file's own name may have a plus


def _is_folder(name: str) -> bool:
    return Path(name.partition(":")[0]).is_dir()  # FOLDER:SPLIT


def read(place: Place) -> Raw:
    """The rows of a place that has files. Raises ManifestError where a whole file is wrong."""
    expected = "a manifest" if len(place.files) == 1 else "one of two line-aligned files"
    missing = [f"{file}: no such file; expected {expected}" for file in place.files if not file.is_file()]
    if missing:
        raise ManifestError("\n".join(missing))
    if len(place.files) == 2:
        if place.languages:
            asked = ":".join(place.languages)
            raise ManifestError(
                f"{place.name}@{asked}: two line-aligned files take no languages; "
                f"expected {place.name}, the source first"
            )
        return line_aligned(*place.files)
    (path,) = place.files
    if ending(path) in TMX:
        return tmx(path, place.languages)
    if ending(path) not in READERS:
        expected = f"{', '.join(ENDINGS)}, or two line-aligned files, the source first: corpus.en+corpus.hi"
        raise ManifestError(f"{path}: unknown ending {ending(path)!r}; expected one of {expected}")
    return choose(READERS[ending(path)](path), place.languages, str(path))


def line_aligned(source: Path, text: Path) -> Raw:
    """A row for each line of two files; a blank line is a side that is not given.

    Lines end at a line feed and nowhere else. `lang` is the ending of `text` where that is a language's code. Raises
    ManifestError where the files have different numbers of lines.
    """
    sides = {"source": (source, _lines(source)), "text": (text, _lines(text))}
    counts = [len(lines) for _, lines in sides.values()]
    if counts[0] != counts[1]:
        raise ManifestError(f"{source} has {counts[0]:,} lines and {text} has {counts[1]:,}; expected as many of each")
    lang = _language(text)
    constant = {"lang": lang} if lang else {}

    def table() -> pa.Table:
        columns = {}
        for name, (_, lines) in sides.items():
            decoded = lines.cast(pa.string())  # raises ArrowInvalid where it is not UTF-8
            blank = pc.or_(pc.equal(decoded, ""), pc.utf8_is_space(decoded))
            columns[name] = pc.if_else(blank, pa.scalar(None, pa.string()), decoded)
        columns |= {name: pa.repeat(value, counts[0]) for name, value in constant.items()}
        return with_lines(pa.table(columns), np.arange(1, counts[0] + 1))

    def rows(problems: Problems) -> Iterator[tuple[int, dict]]:
        for number in range(1, counts[0] + 1):
            row = dict(constant)
            for name, (path, lines) in sides.items():
                try:
                    decoded = lines[number - 1].as_py().decode()
                except UnicodeDecodeError as error:
                    problems.add("utf-8", number, f"{path}: {error.reason} at byte {error.start}; expected UTF-8")
                else:
                    row |= {name: decoded} if decoded.strip() else {}
            yield number, row

    return Raw([*sides, *constant], table, rows)


def _lines(path: Path) -> pa.ChunkedArray:
    """The lines of a file as bytes, without their ends (LF or CR LF) and the byte order mark."""
    chunks, rest, mark = [], b"", codecs.BOM_UTF8
    with open_bytes(path) as file:
        while block := file.read(BLOCK):
            whole, newline, after = block.rpartition(b"\n")
            if not newline:
                rest += block
                continue
            content, rest = (rest + whole + newline).removeprefix(mark).replace(b"\r\n", b"\n"), after
            chunks.append(pc.split_pattern(pa.array([content[:-1]], pa.binary()), "\n").values)
            mark = b""
    if rest := rest.removeprefix(mark):
        chunks.append(pa.array([rest], pa.binary()))
    return pa.chunked_array(chunks, pa.binary())


def _language(path: Path) -> str:
    """`corpus.hi`, `corpus.pt_BR.gz` or `dev.hin_Deva`: the ending, where it is the code of a language; else ""."""
    code = ending(path).removesuffix(".gz").removeprefix(".")
    is_code = re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?", code) and code.lower() not in NO_LANGUAGE
    return code if is_code else ""


def choose(raw: Raw, languages: Languages | None, name: str) -> Raw:
    """With the column of the first language as `source` and that of the second as `text`, and the second as `lang`.

    They are columns of the table, or what its column `translation` holds ({"en": ..., "hi": ...}). A language that is
    not there is taken from the column of a variety: `en` from `en-US` or `eng_Latn` from `ENG-latn`. Without
    `languages` all stays as it is. Raises ManifestError where there is no such column, or a `translation` and
    no `languages`.
    """
    nested = _translations(raw)
    if not languages:
        if nested and rename(raw.columns)[0].get("translation") == "text":
            raise ManifestError(
                f"{name}: column translation holds {', '.join(nested)}; expected the source and the text to be named: "
                f"{name}@{':'.join(nested[:2])} (in Python: dataset.flatten(), with its columns renamed)"
            )
        return raw
    source, text = (_column(language, nested or raw.columns, name) for language in languages)
    gone = {"translation"} if nested else {source, text}
    replaced = [column for column in raw.columns if column in ("source", "text", "lang") and column not in gone]
    kept = [column for column in raw.columns if column not in gone and column not in replaced]

    def table() -> pa.Table:
        every = raw.table()
        columns = {column: every[column] for column in [*kept, "line"]}
        for field, key in (("source", source), ("text", text)):
            columns[field] = pc.struct_field(every["translation"], key) if nested else every[key]
        return pa.table(columns | {"lang": pa.repeat(languages[1], len(every))})

    def rows(problems: Problems) -> Iterator[tuple[int, dict]]:
        for line, row in raw.rows(problems):
            values = (row.get("translation") or {}) if nested else row
            if not isinstance(values, dict):
                problems.add("translation", line, f"translation is a {type(values).__name__}; expected an object")
                continue
            pair = {"source": values.get(source), "text": values.get(text), "lang": languages[1]}
            yield line, {column: row[column] for column in kept if column in row} | pair

    note = f"reads {source} as source, {text} as text" + f"; ignores {', '.join(replaced)}" * bool(replaced)
    return Raw([*kept, "source", "text", "lang"], table, rows, note)


def _translations(raw: Raw) -> list[str]:
    """The languages of the column `translation`; none where it is a plain text."""
    if "translation" not in raw.columns:
        return []
    try:
        kind = raw.table().schema.field("translation").type
    except pa.ArrowException:
        values = [row.get("translation") for _, row in raw.rows(Problems(""))]
        return list(dict.fromkeys(key for value in values if isinstance(value, dict) for key in value))
    return [field.name for field in kind] if pa.types.is_struct(kind) else []


def _column(language: str, columns: Sequence[str], name: str) -> str:
    found = [column for column in columns if column == language]
    found = found or [column for column in columns if likeness(language, column)]
    if len(found) != 1:
        several = f"several columns are {language}" if found else f"no column {language}"
        raise ManifestError(f"{name}: {several}; found {', '.join(found or columns)}; expected one of that name")
    return found[0]
