"""One line of predictions.jsonl: the seam of the package.

Left of it stands a model and maybe a GPU; right of it there is only text. So this module knows no torch. What other
tools write, CSV, TSV, and JSONL with other names for the same things, is read by `prediction_table`.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechxfer.atomic import replacing
from speechxfer.errors import ScoreError

SHOWN = 20  # problems of a file that are spelled out; the others are counted
BOTH = ("ref", "hyp")
TIMED = {"words": "word", "segments": "text"}  # lists of spans -> what is said in one
DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Prediction:
    """What a model wrote for one example, with all that scoring needs.

    `seconds` is the length of the audio; `confidence` lies in 0..1; `words` are (word, start, end) in
    seconds, and `segments` likewise (text, start, end) of phrases. They are None or empty where the model or the data
    does not have them. `alternatives` are further
    references, each as right as `ref`; `scores` were given to this example by something else, COMET say. `source` is
    the sentence that was translated; `n_best` are (text, score) of the hypotheses of the beam, the best first.
    """

    id: str
    ref: str
    hyp: str
    group: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    confidence: float | None = None
    words: tuple[tuple[str, float, float], ...] = ()
    alternatives: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    source: str | None = None
    n_best: tuple[tuple[str, float], ...] = ()
    segments: tuple[tuple[str, float, float], ...] = ()

    def to_json(self) -> str:
        """Raises ValueError where a number is not finite: the file would not be JSON."""
        row = {key: value for key, value in vars(self).items() if value not in (None, {}, ())}
        return json.dumps(row | {"ref": self.ref, "hyp": self.hyp}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Prediction":
        """Raises ValueError with what is wrong with the line."""
        return cls.from_row(_parsed(line))

    @classmethod
    def from_row(cls, row: dict) -> "Prediction":
        """From the fields as JSON has them. Raises ValueError with what is wrong with one of them."""
        for key in ("id", "ref", "hyp"):
            expect_text(key, row.get(key))
        unknown = row.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}; expected {list(cls.__dataclass_fields__)}")
        group = row.get("group", {})
        if not isinstance(group, dict) or not all(isinstance(value, str) for value in group.values()):
            raise ValueError(f'group is {group!r}; expected names and strings, such as {{"accent": "scottish"}}')
        for key, top in (("seconds", math.inf), ("confidence", 1)):
            value = row.get(key)
            if value is not None and not (is_number(value) and 0 <= value <= top):
                raise ValueError(f"{key} is {value!r}; expected a number from 0" + (f" to {top}" if top == 1 else ""))
        alternatives, scores = row.get("alternatives", ()), row.get("scores", {})
        if row.get("source") is not None:
            expect_text("source", row["source"])
        for key, what in TIMED.items():
            spans = row.get(key, ())
            if not isinstance(spans, (list, tuple)) or not all(map(_is_timed, spans)):
                raise ValueError(f"{key} is {spans!r}; expected a list of [{what}, start, end] in seconds")
        if not isinstance(alternatives, (list, tuple)) or not all(isinstance(text, str) for text in alternatives):
            raise ValueError(f"alternatives is {alternatives!r}; expected a list of strings, the further references")
        for text in alternatives:
            expect_text("alternatives", text)
        if not isinstance(scores, dict) or not all(map(is_number, scores.values())):
            raise ValueError(f'scores is {scores!r}; expected names and finite numbers, such as {{"comet": 0.83}}')
        n_best = row.get("n_best", ())
        if not isinstance(n_best, (list, tuple)) or not all(map(_is_hypothesis, n_best)):
            raise ValueError(f"n_best is {n_best!r}; expected a list of [text, score], the best first")
        for hypothesis, _ in n_best:
            expect_text("n_best", hypothesis)
        timed = {
            key: tuple((written, float(start), float(end)) for written, start, end in row.get(key, ())) for key in TIMED
        }
        lists = {
            "alternatives": tuple(alternatives),
            "scores": {name: float(value) for name, value in scores.items()},
            "n_best": tuple((hypothesis, float(score)) for hypothesis, score in n_best),
        }
        return cls(**row | timed | lists)


def expect_text(name: str, value: object) -> None:
    """Raise ValueError unless it is a string that a file can hold."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; expected a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can spell it, and no file can hold it
            raise ValueError(f"{name} is {value!r}; expected no half of a surrogate pair") from None


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_timed(span: object) -> bool:
    return isinstance(span, list) and len(span) == 3 and isinstance(span[0], str) and all(map(is_number, span[1:]))


