"""Predictions from the tables of other tools: CSV, TSV, and JSONL with other names for the same things."""

import csv
import functools
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechxfer.errors import ScoreError
from speechxfer.prediction import BOTH, Prediction, attempt, expect_text, is_number


def cells(path: Path, delimiter: str) -> Iterator[tuple[int, dict | ValueError]]:
    """Rows under the names of the header. TSV knows no quoting: a quotation mark is a part of the sentence."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        header, before = None, 0
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield before + 1, ValueError(f"{error}; is a quotation mark never closed, or not doubled?")
                return
            if cells is None:
                return
            line, before = before + 1, reader.line_num
            if any(not cell.isascii() and re.search("[\ud800-\udfff]", cell) for cell in cells):
                yield line, ValueError("not UTF-8; expected UTF-8")
                if header is None:
                    return
            elif not cells:
                continue  # a blank line
            elif header is None:
                header = [cell.strip() for cell in cells]
                if len(header) == 1 and re.search("[,;\t]", header[0]):
                    kind = "tabs, as in every .tsv" if delimiter == "\t" else "commas, as in every .csv"
                    raise ScoreError(f"{path}:{line}: found one column, {header[0]!r}; expected {kind}")
                twice = sorted({name for name in header if name and header.count(name) > 1})
                if twice:
                    raise ScoreError(f"{path}:{line}: columns {twice} occur twice; expected every name once")
            elif len(cells) != len(header):
                yield line, ValueError(f"found {len(cells)} cells; expected {len(header)} as in the header")
            else:
                yield line, dict(zip(header, cells, strict=True))


def given_number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def spelled_number(value: str) -> float | None:
    try:
        return None if "_" in value else float(value)
    except ValueError:
        return None


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what."""

    fields: dict[str, str]  # field -> column: id, hyp, seconds, confidence, source; audio, channel, start name a row
    refs: tuple[str, ...]
    groups: dict[str, str]  # column -> key
    scores: tuple[str, ...]
    nested: tuple[str, ...]  # group, scores, alternatives and n_best where they hold objects or lists, as in our JSONL


def table(
    path: Path,
    rows: Callable[[], Iterator[tuple[int, dict | ValueError]]],
    number: Callable[[object], float | None],
    fields: Sequence[str],
) -> Iterator[tuple[int, Prediction | ValueError]]:
    """Predictions, with their lines, from rows whose columns have the names of any tool.

    What `choose_columns` does not know by name is a score where every value is a number (as `number` reads it), else
    a group: so the rows are gone through twice. A row without an id is named by its audio, as in manifests, or else
    by its number, as "000017". One line on stderr says what was taken for what and what is ignored.
    Raises ScoreError where one of `fields` has no column.
    """
    kinds: dict[str, str | None] = {}  # None: no value yet
    texts: set[str] = set()
    for _, row in rows():
        if isinstance(row, dict):
            for name, value in row.items():
                kind = kinds.setdefault(name)
                if isinstance(value, str):
                    texts.add(name)
                if isinstance(value, (dict, list)):
                    kinds[name] = "nested"
                elif kind in (None, "number") and value is not None and value != "":
                    kinds[name] = "text" if number(value) is None else "number"
    columns = choose_columns(path, kinds, texts, fields) if kinds else None
    for place, (line, row) in enumerate(rows(), 1):
        yield line, attempt(lambda row, place=place: _from_table(columns, number, fields, place, row), row)


