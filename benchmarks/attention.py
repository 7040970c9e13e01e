"""Training steps with eager attention against PyTorch's fused one (sdpa), family by family, where they are run.

    python benchmarks/attention.py

The shipped checkpoints, and for Whisper the size that is pre-trained here, on batches of noise of 60 s or 1,500 tokens
a side; forward and backward in the precision of training. The two take turns; the ratio is of each turn.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from training_step import seconds_of

from speechxfer.demo import CHECKPOINT, TRANSLATOR
from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.whisper_random import Size, write_random
from speechxfer.precision import choose_precision
from speechxfer.task import Speech

TURNS, RATE, TEXT = 7, 16_000, "she turns the old lamp in the garden"


def spoken(model: torch.nn.Module) -> Batch:
    rng = np.random.default_rng(0)
    lengths = np.linspace(4, 6, 12)
    rows = [(Example(str(i), text=TEXT), 0.1 * rng.standard_normal(int(s * RATE))) for i, s in enumerate(lengths)]
    return model.frontend.collate([model.frontend.features(e, sound.astype(np.float32)) for e, sound in rows])


def written(model: torch.nn.Module) -> Batch:
    rows = [Example(str(i), source=f"{TEXT} {TEXT}", text=f"{TEXT} {TEXT}", lang="de") for i in range(60)]
    return model.frontend.collate([model.frontend.load(row) for row in rows])


def models() -> Iterator[tuple[str, torch.nn.Module, Batch]]:
    with tempfile.TemporaryDirectory() as folder:
        size = Size(pieces=400, encoder_layers=6, decoder_layers=3)
        whisper = load_checkpoint(
            write_random(Path(folder) / "m", size, [TEXT]), texts=(), speech=Speech(language="en")
        )
    yield "whisper", whisper, spoken(whisper)
    for name, checkpoint, batch in (("wav2vec2", CHECKPOINT, spoken), ("marian", TRANSLATOR, written)):
        model = load_checkpoint(checkpoint)
        yield name, model, batch(model)


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision("auto", device)
    print(f"{device.type}, {precision.name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, model, batch in models():
        model.to(device).train()
        batch, taken = batch.to(device), {"sdpa": [], "eager": []}
        for turn in range(TURNS + 1):
            for attention, seconds in taken.items():
                model.net.set_attn_implementation(attention)
                one = seconds_of(model, batch, precision, device)
                if turn:  # the first one warms up
                    seconds.append(one)
        ratio = np.divide(taken["sdpa"], taken["eager"])
        found = f"median {np.median(ratio):.2f}, from {ratio.min():.2f} to {ratio.max():.2f}"
        print(f"{name}: a step with sdpa takes so many times that of eager: {found}")


if __name__ == "__main__":
    main()
