"""Tests against sacrebleu's own, exact enumeration and simulated systems."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest, _bootstrap_resample

from speechxfer.errors import ScoreError
from speechxfer.scoring.interval import interval, resample
from speechxfer.scoring.metrics import find
from speechxfer.scoring.significance import (
    approximate_randomisation,
    detectable,
    holm,
    p_value,
    paired_bootstrap,
    permutation_test,
)

METRICS = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


def rate(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def quotient(sums: np.ndarray) -> np.ndarray:
    """NaN where nothing was counted."""
    return find("kept", ()).value(np.concatenate([sums, np.zeros((*sums.shape[:-1], 7))], axis=-1))


def translations(seed: int, count: int) -> tuple[list[str], list[str], list[str]]:
    """References, and two systems that get about a third of the words wrong."""
    generator = np.random.default_rng(seed)
    words = np.array([f"w{i}" if i % 3 else f"wort{i}lang" for i in range(300)])
    refs = [words[(generator.pareto(1, generator.integers(3, 20)) * 5).astype(int) % 300] for _ in range(count)]

    def system(wrong: float) -> list[str]:
        noise = [(generator.random(len(ref)) < wrong, generator.choice(words, len(ref))) for ref in refs]
        return [" ".join(np.where(changed, other, ref)) for ref, (changed, other) in zip(refs, noise, strict=True)]

    return [" ".join(ref) for ref in refs], system(0.30), system(0.32)


def one_by_one(metric):
    """sacrebleu's score of each row of sums."""
    return lambda sums: np.apply_along_axis(lambda row: metric._compute_score_from_stats(row).score, -1, sums)


