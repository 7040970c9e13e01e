"""What the shipped checkpoint makes of each synthetic accent, all by the same unseen speakers: its model card's table.

python benchmarks/accents.py
"""

import tempfile
from pathlib import Path

from speechxfer.demo import CHECKPOINT
from speechxfer.demo.corpus import ACCENTS, CorpusSpec, write_corpus
from speechxfer.predict import predict
from speechxfer.score import Score, score

MINUTES = 10


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("| heard | WER | CER |\n|---|---|---|")
        for accent in ACCENTS:
            manifest = write_corpus(folder, CorpusSpec(accent, "test", MINUTES), progress=False)
            scores = score(predict(CHECKPOINT, manifest, Path(folder) / f"{accent}.jsonl"))
            print(f"| {accent} | {cell(scores['wer'])} | {cell(scores['cer'])} |", flush=True)


def cell(one: Score) -> str:
    return f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"


if __name__ == "__main__":
    main()
