"""What the shipped recognisers make of each synthetic accent, all by the same unseen speakers: their cards' tables.

python benchmarks/accents.py
"""

import tempfile
from pathlib import Path

from speechxfer.demo import CHECKPOINT, WHISPER
from speechxfer.demo.corpus import ACCENTS, CorpusSpec, write_corpus
from speechxfer.predict import predict
from speechxfer.score import Score, score

MINUTES = 10


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for checkpoint in (CHECKPOINT, WHISPER):
            print(f"\n{checkpoint.name}\n\n| heard | WER | CER |\n|---|---|---|")
            for accent in ACCENTS:
                manifest = write_corpus(folder, CorpusSpec(accent, "test", MINUTES), progress=False)
                scores = score(predict(checkpoint, manifest, Path(folder) / f"{checkpoint.name}-{accent}.jsonl"))
                print(f"| {accent} | {cell(scores['wer'])} | {cell(scores['cer'])} |", flush=True)


def cell(one: Score) -> str:
    return f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"


if __name__ == "__main__":
    main()
