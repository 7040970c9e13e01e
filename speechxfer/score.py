"""Predictions in, scores out: the corpus's error rates, by group, each with an interval and a signature.

Errors and reference lengths are summed over utterances before they are divided, so a long utterance weighs
more than a short one and the scores of parts add up to the score of the whole.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from speechxfer import text
from speechxfer.errors import ConfigError, ScoreError
from speechxfer.interval import bootstrap
from speechxfer.prediction import Prediction, iterate

CLUSTERS = ("speaker", "recording", "document")  # the first that every prediction has; else the utterance
UNGROUPED = "(none)"  # the group of predictions that lack a key, so that a key's groups add up to the whole
TABLE_GROUPS = 50  # a key with more values than this is left to the JSON file


@dataclass(frozen=True)
class Counts:
    """Edits that turn references into hypotheses, and the references' length in tokens. Counts add.

    Raises ScoreError for counts that no pair of texts has: negative or broken numbers, or more reference
    tokens deleted and substituted than there are.
    """

    insertions: int
    deletions: int
    substitutions: int
    length: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 0:
                raise ScoreError(f"{name} is {value!r}; expected a whole number >= 0")
        if self.deletions + self.substitutions > self.length:
            raise ScoreError(
                f"{self.deletions} deletions and {self.substitutions} substitutions in {self.length} reference tokens; "
                "expected no more than there are tokens"
            )

    @classmethod
    def zero(cls) -> "Counts":
        return cls(0, 0, 0, 0)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.length + other.length,
        )

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """errors / length. May exceed 1. With no reference token it is the number of insertions, as in jiwer 4."""
        return self.errors / max(self.length, 1)


@dataclass(frozen=True)
class Metric:
    """`count` takes a normalised reference and hypothesis; `tokens` says what it counts, `library` who counts."""

    tokens: str
    library: str
    count: Callable[[str, str], Counts]


def count_words(ref: str, hyp: str) -> Counts:
    import jiwer

    return _from_jiwer(jiwer.process_words(ref, hyp))


def count_characters(ref: str, hyp: str) -> Counts:
    """Spaces between words are characters; those at the ends are not."""
    import jiwer

    return _from_jiwer(jiwer.process_characters(ref, hyp))


def _from_jiwer(output) -> Counts:
    return Counts(
        insertions=output.insertions,
        deletions=output.deletions,
        substitutions=output.substitutions,
        length=output.hits + output.substitutions + output.deletions,
    )


METRICS: dict[str, Metric] = {
    "wer": Metric("words", "jiwer", count_words),
    "cer": Metric("chars", "jiwer", count_characters),
}


@dataclass(frozen=True)
class Score:
    """One metric on one set of predictions, or on one group of them.

    `value`, `low` and `high` are fractions (0.12 is 12 %). `value` is None where the references hold no token,
    `low` and `high` where there is no honest interval; `note` says why. `n` counts utterances, `clusters` what
    was resampled, which `cluster` names ("speaker", "utterance"). Two scores may be compared where `signature`
    is the same; `origin` says which versions and which resampling gave the numbers. `groups` is keyed
    "accent=scottish"; a group's own `groups` is empty.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    n: int
    cluster: str
    clusters: int
    counts: Counts
    signature: str
    origin: str
    note: str = ""
    groups: dict[str, "Score"] = field(default_factory=dict)


def count(metric: str, ref: str, hyp: str) -> Counts:
    """The counts of one pair of texts, which are taken as they are. Raises ConfigError for an unknown metric."""
    return _metric(metric).count(ref, hyp)


