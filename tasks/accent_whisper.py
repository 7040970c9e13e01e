"""Adapt Whisper to a new accent, and see what it forgets: the pattern to copy for a Whisper of the hub.

    python tasks/accent_whisper.py run --out runs/scottish
    python tasks/accent_whisper.py run --out runs/caribbean \\
        --train runs/demo-data/caribbean-train.jsonl runs/demo-data/american-train.jsonl \\
        --dev runs/demo-data/caribbean-dev.jsonl --test runs/demo-data/caribbean-test.jsonl
    python tasks/accent_whisper.py run --out runs/digits-whisper \\
        --train runs/digits-data/train.jsonl runs/demo-data/american-train.jsonl=0.5 \\
        --dev runs/digits-data/dev.jsonl --test runs/digits-data/test.jsonl
    python tasks/accent_whisper.py run --out runs/speechocean762-whisper \\
        --train runs/speechocean762-data/train.jsonl runs/demo-data/american-train.jsonl=0.5 \\
        --dev runs/speechocean762-data/dev.jsonl --test SOURCE/dev.jsonl

The last two are of real speech: digits_ctc.py and speechocean762_ctc.py say where it is from and write those folders.
The shipped Whisper has heard American (synthetic) voices only. Ten minutes of labelled speech teach it the accent; a
rehearsal share of American speech keeps what it knew, and `retain` measures that. For your own data:

    python tasks/accent_whisper.py run --out runs/mine --model openai/whisper-small --lora 16 \\
        --set optim.lr=2e-4 --train mine/train.jsonl --dev mine/dev.jsonl --test mine/test.jsonl --retain general.jsonl
"""

from pathlib import Path

from speechxfer import Data, Optim, Perturb, Run, Source, Task, main
from speechxfer.demo import WHISPER

DATA = Path("runs/demo-data")

TASK = Task(
    name="accent_whisper",
    model=str(WHISPER),
    train=(Source(str(DATA / "scottish-train.jsonl")), Source(str(DATA / "american-train.jsonl"), weight=1.0)),
    dev=str(DATA / "scottish-dev.jsonl"),
    test=str(DATA / "scottish-test.jsonl"),
    retain=str(DATA / "american-test.jsonl"),
    data=Data(batch_seconds=30, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
    optim=Optim(lr=1e-3),
    run=Run(steps=500, eval_every=100, save_every=100),
    require={"wer": "<= baseline * 0.6", "retain.wer": "<= baseline + 0.1"},
)


def prepare() -> None:
    """Write the corpora where they are missing: a minute. All but the Caribbean ones are those of accent_ctc."""
    from speechxfer.demo.corpus import CorpusSpec, write_corpus

    minutes = {"train": 10, "dev": 3, "test": 10}
    for accent in ("scottish", "caribbean"):
        for split, length in minutes.items():
            write_corpus(DATA, CorpusSpec(accent, split, length))
    write_corpus(DATA, CorpusSpec("american", "train", 60))
    write_corpus(DATA, CorpusSpec("american", "test", 10))


if __name__ == "__main__":
    main(TASK, prepare)