def rival_systems(
    generator: np.random.Generator, speakers: int, worse: float = 1.0, utterances: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """[speakers, 2] errors and words of two systems: a speaker is hard or easy for both, and suits one better."""
    hardness = 0.15 * np.exp(generator.normal(0, 0.5, (speakers, 1)))
    words = 1 + generator.poisson(9, (speakers, utterances))

    def errors(factor: float) -> np.ndarray:
        taste = np.exp(generator.normal(0, 0.15, (speakers, 1)))
        return generator.poisson(factor * taste * hardness * words).sum(axis=1)

    return tuple(np.stack([errors(factor), words.sum(axis=1)], axis=1).astype(float) for factor in (1.0, worse))


def differences(before: np.ndarray, after: np.ndarray, seed: int, resamples: int = 400) -> np.ndarray:
    sums = resample(np.hstack([before, after]), resamples=resamples, seed=seed)
    return rate(sums[:, 2:]) - rate(sums[:, :2])


def excludes_zero(ends: tuple[float, float] | None) -> bool:
    return ends is not None and (ends[0] > 0 or ends[1] < 0)


# As sacrebleu


@pytest.mark.parametrize("count", [4, 100])
@pytest.mark.parametrize("name", METRICS)
def test_p_values_are_sacrebleus(monkeypatch, name, count):
    for seed in range(1, 5):
        monkeypatch.setenv("SACREBLEU_SEED", str(seed))
        metric = METRICS[name]()
        refs, first, second = translations(seed, count)
        before, after = (np.array(metric._extract_corpus_statistics(hyps, [refs])) for hyps in (first, second))
        for kind, test in (("bs", paired_bootstrap), ("ar", approximate_randomisation)):
            theirs = PairedTest([("1", first), ("2", second)], {name: metric}, [refs], kind, n_samples=100)()[1]
            scores = next(column for key, column in theirs.items() if key != "System")
            draws = {"resamples" if kind == "bs" else "trials": 100}
            assert test(before, after, one_by_one(metric), seed=seed, **draws) == scores[1].p_value


@pytest.mark.parametrize("name", METRICS)
def test_p_values_with_our_own_scores_are_sacrebleus(monkeypatch, name):
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    for corpus in range(4):
        refs, first, second = translations(corpus, 120)
        ours, theirs = find(name, refs), METRICS[name]()
        before, after = (ours.statistics([[ref] for ref in refs], hyps) for hyps in (first, second))
        for kind, test in (("bs", paired_bootstrap), ("ar", approximate_randomisation)):
            scores = PairedTest([("1", first), ("2", second)], {name: theirs}, [refs], kind, n_samples=300)()[1]
            expected = next(column for key, column in scores.items() if key != "System")[1].p_value
            assert test(before, after, ours.value, **{"resamples" if kind == "bs" else "trials": 300}) == expected


@pytest.mark.parametrize("name", METRICS)
def test_the_scores_of_resamples_are_sacrebleus_to_the_last_bit(monkeypatch, name):
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    refs, hyps, other = translations(7, 40)
    ours, theirs = find(name, refs), METRICS[name]()
    before, after = (ours.statistics([[ref] for ref in refs], texts) for texts in (hyps, other))
    seen = []

    def value(sums: np.ndarray) -> np.ndarray:
        seen.append(ours.value(sums))
        return seen[-1]

    paired_bootstrap(before, after, value, resamples=50, seed=7)
    expected = np.array([one.score for one in _bootstrap_resample(before.tolist(), theirs, 50)[1]])
    assert any(np.array_equal(scores, expected) for scores in seen)


def test_p_values_of_an_error_rate_are_those_of_sacrebleus_way_written_out():
    for seed in range(30):
        generator = np.random.default_rng(1000 + seed)
        words = 1 + generator.poisson(8, 60)
        before, after = (np.stack([generator.binomial(words, share), words], axis=1) for share in (0.2, 0.24))
        observed = abs(rate(before.sum(axis=0)) - rate(after.sum(axis=0)))

        indices = np.random.default_rng(seed).choice(60, size=(300, 60), replace=True)
        first, second = before.astype("float32"), after.astype("float32")  # as sacrebleu, in its bootstrap alone
        sizes = np.array([abs(rate(first[row].sum(axis=0)) - rate(second[row].sum(axis=0))) for row in indices])
        expected = (np.sum(sizes - sizes.mean() > observed) + 1) / 301
        assert paired_bootstrap(before, after, rate, resamples=300, seed=seed) == expected

        keep = np.random.default_rng(seed).integers(2, size=(300, 60), dtype=bool)
        sizes = np.abs(rate(keep @ before + ~keep @ after) - rate(~keep @ before + keep @ after))
        expected = (np.sum(sizes > observed) + 1) / 301
        assert approximate_randomisation(before, after, rate, trials=300, seed=seed) == expected


def test_resamples_without_anything_to_count_are_left_out_of_the_bootstrap():
    """As of a test set with few numbers in its sources: the metric `kept`."""
    generator = np.random.default_rng(5)
    counted = np.zeros(40)
    counted[:3] = 4
    before, after = (np.stack([generator.binomial(4, share, 40) * (counted > 0), counted], 1) for share in (0.5, 0.8))
    indices = np.random.default_rng(1).choice(40, size=(300, 40), replace=True)
    indices = indices[counted[indices].sum(axis=1) > 0]
    assert 200 < len(indices) < 299
    first, second = (np.array([rate(one[row].sum(axis=0)) for row in indices]) for one in (before, after))
    sizes, observed = np.abs(first - second), abs(rate(before.sum(axis=0)) - rate(after.sum(axis=0)))
    expected = (np.sum(sizes - sizes.mean() > observed) + 1) / (len(sizes) + 1)
    assert expected > 0.01 and paired_bootstrap(before, after, quotient, resamples=300, seed=1) == expected
    assert paired_bootstrap(0 * before, 0 * after, quotient) == 1.0


@pytest.mark.parametrize("count", [9, 64, 301])
def test_drawing_in_pieces_gives_the_same_p_value(monkeypatch, count):
    generator = np.random.default_rng(count)
    words = 1 + generator.poisson(8, count)
    before, after = (np.stack([generator.binomial(words, share), words], axis=1) for share in (0.2, 0.22))
    tests = (paired_bootstrap, approximate_randomisation, permutation_test)
    whole = [test(before, after, rate, seed=3) for test in tests]
    monkeypatch.setattr("speechxfer.scoring.interval.CELLS", 700)
    monkeypatch.setattr("speechxfer.scoring.interval.CACHED", 200)
    monkeypatch.setattr("speechxfer.scoring.significance.CELLS", 700)
    monkeypatch.setattr("speechxfer.scoring.significance.SLICE", 50)
    assert [test(before, after, rate, seed=3) for test in tests] == whole


def test_memory_is_bounded_by_the_items_not_by_items_times_draws():
    generator = np.random.default_rng(0)
    before = generator.poisson(3, (200_000, 2)).astype(float) + 1
    after = generator.permutation(before)
    tracemalloc.start()
    try:
        paired_bootstrap(before, after, rate, resamples=40)
        approximate_randomisation(before, after, rate, trials=96)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64e6  # 40 resamples of indices at once, and their rows, are 320 MB


@pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomisation, permutation_test])
def test_systems_on_different_units_are_refused(test):
    with pytest.raises(ScoreError, match=r"\(3, 2\) and \(4, 2\)"):
        test(np.ones((3, 2)), np.ones((4, 2)), rate)


# Few clusters


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=8), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
@example(errors=[(0, 0)] * 5 + [(2, 0), (0, 2)], seed=0)
def test_the_permutation_test_agrees_with_all_permutations(errors, seed):
    before, after = (np.array([[0.7 + 0.1 * pair[i], 1] for pair in errors]) for i in (0, 1))  # rounding blurs ties
    gaps = [first - second for first, second in errors]
    sizes = np.array([abs(np.dot(signs, gaps)) for signs in product([-1, 1], repeat=len(gaps))])
    exact = np.mean(sizes >= abs(sum(gaps)))
    noise = 5 * np.sqrt(exact * (1 - exact) / 4000) + 1e-3
    assert permutation_test(before, after, rate, trials=4000, seed=seed) == pytest.approx(exact, abs=noise)