def score(
    predictions: str | Path | Iterable[Prediction],
    metrics: Sequence[str] = ("wer", "cer"),
    normaliser: str = "basic",
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Score]:
    """Score a predictions.jsonl, or predictions in memory, by every metric; the result is keyed by metric.

    References and hypotheses are normalised alike, by the name of a normaliser of `text`. `groups` are the
    group keys to break down by: all that occur when None. Intervals resample speakers where every prediction
    names one, and do so within each group. The order of the predictions does not matter.

    Raises ConfigError for an unknown metric or setting; ScoreError where there is nothing to score, a
    prediction is broken, or no reference has a token.
    """
    chosen = {name: _metric(name) for name in metrics}
    if not chosen:
        raise ConfigError(f"no metrics; expected some of {', '.join(METRICS)}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}; expected at least 1 (1000 is usual)")
    rows = _checked(predictions)
    keys = _group_keys(rows, groups)

    # 1. Normalise, and count each different pair once.
    normalise = cache(lambda string: text.normalise(normaliser, string))
    refs = [normalise(row.ref) for row in rows]
    pairs = list(zip(refs, (normalise(row.hyp) for row in rows), strict=True))
    edits = {}  # metric -> [predictions, 4]: the fields of Counts
    for name, metric in chosen.items():
        of_pair = {pair: metric.count(*pair) for pair in set(pairs)}
        edits[name] = np.array([list(vars(of_pair[pair]).values()) for pair in pairs], dtype=np.int64)

    # 2. Who belongs together: the clusters that are resampled, and the groups.
    cluster = next((key for key in CLUSTERS if all(key in row.group for row in rows)), "utterance")
    names = [row.id if cluster == "utterance" else row.group[cluster] for row in rows]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    cluster_of = np.array([number[name] for name in names])
    members = {f"{key}={value}": index for key in keys for value, index in _split(rows, key).items()}

    # 3. Scores of the groups and of the whole.
    norm, product = text.signature(normaliser), f"speechxfer:{version('speechxfer')}|bootstrap:{resamples}|seed:{seed}"
    recipe = {name: f"metric:{name}|norm:{norm}|tok:{metric.tokens}" for name, metric in chosen.items()}
    origin = {name: f"{metric.library}:{version(metric.library)}|{product}" for name, metric in chosen.items()}

    def one(name: str, index: np.ndarray, groups: dict[str, Score]) -> Score:
        counts = Counts(*edits[name][index].sum(axis=0).tolist())
        totals = _totals(edits[name][index], cluster_of[index])
        interval = bootstrap(totals, seed=seed, resamples=resamples, confidence=confidence) if counts.length else None
        low, high = interval or (None, None)
        note = "" if interval else _why_no_interval(counts, cluster, len(totals))
        digest = hashlib.sha256(json.dumps([(rows[i].id, refs[i]) for i in index]).encode()).hexdigest()[:12]
        return Score(
            metric=name,
            value=counts.rate if counts.length else None,
            low=low,
            high=high,
            confidence=confidence,
            n=len(index),
            cluster=cluster,
            clusters=len(totals),
            counts=counts,
            signature=f"{recipe[name]}|refs:{digest}",
            origin=origin[name],
            note=note,
            groups=groups,
        )

    scores = {}
    for name, metric in chosen.items():
        if not edits[name][:, 3].any():
            raise ScoreError(
                f"none of the {len(rows)} references has any {metric.tokens} after the normaliser {normaliser!r}, "
                "so there is no rate; expected references with text (is it the right normaliser for this script?)"
            )
        by_group = {group: one(name, index, {}) for group, index in members.items()}
        scores[name] = one(name, np.arange(len(rows)), by_group)
    return scores


def _metric(name: str) -> Metric:
    if name not in METRICS:
        near = get_close_matches(name, METRICS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(METRICS)}"
        raise ConfigError(f"no metric {name!r}; {hint}")
    return METRICS[name]


def _checked(predictions: str | Path | Iterable[Prediction]) -> list[Prediction]:
    """Sorted by id, so that nothing depends on the order in which a model wrote them."""
    rows = list(iterate(predictions))
    where = f"{predictions}: " if isinstance(predictions, (str, Path)) else ""
    if not rows:
        raise ScoreError(f"{where}no predictions; expected at least one")
    problems = []
    for place, row in enumerate(rows, 1):
        for name in ("id", "ref", "hyp"):
            if not isinstance(getattr(row, name), str):
                problems.append(f"{where}prediction {place}: {name} is {getattr(row, name)!r}; expected a string")
        if not isinstance(row.group, dict) or not all(isinstance(x, str) for item in row.group.items() for x in item):
            problems.append(f"{where}prediction {place}: group is {row.group!r}; expected strings")
    twice = [name for name, times in Counter(row.id for row in rows).items() if times > 1]
    if twice:
        shown = ", ".join(map(repr, twice[:5])) + (" ..." if len(twice) > 5 else "")
        problems.append(f"{where}{len(twice)} ids occur more than once ({shown}); ids must be unique")
    if problems:
        raise ScoreError("\n".join(problems))
    return sorted(rows, key=lambda row: row.id)


