"""Training steps on audio of its own length against the same audio padded to 30 s, as other recipes train Whisper.

    python benchmarks/whisper_lengths.py

The same model (random weights, width and layers of whisper-tiny with a small vocabulary), the same batches, forward and
backward in the precision of training. The two take turns in one run; the ratio is that of each turn. Lengths are those
of Common Voice: lognormal, 5 s on average, 1.5 to 10 s; a batch holds neighbours of the order by length, as the plan of
an epoch cuts them. Text is 12 characters a second.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from training_step import seconds_of

from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint
from speechxfer.models.whisper_random import Size, write_random
from speechxfer.precision import choose_precision
from speechxfer.task import Speech

TURNS, EXAMPLES, BATCH, RATE = 7, 56, 8, 16_000
SIZE = Size(pieces=1000, d_model=384, encoder_layers=4, decoder_layers=4, heads=6, ffn=1536)


def main() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abdeghiklmnorstu"), rng.integers(2, 7))) for _ in range(2000)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision("auto", device)
    with tempfile.TemporaryDirectory() as folder:
        path = write_random(Path(folder) / "m", SIZE, words)
        model = load_checkpoint(path, texts=(), speech=Speech(language="en")).to(device).train()
    own = model.frontend
    seconds = np.sort(np.clip(rng.lognormal(np.log(4.8), 0.3, EXAMPLES), 1.5, 10))
    items = []
    for number, length in enumerate(seconds):
        text = " ".join(rng.choice(words, max(1, round(length * 12 / 5.5))))
        sound = (0.1 * rng.standard_normal(int(length * RATE))).astype(np.float32)
        items.append(own.features(Example(str(number), text=text), sound))
    batches = [own.collate(items[i : i + BATCH]).to(device) for i in range(0, EXAMPLES, BATCH)]
    frontends = {"own length": own, "padded to 30 s": replace(own, own_length=False)}
    speeds: dict[str, list[float]] = {name: [] for name in frontends}
    for turn, batch in enumerate([batches[-1], *(batches[i] for i in rng.permutation(TURNS))]):
        for name, frontend in frontends.items():
            model.frontend = frontend
            taken = seconds_of(model, batch, precision, device)
            if turn:  # the first one warms up
                speeds[name].append(batch.size / taken)
    ratios = np.divide(*speeds.values())
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}; audio of {seconds.mean():.1f} s on average, batches of {BATCH}, torch {torch.__version__}")
    for name, found in speeds.items():
        print(f"{name}: {np.median(found):.1f} s of audio a second")
    print(f"ratio, of {TURNS} turns: median {np.median(ratios):.1f}, from {ratios.min():.1f} to {ratios.max():.1f}")


if __name__ == "__main__":
    main()
