"""Resampling against draws written out, and intervals against simulated truths."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

from speechxfer.errors import ScoreError
from speechxfer.scoring.interval import BLOCKS, bootstrap_sums, interval, resample

RATE = 0.15  # of errors, in the simulated speech


def speakers(generator: np.random.Generator, count: int, utterances: int = 20) -> np.ndarray:
    """[speakers, utterances, 2] errors and words of speakers who differ: rates have a spread of a half around RATE."""
    rates = RATE * np.exp(generator.normal(-0.125, 0.5, (count, 1)))
    words = 1 + generator.poisson(9, (count, utterances))
    return np.stack([generator.poisson(rates * words), words], axis=-1).astype(float)


def rate(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def holds(ends: tuple[float, float] | None, truth: float) -> bool:
    return ends is not None and ends[0] <= truth <= ends[1]


# Resampling


@pytest.mark.parametrize("cells", [1, 100, 2_000_000])
def test_sums_are_those_of_draws_written_out_however_many_are_held_at_a_time(monkeypatch, cells):
    monkeypatch.setattr("speechxfer.scoring.interval.CELLS", cells)
    monkeypatch.setattr("speechxfer.scoring.interval.CACHED", cells // 3)
    totals = np.random.default_rng(1).poisson(3, (23, 4)).astype(float)
    indices = np.random.default_rng(2).choice(23, size=(50, 23), replace=True)
    expected = np.array([totals[row].sum(axis=0) for row in indices])
    assert np.array_equal(bootstrap_sums(totals, np.random.default_rng(2), 50), expected)


@pytest.mark.parametrize("units", [1, 7, 400, BLOCKS + 300])
def test_a_seed_gives_the_same_sums_whatever_the_order_of_the_units(units):
    totals = np.random.default_rng(3).poisson(2, (units, 3))  # many rows alike
    shuffled = np.random.default_rng(4).permutation(totals)
    assert np.array_equal(resample(totals, resamples=20, seed=5), resample(shuffled, resamples=20, seed=5))
    if units > 1:
        assert not np.array_equal(resample(totals, resamples=20, seed=5), resample(totals, resamples=20, seed=6))


def test_columns_that_are_stacked_are_drawn_together():
    totals = np.random.default_rng(7).poisson(5, (40, 2))
    sums = resample(np.hstack([totals, 3 * totals]), resamples=100, seed=0)
    assert np.array_equal(3 * sums[:, :2], sums[:, 2:])
    assert len(np.unique(sums[:, 0])) > 10


@pytest.mark.parametrize("units", [300, 40 * BLOCKS])
def test_sums_spread_as_theory_says_with_and_without_blocks(units):
    totals = np.random.default_rng(8).exponential(1, (units, 1)) * [[1.0, 2.0]]
    sums = resample(totals, resamples=1500, seed=9)
    spread = totals.std(axis=0) * np.sqrt(units)
    assert sums.mean(axis=0) == pytest.approx(totals.sum(axis=0), abs=float(4 * spread[1] / np.sqrt(1500)))
    assert sums.std(axis=0) == pytest.approx(spread, rel=0.06)  # 3 standard errors of 1500 resamples


def test_memory_is_bounded_by_the_units_not_by_units_times_resamples():
    totals = np.ones((300_000, 8)) * np.arange(300_000)[:, None]
    tracemalloc.start()
    try:
        resample(totals, resamples=300, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64e6  # 300 resamples of 300,000 weights would be 720 MB


@pytest.mark.parametrize("shape", [(0, 2), (3,)])
def test_totals_without_units_are_refused(shape):
    with pytest.raises(ScoreError, match="expected .units, statistics."):
        resample(np.zeros(shape), resamples=10, seed=0)


# Intervals


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("units", [7, 12, 100])
def test_the_quantiles_are_those_of_the_expanded_percentile_interval(units, confidence):
    samples = np.random.default_rng(10).gamma(4, 1, 20_000)
    level = ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 - confidence) / 2))
    expected = np.quantile(samples, [level, 1 - level])
    assert interval(samples, units, confidence) == pytest.approx(tuple(expected), rel=0.01)
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    assert expected[0] < low and high < expected[1]


def test_with_many_units_the_interval_is_the_percentile_interval():
    samples = np.random.default_rng(11).normal(size=2000)
    assert interval(samples, 10**6, 0.95) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])), abs=0.02)


@pytest.mark.parametrize("units", [2, 3, 5])
def test_with_fewer_units_than_percentiles_can_serve_the_interval_is_students(units):
    data = np.random.default_rng(units).normal(size=units)
    samples = resample(np.stack([data, np.ones(units)], axis=1), resamples=20_000, seed=0)[:, 0] / units
    reach = stdtrit(units - 1, 0.975) * data.std(ddof=1) / np.sqrt(units)  # the textbook's interval of a mean
    assert interval(samples, units, 0.95) == pytest.approx((data.mean() - reach, data.mean() + reach), rel=0.05)


def test_resamples_too_few_for_the_quantile_do_not_make_the_interval_narrow():
    samples = np.random.default_rng(12).normal(size=100)
    low, high = interval(samples, 1000, 0.999)
    assert low < samples.min() and samples.max() < high


def test_no_interval_is_made_up():
    assert interval(np.arange(10.0), 1, 0.95) is None
    assert interval(np.full(10, 0.3), 8, 0.95) is None
    assert interval(np.full(10, np.nan), 8, 0.95) is None
    samples = np.random.default_rng(13).normal(size=500)
    assert interval(np.append(samples, [np.nan] * 20), 8, 0.95) == interval(samples, 8, 0.95)


# Coverage. Where speakers differ, the unit of chance is the speaker.


def coverage(units: int, rounds: int) -> dict[str, float]:
    """How often each kind of interval, stated as 95 %, holds the true rate."""
    generator = np.random.default_rng(units)
    held = {"expanded": 0, "percentile": 0, "utterances": 0}
    for seed in range(rounds):
        speech = speakers(generator, units)
        rates = rate(resample(speech.sum(axis=1), resamples=400, seed=seed))
        held["expanded"] += holds(interval(rates, units, 0.95), RATE)
        held["percentile"] += holds(tuple(np.quantile(rates, [0.025, 0.975])), RATE)
        flat = speech.reshape(-1, 2)
        held["utterances"] += holds(interval(rate(resample(flat, resamples=400, seed=seed)), len(flat), 0.95), RATE)
    return {name: count / rounds for name, count in held.items()}


@pytest.mark.parametrize("units", [8, 12, 20])
def test_intervals_over_few_speakers_hold_the_truth_as_often_as_they_say(units):
    found = coverage(units, rounds=300)
    assert 0.91 <= found["expanded"] <= 0.98
    assert found["percentile"] <= found["expanded"] - 0.015
    assert found["utterances"] < 0.7  # stated as 0.95


@pytest.mark.parametrize("units", [2, 4])
def test_two_or_four_speakers_still_give_an_honest_interval(units):
    found = coverage(units, rounds=300)
    assert 0.9 <= found["expanded"] <= 0.98
    assert found["percentile"] < 0.8
