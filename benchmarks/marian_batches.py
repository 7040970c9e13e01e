"""Training speed of batches cut by a token budget against random batches of 16, as most recipes have them.

    python benchmarks/marian_batches.py

The same model (random, 7.5 M parameters), the same 4,000 pairs, forward and backward in the precision of training. The
two take turns in one run; the ratio of real tokens a second is given for each turn. Lengths are those of mixed corpora:
lognormal, median 14 tokens, the target 1.1 times the source but for some noise.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.marian_random import Size, write_random
from speechxfer.plan import occupancy, plan_epoch
from speechxfer.precision import choose_precision

PAIRS, TURNS, SECONDS, BUDGET = 4_000, 5, 8.0, 4096


def main() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abdeghiklmnorstu"), rng.integers(2, 7))) for _ in range(3000)]
    source = np.clip(rng.lognormal(np.log(14), 0.6, PAIRS), 2, 150).astype(int)
    target = np.clip(source * 1.1 * rng.lognormal(0, 0.2, PAIRS), 2, 200).astype(int)
    texts = [[" ".join(rng.choice(words, n)) for n in lengths] for lengths in (source, target)]
    with tempfile.TemporaryDirectory() as folder:
        model = load_checkpoint(write_random(Path(folder) / "m", *texts, size=Size())).train()
    pairs = zip(*texts, strict=True)
    items = [model.frontend.load(Example(id=str(i), source=a, text=b)) for i, (a, b) in enumerate(pairs)]
    lengths = np.array([[len(item.source), len(item.labels)] for item in items])
    shuffled = rng.permutation(PAIRS)
    kinds = {
        "by tokens": plan_epoch(lengths, BUDGET, 0, 0),
        "random 16": [shuffled[i : i + 16] for i in range(0, PAIRS, 16)],
    }
    for name, batches in kinds.items():
        print(f"{name}: {len(batches)} batches, {100 * occupancy(batches, lengths):.1f} % of them real tokens")
    batches = {name: [model.frontend.collate([items[i] for i in b]) for b in found] for name, found in kinds.items()}
    speeds: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(TURNS + 1):
        for name, of_kind in batches.items():
            speed = tokens_per_second(model, of_kind, turn)
            if turn:  # the first one warms up
                speeds[name].append(speed)
    ratios = np.array(speeds["by tokens"]) / np.array(speeds["random 16"])
    print(f"real tokens a second: {', '.join(f'{name} {np.median(found):.0f}' for name, found in speeds.items())}")
    print(f"ratio, of {TURNS} turns: median {np.median(ratios):.2f}, from {ratios.min():.2f} to {ratios.max():.2f}")


def tokens_per_second(model: torch.nn.Module, batches: list[Batch], turn: int) -> float:
    """Over batches drawn anew in each turn, for SECONDS."""
    device = torch.device("cpu")
    precision, order = choose_precision("auto", device), np.random.default_rng(turn).permutation(len(batches))
    done, began = 0.0, time.perf_counter()
    for i in order:
        with precision.autocast(device):
            loss = model(batches[i]).loss_sum / batches[i].tokens
        loss.backward()
        model.zero_grad(set_to_none=True)
        done += batches[i].size
        if time.perf_counter() - began > SECONDS:
            break
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