def choose_columns(path: Path, kinds: dict[str, str | None], texts: Collection[str], fields: Sequence[str]) -> Columns:
    """Choose from the columns' names and kinds: "number", "text", "nested", or None for a column without a value.

    A field's own name wins over its aliases, an earlier one over a later one. The source is a sentence: of its columns
    only those of `texts` (where some value is a string) are looked at, since others hold numbers of corpora and the
    like. Names of people, recordings and the like (`columns.GROUPS`, languages, what ends in _id) are
    groups even where they are numbers.
    """
    from speechxfer.columns import FIELDS, GROUPS

    hyps = ("hyp", "hypothesis", "prediction", "pred", "pred_text", "predicted", "output", "translation", "mt")
    sentences = [name for name in ("text", *FIELDS["text"][1]) if name not in hyps]
    choices = {
        "ref": ("ref", "reference", *sentences, "gold", "ground_truth"),
        "hyp": hyps if "ref" in fields else (*hyps, *sentences),
        "id": ("id", *FIELDS["id"][1], "segment_id", "sample_id", "name"),
        "confidence": ("confidence",),
        **{name: (name, *FIELDS[name][1]) for name in ("audio", "channel", "start", "seconds", "source")},
    }
    written = {name.lower(): name for name in reversed(kinds)}
    offered = {field: [written[name] for name in names if name in written] for field, names in choices.items()}
    offered["source"] = [name for name in offered["source"] if name in texts]
    found = {field: names[0] for field, names in offered.items() if names and (field in fields or field not in BOTH)}
    numbered = re.compile(rf"(?:{'|'.join(choices['ref'])})_?(\d+)", re.IGNORECASE)
    refs = sorted((int(match[1]), name) for name in kinds if (match := numbered.fullmatch(name)))
    refs = [name for _, name in refs] if "ref" in fields else []
    if "ref" in found:
        refs.insert(0, found.pop("ref"))
    what = {"ref": ("references", refs), "hyp": ("hypotheses", found.get("hyp"))}
    lacking = [
        f"{path}: no column of {what[field][0]} in {', '.join(kinds)}; expected {', '.join(choices[field])}"
        for field in fields
        if not what[field][1]
    ]
    if lacking:
        raise ScoreError("\n".join(lacking))

    labels = {alias: key for key, aliases in GROUPS.items() for alias in (key, *aliases)}
    labels |= dict.fromkeys(("lang", *FIELDS["lang"][1]), "lang")
    other = {"", "end", "words", "segments", "alternatives", "n_best", *hyps}.union(
        *choices.values()
    )  # no group of ours
    groups, scores, nested, ignored = {}, [], [], []
    for name, kind in kinds.items():
        key = name.lower()
        if name in refs or name in found.values() or kind is None:
            continue
        if kind == "nested" and name in ("group", "scores", "alternatives", "n_best"):
            nested.append(name)
        elif kind == "nested" or key in other or numbered.fullmatch(name):
            ignored.append(name or "the column without a name")
        elif kind == "number" and key not in labels and not key.endswith("_id"):
            scores.append(name)
        else:
            key = labels.get(key, name)
            groups[name] = name if key in groups.values() else key
    notes = [f"{name} as ref" for name in refs if name != "ref"]
    notes += [f"{name} as {field}" for field, name in found.items() if name != field]
    notes += [f"{name} as a score" for name in scores]
    notes += [f"{name} as the group {key}" for name, key in groups.items() if name != key or key not in labels]
    notes = ["reads " + ", ".join(notes)] * bool(notes) + ["ignores " + ", ".join(ignored)] * bool(ignored)
    if notes:
        _say(f"{path}: {'; '.join(notes)}")
    return Columns(found, tuple(refs), groups, tuple(scores), tuple(nested))


@functools.cache  # once for each process
def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _from_table(
    columns: Columns, number: Callable[[object], float | None], fields: Sequence[str], place: int, row: dict
) -> Prediction:
    """Raises ValueError with what is wrong with the row."""

    def numbers(names: Iterable[str]) -> dict[str, float]:
        given = {name: row[name] for name in names if row.get(name) not in (None, "")}
        read = {name: number(value) for name, value in given.items()}
        for name, value in read.items():
            if value is None or not math.isfinite(value):
                raise ValueError(f"{name} is {given[name]!r}; expected a finite number")
        return read

    named = {field: row.get(name) for field, name in columns.fields.items()}
    nested = {name: row[name] for name in columns.nested if row.get(name) is not None}
    made: dict[str, object] = {"id": _name(named, number) or f"{place:06d}", "ref": "", "hyp": ""}
    if "ref" in fields:
        texts = {name: row.get(name) for name in columns.refs}
        texts = {name: text for name, text in texts.items() if name == columns.refs[0] or text is not None}
        for name, text in texts.items():
            expect_text(name, text)
        made["ref"], alternatives = references(tuple(texts.values()))
        made["alternatives"] = nested.get("alternatives", alternatives)
    if "hyp" in fields:
        made["hyp"] = named["hyp"]
        expect_text(columns.fields["hyp"], named["hyp"])
    source = named.get("source")
    if source is not None:
        expect_text(columns.fields["source"], source)
        made["source"] = source
    made["n_best"] = nested.get("n_best", ())
    for name in {"seconds", "confidence"} & columns.fields.keys():
        made[name] = numbers([columns.fields[name]]).get(columns.fields[name])
    made["scores"] = nested.get("scores", {})
    if isinstance(made["scores"], dict):
        made["scores"] = numbers(columns.scores) | made["scores"]
    made["group"] = nested.get("group", {})
    if isinstance(made["group"], dict):
        labels = {key: row.get(name) for name, key in columns.groups.items()} | made["group"]
        made["group"] = {key: _label(value) for key, value in labels.items() if value is not None and value != ""}
    return Prediction.from_row(made)


def _name(named: dict[str, object], number: Callable[[object], float | None]) -> object:
    """The id, or that which manifests give to a piece of audio; None where there is neither."""
    if named.get("id") not in (None, ""):
        return _label(named["id"])
    audio = named.get("audio")
    if not isinstance(audio, str) or not audio:
        return None
    given = {mark: named.get(field) for mark, field in ((".ch", "channel"), ("@", "start"))}
    read = {mark: number(value) for mark, value in given.items() if value is not None}
    parts = [f"{mark}{_label(value)}" for mark, value in read.items() if value is not None]
    return "".join([re.sub(r"\.[^./]*$", "", audio), *parts])


def _label(value: object) -> object:
    """A number as it would be written in a table; what is neither number nor text as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, (int, float)) else value


def references(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The reference and its alternatives: where there are several columns or files, an empty text is none at all."""
    given = list(dict.fromkeys(text for text in texts if text)) or [""]
    return given[0], tuple(given[1:])
