"""The plan: every example once, within the budget, a pure function of (seed, epoch), and dense."""

import json
import math
import time
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.data import read_mixture
from speechxfer.errors import ConfigError
from speechxfer.plan import Plan, cut, draw, occupancy, plan_epoch
from speechxfer.task import Data, Source, Task, override

BUDGET = 10.0
lengths = st.lists(st.floats(0.05, BUDGET), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**32)
epochs = st.integers(0, 1000)


def common_voice(count: int, seed: int = 0) -> np.ndarray:
    """Lengths in seconds as Common Voice has them: 1.5 to 10 s, about 5 s on average."""
    return np.random.default_rng(seed).lognormal(np.log(4.7), 0.35, count).clip(1.5, 10.0)


def same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


@given(lengths, seeds, epochs)
def test_every_example_once_and_within_the_budget(costs, seed, epoch):
    batches = plan_epoch(costs, BUDGET, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(costs)))
    assert all(costs[b].max() * len(b) <= BUDGET for b in batches)


@given(lengths, seeds, epochs)
def test_the_same_seed_and_epoch_give_the_same_plan(costs, seed, epoch):
    plan = plan_epoch(costs, BUDGET, seed, epoch)
    np.random.seed(0)  # another global state
    assert same(plan, plan_epoch(costs.copy(), BUDGET, seed, epoch))


