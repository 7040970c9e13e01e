"""items.npz beside scores.json: statistics, ids and groups of every item, to compare systems without their texts."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from speechxfer.atomic import replacing
from speechxfer.errors import ScoreError
from speechxfer.scoring import metrics as metric_names
from speechxfer.scoring.items import Column, Items, Labels
from speechxfer.scoring.metrics import Metric

FORMAT = 1


def items_path(scores: str | Path) -> Path:
    """test.scores.json -> test.items.npz; x.json -> x.items.npz: where the items of these scores are kept."""
    scores = Path(scores)
    return scores.with_name(scores.name.removesuffix(".json").removesuffix(".scores") + ".items.npz")


def write_items(path: str | Path, items: Items) -> None:
    """Write items.npz whole or not at all."""
    head = {
        "format": FORMAT,
        "ids": items.ids,
        "origin": items.origin,
        "metrics": {name: [column.metric.tokens, column.recipe] for name, column in items.columns.items()},
        "groups": {key: labels.values for key, labels in items.groups.items()},
    }
    arrays = {"head": np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), dtype=np.uint8)}
    for i, column in enumerate(items.columns.values()):
        arrays |= {f"statistics{i}": column.statistics, f"refs{i}": column.refs}
    arrays |= {f"codes{i}": labels.codes for i, labels in enumerate(items.groups.values())}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_items(path: str | Path) -> Items:
    """Read items.npz. Raises ScoreError for a file that is missing, or that `write_items` did not write."""
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; `speechxfer score` writes it beside the scores: score again")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != FORMAT:
                raise ScoreError(f"{path}: format {head['format']}; expected {FORMAT}: score again")
            columns = {
                name: Column(_restored(name, tokens), arrays[f"statistics{i}"], arrays[f"refs{i}"], recipe)
                for i, (name, (tokens, recipe)) in enumerate(head["metrics"].items())
            }
            groups = {
                key: Labels(tuple(values), arrays[f"codes{i}"])
                for i, (key, values) in enumerate(head["groups"].items())
            }
            return Items(tuple(head["ids"]), columns, groups, head["origin"])
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ScoreError(f"{path}: {error}; expected the file that `speechxfer score` writes: score again") from None


def _restored(name: str, tokens: str) -> Metric:
    if tokens == metric_names.SEGMENTS:  # whatever the name: another program's chrf may have come with the predictions
        return metric_names.column(name)
    return replace(metric_names.find(name, ()), tokens=tokens)
