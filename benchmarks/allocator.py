"""What it brings on a CPU that freed memory is kept for the next tensors: steps of the shipped Whisper.

    python benchmarks/allocator.py

glibc gives large blocks back to the system, and each step has its pages cleared and mapped anew, unless it is told to
keep them. The two ways take turns, each time in a new process; the ratios are of each turn.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from training_step import seconds_of

from speechxfer.demo import WHISPER
from speechxfer.demo.corpus import CorpusSpec, write_corpus
from speechxfer.manifest import read_manifest
from speechxfer.models import load_checkpoint
from speechxfer.precision import choose_precision
from speechxfer.task import Speech

TURNS, STEPS = 7, 4
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}


def steps(manifest: Path) -> float:
    """Seconds of some steps on a minute of speech."""
    device = torch.device("cpu")
    model = load_checkpoint(WHISPER, texts=(), speech=Speech(language="en")).train()
    batch = model.frontend.collate([model.frontend.load(example) for example in read_manifest(manifest)])
    precision = choose_precision("auto", device)
    return sum([seconds_of(model, batch, precision, device) for _ in range(STEPS + 1)][1:])  # the first one warms up


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--manifest", type=Path, help=argparse.SUPPRESS)  # of a child
    given = asked.parse_args()
    if given.manifest:
        print(steps(given.manifest), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_corpus(folder, CorpusSpec("american", "dev", 1), progress=False)
        command = [sys.executable, __file__, "--manifest", str(manifest)]
        ratios = []
        for _ in range(TURNS):
            plain, kept = (
                subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | more).stdout
                for more in ({}, KEPT)
            )
            ratios.append([float(b) / float(a) for a, b in zip(plain.split(), kept.split(), strict=True)])
    for name, of in zip(("time of a step", "peak of memory"), zip(*ratios, strict=True), strict=True):
        print(f"{name}, kept over given back: median {np.median(of):.2f}, from {min(of):.2f} to {max(of):.2f}")


if __name__ == "__main__":
    main()
