"""Planning a million utterances: time and padding against what people use. Run: python benchmarks/plan.py

Common-Voice-like lengths, an 80 s batch. The peers order the utterances at random, or as `group_by_length` of
transformers' Trainer does (its own function: megabatches of 50 batches, sorted within). A Trainer's batch has a fixed
count: 16 of 5 s make 80 s on average, and the largest batch is what the memory must hold. "cut at 80 s" gives the
peers this package's cut instead, so what is left is the order. All plans of a round are on the same lengths; figures
are medians over the rounds and (lowest to highest); ratios are to `plan_epoch`, per round.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from speechxfer.plan import cut, occupancy, plan_epoch

COUNT, BUDGET, ROUNDS = 1_000_000, 80.0, 5
FIXED = 16  # utterances in a Trainer's batch

Plan = Callable[[np.ndarray, int], list[np.ndarray]]


def common_voice(seed: int) -> np.ndarray:
    """(COUNT,) lengths in seconds: 1.5 to 10 s, about 5 s on average."""
    return np.random.default_rng(seed).lognormal(np.log(4.7), 0.35, COUNT).clip(1.5, 10.0)


def at_random(costs: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(costs))


def grouped(costs: np.ndarray, seed: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    return np.array(get_length_grouped_indices(costs.tolist(), FIXED, generator=generator))


def fixed(order: Callable) -> Plan:
    return lambda costs, seed: np.split(order(costs, seed), range(FIXED, len(costs), FIXED))


def cut_at_budget(order: Callable) -> Plan:
    return lambda costs, seed: cut(order(costs, seed), costs, BUDGET)


PLANS: dict[str, Plan] = {
    "plan_epoch": lambda costs, seed: plan_epoch(costs, BUDGET, seed, 0),
    f"random, {FIXED} in a batch": fixed(at_random),
    "random, cut at 80 s": cut_at_budget(at_random),
    f"group_by_length, {FIXED} in a batch": fixed(grouped),
    "group_by_length, cut at 80 s": cut_at_budget(grouped),
}


def spread(values: np.ndarray, form: str) -> str:
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


def main() -> None:
    figures = {name: [] for name in PLANS}
    for seed in range(ROUNDS):
        costs = common_voice(seed)
        for name, plan in PLANS.items():
            began = time.perf_counter()
            batches = plan(costs, seed)
            taken = time.perf_counter() - began
            padding = 1 - occupancy(batches, costs)
            largest = max(float(costs[b].max()) * len(b) for b in batches)
            figures[name].append((taken, padding, len(batches), largest))
    ours = np.array(figures["plan_epoch"])
    print(f"{COUNT:,} utterances of {common_voice(0).mean():.2f} s on average, {BUDGET:g} s a batch, {ROUNDS} rounds")
    heads = f"{'seconds':>22}{'time ratio':>26}{'padding %':>22}{'padding ratio':>24}{'batches':>9}{'largest s':>11}"
    print(f"{'plan':31}{heads}")
    for name, rows in figures.items():
        found = np.array(rows)
        ratios = found / ours
        print(
            f"{name:31}{spread(found[:, 0], '.2f'):>22}{spread(ratios[:, 0], '.2f'):>26}"
            f"{spread(100 * found[:, 1], '.1f'):>22}{spread(ratios[:, 1], '.1f'):>24}"
            f"{np.median(found[:, 2]):9.0f}{found[:, 3].max():11.0f}"
        )


if __name__ == "__main__":
    main()
