"""What a rule of the gate speaks of: the score, the baseline's score, and why there is none."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from speechxfer.errors import ScoreError
from speechxfer.gate.rules import Rule
from speechxfer.score import MANY, Score
from speechxfer.scoring.items import CLUSTERS, Items, expect_same

Scores = Mapping[str, Score]  # of one set, by metric


@dataclass(frozen=True)
class Evidence:
    """What is judged, by the names of the sets."""

    scores: Mapping[str, Scores]
    baseline: Mapping[str, Scores] | None
    items: Mapping[str, Items]
    baseline_items: Mapping[str, Items]
    allow_small: bool


def without_star(rule: Rule, evidence: Evidence) -> list[Rule]:
    """One rule for each group that the scores or the baseline have, so that a group that vanished is noticed."""
    if rule.value != "*":
        return [rule]
    groups = {}
    for sets in (evidence.scores, evidence.baseline if rule.change else None):
        score = (sets or {}).get(rule.scores, {}).get(rule.metric)
        groups |= dict.fromkeys(name for name in (score.groups if score else ()) if name.startswith(f"{rule.key}="))
    return [replace(rule, value=name.removeprefix(f"{rule.key}=")) for name in groups] or [rule]


def comparable(rule: Rule, score: Score, evidence: Evidence) -> Score | str:
    """The baseline's score, if it is one of the same thing and of the same items; else what is wrong."""
    if evidence.baseline is None:
        return "the scores of the model before are needed, and none were given"
    before = look_up(rule, evidence.baseline, "baseline scores")
    if isinstance(before, str):
        return before
    now_items, before_items = evidence.items.get(rule.scores), evidence.baseline_items.get(rule.scores)
    if now_items and before_items:  # they can name what differs, the signatures cannot
        try:
            expect_same(before_items, now_items, rule.metric)
        except ScoreError as error:
            return str(error)
    old, new = before.signature, score.signature
    if rule.of:  # the worst group before may be another one than now
        old, new = (sets[rule.scores][rule.metric].signature for sets in (evidence.baseline, evidence.scores))
    if old != new:
        return f"the baseline was scored on something else: {_difference(old, new)}"
    if problem := no_value(before):
        return f"in the baseline: {problem}"
    for items, what in ((now_items, "scores"), (before_items, "baseline scores")):
        if items is None:
            return f"score again: {rule.scores}.items.npz is missing beside the {what}"
    return before


def look_up(rule: Rule, sets: Mapping[str, Scores], what: str) -> Score | str:
    """The score that a rule speaks of, or why there is none. A gap comes as a score with the gap's figures."""
    if rule.scores not in sets:
        return f"no {what} of a set {rule.scores!r}; {_instead(rule.scores, sets)}"
    of_set = sets[rule.scores]
    if rule.metric not in of_set:
        return f"the {what} of {rule.scores!r} have no metric {rule.metric!r}; {_instead(rule.metric, of_set)}"
    score = of_set[rule.metric]
    keys = list(dict.fromkeys(name.partition("=")[0] for name in score.groups))
    if rule.key is None:
        return score
    if rule.key not in keys:
        return f"the {what} of {rule.scores!r} have no group key {rule.key!r}; {_instead(rule.key, keys)}"
    if rule.of == "worst":
        return score.worst(rule.key) or f"no group of {rule.key!r} has a score"
    if rule.of == "gap":
        if rule.key not in score.gaps:
            return f"the {what} of {rule.scores!r} have no gap of {rule.key!r}: {_why_no_gap(rule.key, score)}"
        gap = score.gaps[rule.key]
        return replace(score, value=gap.value, low=gap.low, high=gap.high, note="")
    if rule.group not in score.groups:
        return f"the {what} of {rule.scores!r} have no group {rule.group!r}; {_instead(rule.group, score.groups)}"
    return score.groups[rule.group]


def group_named(rule: Rule, whole: Score) -> tuple[str | None, str]:
    """The group that a rule is on, and what is to be said of a gap or of the worst group."""
    if rule.of == "gap":
        return None, f"{whole.gaps[rule.key].worst} is worst, {whole.gaps[rule.key].best} is best"
    if rule.of == "worst":
        worst = whole.worst(rule.key)
        name = next(name for name, one in whole.groups.items() if one is worst)
        return name, f"{name} is worst"
    return rule.group, ""


def _why_no_gap(key: str, score: Score) -> str:
    groups = [name.partition("=")[2] for name, one in score.groups.items() if name.partition("=")[0] == key]
    if key in CLUSTERS:
        return f"{key}s are what is resampled"
    if len(groups) == 1:
        return f"{groups[0]!r} is the only group"
    return f"of its {len(groups)} groups two at least must have a score, and {MANY} are the most"


def _instead(name: str, choices: Iterable[str]) -> str:
    choices = list(choices)
    near = get_close_matches(name, choices, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"found {', '.join(choices[:8])}" + (" ..." if len(choices) > 8 else "") if choices else "found none"


def _difference(before: str, after: str) -> str:
    pairs = zip(before.split("|"), after.split("|"), strict=False)
    return ", ".join(f"{a} before, {b} now" for a, b in pairs if a != b) or f"{before} before, {after} now"


def no_value(score: Score) -> str:
    if score.value is not None and math.isfinite(score.value):
        return ""
    return score.note or f"the score is {score.value!r}"
