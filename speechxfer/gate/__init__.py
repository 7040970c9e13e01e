"""Scores and rules in, a verdict out: may this model ship?

What the rules look like stands in `rules`; this is how they are judged. A gate errs in two ways, and both are bounded:
it stops a model that is as good as the one before, or it says "pass" of a test set that could not have shown otherwise.

An absolute rule (`wer <= 0.16`) is judged on the value, and the interval is shown beside it. It cannot be judged on a
set so small that nobody would have seen an error of the size of the limit itself (80 % power; for `wer <= 0.2`, an
error rate of 0.4 might look like 0.2), unless the interval lies wholly beyond the limit: that is broken on any set.
A score without any error has no spread to judge by. There the rule of three holds: of n items without an error, up to
3 / n of all items may have one (95 %; Hanley & Lippman-Hand 1983, "If nothing goes wrong, is everything all right?"),
and that is what is held against the limit. A limit of 0 asks for no error on these very items, and is judged as it is.

A rule against a baseline is judged on the paired difference d between the value and the limit, with both models
resampled together, by speaker where speakers are named. Its interval has 95 %, so each side errs in 1 case of 40.

    wer <= baseline + 0.005    d wholly <= 0: pass; wholly > 0: fail; else the set is too small to tell: cannot judge
    wer <= baseline            equality can never be shown, so: fail where a regression is shown, else pass
    wer < baseline             pass where an improvement is shown (p < 0.05 too), else fail
    wer[accent=*] <= baseline  as above for each group; "shown" means p < 0.05 after Holm's correction over the groups

Two models that score alike whichever items are drawn are judged on the value. Items on which both score alike tell
nothing of the direction: a difference that rests on fewer than six clusters that differ is taken to be as uncertain as
six clusters are. `worst` and `gap` of a baseline's groups are taken anew in every resample.

Every finding against a baseline says what it could have seen: how far past the limit the truth must lie for four such
test sets of five to show it. `allow_small` judges on the value what is too small to judge; of a rule that allows a loss
(`<= baseline + 0.01`) it then passes what is not shown to be broken. What is missing, or was scored on other items,
never passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechxfer.errors import ScoreError
from speechxfer.gate.evidence import Evidence, Scores, comparable, group_named, look_up, no_value, without_star
from speechxfer.gate.rules import Rule, as_lines, parse_rules
from speechxfer.gate.verdict import Finding, Verdict, number
from speechxfer.score import CONFIDENCE, RESAMPLES, Score
from speechxfer.scoring.interval import FEWEST, interval, resample
from speechxfer.scoring.items import Items
from speechxfer.scoring.metrics import Metric
from speechxfer.scoring.significance import detectable, holm, p_value

ALPHA = 1 - CONFIDENCE
POWER = 0.8
SEED = 0


def judge(
    scores: Mapping[str, Scores],
    rules: Mapping[str, str] | Sequence[str],
    baseline: Mapping[str, Scores] | None = None,
    *,
    items: Mapping[str, Items] | None = None,
    baseline_items: Mapping[str, Items] | None = None,
    allow_small: bool = False,
) -> Verdict:
    """Judge named sets of scores, {"test": ..., "retain": ...}, by rules.

    `rules` are lines, or the two halves of lines as a mapping: {"wer": "<= 0.2"}. `baseline` holds the scores of the
    model before, by the same names. Rules against it need the `items` of both. Raises ConfigError with every
    malformed rule.
    """
    parsed = parse_rules(as_lines(rules))
    if not parsed:
        reason = "a gate without rules lets nothing pass; expected some, such as 'wer <= 0.2'"
        return Verdict((Finding("(no rules)", "cannot judge", reason),))
    evidence = Evidence(scores, baseline, items or {}, baseline_items or {}, allow_small)
    found = []
    for rule in parsed:
        each = without_star(rule, evidence)
        found += _against_baseline(each, evidence) if rule.change else [_absolute(one, evidence) for one in each]
    return Verdict(tuple(found))


def _absolute(rule: Rule, evidence: Evidence) -> Finding:
    score = look_up(rule, evidence.scores, "scores")
    if isinstance(score, str):
        return Finding(str(rule), "cannot judge", score)
    if problem := no_value(score):
        return _finding(rule, score, "cannot judge", problem)
    group, named = group_named(rule, evidence.scores[rule.scores][rule.metric])
    if score.low is None and rule.of != "gap" and (items := evidence.items.get(rule.scores)):
        score = _with_interval(score, group, items)
    kept = "pass" if rule.keeps(score.value, rule.number) else "fail"
    least = _detectable(score)
    finding = _finding(rule, score, kept, named, limit=rule.number, detectable=least)
    if small := _too_small(rule, score, least):
        return _told(finding, small) if evidence.allow_small else _told(replace(finding, status="cannot judge"), small)
    if score.low is not None and score.low <= rule.number <= score.high:
        return _told(finding, "the interval contains the limit")
    return finding


def _too_small(rule: Rule, score: Score, least: float | None) -> str:
    """Why the set is too small for an absolute rule, or ""."""
    if score.clusters < 2:
        return f"one {score.cluster} is too few to judge by"
    if not rule.number:
        return ""
    if _is_perfect(score):
        scale = 1.0 if score.unit == "rate" else 100.0
        bound = abs(score.value - 3 * scale / score.n)
        broken = rule.keeps(score.value, rule.number) and not rule.keeps(bound, rule.number)
        may = number(bound, score.unit)
        return f"no error in {score.n} items leaves up to {may} (rule of three): too few items" if broken else ""
    if least is None:
        return score.note or "there is no interval"
    if least > abs(rule.number) and score.low <= rule.number <= score.high:
        return f"too few items to judge by: what they show differs by {number(least, score.unit)}, more than the limit"
    return ""


def _is_perfect(score: Score) -> bool:
    """Without an error: 0, or where more is better all of it, 100 points or a rate of 1."""
    best = (1.0 if score.unit == "rate" else 100.0) if score.higher_is_better else 0.0
    return score.low is None and score.value == best


def _detectable(score: Score) -> float | None:
    """`significance.detectable` of a score, from its interval: that is t standard errors to each side."""
    if score.low is None or score.clusters < 2:
        return None
    from scipy.special import stdtrit

    below, seen, power = stdtrit(score.clusters - 1, [(1 + score.confidence) / 2, 1 - ALPHA / 2, POWER])
    half = (score.high - score.low) / 2
    if score.low == 0 or score.high == (1.0 if score.unit == "rate" else 100.0):  # cut off there: the other side tells
        half = max(score.high - score.value, score.value - score.low)
    return float(half / below * (seen + power))


def _with_interval(score: Score, group: str | None, items: Items) -> Score:
    """Keys with very many groups have scores without intervals; the few that rules name get theirs here."""
    try:
        index = items.members(group)
    except ScoreError:
        return score
    column = items.columns.get(score.metric)
    if column is None or column.signature(index) != score.signature:
        return score
    totals = items.totals(score.metric, index, items.clusters(index)[1])
    samples = column.metric.value(resample(totals, resamples=RESAMPLES, seed=SEED))
    low, high = interval(samples, len(totals), score.confidence) or (None, None)
    return replace(score, low=low, high=high)


@dataclass(frozen=True)
class Paired:
    """What one rule against the baseline is judged on.

    `past` is how far the score lies over the limit, `samples` [resamples] the same of both models resampled together.
    `size` says of how many items and clusters, and what those are; `units` are the clusters that the samples are worth;
    `alike` says that both models score the same on every item.
    """

    rule: Rule
    score: Score
    before: float
    past: float
    samples: np.ndarray
    size: dict[str, int | str]
    units: int
    alike: bool


def _against_baseline(rules: Sequence[Rule], evidence: Evidence) -> list[Finding]:
    """Findings of the groups of one rule, whose p-values are corrected for their number."""
    paired = [_pair(rule, evidence) for rule in rules]
    judged = [one for one in paired if isinstance(one, Paired)]
    adjusted = iter(holm([p_value(one.samples, one.units) for one in judged]))
    return [
        _decide(one, next(adjusted), len(judged), evidence.allow_small) if isinstance(one, Paired) else one
        for one in paired
    ]


def _pair(rule: Rule, evidence: Evidence) -> Paired | Finding:
    """Both models resampled together, or why they cannot be."""
    score = look_up(rule, evidence.scores, "scores")
    if isinstance(score, str):
        return Finding(str(rule), "cannot judge", score)
    if problem := no_value(score):
        return _finding(rule, score, "cannot judge", problem)
    before = comparable(rule, score, evidence)
    if isinstance(before, str):
        return _finding(rule, score, "cannot judge", before)
    try:
        return _resampled(rule, score, before, evidence.items[rule.scores], evidence.baseline_items[rule.scores])
    except ScoreError as error:
        return _finding(rule, score, "cannot judge", str(error), limit=rule.limit(before.value))


def _resampled(rule: Rule, score: Score, before: Score, now_items: Items, before_items: Items) -> Paired:
    """Raises ScoreError where the items are not those of the scores, or are grouped in another way."""
    metric = now_items.columns[rule.metric].metric
    groups = now_items.sizeable(rule.key) if rule.of else [rule.group]
    members = [now_items.members(group) for group in groups]
    for group, index in zip(groups, members, strict=True):
        if not np.array_equal(index, before_items.members(group)):
            raise ScoreError(f"{group} has other items before than now; score both again")
    index = np.concatenate(members)
    part = np.repeat(np.arange(len(groups)), [len(one) for one in members])
    cluster, codes = now_items.clusters(index)
    clusters = int(codes.max()) + 1
    totals = np.zeros((clusters, 2, len(groups), len(metric.columns)))
    for which, items in enumerate((now_items, before_items)):
        np.add.at(totals[:, which], (codes, part), items.columns[rule.metric].statistics[index])

    after, ahead = _values(rule, metric, totals.sum(axis=0))
    for what, value, kept in (("scores", after, score.value), ("baseline scores", ahead, before.value)):
        if not math.isclose(value, kept, rel_tol=1e-6, abs_tol=1e-9):
            raise ScoreError(f"{rule.scores}.items.npz is not of its {what} ({value:g}, {kept:g}); score again")
    sums = resample(totals.reshape(clusters, -1), resamples=RESAMPLES, seed=SEED)
    drawn = _values(rule, metric, sums.reshape(-1, *totals.shape[1:]))
    differ = int((totals[:, 0] != totals[:, 1]).any(axis=(1, 2)).sum())
    # A factor makes every cluster tell; with a sum, those that score alike before and now do not.
    units = clusters if rule.change == "*" else min(clusters, max(FEWEST, differ))
    return Paired(
        rule=rule,
        score=score,
        before=before.value,
        past=float(_snapped(rule.past(after, ahead), after)),
        samples=_snapped(rule.past(*drawn.T), drawn[:, 0]),
        size={"n": len(index), "cluster": cluster, "clusters": clusters},
        units=units,
        alike=not differ,
    )


def _values(rule: Rule, metric: Metric, sums: np.ndarray) -> np.ndarray:
    """[..., 2, groups, k] sums of now and before -> [..., 2]: the score, or what `of` makes of the groups' scores."""
    values = metric.value(sums)
    if rule.of is None:
        return values[..., 0]
    low, high = np.fmin.reduce(values, axis=-1), np.fmax.reduce(values, axis=-1)  # a group without a value is left out
    return high - low if rule.of == "gap" else low if metric.higher_is_better else high