def test_epochs_and_seeds_differ_in_order_and_in_company():
    costs = common_voice(500)
    plans = [plan_epoch(costs, 80.0, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    companies = [{frozenset(b.tolist()) for b in plan} for plan in plans]
    for one, another in ((0, 1), (0, 2), (1, 2)):
        assert not same(plans[one], plans[another])
        assert len(companies[one] & companies[another]) < len(plans[one]) / 2  # not only the order of batches


def test_batches_do_not_come_by_length():
    costs = common_voice(5000)
    means = [costs[b].mean() for b in plan_epoch(costs, 80.0, 0, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_an_example_over_the_budget_is_named():
    costs = np.array([1.0, 12.0, 3.0, 31.5, 2.0])
    with pytest.raises(ConfigError, match=r"^2 examples are longer than a whole batch of 10; .* example 3 .* 31\.5\."):
        plan_epoch(costs, BUDGET, 0, 0)
    # By its own number also where the plan draws only some, in another order.
    with pytest.raises(ConfigError, match=r"example 3 \(from 0\).*data\.batch_seconds"):
        Plan(costs, BUDGET, 1, 0, lambda epoch: np.array([3, 1])).step(0)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_an_example_without_length_is_named(bad):
    with pytest.raises(ConfigError, match=r"1 examples have no length; the first is example 1 "):
        plan_epoch(np.array([1.0, bad, 2.0]), BUDGET, 0, 0)


def test_no_examples():
    assert plan_epoch(np.array([]), BUDGET, 0, 0) == []
    empty = Plan(np.array([1.0]), BUDGET, 1, 0, lambda epoch: np.array([], dtype=int))
    with pytest.raises(ConfigError, match="epoch 0 has no examples"):
        empty.step(0)


def cut_slowly(order, costs, budget):
    batches = [[]]
    for index in order:
        grown = [*batches[-1], index]
        if max(costs[i] for i in grown) * len(grown) > budget:
            batches.append(grown := [index])
        batches[-1] = grown
    return [np.array(b) for b in batches]


def fewest(costs, budget):
    """The least number of consecutive runs within the budget, by dynamic programming."""

    @lru_cache(None)
    def least(start):
        if start == len(costs):
            return 0
        ends = range(start + 1, len(costs) + 1)
        return 1 + min(least(end) for end in ends if max(costs[start:end]) * (end - start) <= budget)

    return least(0)


@given(lengths, st.randoms(use_true_random=False), st.sampled_from(["any", "rising", "falling"]))
def test_cut_equals_a_slow_cut_and_is_the_fewest(costs, random, kind):
    order = list(range(len(costs)))
    random.shuffle(order)
    order = np.array(order if kind == "any" else sorted(order, key=lambda i: costs[i], reverse=kind == "falling"))
    batches = cut(order, costs, BUDGET)
    assert same(batches, cut_slowly(order, costs, BUDGET))
    assert len(batches) == fewest(tuple(costs[order]), BUDGET)


@given(st.lists(st.floats(0.05, BUDGET), min_size=1, max_size=40), st.data())
def test_by_falling_length_leaving_out_batches_keeps_the_others(costs, data):
    """What a resumed prediction relies on."""
    costs = np.array(costs)
    batches = cut(np.argsort(-costs, kind="stable"), costs, BUDGET)
    kept = [b for b in batches if data.draw(st.booleans())]
    assert same(cut(np.concatenate([np.empty(0, int), *kept]), costs, BUDGET), kept)


def test_one_tiny_example_does_not_slow_the_cut():
    costs = np.append(common_voice(200_000), 1e-5)
    began = time.perf_counter()
    cut(np.argsort(-costs), costs, 80.0)
    assert time.perf_counter() - began < 3


@given(lengths, seeds)
def test_occupancy_is_the_real_share_of_the_padded_batches(costs, seed):
    batches = plan_epoch(costs, BUDGET, seed, 0)
    padded = sum(max(costs[i] for i in b) for b in batches for _ in b)
    assert occupancy(batches, costs) == pytest.approx(sum(costs) / padded)


@pytest.mark.parametrize("seed", range(3))
def test_little_padding_on_common_voice_lengths(seed):
    costs = common_voice(20_000, seed)
    assert 4.5 < costs.mean() < 5.5
    assert occupancy(plan_epoch(costs, 80.0, seed, 0), costs) >= 0.95


def test_a_plan_knows_the_lengths_that_a_changed_speed_gives():
    costs = common_voice(5_000)

    def factors(epoch: int, examples: np.ndarray) -> np.ndarray:
        return np.random.default_rng(epoch).choice([1 / 0.85, 1.0, 1 / 1.17], 5_000)[examples]

    plan = Plan(costs, 40.0, 1, 0, lambda epoch: np.arange(5_000), factors)
    for epoch in (0, 1):
        changed = costs * factors(epoch, np.arange(5_000))
        assert occupancy(plan.epoch(epoch), changed) > 0.95 > 0.9 > occupancy(plan.epoch(epoch), costs)
        assert all(changed[batch].max() * len(batch) <= 40 for batch in plan.epoch(epoch))
    alone = Plan(
        np.array([9.0, 3.0]),
        10.0,
        1,
        0,
        lambda epoch: np.arange(2),
        lambda epoch, examples: np.array([2.0, 1.0])[examples],
    )
    assert sorted(map(len, alone.epoch(0))) == [1, 1]  # over the budget now, and not refused


def test_a_million_utterances_are_planned_in_no_time():
    costs = common_voice(1_000_000)
    began = time.perf_counter()
    batches = plan_epoch(costs, 80.0, 0, 0)
    taken = time.perf_counter() - began
    print(f"1,000,000 utterances: {taken:.2f} s, {100 * (1 - occupancy(batches, costs)):.1f} % padding")
    assert taken < 5


sources = st.lists(st.tuples(st.integers(1, 30), st.floats(0.05, 5)), min_size=1, max_size=4)


@given(sources, seeds, epochs)
def test_draw_sees_the_first_source_once_an_epoch(sources, seed, epoch):
    sizes, weights = zip(*sources, strict=True)
    chosen = draw(sizes, weights, seed, epoch)
    assert sorted(chosen[chosen < sizes[0]]) == list(range(sizes[0]))
    assert chosen.max() < sum(sizes)


@given(sources, seeds, st.integers(1, 12))
def test_draw_gives_the_others_in_proportion_and_repeats_nothing_early(sources, seed, epochs):
    sizes, weights = zip(*sources, strict=True)
    offsets = np.cumsum([0, *sizes])
    drawn = np.concatenate([draw(sizes, weights, seed, epoch) for epoch in range(epochs)])
    for source, size in enumerate(sizes):
        mine = drawn[(drawn >= offsets[source]) & (drawn < offsets[source + 1])] - offsets[source]
        # Over all epochs, to the example: a share of less than one an epoch is not lost.
        assert abs(len(mine) - epochs * sizes[0] * weights[source] / weights[0]) <= 0.5 + 1e-6
        # In the order of drawing, each pass of `size` draws holds every example once.
        for lap in range(0, len(mine), size):
            assert max(Counter(mine[lap : lap + size].tolist()).values()) == 1


def test_draw_mixes_by_weight_and_shuffles_each_pass_anew():
    chosen = draw([100, 1000, 40], [2.0, 1.0, 1.0], 0, 3)
    assert np.histogram(chosen, bins=[0, 100, 1100, 1140])[0].tolist() == [100, 50, 50]
    first, second = draw([100], [1.0], 0, 0), draw([100], [1.0], 0, 1)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw([100], [1.0], 1, 0))


@pytest.mark.parametrize(
    ("temperature", "of_an_epoch"),
    [
        (math.inf, [10, 10, 5]),  # by the weights alone
        (1.0, [10, 40, 80]),  # by size: without weights every example once
        (2.0, [10, 20, 20]),  # between them: by the root of the size
    ],
)
def test_temperature_mixes_between_weights_alone_and_sizes(tmp_path, temperature, of_an_epoch):
    """Sizes 10, 40 and 160, weights 1, 1 and 0.5: they multiply."""
    sizes, found = (10, 40, 160), []
    for size, weight in zip(sizes, (1.0, 1.0, 0.5), strict=True):
        file = tmp_path / f"{size}.jsonl"
        file.write_text("".join(json.dumps({"source": f"s{i}", "text": f"t{i}"}) + "\n" for i in range(size)))
        found.append(Source(str(file), weight))
    mixture = read_mixture(found, "source", Data(temperature=temperature))
    for epoch in range(2):
        drawn = mixture.draw(3, epoch)
        assert np.histogram(drawn, bins=np.cumsum([0, *sizes]))[0].tolist() == of_an_epoch


def test_temperature_1_without_weights_is_one_manifest_of_all(tmp_path):
    found = []
    for size in (3, 7, 2):
        file = tmp_path / f"{size}.jsonl"
        file.write_text("".join(json.dumps({"source": f"s{i}", "text": f"t{i}"}) + "\n" for i in range(size)))
        found.append(Source(str(file)))
    mixture = read_mixture(found, "source", Data(temperature=1))
    assert all(sorted(mixture.draw(0, epoch)) == list(range(12)) for epoch in range(3))


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.5, math.nan])
def test_temperatures_that_make_no_sense(temperature):
    with pytest.raises(ConfigError, match=r"data.temperature is .*; expected >= 1: 1 draws sources by their size"):
        Data(temperature=temperature)


def test_temperature_can_be_set_both_ways():
    task = Task("t", "m")
    assert override(task, ["data.temperature=5"]).data.temperature == 5.0
    assert override(override(task, ["data.temperature=5"]), ["data.temperature=inf"]) == task
    with pytest.raises(ConfigError, match="data.temperature is 'nan'; expected float"):
        override(task, ["data.temperature=nan"])


def two_sources(batches_per_step: int, seed: int) -> Plan:
    """25 and 40 examples; the second gives 12.5 an epoch, so epochs differ in size."""
    costs = common_voice(65, seed).clip(max=BUDGET)
    return Plan(costs, BUDGET, batches_per_step, seed, lambda epoch: draw([25, 40], [1.0, 0.5], seed, epoch))


@given(st.integers(1, 7), st.integers(0, 5), st.lists(st.integers(0, 90), min_size=1, max_size=8))
def test_steps_are_the_same_in_any_order(batches_per_step, seed, asked):
    # The slow way: all batches of one epoch after the other, a step never crossing an epoch's end.
    plan, steps, where = two_sources(batches_per_step, seed), [], []
    for epoch in range(100):
        batches = plan_epoch(plan.costs[chosen := plan.indices(epoch)], BUDGET, seed, epoch)
        for place, start in enumerate(range(0, len(batches), batches_per_step)):
            steps.append([chosen[b] for b in batches[start : start + batches_per_step]])
            where.append((epoch, place))
        if len(steps) > 90:
            break
    for step in asked:
        assert plan.locate(step) == where[step]
        assert same(plan.step(step), steps[step])
        epoch = where[step][0]
        assert plan.steps_before(epoch) == where.index((epoch, 0))
    for step in sorted(asked):  # and a fresh one from the middle on, as a resume does
        assert same(two_sources(batches_per_step, seed).step(step), steps[step])


@given(st.integers(1, 7))
def test_an_epoch_is_whole_whatever_the_step_holds(batches_per_step):
    plan = two_sources(batches_per_step, 0)
    for epoch in range(3):
        steps = range(plan.steps_before(epoch), plan.steps_before(epoch + 1))
        batches = [b for step in steps for b in plan.step(step)]
        assert sorted(np.concatenate(batches)) == sorted(plan.indices(epoch))
        assert all(len(plan.step(step)) == batches_per_step for step in steps[:-1])


# --- pairs: two lengths, each padded by itself ------------------------------------------------------------------------

pairs = st.lists(st.tuples(st.floats(0.05, BUDGET / 2), st.floats(0.05, BUDGET / 2)), min_size=1, max_size=60).map(
    np.array
)
TOKENS = Data().batch_tokens


def sentence_pairs(count: int, seed: int, correlation: float = 0.9) -> np.ndarray:
    """(count, 2) tokens of source and target as mixed corpora have them: about 24, spread as talk and medicine are."""
    rng = np.random.default_rng(seed)
    both = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], count)
    return np.exp(np.log([20, 22]) + 0.5 * both).round().clip(2, 250)


