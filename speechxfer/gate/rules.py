"""What a gate demands, one line a rule: `[set.]metric[[key=value]][.gap|.worst] op limit`.

    wer <= 0.16                          the set named "test"
    wer[accent=scottish] <= 0.25         one group
    wer[accent=*] <= 0.25                every group of that key
    wer[accent].worst <= 0.3             the group with the worst score
    wer[accent].gap <= 0.1               the worst group's score less the best group's
    wer <= baseline + 0.005              no worse than the model before, but for a margin
    wer[accent=*] <= baseline + 0.02     likewise for every group
    retain.wer <= baseline + 0.01        another set
    wer < baseline                       better than the model before, and shown to be
    wer < baseline * 0.9                 a tenth fewer errors at least, and shown to be
    bleu:13a > baseline + 0.5            any metric, or column of scores, by its name

`op` is <=, <, >= or >. Limits are in the units of scores.json: an error rate of 20 % is 0.2, a BLEU of 27.3 is 27.3.
How each is judged stands in `gate`.
"""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from speechxfer.errors import ConfigError

DEFAULT_SET = "test"
COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
CHANGE = {"+": operator.add, "-": operator.sub, "*": operator.mul}
RATES = ("wer", "cer", "gcer", "mer", "wil")  # fractions: a limit of 20 would let everything pass
POINTS = ("bleu", "chrf", "chrf++", "ter")  # 0 to 100: so would 0.3

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RULE = re.compile(
    rf"""\s* (?:(?P<scores>[\w-]+)\.)? (?P<metric>[\w-]+(?:\+\+)?(?::[\w-]+)?)
    \s* (?:\[\s*(?P<key>[^=\[\]]+?)\s*(?:=\s*(?P<value>.+?)\s*)?\])?   # up to the last ]: a value may hold anything
    \s* (?:\.(?P<of>gap|worst))?
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
EXPECTED = "expected a score, <= < >= or >, and a limit: 'wer[accent=scottish] <= 0.2' or 'wer <= baseline * 0.5'"


@dataclass(frozen=True)
class Rule:
    """`scores` names the set; `key` and `value` the group ("*": each), None for the whole set.

    With `of` ("gap" or "worst") there is a key and no value: the rule is on what its groups make together. The limit
    is `number`, or the baseline's value changed by it where `change` is one of + - *.
    """

    scores: str
    metric: str
    key: str | None
    value: str | None
    of: Literal["gap", "worst"] | None
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
            of=match["of"],
            compare=match["compare"],
            change=change,
            number=float(number),
        )
        if problem := rule._problem():
            raise ConfigError(f"the rule {text!r}{problem}")
        return rule

    def _problem(self) -> str:
        """What can be read, and still cannot be meant."""
        if not math.isfinite(self.number):
            return f" has the limit {self.number}; expected a finite number"
        if self.metric in ("gap", "worst") and self.scores != DEFAULT_SET and not self.of:
            meant = replace(
                self, scores=DEFAULT_SET, metric=self.scores, key=self.key or "accent", value=None, of=self.metric
            )
            return f": .{self.metric} is of the groups of a key; expected '{meant}'"
        if self.of and (self.key is None or self.value is not None):
            meant = replace(self, key=self.key or "accent", value=None)
            return f": .{self.of} is of all groups of a key; expected '{meant}'"
        if self.key is not None and self.value is None and not self.of:
            each, worst = replace(self, value="*"), replace(self, of="worst")
            return f" names no group; did you mean '{each}' or '{worst}'?"
        fraction, points = replace(self, number=self.number / 100), replace(self, number=self.number * 100)
        if self.metric in RATES and (self.number > 2 if not self.change else self.change != "*" and self.number >= 1):
            return f": error rates are fractions; did you mean '{fraction}'?"
        if self.metric.partition(":")[0] in POINTS and not self.change and 0 < self.number < 1:
            return f": {self.metric} runs from 0 to 100; did you mean '{points}'?"
        return ""

    def __str__(self) -> str:
        scores = "" if self.scores == DEFAULT_SET else f"{self.scores}."
        group = f"[{self.group or self.key}]" if self.key else ""
        of = f".{self.of}" if self.of else ""
        limit = f"baseline {self.change} {self.number!r}".removesuffix(" + 0.0") if self.change else repr(self.number)
        return f"{scores}{self.metric}{group}{of} {self.compare} {limit}"

    @property
    def group(self) -> str | None:
        """As scores.json names it: "accent=scottish"."""
        return f"{self.key}={self.value}" if self.value is not None else None

    @property
    def lower_is_kept(self) -> bool:
        return self.compare in ("<=", "<")

    @property
    def strict(self) -> bool:
        return self.compare in ("<", ">")

    @property
    def has_margin(self) -> bool:
        """Whether the limit is anything but the baseline itself."""
        return self.number != (1.0 if self.change == "*" else 0.0)

    def limit(self, before: float | None = None) -> float:
        """The limit, of the baseline's value where there is one."""
        return CHANGE[self.change](before, self.number) if self.change else self.number

    def past(self, after, before):
        """How far `after` lies over the limit that `before` sets; floats or arrays [...] of them.

        What a sum adds is taken off last, so that two systems that are alike are the margin apart, to the last bit.
        """
        if self.change == "*":
            return after - before * self.number
        return (after - before) - CHANGE[self.change](0.0, self.number)

    def keeps(self, value: float, limit: float) -> bool:
        """0.1 + 0.2 > 0.3 in binary: a value on the limit up to rounding counts as being on it."""
        if math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12):
            return not self.strict
        return COMPARE[self.compare](value, limit)


def _repaired(text: str) -> str:
    repaired = text
    for pattern, by in REPAIRS:
        repaired = re.sub(pattern, by, repaired)
    return f"did you mean {repaired!r}?" if RULE.fullmatch(repaired) else EXPECTED


def as_lines(rules: Mapping[str, str] | Sequence[str]) -> list[str]:
    """Rules as lines, of a mapping of their two halves too: {"wer": "<= 0.2"}."""
    if isinstance(rules, Mapping):
        return [f"{left} {right}" for left, right in rules.items()]
    return [rules] if isinstance(rules, str) else list(rules)


def parse_rules(lines: Iterable[str]) -> list[Rule]:
    """Raises ConfigError with every line that is no rule."""
    rules, problems = [], []
    for line in lines:
        try:
            rules.append(Rule.parse(line))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return rules


def read_rules(path: str | Path) -> list[str]:
    """The rules of a text file, one a line; what follows a # is a comment.

    A # inside of [brackets] belongs to the group's name. Raises ConfigError with every line that is no rule, as
    file:line; for a file without any, too, for it would demand nothing.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; expected a file of rules, one a line") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}; expected UTF-8") from None
    rules, problems = [], []
    for place, line in enumerate(lines, 1):
        rule = _without_comment(line)
        if not rule:
            continue
        try:
            Rule.parse(rule)
            rules.append(rule)
        except ConfigError as error:
            problems.append(f"{path}:{place}: {error}")
    if not rules and not problems:
        problems.append(f"{path}: no rules; expected one a line, such as 'wer <= 0.2'")
    if problems:
        raise ConfigError("\n".join(problems))
    return rules


def _without_comment(line: str) -> str:
    """Up to the first # that leaves a rule, so that wer[room=#3] <= 0.2 is whole; else up to the first."""
    starts = [line[: match.start()].strip() for match in re.finditer("#", line)] + [line.strip()]
    return next((start for start in starts if not start or RULE.fullmatch(start)), starts[0])
