"""What scoring needs of every item: a metric's sufficient statistics, who belongs together, and no text.

A corpus's score is a function of the sum of its items' statistics. So the texts are read once, in bounded memory, and
everything after that (scores, groups, intervals, comparisons, the gate) is sums over rows of these arrays. They are
kept in a small file beside scores.json (`items_file`), and two systems can be compared without their texts.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import numpy as np

from speechxfer import text
from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction, iterate
from speechxfer.receipt import read_receipt
from speechxfer.scoring import metrics as metric_names
from speechxfer.scoring.bands import UNGROUPED, bands
from speechxfer.scoring.equivalence import Equivalences
from speechxfer.scoring.glossary import Glossary
from speechxfer.scoring.metrics import Metric
from speechxfer.scoring.survival import Numerals
from speechxfer.scoring.transcripts import Pairs

CLUSTERS = ("speaker", "recording", "document")  # the first that every item has, two values or more; else the utterance
VERBATIM = "nfc"  # the normaliser of metrics that score the text as it is
FEW = 10  # items: a smaller group is neither the best nor the worst of its key
CHUNK = 4096  # items whose texts are in memory at a time


@dataclass(frozen=True)
class Column:
    """One metric on every item."""

    metric: Metric
    statistics: np.ndarray  # [n, k], the metric's `columns`
    refs: np.ndarray  # [n] uint64, digests of id and references (and source, if read) as they were scored
    recipe: str  # how: metric, normaliser, tokens; the signature without the references

    def signature(self, index: np.ndarray) -> str:
        """What must agree for two scores of these items [m] to be compared. Their order does not matter."""
        return f"{self.recipe}|refs:{int(self.refs[index].sum(dtype=np.uint64)):016x}"


@dataclass(frozen=True)
class Labels:
    """The value of one group key for every item: values[codes[i]]."""

    values: tuple[str, ...]  # in the order in which they are shown
    codes: np.ndarray  # [n]


@dataclass(frozen=True)
class Items:
    """Items in the order of their ids."""

    ids: tuple[str, ...]
    columns: dict[str, Column]  # by metric
    groups: dict[str, Labels]  # by key; among them the bands `length` and `duration`
    origin: str  # the file that they came from and the checkpoint that wrote it, as far as they are known

    def members(self, group: str | None) -> np.ndarray:
        """Indices [m] of a group such as "accent=scottish"; None: of all. Raises ScoreError for no such group."""
        if group is None:
            return np.arange(len(self.ids))
        key, _, value = group.partition("=")
        names = [f"{key}={value}" for key, labels in self.groups.items() for value in labels.values]
        if group not in names:
            near = get_close_matches(group, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"found the keys {', '.join(self.groups) or '(none)'}"
            raise ScoreError(f"no group {group!r}; {hint}")
        labels = self.groups[key]
        return np.flatnonzero(labels.codes == labels.values.index(value))

    def sizeable(self, key: str) -> list[str]:
        """The key's groups, "accent=scottish", that are large enough to be called best or worst; all if none is."""
        labels = self.groups[key]
        sizes = np.bincount(labels.codes, minlength=len(labels.values))
        names = [f"{key}={value}" for value in labels.values]
        return [name for name, size in zip(names, sizes, strict=True) if size >= FEW] or names

    def clusters(self, index: np.ndarray) -> tuple[str, np.ndarray]:
        """What to resample among the items [m], and the number of each item's cluster [m], from 0.

        Items of one speaker go wrong together. Where there is one speaker only, the items are what varies.
        """
        for key in CLUSTERS:
            labels = self.groups.get(key)
            if labels and UNGROUPED not in labels.values:
                values, codes = np.unique(labels.codes[index], return_inverse=True)
                if len(values) > 1:
                    return key, codes
        return "utterance", np.arange(len(index))

    def totals(self, metric: str, index: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """[clusters, k]: the metric's statistics of the items [m], summed over each cluster."""
        statistics = self.columns[metric].statistics[index]
        if len(codes) and codes[-1] == len(codes) - 1 and (np.diff(codes) == 1).all():
            return statistics.astype(np.float64)  # every item is its own cluster
        sums = [np.bincount(codes, column) for column in statistics.T]
        return np.stack(sums, axis=1)


def extract(
    predictions: str | Path | Iterable[Prediction],
    metrics: Sequence[str],
    normaliser: str,
    equivalences: Equivalences | None = None,
    glossary: Glossary | None = None,
) -> Items:
    """Read predictions once and keep their statistics.

    `metrics` are names of `metrics.METRICS`, or of scores that the predictions carry. Error rates are counted on texts
    as `normaliser` and `equivalences` leave them; the metrics of translation on the text as it is, in NFC.
    `kept` (to which equivalences are numbers in words) and `glossary` (whose terms are given) read the source too.

    Raises ConfigError for an unknown metric, or the metric `glossary` without one; ScoreError for no predictions, a
    broken one, an id that occurs twice, or an item without the source or the score that it was asked for.
    """
    if not metrics:
        raise ConfigError(f"no metrics; expected some of {', '.join(metric_names.METRICS)}")
    where = f"{predictions}: " if isinstance(predictions, (str, Path)) else ""
    names = tuple(dict.fromkeys(metrics))
    prepared: dict[str, Metric] = {}
    ids, lengths, seconds = [], [], []
    statistics, digests = {name: [] for name in names}, {name: [] for name in names}
    labels: dict[str, tuple[dict[str, int], list[int]]] = {}
    checked = _checked(iterate(predictions), where)
    while rows := list(islice(checked, CHUNK)):
        if not prepared:
            numerals = Numerals(normaliser, equivalences) if equivalences else None
            prepared = {name: _prepare(name, rows, numerals, glossary) for name in names}
        read = {normaliser: {"references"}}  # for the bands
        for metric in prepared.values():
            read.setdefault(_style(metric, normaliser), set()).update(metric.reads)
        scored = {
            style: _texts(rows, style, kinds, equivalences if style != VERBATIM else None)
            for style, kinds in read.items()
        }
        digest, counted = {}, {}  # wer, mer and wil are three views of the same counts
        for name, metric in prepared.items():
            style = _style(metric, normaliser)
            key = (metric.statistics, style, name if _is_given(metric) else "")
            if key not in counted:
                counted[key] = _compact(_statistics(metric, rows, scored[style], where))
            fixed = (style, *(texts for texts in metric.reads if texts != "hypotheses"))
            if fixed not in digest:
                digest[fixed] = _digests(rows, scored[style], fixed)
            statistics[name].append(counted[key])
            digests[name].append(digest[fixed])
        _label(labels, rows, len(ids))
        ids += [row.id for row in rows]
        lengths += [(len(refs[0].split()), len(refs[0])) for refs in scored[normaliser]["references"]]
        seconds += [np.nan if row.seconds is None else row.seconds for row in rows]
    if not ids:
        raise ScoreError(f"{where}no predictions; expected at least one")

    order = sorted(range(len(ids)), key=ids.__getitem__)
    twice = sorted({ids[i] for i, j in zip(order, order[1:], strict=False) if ids[i] == ids[j]})
    if twice:
        raise ScoreError(f"{where}{len(twice)} ids occur more than once ({_first(twice)}); ids must be unique")
    order = np.array(order)
    columns = {
        name: Column(
            metric,
            np.concatenate(statistics[name])[order],
            np.concatenate(digests[name])[order],
            _recipe(metric, normaliser, equivalences),
        )
        for name, metric in prepared.items()
    }
    groups = {key: _in_order(*labels[key], len(ids), order) for key in sorted(labels)}
    for key, (values, codes) in bands(np.array(lengths), np.array(seconds)).items():
        groups.setdefault(key, Labels(values, codes[order]))
    return Items(tuple(ids[i] for i in order), columns, groups, _origin(predictions))


def _origin(predictions: str | Path | Iterable[Prediction]) -> str:
    file = predictions.hyp if isinstance(predictions, Pairs) else predictions
    if not isinstance(file, (str, Path)):
        return ""
    made = read_receipt(file)
    return f"from:{file}" + (f"|checkpoint:{made['checkpoint']}@{made['weights'][:12]}" if made else "")


def _checked(rows: Iterator[Prediction], where: str) -> Iterator[Prediction]:
    """Predictions from Python may hold anything; those of a file were checked when they were read."""
    problems = []
    for place, row in enumerate(rows, 1):
        wrong = [name for name in ("id", "ref", "hyp") if not isinstance(getattr(row, name), str)]
        problems += [
            f"{where}prediction {place}: {name} is {getattr(row, name)!r}; expected a string" for name in wrong
        ]
        if not isinstance(row.group, dict) or not all(isinstance(x, str) for item in row.group.items() for x in item):
            problems.append(f"{where}prediction {place}: group is {row.group!r}; expected strings")
        if row.source is not None and not isinstance(row.source, str):
            problems.append(f"{where}prediction {place}: source is {row.source!r}; expected a string")
        if not problems:
            yield row
    if problems:
        raise ScoreError("\n".join(problems))


def _prepare(name: str, rows: Sequence[Prediction], numerals: Numerals | None, glossary: Glossary | None) -> Metric:
    given = dict.fromkeys(score for row in rows for score in row.scores)
    if name in given:
        return metric_names.column(name)
    if name == "kept":
        return metric_names.kept(numerals)
    if name == "glossary":
        return metric_names.terms(glossary)
    return metric_names.find(name, [ref for row in rows for ref in (row.ref, *row.alternatives)], tuple(given))


def _style(metric: Metric, normaliser: str) -> str:
    return VERBATIM if metric.verbatim else normaliser


def _texts(
    rows: Sequence[Prediction], style: str, kinds: Collection[str], equivalences: Equivalences | None
) -> dict[str, list]:
    """Those `kinds` of texts that a metric reads, as they are scored; None for a source that there is not."""

    def written(one: str) -> str:
        one = text.normalise(style, one)
        return equivalences.apply(one) if equivalences else one

    of_row: dict[str, Callable[[Prediction], object]] = {
        "references": lambda row: tuple(map(written, (row.ref, *row.alternatives))),
        "hypotheses": lambda row: written(row.hyp),
        "sources": lambda row: None if row.source is None else written(row.source),
    }
    return {kind: [of_row[kind](row) for row in rows] for kind in kinds}


def _digests(rows: Sequence[Prediction], texts: dict[str, list], fixed: Sequence[str]) -> np.ndarray:
    """[n] uint64: of ids and those of references and sources that are among the `fixed`."""
    given = [list(refs) for refs in texts["references"]] if "references" in fixed else [[] for _ in rows]
    if "sources" in fixed:
        given = [[*refs, source] for refs, source in zip(given, texts["sources"], strict=True)]
    joined = (json.dumps([row.id, *one]).encode() for row, one in zip(rows, given, strict=True))
    digests = b"".join(hashlib.blake2b(one, digest_size=8).digest() for one in joined)
    return np.frombuffer(digests, dtype="<u8")


def _statistics(metric: Metric, rows: Sequence[Prediction], texts: dict[str, list], where: str) -> np.ndarray:
    if "sources" in metric.reads:
        lacking = [row.id for row in rows if row.source is None]
        if lacking:
            found = f"{len(lacking)} items have no source, which {metric.name!r} needs ({_first(lacking)})"
            raise ScoreError(f"{where}{found}; expected the sentence that was translated with each")
    if not _is_given(metric):
        return metric.statistics(*(texts[name] for name in metric.reads))
    lacking = [row.id for row in rows if metric.name not in row.scores]
    if lacking:
        raise ScoreError(
            f"{where}{len(lacking)} items have no score {metric.name!r} ({_first(lacking)}); expected one for each"
        )
    return np.array([[row.scores[metric.name], 1.0] for row in rows])


def _first(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (" ..." if len(ids) > 5 else "")


def _is_given(metric: Metric) -> bool:
    """Whether the scores came with the predictions."""
    return metric.columns == metric_names.column(metric.name).columns


def _compact(statistics: np.ndarray) -> np.ndarray:
    """Counts need four bytes, not eight."""
    whole = statistics.astype(np.int32)
    return whole if np.array_equal(whole, statistics) else statistics


def _recipe(metric: Metric, normaliser: str, equivalences: Equivalences | None) -> str:
    norm = text.signature(_style(metric, normaliser))
    equal = f"|equiv:{equivalences.signature}" if equivalences and not metric.verbatim else ""
    return f"metric:{metric.name}|norm:{norm}{equal}|tok:{metric.tokens}"


def _label(labels: dict, rows: Sequence[Prediction], done: int) -> None:
    """Number the values of every key as they come up; items before a key's first have the number 0, "(none)"."""
    for key in {key for row in rows for key in row.group}:
        numbers, codes = labels.setdefault(key, ({UNGROUPED: 0}, []))
        codes += [0] * (done - len(codes))
        codes += [numbers.setdefault(row.group.get(key, UNGROUPED), len(numbers)) for row in rows]


def _in_order(numbers: dict[str, int], codes: list[int], n: int, order: np.ndarray) -> Labels:
    codes = np.array(codes + [0] * (n - len(codes)))
    present = sorted((name for name, number in numbers.items() if number or (codes == 0).any()))
    place = np.zeros(len(numbers), dtype=np.int32)
    for i, name in enumerate(present):
        place[numbers[name]] = i
    return Labels(tuple(present), place[codes][order])


def expect_same(before: Items, after: Items, metric: str) -> None:
    """Raise ScoreError, with the ids, unless both hold this metric of the same items and references."""
    for name, one in (("before", before), ("after", after)):
        if metric not in one.columns:
            raise ScoreError(f"{name}: no metric {metric!r}; found {', '.join(one.columns)}")
    if before.ids != after.ids:
        first, second = set(before.ids), set(after.ids)
        differ = [
            f"{len(ids)} only {name} ({_first(sorted(ids))})"
            for name, ids in (("before", first - second), ("after", second - first))
            if ids
        ]
        raise ScoreError(f"the two are not of the same items: {'; '.join(differ)}; predict the same manifest with both")
    one, two = before.columns[metric], after.columns[metric]
    if one.recipe != two.recipe:
        raise ScoreError(f"{metric} was counted in two ways: {one.recipe} before, {two.recipe} after; score both again")
    other = np.flatnonzero(one.refs != two.refs)
    if len(other):
        shown = _first([before.ids[i] for i in other])
        raise ScoreError(f"{len(other)} items have other references before than after ({shown}); score both again")