def _is_hypothesis(one: object) -> bool:
    return isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) and is_number(one[1])


def read_predictions(path: str | Path) -> list[Prediction]:
    """All predictions of a file at once. Raises what `iterate` raises."""
    return list(iterate(Path(path)))


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions.jsonl whole or not at all."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(p.to_json() + "\n" for p in predictions)


def iterate(predictions: str | Path | Iterable[Prediction]) -> Iterator[Prediction]:
    """Predictions from memory or, as they are read, from a file: CSV (.csv), TSV (.tsv), else JSONL.

    A file of a million lines takes no more memory than its ids' digests. CSV, TSV and JSONL whose first row has other
    names than ours are read as `prediction_table` says. Raises ScoreError at the end of the file with everything that
    is wrong with it (the first 20 in words), also ids that occur twice; nothing is yielded after the first problem.
    """
    if isinstance(predictions, (str, Path)):
        yield from read(Path(predictions), BOTH)
    else:
        yield from predictions


def read(path: Path, fields: Sequence[str]) -> Iterator[Prediction]:
    """Like `iterate`, of a file that need only have `fields`, "ref" or "hyp" or both; the other one is "" then."""
    if path.is_dir():
        raise ScoreError(f"{path}: is a folder; expected a file of predictions (a run is scored by --out {path})")
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; write it with `speechxfer predict`")
    from speechxfer.scoring.prediction_table import cells, given_number, spelled_number, table

    if path.suffix.lower() in DELIMITERS:
        delimiter = DELIMITERS[path.suffix.lower()]
        return checked(path, lambda: table(path, lambda: cells(path, delimiter), spelled_number, fields))
    if not path.suffix.lower().startswith(".json") and isinstance(next(objects(path), (0, {}))[1], ValueError):
        raise ScoreError(f"{path}: no JSON in its first line; expected .jsonl, .csv or .tsv; plain texts go by --ref")
    first = next((row for _, row in objects(path) if isinstance(row, dict)), {})
    if first.keys() <= Prediction.__dataclass_fields__.keys() and (not first or {"id", *BOTH} <= first.keys()):
        return checked(path, lambda: ((line, attempt(Prediction.from_row, row)) for line, row in objects(path)))
    return checked(path, lambda: table(path, lambda: objects(path), given_number, fields))


def checked(path: Path, rows: Callable[[], Iterator[tuple[int, Prediction | ValueError]]]) -> Iterator[Prediction]:
    """Predictions from (line, prediction or what is wrong there). Raises ScoreError like `iterate`.

    `rows` starts from the beginning each time it is called.
    """
    shown, wrong, seen, line = [], 0, set(), 0
    for line, row in rows():
        if isinstance(row, Prediction):
            digest = hash(row.id)  # 8 bytes instead of an id of any length
            if digest not in seen:
                seen.add(digest)
                if not wrong:
                    yield row
                continue
            if len(shown) < SHOWN:
                first = next(place for place, other in rows() if isinstance(other, Prediction) and other.id == row.id)
                if first == line:  # another id with the same digest: once in ten million files of a million lines
                    if not wrong:
                        yield row
                    continue
                row = ValueError(f"id {row.id!r} is that of line {first}; ids must be unique")
        wrong += 1
        if len(shown) < SHOWN:
            shown.append(f"{path}:{line}: {row}")
    if wrong > len(shown):
        shown.append(f"{path}: ... and {wrong - len(shown)} more")
    if not line:
        shown.append(f"{path}: found no rows; expected at least one prediction")
    if shown:
        raise ScoreError("\n".join(shown))


def attempt(make: Callable[[dict], Prediction], row: dict | ValueError) -> Prediction | ValueError:
    """What `make` makes of the row, or what is wrong with it."""
    if isinstance(row, ValueError):
        return row
    try:
        return make(row)
    except ValueError as error:
        return error


def objects(path: Path) -> Iterator[tuple[int, dict | ValueError]]:
    """(line, object) of JSONL, and an error in place of a line that makes no sense."""
    with path.open("rb") as lines:  # as bytes, so that a line that is not UTF-8 is named like any other bad line
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig").strip()
                if text:
                    yield number, _parsed(text)
            except ValueError as error:
                yield number, error


def _parsed(line: str) -> dict:
    try:
        row = json.loads(line, parse_constant=_not_a_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno}); is the line cut short?") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {type(row).__name__}")
    return row


def _not_a_number(name: str) -> None:
    raise ValueError(f"found {name}, which is not JSON; expected a finite number or no such field")
