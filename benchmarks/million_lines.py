"""A million predictions from file to scores: time and memory. Run: python benchmarks/million_lines.py [LINES]

Each command runs in a process of its own on a file of its own; its peak memory and processor time are what the system
says. A run on a tenth of the lines stands beside, so that what grows with the lines is seen.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from speechxfer.prediction import Prediction, write_predictions

WORDS = [f"word{i}" for i in range(5000)]
COMMANDS = {
    "score, wer": ("score", "{a}", "--metrics", "wer", "--out", "{a}.json"),
    "score, wer cer bleu chrf": ("score", "{a}", "--metrics", "wer", "cer", "bleu", "chrf", "--out", "{a}.json"),
    "compare, wer": ("compare", "{a}", "{b}", "--metrics", "wer"),
}


def predictions(lines: int, seed: int, accuracy: float):
    """Sentences of 10 words; the references are the same for every seed."""
    refs, hyps = random.Random(0), random.Random(seed)
    for i in range(lines):
        ref = refs.choices(WORDS, k=10)
        hyp = [word if hyps.random() < accuracy else hyps.choice(WORDS) for word in ref]
        yield Prediction(f"u{i:07}", " ".join(ref), " ".join(hyp), {"accent": "abc"[i % 3]})


def measured(command: tuple[str, ...]) -> tuple[float, float]:
    """Processor time in seconds and peak memory in MB of one command."""
    code = (
        "import resource, sys; from speechxfer.cli import main\n"
        "try: main(argv=sys.argv[1:])\n"
        "except SystemExit as exit: assert not exit.code, exit.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    seconds, megabytes = done.stderr.splitlines()[-1].split()
    return float(seconds), float(megabytes)


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"| command | lines | CPU seconds | peak MB |\n|---|---|---|---|  ({os.cpu_count()} cores)")
    for lines in (most // 10, most):
        with tempfile.TemporaryDirectory() as folder:
            files = {name: str(Path(folder, f"{name}.jsonl")) for name in "ab"}
            write_predictions(files["a"], predictions(lines, 1, 0.85))
            write_predictions(files["b"], predictions(lines, 2, 0.86))
            for name, command in COMMANDS.items():
                seconds, megabytes = measured(tuple(part.format(**files) for part in command))
                print(f"| {name} | {lines:,} | {seconds:.1f} | {megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