def _group_keys(rows: Sequence[Prediction], wanted: Sequence[str] | None) -> list[str]:
    found = list(dict.fromkeys(key for row in rows for key in row.group))
    if wanted is None:
        return sorted(found)
    for key in wanted:
        if key not in found:
            near = get_close_matches(key, found, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"found {', '.join(sorted(found)) or 'no keys at all'}"
            raise ConfigError(f"no prediction has the group key {key!r}; {hint}")
    return list(dict.fromkeys(wanted))


def _split(rows: Sequence[Prediction], key: str) -> dict[str, np.ndarray]:
    """Value of the key -> indices of its predictions, in order of value."""
    index = defaultdict(list)
    for i, row in enumerate(rows):
        index[row.group.get(key, UNGROUPED)].append(i)
    return {value: np.array(index[value]) for value in sorted(index)}


def _totals(edits: np.ndarray, cluster_of: np.ndarray) -> np.ndarray:
    """[n, 4] edits of utterances -> [clusters, 2] errors and length of the clusters that occur."""
    place = np.unique(cluster_of, return_inverse=True)[1]
    totals = np.zeros((place.max() + 1, 2), dtype=np.int64)
    np.add.at(totals, place, np.stack([edits[:, :3].sum(axis=1), edits[:, 3]], axis=1))
    return totals


def _why_no_interval(counts: Counts, cluster: str, clusters: int) -> str:
    if not counts.length:
        return "the references are empty: no rate"
    if clusters == 1:
        return f"only one {cluster}: no interval"
    return f"the rate is the same whichever {cluster}s are drawn: no interval"


def write_scores(path: str | Path, scores: Mapping[str, Score]) -> None:
    """Write scores.json whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {name: asdict(one) for name, one in scores.items()}
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


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
    _expect_fields(row["counts"], Counts, f"{where}.counts")
    for name in ("value", "low", "high", "confidence"):
        value = row[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number and (value is not None or name == "confidence"):
            raise ScoreError(f"{where}: {name} is {value!r}; expected a finite number")
    for name, kind in {"n": int, "clusters": int, "groups": dict, "cluster": str, "signature": str}.items():
        if not isinstance(row[name], kind):
            raise ScoreError(f"{where}: {name} is {row[name]!r}; expected {kind.__name__}")
    try:
        counts = Counts(**row["counts"])
    except ScoreError as error:
        raise ScoreError(f"{where}: {error}") from None
    groups = {name: _from_row(group, f"{where}[{name}]") for name, group in row["groups"].items()}
    return Score(**row | {"counts": counts, "groups": groups})


def _expect_fields(row: object, kind: type, where: str) -> None:
    if not isinstance(row, dict):
        raise ScoreError(f"{where}: found {type(row).__name__}; expected an object")
    names = {one.name for one in fields(kind)}
    missing, unknown = sorted(names - row.keys()), sorted(row.keys() - names)
    if missing or unknown:
        raise ScoreError(f"{where}: missing fields {missing}, unknown fields {unknown}; write it again")


def table(scores: Mapping[str, Score]) -> str:
    """Scores as plain text of at most 80 columns, one block for each metric, rates in per cent.

    A key with more than 50 values (speakers, often) is summed up in one line: all its groups are in the JSON.
    """
    return "\n\n".join("\n".join(_block(one)) for one in scores.values())


def _block(whole: Score) -> list[str]:
    spread = f"{100 * whole.confidence:.3g}% interval"
    heads = ("rate", spread, "sub", "del", "ins", "items", f"{whole.cluster}s")
    lines = [f"{whole.metric.upper()} in %", _line("", *heads), _score_line("all", whole)]
    by_key = defaultdict(dict)
    for name, group in whole.groups.items():
        by_key[name.partition("=")[0]][name] = group
    for key, groups in by_key.items():
        if len(groups) > TABLE_GROUPS:
            rates = [group.value for group in groups.values() if group.value is not None]
            spread = f", from {100 * min(rates):.2f} to {100 * max(rates):.2f}" if rates else ""
            lines.append(f"{key}: {len(groups)} values{spread}; each is in the JSON")
        else:
            lines += [_score_line(name, group) for name, group in groups.items()]
    notes = defaultdict(list)
    for name, one in {"all": whole, **whole.groups}.items():
        if one.note:
            notes[one.note].append(name)
    for note, names in notes.items():
        lines.append(_cut(f"- {note} ({names[0] if len(names) == 1 else f'{len(names)} rows'})", 80))
    return lines + [whole.signature, whole.origin]


def _score_line(name: str, one: Score) -> str:
    def percent(errors: int) -> str:
        return "-" if one.value is None else f"{100 * errors / one.counts.length:.1f}"

    rate = "-" if one.value is None else f"{100 * one.value:.2f}"
    spread = "-" if one.low is None else f"{100 * one.low:.2f}-{100 * one.high:.2f}"
    edits = (percent(n) for n in (one.counts.substitutions, one.counts.deletions, one.counts.insertions))
    return _line(name, rate, spread, *edits, f"{one.n}", f"{one.clusters}")


def _line(name: str, *cells: str) -> str:
    widths = (7, 15, 6, 6, 6, 8, 11)
    return f"{_cut(name, 21):21}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 3] + "..."
