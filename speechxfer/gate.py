"""Scores and rules in, a verdict out: may this model ship?

A rule is one line, `[set.]metric[[key=value]] op limit`:

    wer <= 0.2                         the set named "test"
    wer[accent=scottish] <= 0.25       one group
    wer[accent=*] <= 0.3               every group of that key, each judged alone
    retain.wer <= baseline + 0.01      another set, against the scores of the model before
    wer <= baseline * 0.5              the errors at least halve

`op` is <=, <, >= or >; limits are in the units of scores.json, so an error rate of 20 % is 0.2. Judging is on the
point value; the interval is shown beside it. What cannot be judged never passes: a missing score, or a baseline
on other references, is a finding of its own.
"""

import json
import math
import operator
import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Literal

from speechxfer.errors import ConfigError
from speechxfer.score import Score

DEFAULT_SET = "test"
COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
CHANGE = {"+": operator.add, "-": operator.sub, "*": operator.mul}
ERROR_RATES = ("wer", "cer")  # fractions: a limit of 20 would let everything pass

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RULE = re.compile(
    rf"""\s* (?:(?P<scores>[\w-]+)\.)? (?P<metric>\w+)
    \s* (?:\[\s*(?P<key>[^=\[\]]+?)\s*=\s*(?P<value>.+?)\s*\])?     # up to the last ]: a value may hold any character
    \s* (?P<compare><=|>=|<|>)
    \s* (?:baseline (?:\s*(?P<change>[-+*])\s*(?P<by>{NUMBER}))? | (?P<number>[-+]?{NUMBER})) \s*""",
    re.VERBOSE,
)
REPAIRS = (  # what people write instead; a repair is suggested, never assumed
    (r"=\s*<|<\s+=|\u2264", "<="),
    (r"=\s*>|>\s+=|\u2265", ">="),
    (rf"({NUMBER})\s*%", lambda match: f"{float(match[1]) / 100:g}"),
    (r"(?<=[<>=])(\s*)(?i:bas\w+)", r"\1baseline"),
    (r"(?<=baseline)\s*[x\u00d7]\s*", " * "),
    (rf"({NUMBER})\s*\*\s*baseline", r"baseline * \1"),
)

Status = Literal["pass", "fail", "cannot judge"]
Scores = Mapping[str, Score]  # of one set, by metric


