"""What lint found, worst first: as text of 80 columns for people, as JSON for programs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from speechxfer.atomic import replacing
from speechxfer.lint.balance import Share, balance
from speechxfer.lint.rules import Found, Rule, Severity, Subject
from speechxfer.problems import Problems
from speechxfer.scoring.terminal import cell, wrapped

KEPT = 20  # rows of a finding that are spelled out in JSON
SHOWN = 3  # likewise on the terminal
GROUPS = 5  # of a key, on the terminal
LINES = 1_000  # line numbers of a finding in JSON
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """What one rule found in one set.

    `count` is the number of rows, None where the set as a whole is meant. `shown` is (`file:line`, what was found) of
    the first rows. `rows` are places in the manifest that was linted: none of them of a row that could not be read.
    """

    rule: str
    severity: Severity
    what: str
    mend: str
    set: str
    manifest: str
    count: int | None
    shown: tuple[tuple[str, str], ...]
    lines: tuple[int, ...] = ()  # the first of them
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False, compare=False)


@dataclass(frozen=True)
class Set:
    """A manifest that was read. `seconds` of its audio, as far as they are known; 0 of text."""

    name: str
    manifest: str
    rows: int
    unreadable: int = 0
    seconds: float = 0.0
    subject: Subject | None = field(default=None, repr=False, compare=False)  # None where no row could be read


@dataclass(frozen=True)
class Result:
    """`took` is seconds by rule, and by "reading" and "measuring"; `skipped` says in words what was not looked at."""

    sets: tuple[Set, ...]
    findings: tuple[Finding, ...]
    severities: dict[str, Severity]
    took: dict[str, float]
    skipped: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 where there is an error, else 0."""
        return int(any(finding.severity == "error" for finding in self.findings))

    def counts(self) -> dict[Severity, int]:
        """How many rules found something, by severity."""
        names = {finding.rule: finding.severity for finding in self.findings}
        return {severity: sum(s == severity for s in names.values()) for severity in ORDER}

    def by_rule(self) -> Iterator[tuple[str, list[Finding]]]:
        """The findings of each rule, worst rule first."""
        for name, of_rule in groupby(self.findings, key=lambda finding: finding.rule):
            yield name, list(of_rule)

    def to_json(self) -> str:
        names = ("name", "manifest", "rows", "unreadable", "seconds")
        sets = [
            {name: getattr(one, name) for name in names} | {"balance": [vars(share) for share in _shares(one)]}
            for one in self.sets
        ]
        rules = {
            name: {"severity": severity, "seconds": round(self.took.get(name, 0.0), 3)}
            for name, severity in self.severities.items()
        }
        row = {"exit_code": self.exit_code, "rules_with_findings": self.counts(), "skipped": list(self.skipped)}
        row |= {"sets": sets, "findings": [_row(finding) for finding in self.findings], "rules": rules}
        row["took"] = {name: round(seconds, 3) for name, seconds in self.took.items() if name not in rules}
        return json.dumps(row, ensure_ascii=False, allow_nan=False, indent=1)


def write_result(path: str | Path, result: Result) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(result.to_json() + "\n", encoding="utf-8")


def of_rows(rule: Rule, severity: Severity, founds: Sequence[Found]) -> Finding | None:
    """The finding of all that a rule says of one subject; None where that is nothing."""
    subject = founds[0].subject
    founds = [found for found in founds if found.rows is None or len(found.rows)]
    if not founds:
        return None
    rows = [found.rows for found in founds if found.rows is not None]
    together = np.unique(np.concatenate(rows)).astype(np.int64) if rows else np.zeros(0, np.int64)
    manifest = subject.manifest
    shown, share = [], KEPT // min(len(founds), KEPT)  # of each, so that the first does not hide the others
    for found in founds[:KEPT]:
        if found.rows is None:
            shown.append((manifest.name, found.message(0)))
        else:
            shown += [(manifest.where(int(row)), found.message(i)) for i, row in enumerate(found.rows[:share])]
    lines = manifest.column("line").take(together[:LINES]).to_pylist()
    return Finding(
        *(rule.name, severity, rule.what, rule.mend, subject.name, manifest.name),
        len(together) if rows else None,
        tuple(shown),
        tuple(lines),
        together,
    )


def of_problems(rule: Rule, severity: Severity, name: str, problems: Problems) -> Finding:
    """The finding of what could not be read of a manifest."""
    shown = []
    for message in problems.shown()[:KEPT]:
        line, _, words = message.removeprefix(f"{problems.name}:").partition(": ")
        shown.append((f"{problems.name}:{line}", words))
    lines = sorted(problems.lines)
    fixed = (rule.name, severity, rule.what, rule.mend, name, problems.name)
    return Finding(*fixed, len(lines), tuple(shown), tuple(lines[:LINES]))


