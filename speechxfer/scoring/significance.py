"""Do two systems differ? Paired tests on statistics of the same items, and what a test set could have shown.

`before` and `after` are the statistics of two systems [units, k]: a row for each item, or for each cluster of items
(its sum). `value` turns sums [..., k] into scores [...].

`paired_bootstrap` and `approximate_randomisation` are sacrebleu's tests, draw by draw: with its seed, the same
p-value. Two things are to be known about them. The bootstrap's p is in effect one-sided: of systems that do not
differ, it calls 10 % different at p <= 0.05, one way or the other, and more with few clusters. And neither counts
a tie with the observed difference, which is harmless with thousands of sentences but not with few clusters: 4
speakers can be swapped in 16 ways, so chance alone brings the most extreme difference in 1 case of 8, for which
`approximate_randomisation` gives p = 0.0001. For clusters there are `p_value`, which goes with `interval`, and
`permutation_test`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from speechxfer.errors import ScoreError
from speechxfer.scoring.interval import CELLS, FEWEST, bootstrap_sums, stretch

Value = Callable[[np.ndarray], np.ndarray]  # sums [..., k] -> scores [...]

SLICE = 65_536  # units whose swaps are held as float64 at a time
NOISE = 1e-9  # of the scores: what rounding may do to a tie (a word in ten million makes 1e-7)


def paired_bootstrap(
    before: np.ndarray, after: np.ndarray, value: Value, *, resamples: int = 1000, seed: int = 12345
) -> float:
    """The p-value of sacrebleu's paired bootstrap (`--paired-bs`; Koehn 2004) for a difference between two systems.

    It is the share of resamples in which |difference|, less its mean over the resamples, exceeds the observed
    |difference|, counting the observed one too. Resamples are scored in float32, as there; only where a sum exceeds
    2 ** 24, which sacrebleu's own adding in float32 rounds, may a p differ by 1 / (resamples + 1). Resamples that have
    nothing to count (no number, no term: NaN) are left out; 1.0 where all are. Raises ScoreError where the shapes do
    not fit.
    """
    before, after = _paired(before, after)
    sums = bootstrap_sums(np.hstack([before, after]), np.random.default_rng(seed), resamples).astype(np.float32)
    of_before, of_after = np.hsplit(sums, 2)
    sizes = np.abs(value(of_after) - value(of_before))
    sizes = sizes[~np.isnan(sizes)]
    if not len(sizes):
        return 1.0
    return _share(sizes - sizes.mean() > _observed(before, after, value))


def approximate_randomisation(
    before: np.ndarray, after: np.ndarray, value: Value, *, trials: int = 10_000, seed: int = 12345
) -> float:
    """The p-value of sacrebleu's approximate randomisation (`--paired-ar`; Riezler & Maxwell 2005), two-sided.

    It is the share of trials in which swapping the systems' outputs at random, item by item, makes a |difference|
    that exceeds the observed one, counting the observed one too. Raises ScoreError where the shapes do not fit.
    """
    before, after = _paired(before, after)
    return _share(_swapped(before, after, value, trials, seed) > _observed(before, after, value))


def permutation_test(
    before: np.ndarray, after: np.ndarray, value: Value, *, trials: int = 10_000, seed: int = 12345
) -> float:
    """Approximate randomisation that holds its level with any number of units: ties count against the difference.

    The trials are those of `approximate_randomisation`, and p is the share in which the |difference| is at least the
    observed one, counting the observed one too (Phipson & Smyth 2010, "Permutation P-values should never be zero").
    With u clusters it is never much under 2 ** (1 - u), so five cannot reach 0.05. Raises ScoreError where the shapes
    do not fit.
    """
    before, after = _paired(before, after)
    noise = NOISE * np.abs(value(after.sum(axis=0)))
    return _share(_swapped(before, after, value, trials, seed) >= _observed(before, after, value) - noise)


def p_value(samples: np.ndarray, units: int) -> float:
    """The two-sided p-value of a bootstrapped difference being zero, which goes with `interval`.

    `samples` [resamples] are the differences of resamples over `units` units; NaN is left out. The share of them on
    the other side of zero, one more counted (so it is never 0), is turned into p as the expanded percentile interval
    turns its level into quantiles: p <= alpha means that the interval of confidence 1 - alpha excludes zero. Below
    FEWEST units, or where no sample lies beyond zero and the share says too little, p follows from mean / standard
    deviation of the samples by Student's t, as that interval does. 1.0 where `interval` would be None.
    """
    from scipy.special import ndtri, stdtr

    samples = samples[~np.isnan(samples)]
    if units < 2 or not len(samples) or samples.min() == samples.max():
        return 1.0
    by_spread = -abs(samples.mean()) / (samples.std(ddof=1) * stretch(units))
    if units < FEWEST:
        return _two_sided(stdtr(units - 1, by_spread))
    beyond = min(np.count_nonzero(samples <= 0), np.count_nonzero(samples >= 0))
    by_rank = ndtri((beyond + 1) / (len(samples) + 1)) / stretch(units)
    return _two_sided(stdtr(units - 1, by_rank if beyond else min(by_rank, by_spread)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: those <= alpha may be rejected together with a risk of alpha in all.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the smallest times their number, the next
    times one less, and so on; never less than one before it, at most 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given)
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def detectable(samples: np.ndarray, units: int, *, power: float = 0.8, alpha: float = 0.025) -> float:
    """The smallest true difference that a test set like this one finds with probability `power`, in units of samples.

    `samples` [resamples] are bootstrapped differences over `units` units; NaN is left out. To find is to have an
    interval of confidence 1 - 2 alpha that excludes zero (or a one-sided test at `alpha`). It is
    (t_{1 - alpha} + t_{power}) standard errors (Bloom 1995, "Minimum detectable effects", with the quantiles of
    Student's t with units - 1 degrees of freedom). Infinite where the samples do not show the noise: fewer than two
    units, or all samples the same.
    """
    from scipy.special import stdtrit

    samples = samples[~np.isnan(samples)]
    if units < 2 or not len(samples) or samples.min() == samples.max():
        return float("inf")
    reach = stdtrit(units - 1, 1 - alpha) + stdtrit(units - 1, power)
    return float(reach * samples.std(ddof=1) * stretch(units))


def _paired(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if before.shape != after.shape or before.ndim != 2 or not len(before):
        raise ScoreError(
            f"statistics of shapes {before.shape} and {after.shape}; expected [units, statistics] twice, "
            "of the same units, at least one"
        )
    return before, after


def _observed(before: np.ndarray, after: np.ndarray, value: Value) -> float:
    return float(abs(value(before.sum(axis=0)) - value(after.sum(axis=0))))


def _share(beyond: np.ndarray) -> float:
    """The share of draws that lie beyond the observed one, which is counted among them."""
    return (np.count_nonzero(beyond) + 1) / (len(beyond) + 1)


def _swapped(before: np.ndarray, after: np.ndarray, value: Value, trials: int, seed: int) -> np.ndarray:
    """|differences| [trials] of trials in which each unit keeps or swaps its systems.

    The draws are those of generator.integers(2, size=(trials, units), dtype=bool), which takes its bits from 32-bit
    words and throws away what is left of the last: so but for the last time, a multiple of 32 trials is drawn.
    """
    generator = np.random.default_rng(seed)
    apart, both, after_sums = before - after, (before + after).sum(axis=0), after.sum(axis=0)
    units = len(before)
    sizes = np.empty(trials)
    step = 32 * max(1, CELLS // (32 * units))
    for start in range(0, trials, step):
        swaps = generator.integers(2, size=(min(step, trials - start), units), dtype=bool)
        sums = np.tile(after_sums, (len(swaps), 1))
        for first in range(0, units, SLICE):
            sums += swaps[:, first : first + SLICE].astype(np.float64) @ apart[first : first + SLICE]
        sizes[start : start + step] = np.abs(value(sums) - value(both - sums))
    return sizes


def _two_sided(tail: float) -> float:
    return float(min(1.0, 2 * tail))
