"""Predictions in, scores out: the corpus's figures by every metric, by group, each with an interval and a signature.

Statistics are summed over items before anything is divided, so a long utterance weighs more than a short one and the
scores of parts add up to the score of the whole. Intervals resample clusters (speakers, where the data names them).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

import numpy as np

from speechxfer.atomic import replacing
from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction
from speechxfer.scoring.equivalence import Equivalences
from speechxfer.scoring.glossary import Glossary
from speechxfer.scoring.interval import interval, resample
from speechxfer.scoring.items import CLUSTERS, FEW, Column, Items, extract
from speechxfer.scoring.metrics import Metric

CONFIDENCE, RESAMPLES = 0.95, 2000
MANY = 50  # values of a key: more than these get neither intervals of their own nor a gap


@dataclass(frozen=True)
class Gap:
    """How much worse the worst group of a key is than its best, >= 0, in the metric's unit."""

    value: float
    low: float | None
    high: float | None
    worst: str  # "scottish"
    best: str


@dataclass(frozen=True)
class Score:
    """One metric on one set of items, or on one group of them.

    `value`, `low` and `high` are fractions where `unit` is "rate" (0.12 is 12 %), the library's figures where it is
    "points". `value` is None where the references hold no token, `low` and `high` where there is no honest interval;
    `note` says why. `n` counts items, `clusters` what was resampled, which `cluster` names ("speaker", "utterance").
    `sums` are the metric's statistics by name, such as insertions. Two scores may be compared where `signature` is the
    same; `origin` says which versions and which resampling gave the numbers. `groups` is keyed "accent=scottish",
    `gaps` "accent"; a group's own are empty.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    n: int
    cluster: str
    clusters: int
    sums: dict[str, float]
    unit: str
    higher_is_better: bool
    signature: str
    origin: str
    note: str = ""
    groups: dict[str, "Score"] = field(default_factory=dict)
    gaps: dict[str, Gap] = field(default_factory=dict)

    def worst(self, key: str) -> "Score | None":
        """The worst of the key's groups that have a value and 10 items or more (or of all, where none has)."""
        judged = [one for name, one in self.groups.items() if _key(name) == key and one.value is not None]
        judged = [one for one in judged if one.n >= FEW] or judged
        return (min if self.higher_is_better else max)(judged, key=lambda one: one.value, default=None)


