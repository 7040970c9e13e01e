"""Seconds and peak memory of lint over a million rows of text, without decoding audio.

    python benchmarks/lint_rows.py [ROWS]

Train has so many rows, dev and test 5,000 each. `pairs` is parallel text without a model; `speech` is transcripts
of pieces of one recording, for the checkpoint that is shipped. Words follow Zipf's law, sentences have 4 to 24 of
them, and five of dev's and of test's are planted in train. Each figure is that of a process of its own: seconds of
the clock, seconds of the processor, which a busy machine does not stretch, and peak memory, as the system counts them.
Reading the manifests alone is what to compare it with.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from speechxfer.demo import CHECKPOINT
from speechxfer.lint import lint
from speechxfer.manifest import read_manifest
from speechxfer.task import Task

WORDS, RATE = 200_000, 16_000


def sentences(count: int, seed: int) -> list[str]:
    """Of made-up words of two to five syllables."""
    rng = np.random.default_rng(0)  # the same language for all sets
    syllables = np.array([c + v for c in "bdfgklmnprstvz" for v in "aeiou"])
    words = np.array(["".join(rng.choice(syllables, rng.integers(2, 6))) for _ in range(WORDS)])
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 25, count)
    chosen = words[np.minimum(rng.zipf(1.2, lengths.sum()) - 1, WORDS - 1)]
    return [" ".join(part) for part in np.split(chosen, np.cumsum(lengths)[:-1])]


def write(folder: Path, kind: str, name: str, count: int, seed: int) -> None:
    texts, sources = sentences(count, seed), sentences(count, seed + 100)
    if name == "train":  # what the rules between sets are to find
        for i, other in enumerate((2, 3)):
            planted = slice(i * 5, i * 5 + 5)
            texts[planted], sources[planted] = sentences(5_000, other)[:5], sentences(5_000, other + 100)[:5]
    with (folder / f"{kind}-{name}.jsonl").open("w") as file:
        for i, (text, source) in enumerate(zip(texts, sources, strict=True)):
            row = {"source": source} if kind == "pairs" else {"audio": f"{name}.wav", "start": i, "end": i + 12.0}
            group = {"speaker": f"{name}-{i % 997}", "domain": f"d{i % 7}"}
            file.write(json.dumps({"id": f"{name}-{i}", "text": text, "group": group} | row) + "\n")
    soundfile.write(folder / f"{name}.wav", np.zeros(RATE), RATE)


def measured(act: str, folder: Path, kind: str, answers: multiprocessing.Queue) -> None:
    paths = {name: str(folder / f"{kind}-{name}.jsonl") for name in ("train", "dev", "test")}
    began = time.perf_counter()
    if act == "read":
        held = [read_manifest(path) for path in paths.values()]
        took, found = {}, [len(manifest) for manifest in held]
    else:
        result = lint(Task(name="rows", model="" if kind == "pairs" else str(CHECKPOINT), **paths), quick=True)
        took, found = result.took, [(f.rule, f.set, f.count) for f in result.findings]
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    answers.put((seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, took, found))


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        print(f"{'':14}{'rows':>12}{'clock, s':>10}{'CPU, s':>9}{'peak, MiB':>11}  ({os.cpu_count()} cores)")
        for kind in ("pairs", "speech"):
            for seed, (name, count) in enumerate({"train": rows, "dev": 5_000, "test": 5_000}.items(), 1):
                write(folder, kind, name, count, seed)
            for act in ("read", "lint"):
                answers = processes.Queue()
                process = processes.Process(target=measured, args=(act, folder, kind, answers))
                process.start()
                clock, used, peak, took, found = answers.get()
                process.join()
                print(f"{act + ' ' + kind:14}{rows:>12,}{clock:>10.1f}{used:>9.1f}{peak:>11,.0f}", flush=True)
            slowest = sorted(took.items(), key=lambda item: -item[1])[:8]
            print("  slowest:", ", ".join(f"{rule} {seconds:.1f} s" for rule, seconds in slowest))
            print("  found:", ", ".join(f"{rule} {count} of {name}" for rule, name, count in found))


if __name__ == "__main__":
    main()