def test_a_system_does_not_differ_from_itself():
    totals = np.random.default_rng(0).poisson(5, (30, 2)).astype(float) + 1
    assert permutation_test(totals, totals, rate) == 1
    assert p_value(differences(totals, totals, 0), 30) == 1
    assert detectable(differences(totals, totals, 0), 30) == np.inf


@pytest.mark.parametrize("speakers", [4, 10, 20])
def test_systems_that_do_not_truly_differ_raise_no_more_than_five_per_cent_of_alarms(speakers):
    generator = np.random.default_rng(speakers)
    rounds, alarms = 600, {"interval": 0, "p_value": 0, "permutation": 0}
    for seed in range(rounds):
        before, after = rival_systems(generator, speakers)
        samples = differences(before, after, seed)
        alarms["interval"] += excludes_zero(interval(samples, speakers, 0.95))
        alarms["p_value"] += p_value(samples, speakers) <= 0.05
        alarms["permutation"] += permutation_test(before, after, rate, trials=300, seed=seed) <= 0.05
    assert all(count / rounds <= 0.065 for count in alarms.values()), alarms
    assert alarms["interval"] > 0  # or it would be of no use


def test_sacrebleus_tests_are_not_meant_for_four_speakers():
    generator = np.random.default_rng(1)
    pairs = [rival_systems(generator, 4) for _ in range(200)]
    alarms = np.mean([approximate_randomisation(*pair, rate, trials=300) <= 0.05 for pair in pairs])
    assert alarms > 0.08  # which is why clusters have p_value and permutation_test


# The p-value of an interval


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("units", [2, 3, 5, 6, 9, 30])
def test_p_is_at_most_alpha_where_the_interval_excludes_zero(units, confidence):
    skewed = np.random.default_rng(units).exponential(1, 1000) - 1
    decided = set()
    for shift in np.linspace(-40, 40, 1001) if units < 4 else np.linspace(-8, 8, 1001):
        samples = skewed + shift
        excluded = excludes_zero(interval(samples, units, confidence))
        assert (p_value(samples, units) <= 1 - confidence) == excluded
        decided.add(bool(excluded))
    assert decided == {True, False}
    assert p_value(-samples, units) == pytest.approx(p_value(samples, units))
    assert p_value(np.append(samples, np.nan), units) == p_value(samples, units)


def test_p_falls_with_the_number_of_units_and_with_the_difference():
    samples = np.random.default_rng(0).normal(2.2, 1, 2000)
    over_units = [p_value(samples, units) for units in (2, 4, 8, 16, 1000)]
    assert over_units == sorted(over_units, reverse=True)
    assert 0.02 < over_units[-1] < 0.04  # two-sided: 2 Phi(-2.2) = 0.028
    assert p_value(samples + 20, 1000) < 1e-6 < p_value(samples, 1000) < p_value(samples - 2, 1000)


def test_without_noise_to_judge_by_nothing_is_significant():
    assert p_value(np.array([1.0, 2.0]), 1) == 1
    assert p_value(np.full(9, 0.2), 7) == 1
    assert p_value(np.full(9, np.nan), 7) == 1


# Several tests at once


def test_holm_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # as R's p.adjust
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_procedure_rejects(p_values, alpha):
    adjusted = holm(p_values)
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - step) > alpha:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p <= q <= min(1, len(p_values) * p) for p, q in zip(p_values, adjusted, strict=True))
    assert holm(p_values[::-1]) == adjusted[::-1]


# What could have been seen


@pytest.mark.parametrize("speakers", [6, 15])
def test_a_difference_of_the_detectable_size_is_found_four_times_out_of_five(speakers):
    generator = np.random.default_rng(speakers)
    same = [rival_systems(generator, speakers) for _ in range(100)]
    gaps = [rate(after.sum(axis=0)) - rate(before.sum(axis=0)) for before, after in same]
    size = np.mean([detectable(differences(*pair, seed), speakers) for seed, pair in enumerate(same)])
    assert size > 2 * np.std(gaps)
    found = 0
    for seed in range(400):
        before, after = rival_systems(generator, speakers)
        after[:, 0] += size * after[:, 1]  # truly worse by that much
        found += excludes_zero(interval(differences(before, after, seed), speakers, 0.95))
    assert 0.72 <= found / 400 <= 0.9


def test_more_power_and_fewer_units_ask_for_a_larger_difference():
    samples = np.random.default_rng(0).normal(0, 1, 5000)
    assert detectable(samples, 10**6) == pytest.approx(1.96 + 0.8416, rel=0.03)
    assert detectable(samples, 10**6, power=0.9) == pytest.approx(1.96 + 1.2816, rel=0.03)
    assert detectable(samples, 5) > detectable(samples, 20) > detectable(samples, 10**6)
    assert detectable(samples, 1) == np.inf
