"""Training steps with compiled layers (run.compile) against the same steps without, family by family, where it is run.

    python benchmarks/compile.py

The shipped checkpoints, and a random Whisper of the width and the layers of tiny. A turn is one pass over batches of
noise of several lengths, none like another, forward and backward in the precision and with the attention of training.
The two take turns; the ratio is of each turn. How long compiling took, for all the kinds of batches, stands beside.
"""

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from training_step import seconds_of

from speechxfer.compilation import compile_layers, uncompiled
from speechxfer.demo import CHECKPOINT, TRANSLATOR
from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.whisper_random import Size, write_random
from speechxfer.precision import Precision, choose_attention, choose_precision
from speechxfer.task import Speech

TURNS, RATE, TEXT = 7, 16_000, "she turns the old lamp in the garden"
SIZE = Size(pieces=400, d_model=384, encoder_layers=4, decoder_layers=4, heads=6, ffn=1536)
SPOKEN = ((2, 6), (3, 5), (4, 4), (5, 4), (8, 2))  # (seconds, examples), a batch each
WRITTEN = ((1, 60), (2, 40), (3, 20), (4, 15), (6, 10))  # (sentences, examples)


def spoken(model: torch.nn.Module) -> list[Batch]:
    rng, batches = np.random.default_rng(0), []
    for seconds, examples in SPOKEN:
        lengths = (RATE * rng.uniform(0.8 * seconds, seconds, examples)).astype(int)
        sounds = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in lengths]
        rows = [Example(str(i), text=TEXT[: 5 * seconds]) for i in range(examples)]
        items = [model.frontend.features(row, sound) for row, sound in zip(rows, sounds, strict=True)]
        batches.append(model.frontend.collate(items))
    return batches


def written(model: torch.nn.Module) -> list[Batch]:
    batches = []
    for sentences, examples in WRITTEN:
        rows = [
            Example(str(i), source=f"{TEXT} " * sentences, text=f"{TEXT[: 20 + i % 9]} " * sentences, lang="de")
            for i in range(examples)
        ]
        batches.append(model.frontend.collate([model.frontend.load(row) for row in rows]))
    return batches


def models() -> Iterator[tuple[str, torch.nn.Module, list[Batch]]]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_random(Path(folder) / "m", SIZE, [TEXT])
        whisper = load_checkpoint(path, texts=(), speech=Speech(language="en"))
    yield "whisper", whisper, spoken(whisper)
    for name, checkpoint, batches in (("wav2vec2", CHECKPOINT, spoken), ("marian", TRANSLATOR, written)):
        model = load_checkpoint(checkpoint)
        yield name, model, batches(model)


def a_pass(model: torch.nn.Module, batches: list[Batch], precision: Precision, device: torch.device) -> float:
    """Seconds of a step on each batch."""
    return sum(seconds_of(model, batch, precision, device) for batch in batches)


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision("auto", device)
    print(f"{device.type}, {precision.name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, model, batches in models():
        choose_attention("auto", model.net, device)
        model.to(device).train()
        compile_layers(model)
        batches, taken = [batch.to(device) for batch in batches], {"compiled": [], "eager": []}
        ways = {"compiled": nullcontext, "eager": uncompiled}
        for _ in range(TURNS + 1):
            for way, seconds in taken.items():
                with ways[way]():
                    seconds.append(a_pass(model, batches, precision, device))
        (first, *compiled), (_, *eager) = taken.values()
        ratio = np.divide(compiled, eager)
        found = f"median {np.median(ratio):.2f}, from {ratio.min():.2f} to {ratio.max():.2f}"
        print(f"{name}: a compiled step takes so many times an eager one: {found}")
        print(f"{name}: compiling took {first - np.median(compiled):.0f} s; {np.median(eager):.2f} s a pass before")


if __name__ == "__main__":
    main()
