"""Paired tests against sacrebleu's, and a million lines. Run: OMP_NUM_THREADS=1 python benchmarks/significance.py

Both sides start from the statistics of each segment, so what is timed is the resampling alone: sacrebleu's own test
functions, whose extraction of statistics is replaced by a look-up. The two alternate within each round, on corpora of
their own; ratios are per round, as median and (lowest to highest). The p-values are those of the same runs. Seconds
are the processor's, so that what else runs on the machine does not count.

The million lines are compared by word error rate, at the level of lines (the dearest: a million units). sacrebleu's
loop would hold 1000 x 1,000,000 indices of 8 bytes (8 GB), and as many rows. Memory is the growth of the peak resident
set from the moment when the statistics are there. This part comes first: a peak does not go down again.
"""

import resource
import time
from collections.abc import Callable

import numpy as np
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import Result, _paired_ar_test, _paired_bs_test

from speechxfer.scoring.interval import interval, resample
from speechxfer.scoring.metrics import find
from speechxfer.scoring.significance import approximate_randomisation, p_value, paired_bootstrap

LINES, SEGMENTS, ROUNDS, SEED = 1_000_000, 2500, 5, 12345
RESAMPLES, TRIALS = 1000, 10_000  # sacrebleu's own


def corpus(seed: int, count: int) -> tuple[list[str], list[str], list[str]]:
    """References of 25 words on average, and two systems that get a third of the words wrong."""
    generator = np.random.default_rng(seed)
    words = np.array([f"w{i}" if i % 3 else f"wort{i}lang" for i in range(3000)])
    refs = [words[(generator.pareto(1, generator.integers(5, 45)) * 20).astype(int) % 3000] for _ in range(count)]

    def system(wrong: float) -> list[str]:
        noise = [(generator.random(len(ref)) < wrong, generator.choice(words, len(ref))) for ref in refs]
        return [" ".join(np.where(changed, other, ref)) for ref, (changed, other) in zip(refs, noise, strict=True)]

    return [" ".join(ref) for ref in refs], system(0.33), system(0.335)


def their_test(kind: str, metric, before: list, after: list) -> Callable[[], float]:
    """sacrebleu's test on statistics that are there already."""
    metric._extract_corpus_statistics = lambda hyps, refs: after
    known = {"metric": (before, Result(metric._aggregate_and_compute(before).score))}
    test, draws = {"bootstrap": (_paired_bs_test, RESAMPLES), "randomisation": (_paired_ar_test, TRIALS)}[kind]
    return lambda: (
        test(known, "after", range(len(after)), None, {"metric": metric}, draws, -1, SEED)[1]["metric"].p_value
    )


def our_test(kind: str, value: Callable, before: list, after: list) -> Callable[[], float]:
    first, second = np.array(before, dtype=np.float64), np.array(after, dtype=np.float64)
    if kind == "bootstrap":
        return lambda: paired_bootstrap(first, second, value, resamples=RESAMPLES, seed=SEED)
    return lambda: approximate_randomisation(first, second, value, trials=TRIALS, seed=SEED)


def timed(work: Callable) -> tuple[float, object]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def spread(values: np.ndarray, form: str) -> str:
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


def against_sacrebleu() -> None:
    print(f"\n{SEGMENTS} segments, {ROUNDS} rounds, sacrebleu {sacrebleu.__version__}; seconds and theirs / ours")
    print(f"{'test':22}{'metric':8}{'ours':>26}{'sacrebleu':>26}{'ratio':>24}  p the same")
    rows = {(kind, name): [] for kind in ("bootstrap", "randomisation") for name in ("bleu", "chrf")}
    for seed in range(ROUNDS):
        refs, first, second = corpus(seed, SEGMENTS)
        for kind, name in rows:
            metric = {"bleu": BLEU, "chrf": CHRF}[name]()
            before, after = (metric._extract_corpus_statistics(hyps, [refs]) for hyps in (first, second))
            ours, our_p = timed(our_test(kind, find(name, refs).value, before, after))
            theirs, their_p = timed(their_test(kind, metric, before, after))
            rows[kind, name].append((ours, theirs, theirs / ours, our_p == their_p))
    for (kind, name), found in rows.items():
        ours, theirs, ratio, same = np.array(found).T
        print(
            f"{kind:22}{name:8}{spread(ours, '.3f'):>26}{spread(theirs, '.2f'):>26}{spread(ratio, '.1f'):>24}"
            f"  {same.sum():.0f} of {ROUNDS}"
        )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def a_million_lines() -> None:
    metric = find("wer", ["a word"])
    generator = np.random.default_rng(0)
    words = 1 + generator.poisson(9, LINES)

    def system(share: float) -> np.ndarray:
        wrong = generator.binomial(words, share)
        deleted = generator.binomial(wrong, 0.3)
        named = {
            "insertions": generator.poisson(0.02 * words),
            "deletions": deleted,
            "substitutions": wrong - deleted,
            "hits": words - wrong,
        }
        return np.stack([named[column] for column in metric.columns], axis=1).astype(np.float64)

    before, after = system(0.15), system(0.1505)
    stacked = np.hstack([before, after])
    resample(stacked[:100], resamples=10, seed=0), p_value(generator.normal(size=10), 9)  # imports scipy
    started = peak_mb()

    def by_interval() -> str:
        sums = resample(stacked, resamples=RESAMPLES, seed=0)
        samples = metric.value(sums[:, before.shape[1] :]) - metric.value(sums[:, : before.shape[1]])
        low, high = interval(samples, LINES, 0.95)
        return f"difference {100 * low:.3f} to {100 * high:.3f} %, p = {p_value(samples, LINES):.4f}"

    works = {
        f"interval of the difference, {RESAMPLES}": by_interval,
        f"paired_bootstrap, {RESAMPLES}": lambda: f"p = {paired_bootstrap(before, after, metric.value):.4f}",
        f"approximate_randomisation, {RESAMPLES}": lambda: (
            f"p = {approximate_randomisation(before, after, metric.value, trials=RESAMPLES):.4f}"
        ),
    }
    print(f"{LINES:,} lines, two systems, wer, statistics of {stacked.nbytes / 2**20:.0f} MB")
    print(f"{'work':40}{'seconds':>9}{'peak MB':>9}  result")
    for name, work in works.items():
        taken, found = timed(work)
        print(f"{name:40}{taken:9.1f}{peak_mb() - started:+9.0f}  {found}", flush=True)


if __name__ == "__main__":
    a_million_lines()
    against_sacrebleu()
