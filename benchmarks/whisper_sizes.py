"""Peak memory of a training step of each public size of Whisper, beside the formula of models/whisper_memory.py.

    python benchmarks/whisper_sizes.py TOKENIZER [NAME ...] [--lora 16] [--checkpointing] [--fp32]

Weights are random; TOKENIZER is a folder with the tokenizer.json of the multilingual Whisper. Each size is trained for
two steps on 20 s of noise (four examples) in a process of its own; its peak is that of the resident memory, less what
was resident when a small model had been trained. A size that needs more than is free, by the formula, is left out.
Linux alone: the figures are from /proc, and glibc is told to give back what is freed (else a third more is resident).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from speechxfer.models.whisper_memory import memory
from speechxfer.models.whisper_public import public

NAMES = ("tiny", "base", "small", "medium", "turbo", "large-v3")
EXAMPLES, SECONDS, RATE = 4, 5, 16_000
TEXT = "she turns the old lamp in the garden"
GIB = 2**30


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Peak memory of a training step, beside the formula.")
    parser.add_argument("tokenizer", type=Path, nargs="?", help="without it nothing is measured")
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--lora", type=int, default=0, metavar="RANK")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--fp32", action="store_true")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # train this folder in this process
    return parser.parse_args()


def status(name: str) -> int:
    """Bytes of VmRSS or VmHWM (the most of it so far)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def free() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def train(given: argparse.Namespace) -> None:
    """Print the peak of two steps in bytes, and how many labels the batch has."""
    from speechxfer.models.whisper_random import Size, write_random

    with tempfile.TemporaryDirectory() as folder:  # for what libraries take when they first run
        steps(write_random(Path(folder) / "m", Size(multilingual=not given.names[0].endswith(".en")), [TEXT]), given)
    before = status("VmRSS")
    labels = steps(given.here, given)
    print(status("VmHWM") - before, labels)


def steps(folder: Path, given: argparse.Namespace) -> int:
    """Two steps: the moments are there from the second on. Returns the number of labels."""
    import torch

    from speechxfer.adapt.lora import Lora
    from speechxfer.manifest import Example
    from speechxfer.models import load_checkpoint
    from speechxfer.optim import make_optimiser
    from speechxfer.precision import choose_precision
    from speechxfer.task import Optim, Speech

    device, rng = torch.device("cpu"), np.random.default_rng(0)
    precision = choose_precision("fp32" if given.fp32 else "bf16", device)
    speech = Speech(language="" if given.names[0].endswith(".en") else "en")
    model = load_checkpoint(folder, texts=(), speech=speech).train()
    # The file in half precision, which was mapped beside the weights, is no part of a step: the peak begins anew.
    Path("/proc/self/clear_refs").write_text("5")
    model.net.set_attn_implementation("sdpa")
    if given.checkpointing:
        model.net.gradient_checkpointing_enable()
    if given.lora:
        lora = Lora(given.lora)
        lora.setup(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(lora.trainable(name, 0, 0))
    optimiser = make_optimiser(model, Optim())
    sounds = [(0.1 * rng.standard_normal(SECONDS * RATE)).astype(np.float32) for _ in range(EXAMPLES)]
    items = [model.frontend.features(Example(str(i), text=TEXT), sound) for i, sound in enumerate(sounds)]
    batch = model.frontend.collate(items)
    for _ in range(2):
        with precision.autocast(device):
            loss = model(batch).loss_sum / batch.tokens
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return batch.labels.numel()


def main() -> None:
    given = arguments()
    if given.here:
        train(given)
        return
    if given.tokenizer is None:
        print("no TOKENIZER: nothing is measured")
        return
    from speechxfer.models.whisper_random import write_public

    flags = [f"--lora={given.lora}"] + ["--checkpointing"] * given.checkpointing + ["--fp32"] * given.fp32
    settings = dict(bf16=not given.fp32, lora=given.lora, checkpointing=given.checkpointing)
    for name in given.names:
        expected = memory(public(name), **settings)
        if (needed := expected.total(EXAMPLES * SECONDS) + GIB) > free():
            print(f"{name}: needs {needed / GIB:.1f} GiB, {free() / GIB:.1f} are free: left out")
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = write_public(Path(folder) / "m", name, given.tokenizer)
            command = [sys.executable, __file__, str(given.tokenizer), name, f"--here={path}", *flags]
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
            found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
        peak, labels = int(found[0]), int(found[1])
        seconds = EXAMPLES * SECONDS
        formula = memory(public(name), **settings, tokens=labels / seconds).total(seconds)
        print(f"{name}: peak {peak / GIB:.2f} GiB, formula {formula / GIB:.2f}, ratio {peak / formula:.2f}", flush=True)


if __name__ == "__main__":
    main()
