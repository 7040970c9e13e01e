"""Confidence intervals for rates whose errors and lengths add: the percentile bootstrap over clusters.

The unit that is resampled is the cluster (a speaker), not the utterance: one speaker's utterances go wrong
together, so resampling them one by one gives an interval that is too narrow.
"""

import numpy as np

CELLS = 2_000_000  # weights held in memory at a time (int64: 16 MB)


def bootstrap(totals: np.ndarray, *, seed: int, resamples: int, confidence: float) -> tuple[float, float] | None:
    """The interval of sum(errors) / sum(length) over clusters, or None where resampling cannot give one.

    `totals` is [clusters, 2], whole numbers: the errors and the reference length of each cluster. `confidence`
    lies in 0..1. None means that there are fewer than two clusters, or that every resample has the same rate
    (no errors at all, say): an interval of width zero would claim a certainty that the data does not hold.

    A resample draws as many clusters as there are, with replacement (Bisani & Ney 2004, "Bootstrap estimates
    for confidence intervals in ASR performance evaluation", section 3; clusters in place of utterances as in
    Liu & Peng 2020, "Statistical testing on ASR performance via blockwise bootstrap"). How often each cluster
    is drawn is multinomial, and clusters with equal totals can share one draw: 100,000 utterances have only
    some thousand different (errors, length). With few clusters (under ten or so) a percentile interval is
    known to be somewhat too narrow; so the number of clusters is always printed beside it.
    """
    clusters = len(totals)
    if clusters < 2:
        return None
    rows, copies = np.unique(totals, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    rates = np.empty(resamples)
    step = max(1, CELLS // len(rows))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = generator.multinomial(clusters, copies / clusters, size=stop - start)  # [resamples, rows]
        errors, length = (drawn @ rows).T
        rates[start:stop] = errors / np.maximum(length, 1)  # as Counts.rate
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return (float(low), float(high)) if low < high else None
