"""Which examples stand in which batch of which step: pure numpy, no state.

A batch is a set of examples of about the same length whose padded cost (longest x count) stays within a budget,
so long recordings come in small batches and little of a batch is padding. Sentence pairs have two lengths, each padded
by itself. The plan of an epoch is a pure function of (costs, budget, seed, epoch): a resumed run, or one on another
number of GPUs, computes the same plan again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechxfer.errors import ConfigError

# Lengths are blurred by up to this share before sorting, so that neighbours change from epoch to epoch.
# It costs at most as much padding again.
LENGTH_BLUR = 0.02

# Stretches of the first length over batches of the second in each: the two rise and fall together, so a stretch holds
# few different second lengths. 1.2 to 1.7 pad least, on real corpora and on drawn ones.
STRETCHES = 1.4

# A cost that is brought down to the budget stays this factor below it: rounding could leave it above.
ROUNDING = 1 + 1e-9


def plan_epoch(costs: np.ndarray, budget: float, seed: int, epoch: int) -> list[np.ndarray]:
    """Batches of indices into `costs`, each example once, in the order in which an epoch visits them.

    costs: (n,) or (n, k) lengths of each example, > 0, in the unit of `budget` (seconds, or tokens). Every batch keeps
    count x sum of the k greatest lengths <= budget. Raises ConfigError as `check_costs` does.
    """
    costs = np.asarray(costs, dtype=np.float64)
    check_costs(costs, budget)
    rng = np.random.default_rng([seed, epoch])
    blur = rng.uniform(1 - LENGTH_BLUR, 1 + LENGTH_BLUR, costs.shape)
    batches = cut(by_length(costs * blur, budget), costs, budget)
    return [batches[i] for i in rng.permutation(len(batches))]


def by_length(costs: np.ndarray, budget: float) -> np.ndarray:
    """Indices by rising length: neighbours are of about the same one, or of the same two.

    Of two lengths the first is cut into about as many stretches as each will hold batches, a square of both. Within a
    stretch the second length rises, in the next one it falls again, so that it does not jump between them.
    """
    columns = _columns(costs)
    order = np.argsort(columns[:, 0], kind="stable")
    if columns.shape[1] == 1 or not len(columns):
        return order
    total = np.cumsum(columns.sum(axis=1)[order])
    stretches = max(1, round(STRETCHES * np.sqrt(total[-1] / budget)))
    stretch = np.minimum(total * stretches // total[-1], stretches - 1)
    second = columns[order, 1]
    return order[np.lexsort((np.where(stretch % 2, -second, second), stretch))]


def check_costs(costs: np.ndarray, budget: float) -> None:
    """Raise ConfigError when an example has no length, or one alone is over the budget; it is named by its index."""
    columns = _columns(costs)
    without = np.flatnonzero(~(columns > 0).all(axis=1))  # not a number among them
    if len(without):
        raise ConfigError(
            f"{len(without)} examples have no length; the first is example {without[0]} (from 0)"
            f" with {columns[without[0]].min():g}; expected > 0"
        )
    total = columns.sum(axis=1)
    over = np.flatnonzero(total > budget)
    if len(over):
        worst = over[np.argmax(total[over])]
        raise ConfigError(
            f"{len(over)} examples are longer than a whole batch of {budget:g}; the longest is example {worst} (from 0)"
            f" with {total[worst]:.1f}. Raise data.batch_seconds (of text data.batch_tokens) to at least that, or cut"
            " them (audio with start/end)"
        )


def cut(order: np.ndarray, costs: np.ndarray, budget: float) -> list[np.ndarray]:
    """Cut `order` into the fewest consecutive runs whose padded cost stays within the budget."""
    lengths = _columns(costs)[order]
    batches, start = [], 0
    while start < len(order):
        # The first alone allows no more than this many: a bound for the running maximum below.
        most = int(budget / lengths[start].sum()) + 1
        window = np.maximum.accumulate(lengths[start : start + most])
        padded = window.sum(axis=1) * np.arange(1, len(window) + 1)
        count = int(np.searchsorted(padded, budget, side="right"))
        batches.append(order[start : start + count])
        start += count
    return batches


def _columns(costs: np.ndarray) -> np.ndarray:
    """[n, k]"""
    return costs[:, None] if costs.ndim == 1 else costs


def occupancy(batches: Sequence[np.ndarray], costs: np.ndarray) -> float:
    """Share of the padded batches that is real: sum of costs / sum of (longest x count)."""
    columns = _columns(costs)
    real = sum(float(columns[b].sum()) for b in batches)
    return real / sum(float(columns[b].max(axis=0).sum()) * len(b) for b in batches)


def draw(sizes: Sequence[int | Sequence[int]], weights: Sequence[float], seed: int, epoch: int) -> np.ndarray:
    """One epoch's indices into the concatenation of several sources, mixed by weight.

    The first source is seen once an epoch; another gives `weight / first weight` times as many examples (a fraction
    of one is carried to the next epoch). What a source has left over is next epoch's: it runs through one shuffled
    pass after another, so nothing is drawn twice before all else was drawn once. A source of several sizes holds the
    same things in as many ways: a pass is through one of them, the next pass through the next.
    """
    chosen, offset = [], 0
    for source, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        ways = np.atleast_1d(size)
        ends = np.cumsum(ways)
        count = np.sum(sizes[0]) * weight / weights[0]
        first, last = round(epoch * count), round((epoch + 1) * count)
        rounds, rest = divmod(first, int(ends[-1]))
        lap = rounds * len(ways) + int(np.searchsorted(ends, rest, side="right"))
        while first < last:
            rounds, way = divmod(lap, len(ways))
            shuffled = np.random.default_rng([seed, source, lap]).permutation(ways[way])
            start = int(rounds * ends[-1] + ends[way] - ways[way])  # of this pass, among all that is ever drawn
            some = shuffled[first - start : last - start]
            chosen.append(offset + ends[way] - ways[way] + some)
            first, lap = first + len(some), lap + 1
        offset += ends[-1]
    return np.concatenate(chosen)


@dataclass
class Plan:
    """Steps of `batches_per_step` batches over epochs without end: `plan.step(k)` is the same on every machine.

    A step never spans two epochs, so the last step of an epoch may be smaller. `batches_per_step` counts over
    all ranks: 1, 2 or 8 GPUs see the same steps.
    """

    costs: np.ndarray
    budget: float
    batches_per_step: int
    seed: int
    indices: Callable[[int], np.ndarray]  # the examples of an epoch
    factors: Callable[[int, np.ndarray], np.ndarray] | None = None  # on the costs of these examples in an epoch
    _steps: list[int] = field(default_factory=lambda: [0])  # steps before each epoch, as far as known
    _cached: tuple[int, list[np.ndarray]] = (-1, [])

    def __post_init__(self):
        check_costs(self.costs, self.budget)

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch."""
        if self._cached[0] != epoch:
            chosen = self.indices(epoch)
            batches = plan_epoch(self.costs_of(epoch, chosen), self.budget, self.seed, epoch)
            self._cached = (epoch, [chosen[batch] for batch in batches])
        return self._cached[1]

    def costs_of(self, epoch: int, examples: np.ndarray) -> np.ndarray:
        """[n] or [n, k] of these examples in an epoch. One lifted over the budget is a batch of its own."""
        costs = self.costs[examples]
        if self.factors is None:
            return costs
        lifted = (costs.T * self.factors(epoch, examples)).T
        share = _columns(lifted).sum(axis=1) / self.budget
        return (lifted.T / np.where(share < 1, 1, share * ROUNDING)).T

    def steps_before(self, epoch: int) -> int:
        """How many steps the epochs before this one have."""
        while len(self._steps) <= epoch:
            batches = len(self.epoch(len(self._steps) - 1))
            if not batches:
                raise ConfigError(f"epoch {len(self._steps) - 1} has no examples; expected at least one")
            self._steps.append(self._steps[-1] - (-batches // self.batches_per_step))
        return self._steps[epoch]

    def step(self, step: int) -> list[np.ndarray]:
        """The batches of step `step`, counted from 0."""
        epoch, place = self.locate(step)
        return self.epoch(epoch)[place * self.batches_per_step : (place + 1) * self.batches_per_step]

    def locate(self, step: int) -> tuple[int, int]:
        """(epoch, place in it) of a step."""
        epoch = max(len(self._steps) - 2, 0)
        while self._steps[epoch] > step:
            epoch -= 1
        while self.steps_before(epoch + 1) <= step:
            epoch += 1
        return epoch, step - self._steps[epoch]
