"""Asking rules, a stage at a time, each under the clock and with the severity that the user wants."""

import difflib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from tqdm import tqdm

from speechxfer.errors import ConfigError
from speechxfer.lint.result import Finding, of_rows
from speechxfer.lint.rules import Found, Rule, Severity, Subject


@dataclass(frozen=True)
class Stage:
    """Rules that look at the same thing. `between`: they take all sets at once; `sound`: what was measured of audio."""

    title: str
    rules: tuple[Rule, ...]
    between: bool = False
    sound: bool = False


def severities(stages: Sequence[Stage], changes: Mapping[str, str]) -> dict[str, Severity]:
    """The severity of every rule, by its name. Raises ConfigError naming all of `changes` that are not understood."""
    found = {rule.name: rule.severity for stage in stages for rule in stage.rules}
    problems = []
    for name, severity in changes.items():
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(found)}"
            problems.append(f"lint has no rule {name!r}; {hint}")
        elif severity not in get_args(Severity):
            problems.append(f"lint.{name} is {severity!r}; expected one of {', '.join(get_args(Severity))}")
    if problems:
        raise ConfigError("\n".join(problems))
    return found | dict(changes)


class Asked:
    """What the rules have answered so far. After `deadline` (of the monotonic clock) no other rule begins."""

    def __init__(self, severities: dict[str, Severity], deadline: float):
        self.severities, self.deadline = severities, deadline
        self.findings: list[Finding] = []
        self.took: dict[str, float] = {}
        self.late: list[str] = []

    def any_on(self, stage: Stage) -> bool:
        return any(self.severities[rule.name] != "off" for rule in stage.rules)

    def ask(self, stage: Stage, subjects: Sequence[Subject]) -> None:
        """Every rule of a stage that is on."""
        rules = [rule for rule in stage.rules if self.severities[rule.name] != "off"]
        with tqdm(total=len(rules), desc=f"lint: {stage.title.lower()}", disable=None, leave=False) as bar:
            for rule in rules:
                bar.set_postfix_str(rule.name)
                if time.monotonic() < self.deadline:
                    self._ask(rule, [subjects] if stage.between else subjects)
                else:
                    self.late.append(rule.name)
                bar.update()

    def _ask(self, rule: Rule, about: Sequence[Subject] | Sequence[Sequence[Subject]]) -> None:
        began = time.monotonic()
        by_subject: dict[int, list[Found]] = {}
        for one in about:
            for found in rule.check(one):
                by_subject.setdefault(id(found.subject), []).append(found)
        findings = [of_rows(rule, self.severities[rule.name], founds) for founds in by_subject.values()]
        self.findings += [finding for finding in findings if finding is not None]
        self.took[rule.name] = time.monotonic() - began
