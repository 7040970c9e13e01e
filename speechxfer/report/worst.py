"""The items that cost most, with reference and hypothesis aligned token by token."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speechxfer import text
from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction, iterate
from speechxfer.report.run import ITEMS, PREDICTIONS, RunFolder
from speechxfer.scoring.diagnosis import words
from speechxfer.scoring.edits import alignment, graphemes
from speechxfer.scoring.equivalence import Equivalences, read_equivalences
from speechxfer.scoring.items import Column, Items
from speechxfer.scoring.items_file import read_items
from speechxfer.scoring.metrics import Metric

SHOWN = 12  # items of a set
TOKENS = 150  # of an alignment; a hypothesis that ran away is cut there
KINDS = {"equal": "hit", "substitute": "substitution", "delete": "deletion", "insert": "insertion"}
EDITS = ("insertions", "deletions", "substitutions")


@dataclass(frozen=True)
class Pair:
    """One place of an alignment; an insertion has no `ref`, a deletion no `hyp`."""

    kind: Literal["hit", "substitution", "deletion", "insertion"]
    ref: str
    hyp: str


@dataclass(frozen=True)
class Item:
    """`errors` are None for a metric that does not count them; `before` is the same figure before training."""

    id: str
    source: str | None  # the sentence that was translated
    group: dict[str, str]
    direction: str  # of the reference's writing: "ltr", "rtl", or "auto" where no letter tells
    seconds: float | None
    value: float | None
    errors: int | None
    before: float | None
    pairs: tuple[Pair, ...]
    left_out: int


@dataclass(frozen=True)
class Worst:
    """Of one set of one run; `why` says why there are no items."""

    run: RunFolder
    name: str
    metric: str
    unit: str
    by_errors: bool
    items: tuple[Item, ...]
    why: str = ""


def worst(run: RunFolder, name: str) -> Worst:
    """The items with the most errors, ties by the higher rate; by their own score where the metric counts no errors."""
    try:
        items = read_items(run.path("after", name, ITEMS))
        return _worst(run, name, items)
    except (ScoreError, ConfigError) as error:
        return Worst(run, name, "", "rate", False, (), str(error))


def _worst(run: RunFolder, name: str, items: Items) -> Worst:
    metric_name = ranking(items)
    column = items.columns[metric_name]
    metric, values = column.metric, _values(column)
    before = _before(run, name, items, metric_name)
    counted = set(EDITS) <= set(metric.columns)
    errors = column.statistics[:, [metric.columns.index(one) for one in EDITS]].sum(axis=1) if counted else None
    order = _worst_first(values, errors, metric)[:SHOWN]
    rows = _rows(run, name, [items.ids[i] for i in order])
    normaliser, found = normaliser_of(column.recipe), []
    equal = equivalences_of(run, column.recipe)
    for i in order:
        row = rows[items.ids[i]]
        pairs = aligned(row, normaliser, metric.tokens, equal)
        found.append(
            Item(
                id=row.id,
                source=row.source,
                group=row.group,
                direction=direction(row.ref),
                seconds=row.seconds,
                value=_number(values[i]),
                errors=int(errors[i]) if counted else None,
                before=None if before is None else _number(before[i]),
                pairs=tuple(pairs[:TOKENS]),
                left_out=max(0, len(pairs) - TOKENS),
            )
        )
    return Worst(run, name, metric_name, metric.unit, counted, tuple(found))


def ranking(items: Items) -> str:
    """The metric by which items are ranked: the task's first, but one that means something of a single sentence.

    BLEU is 0 of any sentence that has no four words right in a row, be it right from end to end.
    """
    names = list(items.columns)
    return next((name for name in names if not name.startswith("bleu")), names[0])


def _values(column: Column) -> np.ndarray:
    """[n] the score of each item alone, NaN where its references hold no token."""
    return column.metric.value(column.statistics.astype(np.float64))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _worst_first(values: np.ndarray, errors: np.ndarray | None, metric: Metric) -> np.ndarray:
    """Indices [m] of the items with something wrong: with errors, or short of the best that the metric can say."""
    badness = np.nan_to_num(-values if metric.higher_is_better else values, nan=-np.inf)
    if errors is None:
        order = np.argsort(-badness, kind="stable")
        return order[np.abs(values[order] - metric.bounds[metric.higher_is_better]) > 1e-9]  # not of nothing to score
    order = np.lexsort((-badness, -errors))
    return order[errors[order] > 0]


def _before(run: RunFolder, name: str, after: Items, metric: str) -> np.ndarray | None:
    """[n] the same items' scores before training; None where they were not scored, or in another way."""
    path = run.path("before", name, ITEMS)
    if not path.is_file():
        return None
    before = read_items(path)
    if before.ids != after.ids or metric not in before.columns:
        return None
    column = before.columns[metric]
    return _values(column) if column.recipe == after.columns[metric].recipe else None