def score(
    predictions: str | Path | Iterable[Prediction],
    metrics: Sequence[str] = ("wer", "cer"),
    normaliser: str = "basic",
    equivalences: Equivalences | None = None,
    glossary: Glossary | None = None,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> dict[str, Score]:
    """Score a predictions file, or predictions in memory, by every metric; the result is keyed by metric.

    The texts are read by `items.extract`, the figures are those of `summarise`; both say what they raise.
    """
    items = extract(predictions, metrics, normaliser, equivalences, glossary)
    return summarise(items, groups=groups, seed=seed, resamples=resamples, confidence=confidence)


def summarise(
    items: Items,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> dict[str, Score]:
    """The scores of items by every metric that they have, broken down by `groups`: all keys and bands when None.

    Intervals resample speakers (recordings, documents) where every item names one, and do so within each group; a
    group of one speaker resamples its items. Raises ConfigError for a setting or key that is not there; ScoreError
    where no reference has a token. (That no source has anything to keep is no mistake: the value is None then.)
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}; expected at least 1 ({RESAMPLES} is usual)")
    keys = _group_keys(items, groups)
    everyone = items.members(None)

    def one(column: Column, index: np.ndarray, *, spread: bool = True, **parts: dict) -> Score:
        metric = column.metric
        cluster, codes = items.clusters(index)
        totals = items.totals(metric.name, index, codes)
        sums = totals.sum(axis=0)
        value, ends = float(metric.value(sums)), None
        if spread and not math.isnan(value):
            ends = interval(metric.value(resample(totals, resamples=resamples, seed=seed)), len(totals), confidence)
        made_by = "|".join(f"{name}:{version(name)}" for name in dict.fromkeys((metric.counter, "speechxfer")))
        return Score(
            metric=metric.name,
            value=None if math.isnan(value) else value,
            low=ends and max(ends[0], metric.bounds[0]),  # of a few clusters an interval may reach beyond
            high=ends and min(ends[1], metric.bounds[1]),
            confidence=confidence,
            n=len(index),
            cluster=cluster,
            clusters=len(totals),
            sums={name: _whole(total) for name, total in zip(metric.columns, sums.tolist(), strict=True)},
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            signature=column.signature(index),
            origin=f"{made_by}|bootstrap:{resamples}|seed:{seed}" + (f"|{items.origin}" if items.origin else ""),
            note="" if ends else _why_no_interval(metric, value, cluster, len(totals), spread),
            **parts,
        )

    scores = {}
    for name, column in items.columns.items():
        by_group, gaps = {}, {}
        for key in keys:
            few = len(items.groups[key].values) <= MANY
            parts = {f"{key}={value}": items.members(f"{key}={value}") for value in items.groups[key].values}
            by_group |= {group: one(column, index, spread=few) for group, index in parts.items()}
            if few and key not in CLUSTERS:
                gap = _gap(items, column, key, seed, resamples, confidence)
                gaps |= {key: gap} if gap else {}
        scores[name] = one(column, everyone, groups=by_group, gaps=gaps)
        if scores[name].value is None and not column.metric.sparse:
            raise ScoreError(
                f"{name}: none of the {len(everyone)} references has any {column.metric.tokens} after normalising "
                f"({column.recipe}), so there is no score; expected references with text (is it the right normaliser?)"
            )
    return scores


def _gap(items: Items, column: Column, key: str, seed: int, resamples: int, confidence: float) -> Gap | None:
    """Between the group that is worst in the data and the one that is best; the interval takes those two as given."""
    metric = column.metric
    names = items.sizeable(key)
    members = [items.members(name) for name in names]
    values = np.array([metric.value(column.statistics[index].sum(axis=0, dtype=float)) for index in members])
    judged = np.flatnonzero(~np.isnan(values))
    if len(judged) < 2:
        return None
    ordered = judged[np.argsort(values[judged], kind="stable")]
    best, worst = (ordered[-1], ordered[0]) if metric.higher_is_better else (ordered[0], ordered[-1])
    gap = float(values[worst] - values[best])
    # a cluster may speak in both groups, so they are resampled together
    index = np.concatenate([members[worst], members[best]])
    codes = items.clusters(index)[1]
    first = np.arange(len(index)) < len(members[worst])
    statistics = items.columns[metric.name].statistics[index]
    wide = np.concatenate([statistics * first[:, None], statistics * ~first[:, None]], axis=1)
    clusters = min(len(np.unique(codes[first])), len(np.unique(codes[~first])))
    totals = np.stack([np.bincount(codes, one) for one in wide.T], axis=1)
    drawn = resample(totals, resamples=resamples, seed=seed)
    k = len(metric.columns)
    difference = metric.value(drawn[:, :k]) - metric.value(drawn[:, k:])
    samples = -difference if metric.higher_is_better else difference
    low, high = interval(samples, clusters, confidence) or (None, None)
    worst, best = (names[i].partition("=")[2] for i in (worst, best))
    return Gap(abs(gap), low, high, worst, best)


def _group_keys(items: Items, wanted: Sequence[str] | None) -> list[str]:
    found = list(items.groups)
    if wanted is None:
        return found
    for key in wanted:
        if key not in found:
            near = get_close_matches(key, found, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"found {', '.join(found) or 'no keys at all'}"
            raise ConfigError(f"no item has the group key {key!r}; {hint}")
    return list(dict.fromkeys(wanted))


def _key(group: str) -> str:
    return group.partition("=")[0]


def _whole(total: float) -> float | int:
    return int(total) if total.is_integer() else total


def _why_no_interval(metric: Metric, value: float, cluster: str, clusters: int, spread: bool) -> str:
    if math.isnan(value) and metric.sparse:
        return "no source has anything that is counted: no score"
    if math.isnan(value):
        return "the references are empty: no score"
    if not spread:
        return f"more than {MANY} groups: no intervals"
    if clusters == 1:
        return f"only one {cluster}: no interval"
    return f"the score is the same whichever {cluster}s are drawn: no interval"


def write_scores(path: str | Path, scores: Mapping[str, Score]) -> None:
    """Write scores.json whole or not at all."""
    rows = {name: asdict(one) for name, one in scores.items()}
    with replacing(path) as partial:
        partial.write_text(json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def read_scores(path: str | Path) -> dict[str, Score]:
    """Read scores.json. Raises ScoreError that names the file, the score and the field that is wrong."""
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; write it with `speechxfer score`")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ScoreError(f"{path}: {error}; expected the JSON that `speechxfer score` writes") from None
    if not isinstance(rows, dict) or not rows:
        raise ScoreError(f"{path}: expected an object with a score for each metric")
    return {name: _from_row(row, f"{path}: {name}") for name, row in rows.items()}


def _from_row(row: object, where: str) -> Score:
    _expect_fields(row, Score, where)
    _expect_numbers(row, ("value", "low", "high"), where, optional=True)
    _expect_numbers(row, ("confidence",), where)
    kinds = {"n": int, "clusters": int, "groups": dict, "gaps": dict, "sums": dict, "higher_is_better": bool}
    for name, kind in {**kinds, "cluster": str, "signature": str, "unit": str}.items():
        if not isinstance(row[name], kind):
            raise ScoreError(f"{where}: {name} is {row[name]!r}; expected {kind.__name__}")
    _expect_numbers(row["sums"], row["sums"], f"{where}.sums")
    groups = {name: _from_row(group, f"{where}[{name}]") for name, group in row["groups"].items()}
    gaps = {}
    for key, gap in row["gaps"].items():
        _expect_fields(gap, Gap, f"{where}[{key}].gap")
        _expect_numbers(gap, ("value",), f"{where}[{key}].gap")
        _expect_numbers(gap, ("low", "high"), f"{where}[{key}].gap", optional=True)
        gaps[key] = Gap(**gap)
    return Score(**row | {"groups": groups, "gaps": gaps})


def _expect_numbers(row: Mapping[str, object], names: Iterable[str], where: str, optional: bool = False) -> None:
    for name in names:
        value = row[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number and not (optional and value is None):
            raise ScoreError(f"{where}: {name} is {value!r}; expected a finite number")


def _expect_fields(row: object, kind: type, where: str) -> None:
    if not isinstance(row, dict):
        raise ScoreError(f"{where}: found {type(row).__name__}; expected an object")
    names = {one.name for one in fields(kind)}
    missing, unknown = sorted(names - row.keys()), sorted(row.keys() - names)
    if missing or unknown:
        raise ScoreError(f"{where}: missing fields {missing}, unknown fields {unknown}; score again")