@dataclass(frozen=True)
class Rule:
    """`scores` names the set; `key` and `value` the group ("*": each), None for the whole set.

    The limit is `number`, or the baseline's value changed by it where `change` is one of + - *.
    """

    scores: str
    metric: str
    key: str | None
    value: str | None
    compare: str
    change: str | None
    number: float

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Raises ConfigError with what may have been meant."""
        match = RULE.fullmatch(text)
        if not match:
            raise ConfigError(f"the rule {text!r} cannot be read; {_repaired(text)}")
        change, number = match["change"], match["by"] or match["number"]
        if number is None:  # the baseline as it is
            change, number = "+", "0"
        rule = cls(
            scores=match["scores"] or DEFAULT_SET,
            metric=match["metric"],
            key=match["key"],
            value=match["value"],
            compare=match["compare"],
            change=change,
            number=float(number),
        )
        if not math.isfinite(rule.number):
            raise ConfigError(f"the rule {text!r} has the limit {number}; expected a finite number")
        if rule.metric in ERROR_RATES and not change and rule.number > 2:
            fraction = replace(rule, number=rule.number / 100)
            raise ConfigError(f"the rule {text!r}: error rates are fractions; did you mean '{fraction}'?")
        return rule

    def __str__(self) -> str:
        scores = "" if self.scores == DEFAULT_SET else f"{self.scores}."
        group = f"[{self.group}]" if self.key else ""
        limit = f"baseline {self.change} {self.number!r}".removesuffix(" + 0.0") if self.change else repr(self.number)
        return f"{scores}{self.metric}{group} {self.compare} {limit}"

    @property
    def group(self) -> str | None:
        return f"{self.key}={self.value}" if self.key else None


def _repaired(text: str) -> str:
    repaired = text
    for pattern, by in REPAIRS:
        repaired = re.sub(pattern, by, repaired)
    if RULE.fullmatch(repaired):
        return f"did you mean {repaired!r}?"
    return "expected a score, <= < >= or >, and a limit: 'wer[accent=scottish] <= 0.2' or 'wer <= baseline * 0.5'"


@dataclass(frozen=True)
class Finding:
    """One rule on one score. `rule` is its text, with the group's name in place of a star."""

    rule: str
    value: float | None
    limit: float | None
    low: float | None
    high: float | None
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """A rule that is known to be broken decides; short of that, what cannot be judged does not pass."""
        statuses = {finding.status for finding in self.findings}
        if "fail" in statuses:
            return "fail"
        return "pass" if statuses == {"pass"} else "cannot judge"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 2 cannot judge."""
        return {"pass": 0, "fail": 1, "cannot judge": 2}[self.status]

    def to_json(self) -> str:
        row = {"status": self.status, "exit_code": self.exit_code, "findings": [asdict(f) for f in self.findings]}
        return json.dumps(row, ensure_ascii=False, allow_nan=False, indent=1)


def judge(
    scores: Mapping[str, Scores],
    rules: Mapping[str, str] | Sequence[str],
    baseline: Mapping[str, Scores] | None = None,
) -> Verdict:
    """Judge named sets of scores, {"test": ..., "retain": ...}, by rules.

    `rules` are lines, or the two halves of lines as a mapping: {"wer": "<= 0.2"}. `baseline` holds the scores
    of the model before, by the same names. Raises ConfigError with every malformed rule.
    """
    parsed = _parse_all([f"{left} {right}" for left, right in rules.items()] if isinstance(rules, Mapping) else rules)
    if not parsed:
        reason = "a gate without rules lets nothing pass; write some, as require={'wer': '<= 0.2'}"
        return Verdict((_cannot("(no rules)", reason),))
    single = [one for rule in parsed for one in _without_star(rule, scores, baseline)]
    return Verdict(tuple(_find(rule, scores, baseline) for rule in single))


def _parse_all(lines: Iterable[str]) -> list[Rule]:
    if isinstance(lines, str):
        lines = [lines]
    rules, problems = [], []
    for line in lines:
        try:
            rules.append(Rule.parse(line))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return rules


def _without_star(rule: Rule, scores: Mapping[str, Scores], baseline: Mapping[str, Scores] | None) -> list[Rule]:
    """One rule for each group that the scores or the baseline have, so that a group that vanished is noticed."""
    if rule.value != "*":
        return [rule]
    groups = {}
    for sets in (scores, baseline if rule.change else None):
        score = (sets or {}).get(rule.scores, {}).get(rule.metric)
        groups |= dict.fromkeys(name for name in (score.groups if score else ()) if name.startswith(f"{rule.key}="))
    return [replace(rule, value=name.removeprefix(f"{rule.key}=")) for name in groups] or [rule]


def _find(rule: Rule, scores: Mapping[str, Scores], baseline: Mapping[str, Scores] | None) -> Finding:
    score = _look_up(rule, scores, "scores")
    if isinstance(score, str):
        return _cannot(str(rule), score)
    if not _is_finite(score.value):
        return _cannot(str(rule), score.note or f"the score is {score.value!r}")
    limit = rule.number
    if rule.change:
        if baseline is None:
            return _cannot(str(rule), "the scores of the model before are needed, and none were given", score)
        before = _look_up(rule, baseline, "baseline scores")
        if isinstance(before, str):
            return _cannot(str(rule), before, score)
        if before.signature != score.signature:
            reason = f"the baseline was scored on something else: {_difference(before.signature, score.signature)}"
            return _cannot(str(rule), reason, score)
        if not _is_finite(before.value):
            return _cannot(str(rule), f"in the baseline: {before.note or f'the score is {before.value!r}'}", score)
        limit = CHANGE[rule.change](before.value, rule.number)
    # 0.1 + 0.2 > 0.3 in binary: a value on the limit up to rounding counts as being on it.
    if math.isclose(score.value, limit, rel_tol=1e-9, abs_tol=1e-12):
        kept = "=" in rule.compare
    else:
        kept = COMPARE[rule.compare](score.value, limit)
    return Finding(str(rule), score.value, limit, score.low, score.high, "pass" if kept else "fail")


def _cannot(rule: str, reason: str, score: Score | None = None) -> Finding:
    value, low, high = (score.value, score.low, score.high) if score else (None, None, None)
    return Finding(rule, value, None, low, high, "cannot judge", reason)


def _look_up(rule: Rule, sets: Mapping[str, Scores], what: str) -> Score | str:
    """The score that a rule speaks of, or why there is none."""
    if rule.scores not in sets:
        return f"no {what} of a set {rule.scores!r}; {_instead(rule.scores, sets)}"
    of_set = sets[rule.scores]
    if rule.metric not in of_set:
        return f"the {what} of {rule.scores!r} have no metric {rule.metric!r}; {_instead(rule.metric, of_set)}"
    score = of_set[rule.metric]
    if rule.group is None:
        return score
    if rule.group not in score.groups:
        keys = list(dict.fromkeys(name.partition("=")[0] for name in score.groups))
        near = _instead(rule.group, score.groups) if rule.key in keys else _instead(rule.key, keys)
        return f"the {what} of {rule.scores!r} have no group {rule.group!r}; {near}"
    return score.groups[rule.group]


def _instead(name: str, choices: Iterable[str]) -> str:
    choices = list(choices)
    near = get_close_matches(name, choices, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"found {', '.join(choices[:8])}" + (" ..." if len(choices) > 8 else "") if choices else "found none"


def _difference(before: str, after: str) -> str:
    pairs = zip(before.split("|"), after.split("|"), strict=False)
    return ", ".join(f"{a} before, {b} now" for a, b in pairs if a != b) or f"{before} before, {after} now"


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def table(verdict: Verdict) -> str:
    """The verdict as plain text of at most 80 columns; long rules and reasons are wrapped."""
    lines = [_row("", "rule", "value", "limit", "interval")]
    for one in verdict.findings:
        first, *more = textwrap.wrap(one.rule, 38, break_on_hyphens=False)
        lines.append(_row(one.status, first, _number(one.value), _number(one.limit), _interval(one)))
        lines += [_row("", line, "", "", "") for line in more]
        lines += textwrap.wrap(one.reason, 80, initial_indent=" " * 13, subsequent_indent=" " * 13)
    return "\n".join([*lines, _summary(verdict)])


def _row(status: str, rule: str, value: str, limit: str, interval: str) -> str:
    return f"{status:13}{rule:38}{value:>7} {limit:>7} {interval:>13}".rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _interval(one: Finding) -> str:
    return "-" if one.low is None or one.high is None else f"{_number(one.low)}-{_number(one.high)}"


def _summary(verdict: Verdict) -> str:
    counts = {status: sum(f.status == status for f in verdict.findings) for status in ("pass", "fail", "cannot judge")}
    shown = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    return f"gate: {verdict.status.upper()} ({shown}; exit {verdict.exit_code})"


def markdown(verdict: Verdict) -> str:
    """The verdict as a GitHub table, for a pull request's comment or a job's summary."""
    lines = ["| status | rule | value | limit | interval | reason |", "|---|---|---:|---:|---:|---|"]
    for one in verdict.findings:
        cells = (one.status, f"`{one.rule}`", _number(one.value), _number(one.limit), _interval(one), one.reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", f"**{_summary(verdict)}**"]) + "\n"


def junit(verdict: Verdict) -> str:
    """The verdict as JUnit XML, as CI systems read it: one test case a finding; cannot judge is an error."""
    kinds = {"fail": "failure", "cannot judge": "error"}
    suite = ElementTree.Element("testsuite", name="speechxfer gate", tests=str(len(verdict.findings)))
    for status, kind in kinds.items():
        suite.set(f"{kind}s", str(sum(one.status == status for one in verdict.findings)))
    for one in verdict.findings:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name=_printable(one.rule))
        if one.status in kinds:
            found = f"value {_number(one.value)}, limit {_number(one.limit)}, interval {_interval(one)}"
            message = _printable(one.reason or found)
            ElementTree.SubElement(case, kinds[one.status], message=message)
    # Written out, because ElementTree would declare the locale's encoding.
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """XML 1.0 has no way to write control characters."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
