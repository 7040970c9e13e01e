"""Adapt a CTC recogniser to a new accent: the demo, and the pattern to copy.

    python tasks/accent_ctc.py run --out runs/demo

The shipped checkpoint has heard American (synthetic) voices only. Ten minutes of labelled Scottish speech teach it the
accent; a rehearsal share of American speech keeps what it knew, and `retain` measures that. For your own data:

    python tasks/accent_ctc.py run --out runs/mine --model facebook/wav2vec2-base-960h \\
        --train mine/train.jsonl --dev mine/dev.jsonl --test mine/test.jsonl --retain general/test.jsonl
"""

from pathlib import Path

from speechxfer import Data, Freeze, Optim, Perturb, Run, Source, Task, main
from speechxfer.demo import CHECKPOINT

DATA = Path("runs/demo-data")

TASK = Task(
    name="accent_ctc",
    model=str(CHECKPOINT),
    train=(Source(str(DATA / "scottish-train.jsonl")), Source(str(DATA / "american-train.jsonl"), weight=1.0)),
    dev=str(DATA / "scottish-dev.jsonl"),
    test=str(DATA / "scottish-test.jsonl"),
    retain=str(DATA / "american-test.jsonl"),
    config={"mask_time_prob": 0.05, "hidden_dropout": 0.05},
    data=Data(batch_seconds=30, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
    optim=Optim(lr=1e-3),
    run=Run(steps=500, eval_every=100, save_every=100),
    adapt=(Freeze(depth=1),),
    require={"wer": "<= baseline * 0.6", "retain.wer": "<= baseline + 0.1"},
)


def prepare() -> None:
    """Write the demo's corpus where it is missing: a few seconds."""
    from speechxfer.demo.corpus import CorpusSpec, write_corpus

    for accent, split, minutes in (
        ("scottish", "train", 10),
        ("american", "train", 60),
        ("scottish", "dev", 3),
        ("scottish", "test", 10),
        ("american", "test", 10),
    ):
        write_corpus(DATA, CorpusSpec(accent, split, minutes))


if __name__ == "__main__":
    main(TASK, prepare)