def _snapped(past: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What differs from the limit by rounding alone is on it."""
    return np.where(np.abs(past) <= 1e-12 + 1e-9 * np.abs(scale), 0.0, past)


def _decide(one: Paired, p: float, groups: int, allow_small: bool) -> Finding:
    """`p` is corrected for the `groups` of the rule, and so is what could have been seen."""
    rule, score, limit = one.rule, one.score, one.rule.limit(one.before)
    kept = rule.keeps(score.value, limit)
    ends = interval(one.samples, one.units, CONFIDENCE)
    finding = _finding(rule, score, "pass" if kept else "fail", limit=limit, difference=one.past, **one.size)
    if ends is None and one.units > 1:
        return _told(finding, "both score the same on every item" if one.alike else "the difference has no spread")
    if ends is None:
        return _undecided(finding, f"one {finding.cluster} is too few to judge by", one, kept, allow_small)
    least = detectable(one.samples, one.units, power=POWER, alpha=ALPHA / 2 / groups)
    low, high = ends
    finding = replace(finding, difference_low=low, difference_high=high, p=p, detectable=least)
    if not rule.lower_is_kept:
        low, high = -high, -low
    broken = low > 0 and p < ALPHA
    if broken:
        return replace(finding, status="fail", reason="worse than the limit, beyond chance")
    if rule.strict:
        shown = high < 0 and p < ALPHA
        reason = "" if shown else f"not shown: p = {p:.2g}, where less than {ALPHA:.2g} was needed"
        return replace(finding, status="pass" if shown else "fail", reason=reason)
    if high <= 0:
        return replace(finding, status="pass")
    if not rule.has_margin:
        return replace(finding, status="pass", reason="no regression shown")
    return _undecided(finding, "too few items to tell which side of the limit it is on", one, kept, allow_small)


def _undecided(finding: Finding, reason: str, one: Paired, kept: bool, allow_small: bool) -> Finding:
    if not allow_small:
        return replace(finding, status="cannot judge", reason=reason)
    allows_loss = not one.rule.strict and one.rule.keeps(one.before, finding.limit)
    status = "pass" if kept or allows_loss else "fail"
    return replace(finding, status=status, reason=f"{reason}; small sets are allowed")


def _finding(rule: Rule, score: Score, status: str, reason: str = "", **figures: float | str | None) -> Finding:
    value = None if no_value(score) else score.value
    known = {"value": value, "low": score.low, "high": score.high, "unit": score.unit}
    known |= {"n": score.n, "cluster": score.cluster, "clusters": score.clusters}
    return Finding(str(rule), status, reason, **known | figures)


def _told(finding: Finding, reason: str) -> Finding:
    return replace(finding, reason="; ".join(filter(None, (finding.reason, reason))))