def padded(batches: list[np.ndarray], costs: np.ndarray) -> float:
    return sum(float(costs[b].max(axis=0).sum()) * len(b) for b in batches)


@given(pairs, seeds, epochs)
def test_every_pair_once_and_both_its_sides_within_the_budget(costs, seed, epoch):
    batches = plan_epoch(costs, BUDGET, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(costs)))
    assert padded(batches, costs) == pytest.approx(sum((max(costs[b, 0]) + max(costs[b, 1])) * len(b) for b in batches))
    assert all((costs[b, 0].max() + costs[b, 1].max()) * len(b) <= BUDGET * (1 + 1e-12) for b in batches)
    np.random.seed(0)  # another global state
    assert same(batches, plan_epoch(costs.copy(), BUDGET, seed, epoch))


@given(pairs, seeds)
def test_the_occupancy_of_pairs_counts_both_sides(costs, seed):
    batches = plan_epoch(costs, BUDGET, seed, 0)
    assert occupancy(batches, costs) == pytest.approx(costs.sum() / padded(batches, costs))


@given(lengths, seeds)
def test_one_column_is_as_none(costs, seed):
    assert same(plan_epoch(costs, BUDGET, seed, 0), plan_epoch(costs[:, None], BUDGET, seed, 0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("correlation", [0.95, 0.9])
def test_little_padding_on_both_sides_of_mixed_sentences(seed, correlation):
    costs = sentence_pairs(20_000, seed, correlation)
    batches = plan_epoch(costs, TOKENS, seed, 0)
    assert all(costs[b].max(axis=0).sum() * len(b) <= TOKENS for b in batches)
    found = occupancy(batches, costs)
    at_random = np.array_split(np.random.default_rng(seed).permutation(len(costs)), len(costs) / 16)
    ratio = padded(at_random, costs) / padded(batches, costs)
    print(f"correlation {correlation}: {100 * found:.1f} % real, {ratio:.2f} times fewer than random batches of 16")
    assert found >= 0.93 and ratio >= 1.6


def test_sorting_by_the_source_alone_pads_more():
    """What the order of both lengths is for."""
    costs = sentence_pairs(20_000, 0)
    by_source = cut(np.argsort(costs[:, 0], kind="stable"), costs, TOKENS)
    assert occupancy(by_source, costs) < 0.9 * occupancy(plan_epoch(costs, TOKENS, 0, 0), costs)


def test_pairs_change_their_company_from_epoch_to_epoch():
    costs = sentence_pairs(5_000, 0)
    first, second = ({frozenset(b.tolist()) for b in plan_epoch(costs, TOKENS, 0, epoch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 2


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_pair_without_one_of_its_sides_is_named(bad):
    with pytest.raises(ConfigError, match=r"1 examples have no length; the first is example 1 "):
        plan_epoch(np.array([[1.0, 2.0], [2.0, bad]]), BUDGET, 0, 0)


def test_a_pair_over_the_budget_is_named_with_the_sum_of_its_sides():
    costs = np.array([[5.0, 5.0], [6.0, 4.5], [9.0, 9.0]])
    with pytest.raises(ConfigError, match=r"^2 examples .* of 10; .* example 2 \(from 0\) with 18\.0\..*batch_tokens"):
        plan_epoch(costs, BUDGET, 0, 0)
