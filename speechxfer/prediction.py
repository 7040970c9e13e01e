"""One line of predictions.jsonl: the seam of the package.

Left of it stands a model and maybe a GPU; right of it there is only text. So this module knows no torch.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from speechxfer.errors import ScoreError


@dataclass(frozen=True)
class Prediction:
    """What a model wrote for one example, with all that scoring needs.

    `seconds` is the length of the audio; `confidence` lies in 0..1; `words` are (word, start, end) in
    seconds. The three are None or empty where the model or the data does not have them.
    """

    id: str
    ref: str
    hyp: str
    group: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    confidence: float | None = None
    words: tuple[tuple[str, float, float], ...] = ()

    def to_json(self) -> str:
        """Raises ValueError where a number is not finite: the file would not be JSON."""
        row = {key: value for key, value in asdict(self).items() if value not in (None, {}, ())}
        return json.dumps(row | {"ref": self.ref, "hyp": self.hyp}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Prediction":
        """Raises ValueError with what is wrong with the line."""
        try:
            row = json.loads(line.strip(), parse_constant=_not_a_number)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} (column {error.colno}); is the line cut short?") from None
        if not isinstance(row, dict):
            raise ValueError(f"expected an object, found {type(row).__name__}")
        for key in ("id", "ref", "hyp"):
            if not isinstance(row.get(key), str):
                raise ValueError(f"{key} is {row.get(key)!r}; expected a string")
        unknown = row.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}; expected {list(cls.__dataclass_fields__)}")
        group = row.get("group", {})
        if not isinstance(group, dict) or not all(isinstance(value, str) for value in group.values()):
            raise ValueError(f'group is {group!r}; expected names and strings, such as {{"accent": "scottish"}}')
        for key, top in (("seconds", math.inf), ("confidence", 1)):
            value = row.get(key)
            if value is not None and not (_is_number(value) and 0 <= value <= top):
                raise ValueError(f"{key} is {value!r}; expected a number from 0" + (f" to {top}" if top == 1 else ""))
        words = row.pop("words", ())
        if not isinstance(words, (list, tuple)) or not all(map(_is_word, words)):
            raise ValueError(f"words is {words!r}; expected a list of [word, start, end] in seconds")
        return cls(words=tuple((word, float(start), float(end)) for word, start, end in words), **row)


def _not_a_number(name: str) -> None:
    raise ValueError(f"found {name}, which is not JSON; expected a finite number or no such field")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_word(word: object) -> bool:
    return isinstance(word, list) and len(word) == 3 and isinstance(word[0], str) and all(map(_is_number, word[1:]))


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read predictions.jsonl. Raises ScoreError with every bad line and every id that occurs twice."""
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; write it with `speechxfer predict`")
    predictions, problems, line_of = [], [], {}
    with path.open("rb") as lines:  # as bytes, so that a line that is not UTF-8 is named like any other bad line
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                prediction = Prediction.from_json(line.decode("utf-8-sig"))
            except ValueError as error:
                problems.append(f"{path}:{number}: {error}")
                continue
            first = line_of.setdefault(prediction.id, number)
            if first != number:
                problems.append(f"{path}:{number}: id {prediction.id!r} is that of line {first}; ids must be unique")
            predictions.append(prediction)
    if problems:
        raise ScoreError("\n".join(problems))
    return predictions


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions.jsonl whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(p.to_json() + "\n" for p in predictions)
    partial.replace(path)


def iterate(predictions: str | Path | Iterable[Prediction]) -> Iterator[Prediction]:
    """Predictions from a file's path or from memory."""
    if isinstance(predictions, (str, Path)):
        yield from read_predictions(predictions)
    else:
        yield from predictions
