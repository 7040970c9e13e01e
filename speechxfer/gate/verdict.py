"""What a gate found, and the forms that people, CI systems and programs read it in.

A verdict is findings, one for each rule and group. The terminal gets a table of 80 columns, GitHub a table in
Markdown, CI systems JUnit XML, programs JSON, which reads back as the same verdict.
"""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from typing import Literal, get_args

from speechxfer.errors import ScoreError
from speechxfer.scoring.terminal import cell, wrapped

Status = Literal["pass", "fail", "cannot judge"]
EXIT_CODES: dict[Status, int] = {"pass": 0, "fail": 1, "cannot judge": 2}
INDENT, RULE = 13, 35  # columns of the table


@dataclass(frozen=True)
class Finding:
    """One rule on one score. `rule` is its text, with the group's name in place of a star.

    All figures are in the units of scores.json; `unit` says which ("rate": fractions, "points": as the library prints
    them). `low` and `high` enclose the value. A rule against a baseline is judged on `difference`, the value less the
    limit, with an interval and a two-sided `p` of its own (corrected for the groups of the rule, Holm). `detectable`
    is how far past the limit the truth must lie for four such test sets of five to show it. None stands for no figure.
    """

    rule: str
    status: Status
    reason: str = ""
    value: float | None = None
    limit: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    detectable: float | None = None
    n: int | None = None
    cluster: str = ""
    clusters: int | None = None
    unit: str = "rate"


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
        return EXIT_CODES[self.status]

    def to_json(self) -> str:
        row = {"status": self.status, "exit_code": self.exit_code, "findings": [asdict(f) for f in self.findings]}
        return json.dumps(row, ensure_ascii=False, allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Verdict":
        """The verdict that `to_json` wrote. Raises ScoreError naming the finding and the field that is wrong."""
        try:
            row = json.loads(text)
        except ValueError as error:
            raise ScoreError(f"{error}; expected the JSON of a verdict") from None
        rows = row.get("findings") if isinstance(row, dict) else None
        if not isinstance(rows, list):
            raise ScoreError("no list of findings; expected the JSON of a verdict")
        return cls(tuple(_from_row(one, f"findings[{i}]") for i, one in enumerate(rows)))


def _from_row(row: object, where: str) -> Finding:
    known = {field.name: field for field in fields(Finding)}
    if not isinstance(row, dict) or row.keys() != known.keys():
        found = sorted(row.keys() ^ known.keys()) if isinstance(row, dict) else type(row).__name__
        raise ScoreError(f"{where}: found other fields than expected ({found}); judge again")
    for name, field in known.items():
        value, number = row[name], field.type not in (str, Status)
        if number and value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ScoreError(f"{where}: {name} is {value!r}; expected a number")
        if not number and not isinstance(value, str):
            raise ScoreError(f"{where}: {name} is {value!r}; expected a string")
    if row["status"] not in get_args(Status):
        raise ScoreError(f"{where}: status is {row['status']!r}; expected one of {', '.join(get_args(Status))}")
    return Finding(**row)


def read_verdict(path: str | Path) -> Verdict:
    """Read verdict.json. Raises ScoreError that names the file."""
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; write it with `speechxfer gate`")
    try:
        return Verdict.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ScoreError(f"{path}: {error}; expected UTF-8") from None
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from None


def number(value: float | None, unit: str, *, signed: bool = False, scale: float | None = None) -> str:
    """A figure as scores.json has it: 0.1234 for a rate, 27.31 for points, with more digits on COMET's scale.

    `scale` is that of the figure beside it, if it is not the value's own: the interval of a BLEU is 0.00-27.31.
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return f"{value}"
    scale = abs(value) if scale is None else scale
    decimals = 4 if unit == "rate" and scale < 10 or scale < 2 else 2
    return f"{value:{'+' if signed else ''}.{decimals}f}"


def table(verdict: Verdict) -> str:
    """The verdict as plain text of at most 80 columns; long rules and reasons are wrapped."""
    lines = [_row("", "rule", "value", "limit", "interval")]
    for one in verdict.findings:
        first, *more = wrapped(one.rule, width=RULE)
        lines.append(_row(one.status, first, number(one.value, one.unit), number(one.limit, one.unit), _interval(one)))
        lines += [_row("", line, "", "", "") for line in more]
        for text in (_difference(one), seen(one), one.reason):
            lines += wrapped(text, " " * INDENT, " " * INDENT)
    return "\n".join([*lines, summary(verdict)])


def _row(status: str, rule: str, value: str, limit: str, interval: str) -> str:
    return f"{status:{INDENT}}{cell(rule, RULE)}{value:>7} {limit:>7} {interval:>16}".rstrip()


def _interval(one: Finding) -> str:
    """`0.1000-0.2000`, of the value; with a comma where one end is negative."""
    if one.low is None or one.high is None:
        return "-"
    scale = max(abs(one.low), abs(one.high))
    low, high = (number(end, one.unit, scale=scale) for end in (one.low, one.high))
    return f"{low}{', ' if one.low < 0 else '-'}{high}"


def _difference(one: Finding) -> str:
    """`value less limit: -0.0100 [-0.0200, +0.0100], p = 0.31`; nothing for a rule without a baseline."""
    if one.difference is None:
        return ""
    low, high = (number(end, one.unit, signed=True) for end in (one.difference_low, one.difference_high))
    ends = "" if one.difference_low is None else f" [{low}, {high}]"
    p = "" if one.p is None else f", p = {one.p:.2g}"
    return f"value less limit: {number(one.difference, one.unit, signed=True)}{ends}{p}"


def seen(one: Finding) -> str:
    """What the test set could have shown: `40 items, 8 speakers: would show 0.0123 past the limit`; "" if unknown."""
    if one.detectable is None or one.n is None:
        return ""
    clusters = "" if one.cluster == "utterance" else f", {one.clusters} {one.cluster}{'s' * (one.clusters != 1)}"
    return f"{one.n} items{clusters}: would show {number(one.detectable, one.unit)} past the limit"


def summary(verdict: Verdict) -> str:
    """One line: `gate: FAIL (2 pass, 1 fail; exit 1)`."""
    counts = {status: sum(f.status == status for f in verdict.findings) for status in EXIT_CODES}
    shown = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    return f"gate: {verdict.status.upper()} ({shown or 'no findings'}; exit {verdict.exit_code})"


def markdown(verdict: Verdict) -> str:
    """The verdict as a GitHub table, for a pull request's comment or a job's summary."""
    head = "| status | rule | value | limit | interval | difference | reason |"
    lines = [head, "|---|---|---:|---:|---:|---|---|"]
    for one in verdict.findings:
        value, limit = number(one.value, one.unit), number(one.limit, one.unit)
        told = "; ".join(filter(None, (seen(one), one.reason)))
        difference = _difference(one).removeprefix("value less limit: ") or "-"
        cells = (one.status, _code(one.rule), value, limit, _interval(one), difference, escape(told, quote=False))
        lines.append("| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", f"**{summary(verdict)}**"]) + "\n"


def _code(text: str) -> str:
    """In backticks: more of them than the text holds in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def junit(verdict: Verdict) -> str:
    """The verdict as JUnit XML, as CI systems read it: one test case a finding; cannot judge is an error."""
    kinds = {"fail": "failure", "cannot judge": "error"}
    suite = ElementTree.Element("testsuite", name="speechxfer gate", tests=str(len(verdict.findings)))
    for status, kind in kinds.items():
        suite.set(f"{kind}s", str(sum(one.status == status for one in verdict.findings)))
    for one in verdict.findings:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name=_printable(one.rule))
        value, limit = number(one.value, one.unit), number(one.limit, one.unit)
        found = f"value {value}, limit {limit}, interval {_interval(one)}"
        told = "; ".join(filter(None, (found, _difference(one), seen(one), one.reason)))
        if one.status in kinds:
            ElementTree.SubElement(case, kinds[one.status], message=_printable(one.reason or found)).text = _printable(
                told
            )
        else:
            ElementTree.SubElement(case, "system-out").text = _printable(told)
    # Written out, because ElementTree would declare the locale's encoding.
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """XML 1.0 has no way to write control characters."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