def _rows(run: RunFolder, name: str, ids: Sequence[str]) -> dict[str, Prediction]:
    path, wanted = run.path("after", name, PREDICTIONS), set(ids)
    rows = {row.id: row for row in iterate(path) if row.id in wanted}
    if missing := [one for one in ids if one not in rows]:
        raise ScoreError(f"{path}: no {missing[0]!r}, which was scored; score again")
    return rows


def direction(line: str) -> str:
    """Of the first letter that has one (Unicode Standard Annex 9, rule P2), as the HTML attribute `dir` names it.

    The browser's own guess would go by a wrong word that was put before the reference's first.
    """
    strong = (unicodedata.bidirectional(letter) for letter in line)
    return {"L": "ltr", "R": "rtl", "AL": "rtl"}.get(
        next((one for one in strong if one in ("L", "R", "AL")), ""), "auto"
    )


def normaliser_of(recipe: str) -> str:
    """Its full name, such as indic+latin-digits, from how a metric was scored: metric:wer|norm:indic.v2+latin-digits"""
    match = re.search(r"\|norm:([^.|]+)\.v\d+([^|]*)", recipe)
    return match[1] + match[2] if match else "none"


def equivalences_of(run: RunFolder, recipe: str) -> Equivalences | None:
    """The spellings that counted as the same. Raises ConfigError or ScoreError where they are not there any more."""
    match = re.search(r"\|equiv:([^|]+)", recipe)
    if not match:
        return None
    path = run.task.get("equivalences")
    if not path:
        raise ScoreError(f"scored with the equivalences {match[1]}, and the task names none; set them in the task")
    found = read_equivalences(path, normaliser_of(recipe))
    if found.signature != match[1]:
        raise ScoreError(f"scored with the equivalences {match[1]}, and {path} is now {found.signature}; score again")
    return found


def aligned(row: Prediction, normaliser: str, tokens: str, equal: Equivalences | None = None) -> list[Pair]:
    """The hypothesis against the reference that it is nearest to; of several as near, the longest."""

    def split(line: str) -> list[str]:
        line = text.normalise(normaliser, line)
        return _split(equal.apply(line) if equal else line, tokens)

    refs, hyp = [split(one) for one in (row.ref, *row.alternatives)], split(row.hyp)
    found = [(align(ref, hyp), len(ref)) for ref in refs]
    return min(found, key=lambda one: (sum(pair.kind != "hit" for pair in one[0]) / max(one[1], 1), -one[1]))[0]


def _split(line: str, tokens: str) -> list[str]:
    """Characters as readers see them where the metric counts characters or graphemes, words for every other.

    A word of a script without spaces is a character here, lest a sentence be one word.
    """
    return graphemes(line) if tokens in ("chars", "graphemes") else words(line)


def align(ref: Sequence[str], hyp: Sequence[str]) -> list[Pair]:
    """The alignment that the errors were counted by."""
    return [Pair(KINDS[kind], left or "", right or "") for kind, left, right in alignment(ref, hyp)]