def of_file(rule: Rule, severity: Severity, name: str, path: str, message: str) -> Finding:
    """The finding of a file that could not be read at all."""
    shown = ((path, message.removeprefix(f"{path}: ")),)
    return Finding(rule.name, severity, rule.what, rule.mend, name, path, None, shown)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first: by severity, then by the rows that a rule found in all sets; the findings of a rule together."""
    findings = list(findings)
    rows: dict[str, int] = {}
    for finding in findings:
        rows[finding.rule] = rows.get(finding.rule, 0) + (finding.count or 1)
    return tuple(sorted(findings, key=lambda f: (ORDER.index(f.severity), -rows[f.rule], f.rule)))


def text(result: Result) -> str:
    """For a terminal: at most 80 columns, the first rows of each finding, and what to do about it."""
    lines = [_cells("set, group", "rows", "sentences", "hours", "speakers")]
    for one in result.sets:
        lines += _set_lines(one)
    lines.append("")
    for name, findings in result.by_rule():
        lines += [*_rule(name, findings), ""]
    for words in result.skipped:
        lines += wrapped(f"not looked at: {words}", rest="  ")
    return "\n".join([*lines, summary(result)])


def summary(result: Result) -> str:
    """One line: `lint: 2 errors, 1 note in 1,024 rows (exit 1)`."""
    rows = sum(one.rows + one.unreadable for one in result.sets)
    counts = ", ".join(f"{n} {severity}{'s' * (n != 1)}" for severity, n in result.counts().items() if n)
    return f"lint: {counts or 'nothing found'} in {rows:,} rows (exit {result.exit_code})"


def counted(findings: Sequence[Finding]) -> str:
    """How much of a rule, in words: `12 rows of train, dev as a whole`."""
    words = []
    for (name, whole), group in groupby(sorted(findings, key=_set), key=_set):
        count = sum(finding.count or 0 for finding in group)
        words.append(f"{name} as a whole" if whole else f"{count:,} row{'s' * (count != 1)} of {name}")
    return ", ".join(words)


def _set(finding: Finding) -> tuple[str, bool]:
    return finding.set, finding.count is None


def _rule(name: str, findings: Sequence[Finding]) -> list[str]:
    first = findings[0]
    lines = wrapped(f"{first.severity} {name}: {counted(findings)}", rest="    ")
    lines += wrapped(first.what, "  ", "  ")
    for finding in findings:
        for where, message in finding.shown[:SHOWN]:
            lines += wrapped(f"{where}: {message}", "    ", "      ")
        more = (finding.count or len(finding.shown)) - min(SHOWN, len(finding.shown))
        if more > 0:
            lines.append(f"    ... and {more:,} more of {finding.set}")
    return lines + wrapped(f"mend: {first.mend}", "  ", "  ")


def _shares(one: Set) -> list[Share]:
    return balance(one.subject) if one.subject else []


def _set_lines(one: Set) -> list[str]:
    """The set as a whole, its file, what could not be read of it, and the largest groups of each key."""
    whole, *groups = _shares(one) or [Share("", "", 0, 0, None, None)]
    lines = [_share(one.name, whole), *wrapped(one.manifest, "  ", "  ")]
    if one.unreadable:
        lines.append(f"  and {one.unreadable:,} rows that cannot be read")
    for key, of_key in groupby(groups, key=lambda share: share.key):
        shares = list(of_key)
        lines += [_share(f"  {key}={share.value}", share) for share in shares[:GROUPS]]
        lines += [f"  and {len(shares) - GROUPS} smaller groups of {key}"] * (len(shares) > GROUPS)
    return lines


def _share(name: str, share: Share) -> str:
    hours = "-" if share.hours is None else f"{share.hours:.2f}"
    speakers = "-" if share.speakers is None else f"{share.speakers:,}"
    return _cells(name, f"{share.rows:,}", f"{share.sentences:,}", hours, speakers)


def _cells(name: str, rows: str, sentences: str, hours: str, speakers: str) -> str:
    return f"{cell(name, 32)}{rows:>12}{sentences:>12}{hours:>12}{speakers:>12}"


def _row(finding: Finding) -> dict:
    names = ("rule", "severity", "set", "manifest", "count", "what", "mend")
    row = {name: getattr(finding, name) for name in names}
    row["shown"] = [{"where": where, "message": message} for where, message in finding.shown]
    return row | {"lines": list(finding.lines)}
