"""Resampling of statistics that add, and honest intervals from the resamples, also with few clusters.

The unit that is resampled is the cluster (a speaker), not the utterance: one speaker's utterances go wrong
together, so resampling them one by one gives an interval that is too narrow. A resample draws as many units as
there are, with replacement (Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance
evaluation", section 3; clusters in place of utterances as in Liu & Peng 2020, "Statistical testing on ASR
performance via blockwise bootstrap").
"""

import numpy as np

from speechxfer.errors import ScoreError

CELLS = 2_000_000  # weights held in memory at a time (float64: 16 MB)
CACHED = 100_000  # draws counted in one go: so few stay in the processor's cache, which is 3 times faster
BLOCKS = 8192  # units at most; more are first joined at random
FEWEST = 6  # below, percentiles cannot serve 95 %: even the lowest to the highest of u units hold their median with
# probability 1 - 2 ** (1 - u), and no resample lies outside them


def resample(totals: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Sums [resamples, K] of a bootstrap over the rows of `totals` [units, K], as float64.

    Two systems on the same items, or several groups, keep what they share if they are resampled together: stack
    their columns side by side. The same seed gives the same sums (of fractions: but for rounding), whatever the
    order of the units.

    More units than BLOCKS are first joined into that many blocks, at random and of one size (but for one unit),
    and the blocks are resampled. A block of unrelated units is itself a unit, so the spread stays right on
    average; what is lost is precision of the spread, 1 / sqrt(2 BLOCKS) or 0.8 % of an interval's width, where
    2000 resamples leave 3 %. A million units then cost what BLOCKS do.

    Raises ScoreError where `totals` holds no unit.
    """
    totals = np.asarray(totals, dtype=np.float64)
    if totals.ndim != 2 or not len(totals):
        raise ScoreError(f"totals of shape {totals.shape}; expected [units, statistics] with at least one unit")
    generator = np.random.default_rng(seed)
    # An order that follows from the rows alone. A random projection sorts them as well as sorting by all columns
    # does (different rows share a value with probability zero), and takes 0.2 s instead of 10 s for a million.
    order = np.argsort(totals @ generator.normal(size=totals.shape[1]))
    if len(totals) > BLOCKS:
        block = np.empty(len(totals), dtype=np.int64)
        block[order] = generator.permutation(len(totals)) % BLOCKS
        units = np.stack([np.bincount(block, weights=column) for column in totals.T], axis=1)
    else:
        units = totals[order]
    return bootstrap_sums(units, generator, resamples)


def bootstrap_sums(totals: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Sums [resamples, K] of rows drawn with replacement from `totals` [units, K], each as often as there are rows.

    The draws are those of generator.choice(units, size=(resamples, units)), but only CELLS of them are held at a
    time: how often each row is drawn, times the rows.
    """
    sums = np.empty((resamples, totals.shape[1]))
    step = max(1, CELLS // len(totals))
    for start in range(0, resamples, step):
        sums[start : start + step] = _times_drawn(generator, min(step, resamples - start), len(totals)) @ totals
    return sums


def _times_drawn(generator: np.random.Generator, resamples: int, units: int) -> np.ndarray:
    """How often each unit is drawn, [resamples, units]."""
    times = np.empty((resamples, units))
    step = max(1, CACHED // units)
    for start in range(0, resamples, step):
        drawn = generator.integers(units, size=(min(step, resamples - start), units))
        cells = drawn + np.arange(0, drawn.size, units)[:, None]  # each resample counts in its own cells
        times[start : start + step] = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return times


def interval(samples: np.ndarray, units: int, confidence: float) -> tuple[float, float] | None:
    """The interval of a statistic from its bootstrap samples [resamples], which were drawn over `units` units.

    The expanded percentile interval (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section
    "Expanded percentile interval"): a percentile interval is too narrow by sqrt((units - 1) / units) and takes a
    normal quantile where a t quantile is due, so the level of its quantiles is moved from alpha / 2 to
    Phi(sqrt(units / (units - 1)) t), with t the alpha / 2 quantile of Student's t with units - 1 degrees of freedom.

    Below FEWEST units, or where the resamples are too few to hold that quantile, no percentile is wide enough: the
    interval is then mean +- t standard deviations, stretched by the same root; it may leave the range of the metric.

    Samples that are NaN (a resample without any reference token) are left out. None where there are fewer than two
    units or all samples are the same: an interval of width zero would claim a certainty that the data does not hold.
    """
    from scipy.special import ndtr, stdtrit

    samples = samples[~np.isnan(samples)]
    if units < 2 or not len(samples) or samples.min() == samples.max():
        return None
    reach = float(stdtrit(units - 1, (1 - confidence) / 2)) * stretch(units)  # in standard deviations; negative
    rank = int(ndtr(reach) * (len(samples) + 1))  # of the lower end among the ordered samples, from 1
    if units < FEWEST or rank < 1:
        centre, spread = float(samples.mean()), float(samples.std(ddof=1))
        return centre + reach * spread, centre - reach * spread
    low, high = np.partition(samples, [rank - 1, len(samples) - rank])[[rank - 1, -rank]]
    return (float(low), float(high)) if low < high else None


def stretch(units: int) -> float:
    """What the spread of bootstrap samples over `units` units is multiplied by to be unbiased, for a mean."""
    return float(np.sqrt(units / (units - 1)))
