"""Two systems on the same items: the difference, its interval, and whether chance explains it.

Both are resampled together, item by item (cluster by cluster), so what is hard for both cancels out: the interval of a
paired difference is far narrower than those of the two scores suggest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechxfer.errors import ConfigError
from speechxfer.score import CONFIDENCE, RESAMPLES
from speechxfer.scoring.interval import interval, resample
from speechxfer.scoring.items import Items, expect_same
from speechxfer.scoring.significance import (
    approximate_randomisation,
    detectable,
    holm,
    paired_bootstrap,
    permutation_test,
)
from speechxfer.scoring.table import extent_of, figure
from speechxfer.scoring.terminal import cell

TESTS_SEED = 12345  # sacrebleu's, so that its paired tests and these give the same p


@dataclass(frozen=True)
class Difference:
    """`after` minus `before` on the items of `group` ("" for all), in the metric's unit.

    `low` and `high` enclose the difference. `p` is two-sided, of the paired permutation test over clusters; `p_holm`
    is the same corrected for all groups of the key (Holm 1979), None for the whole. `p_randomisation` and
    `p_bootstrap` are what sacrebleu's two paired tests say of these clusters, for comparison with published figures:
    with few clusters both call chance significant far too often. A true difference of `detectable` would be seen in
    four such test sets of five. None where there is nothing to resample.
    """

    metric: str
    group: str
    unit: str
    before: float
    after: float
    low: float | None
    high: float | None
    p: float
    p_holm: float | None
    p_randomisation: float
    p_bootstrap: float
    detectable: float | None
    n: int
    cluster: str
    clusters: int

    @property
    def value(self) -> float:
        return self.after - self.before


def compare(
    before: Items,
    after: Items,
    *,
    groups: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Difference]:
    """The differences by every metric that both have: the whole, then every group of the keys in `groups`.

    Raises ScoreError where the items, their references or the way of counting differ, ConfigError for no such key.
    """
    shared = [name for name in after.columns if name in before.columns]
    for name in shared or list(after.columns):
        expect_same(before, after, name)
    unknown = [key for key in groups if key not in after.groups]
    if unknown:
        raise ConfigError(f"no item has the group key {unknown[0]!r}; found {', '.join(after.groups) or 'no keys'}")
    found = []
    for name in shared:
        found.append(_difference(before, after, name, "", seed, resamples, confidence))
        for key in groups:
            names = [f"{key}={value}" for value in after.groups[key].values]
            ones = [_difference(before, after, name, group, seed, resamples, confidence) for group in names]
            ones = [one for one in ones if not np.isnan(one.value)]
            adjusted = holm([one.p for one in ones])
            found += [replace(one, p_holm=p) for one, p in zip(ones, adjusted, strict=True)]
    return found


def _difference(
    before: Items, after: Items, name: str, group: str, seed: int, resamples: int, confidence: float
) -> Difference:
    metric = after.columns[name].metric
    index = after.members(group or None)
    cluster, codes = after.clusters(index)
    first, second = (items.totals(name, index, codes) for items in (before, after))
    k, units = first.shape[1], len(first)
    sums = resample(np.concatenate([first, second], axis=1), resamples=resamples, seed=seed)
    samples = metric.value(sums[:, k:]) - metric.value(sums[:, :k])
    low, high = interval(samples, units, confidence) or (None, None)
    # Two equal outputs are not tested: no shuffle exceeds a difference of zero, which sacrebleu calls significant.
    p = p_randomisation = p_bootstrap = 1.0
    values = [float(metric.value(totals.sum(axis=0))) for totals in (first, second)]
    if not np.array_equal(first, second) and not np.isnan(values).any():
        p = permutation_test(first, second, metric.value, seed=TESTS_SEED)
        p_randomisation = approximate_randomisation(first, second, metric.value, seed=TESTS_SEED)
        p_bootstrap = paired_bootstrap(first, second, metric.value, seed=TESTS_SEED)
    return Difference(
        metric=name,
        group=group,
        unit=metric.unit,
        before=values[0],
        after=values[1],
        low=low,
        high=high,
        p=p,
        p_holm=None,
        p_randomisation=p_randomisation,
        p_bootstrap=p_bootstrap,
        detectable=detectable(samples, units) if low is not None else None,
        n=len(index),
        cluster=cluster,
        clusters=units,
    )


def table(differences: Sequence[Difference]) -> str:
    """As plain text of at most 80 columns; rates in per cent, so differences of rates are points of per cent."""
    lines = []
    for one in differences:
        if not one.group:
            title = f"{one.metric.upper()} in %" if one.unit == "rate" else one.metric
            lines += [""] * bool(lines) + [_line(title, "before", "after", "diff", "95% interval", "p", "seen at")]
        ends = "-" if one.low is None else extent_of(one.low, one.high, one.unit)
        p = one.p if one.p_holm is None else one.p_holm
        values = (None if np.isnan(value) else value for value in (one.before, one.after, one.value))
        figures = (figure(value, one.unit) for value in values)
        lines.append(_line(one.group or "all", *figures, ends, f"{p:.4f}", figure(one.detectable, one.unit)))
    whole = differences[0]
    lines.append(f"- {whole.n} items, {whole.clusters} {whole.cluster}s; p: two-sided paired permutation test")
    for one in differences:
        if not one.group:
            theirs = f"randomisation p {one.p_randomisation:.4f}, bootstrap p {one.p_bootstrap:.4f}"
            lines.append(f"- {one.metric} by sacrebleu's tests: {theirs}")
    if any(one.group for one in differences):
        lines.append("- p of groups: corrected for their number (Holm)")
    lines.append("- seen at: the least true difference that this set shows 4 times of 5")
    return "\n".join(lines)


def _line(name: str, before: str, after: str, difference: str, ends: str, p: str, least: str) -> str:
    return f"{cell(name, 21)}{before:>9}{after:>9}{difference:>8}{ends:>17}{p:>8}{least:>8}"
