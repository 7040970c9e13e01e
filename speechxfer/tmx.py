"""Translation memories (TMX 1.4b, https://www.gala-global.org/tmx-14b): a row for each unit that has both languages.

Read as a stream, so a memory of any size takes the room of its rows. Of a segment the sentence is kept: the codes of
the format that it came from (`bpt`, `ept`, `ph`, `it`, `ut`) are dropped with their content, the text around them and
inside `hi` and `mrk` stays.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.parsers import expat

import numpy as np
import pyarrow as pa

from speechxfer.columns import BATCH
from speechxfer.errors import ManifestError
from speechxfer.formats import Raw, numbered, open_bytes, with_lines

CODES = {"bpt", "ept", "ph", "it", "ut"}
BLOCK = 1 << 20  # bytes that are parsed at a time
LAYOUT = re.compile(r"[ \t]*[\r\n]+[ \t]*")  # a line break inside a segment is the file's, not the sentence's

Unit = tuple[int, list[tuple[str, str]]]  # its line, and (language, text) of each variant


def tmx(path: Path, languages: tuple[str, str] | None) -> Raw:
    """Units as rows of `source`, `text` and `lang`; `note` counts the units that lack one of the two languages.

    Without `languages` there must be two in the file, and the header says which is the source. Raises ManifestError
    where that cannot be told, where no unit has both, and where the file is not TMX or declares entities.
    """
    source, text = languages = languages or _only_two(path)
    if likeness(source, text) or likeness(text, source):
        raise ManifestError(f"{path}: {source} and {text} both take what is {max(languages, key=len)}; expected others")
    found, total, several = Counter(), 0, 0
    places: list[tuple[int, int]] = []  # of each row: the number and the line of its unit
    batch: list[dict[str, str | None]] = []
    batches: list[pa.RecordBatch] = []
    schema = pa.schema([("source", pa.string()), ("text", pa.string())])
    for total, (line, variants) in enumerate(_Memory(path).units(), 1):
        found.update({_tag(tag) for tag, _ in variants})
        chosen = [_choose(variants, language) for language in languages]
        if not all(chosen):
            continue
        several += any(len(texts) > 1 for texts in chosen)
        places.append((total, line))
        pair = [texts[0] if texts[0].strip() else None for texts in chosen]
        batch.append(dict(zip(schema.names, pair, strict=True)))
        if len(batch) == BATCH:
            batches.append(pa.RecordBatch.from_pylist(batch, schema))
            batch.clear()
    if total and not places:
        raise ManifestError(f"{path}: no unit has both {source} and {text}; found {_told(found)}")
    batches.append(pa.RecordBatch.from_pylist(batch, schema))
    numbers, lines = np.array(places, np.int32).reshape(-1, 2).T
    table = pa.Table.from_batches(batches, schema).append_column("lang", pa.repeat(text, len(places)))
    one_a_line = bool((np.diff(lines) > 0).all())  # else units are told apart by their numbers
    left_out = total - len(places)
    notes = [f"leaves out {left_out:,} of {_units(total)}: no {source} or no {text}"] * bool(left_out)
    notes += [f"takes the first of several versions in one language in {_units(several)}"] * bool(several)
    return numbered(with_lines(table, lines if one_a_line else numbers), "; ".join(notes))


@cache  # a file has few
def likeness(asked: str, found: str) -> int:
    """2 for the very language that was asked for, 1 for a variety (`en` takes `en-US` and `EN_us`), 0 for another."""
    asked, found = _tag(asked), _tag(found)
    return 2 if found == asked else int(found.startswith(asked + "-"))


def _choose(variants: list[tuple[str, str]], asked: str) -> list[str]:
    """The texts in the language: those that are the very one if there are any, else those of its varieties."""
    best = max((likeness(asked, tag) for tag, _ in variants), default=0)
    return [text for tag, text in variants if best and likeness(asked, tag) == best]


def _only_two(path: Path) -> tuple[str, str]:
    """The source and the other language of a memory that has two, such as `en` and `hi`, or `en-us` and `en-gb`."""
    memory, found = _Memory(path), Counter()
    for _, variants in memory.units():
        found.update({_tag(tag) for tag, _ in variants})
    names = list(dict.fromkeys(tag.partition("-")[0] for tag in found))
    names = names if len(names) == 2 else list(found)
    source = [name for name in names if likeness(name, memory.srclang) or likeness(memory.srclang, name)]
    others = [name for name in names if name not in source]
    if len(source) == len(others) == 1:
        return source[0], others[0]
    if len(names) < 2:
        raise ManifestError(f"{path}: found {_told(found)}; expected units in two languages")
    raise ManifestError(
        f"{path}: found {_told(found)}, and a header whose srclang is {memory.srclang!r}; "
        f"expected the source and the text to be named, as in {path}@{':'.join([*source, *others][:2])}"
    )


def _tag(language: str) -> str:
    return language.lower().replace("_", "-")


def _told(found: Counter) -> str:
    return ", ".join(f"{tag} in {_units(count)}" for tag, count in found.most_common()) or "no unit"


def _units(count: int) -> str:
    return f"{count:,} unit{'s' * (count != 1)}"


class _Memory:
    """A file as it is parsed: its header, the units that are complete, and the unit and segment that are being read."""

    def __init__(self, path: Path):
        self.path = path
        self.srclang = ""
        self._units: list[Unit] = []
        self._root = self._lang = ""
        self._line = 0
        self._variants: list[tuple[str, str]] = []
        self._pieces: list[str] | None = None  # of the segment; None outside of one
        self._codes = 0  # how deep in the codes of another format
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity
        self._parser.SkippedEntityHandler = self._skipped

    def units(self) -> Iterator[Unit]:
        """Every unit, in order. Raises ManifestError at the first place that is not TMX."""
        with open_bytes(self.path) as file:
            last = False
            while not last:
                block = file.read(BLOCK)
                last = not block
                try:
                    self._parser.Parse(block, last)
                except expat.ExpatError as error:
                    raise self._error(error.lineno, f"{expat.ErrorString(error.code)}; expected TMX") from None
                except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not for this
                    raise self._error(1, f"{error}; expected UTF-8 or UTF-16") from None
                yield from self._units
                self._units.clear()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._pieces is not None:
            if tag in CODES or self._codes:  # with `sub` inside of it, which is another text
                self._codes += 1
                self._parser.CharacterDataHandler = None
        elif tag == "seg":
            if not self._lang:
                raise self._error(self._parser.CurrentLineNumber, "seg without a tuv; expected TMX")
            self._pieces = []
            self._parser.CharacterDataHandler = self._pieces.append
        elif tag == "tuv":
            self._lang = attributes.get("xml:lang") or attributes.get("lang") or ""
            if not self._lang:
                raise self._error(self._parser.CurrentLineNumber, "tuv without a language; expected xml:lang")
        elif tag == "tu":
            self._line, self._variants = self._parser.CurrentLineNumber, []
        elif tag == "header":
            self.srclang = attributes.get("srclang", "")
        elif not self._root and tag != "tmx":
            raise self._error(self._parser.CurrentLineNumber, f"found <{tag}>; expected <tmx>")
        self._root = self._root or tag

    def _end(self, tag: str) -> None:
        if self._codes:
            self._codes -= 1
            if not self._codes:
                self._parser.CharacterDataHandler = self._pieces.append
        elif tag == "seg":
            text = "".join(self._pieces)
            if "\n" in text or "\r" in text:
                text = LAYOUT.sub(" ", text).strip(" ")
            self._variants.append((self._lang, text))
            self._pieces, self._parser.CharacterDataHandler = None, None
        elif tag == "tuv":
            self._lang = ""
        elif tag == "tu":
            self._units.append((self._line, self._variants))

    def _entity(self, name: str, *_: object) -> None:
        # Entities that stand for entities make a small file expand without end, and some read other files.
        raise self._error(self._parser.CurrentLineNumber, f"declares entity {name}; expected none: write its text out")

    def _skipped(self, name: str, parameter: bool) -> None:
        if not parameter:  # declared, if at all, in a DTD that is not read
            raise self._error(self._parser.CurrentLineNumber, f"unknown entity &{name}; expected its text")

    def _error(self, line: int, message: str) -> ManifestError:
        return ManifestError(f"{self.path}:{line}: {message}")
