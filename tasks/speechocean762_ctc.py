"""From synthetic voices to real ones: English read by Mandarin speakers, half of them children (speechocean762).

    python tasks/speechocean762_ctc.py run --out runs/speechocean762
    python tasks/speechocean762_ctc.py run --out runs/speechocean762-random --model runs/random

The second command is the same job from random weights of the same architecture: what the transfer is worth. SOURCE
holds train.jsonl and dev.jsonl with a `speaker` in every row; no speaker is in two of train, dev and test.
"""

from pathlib import Path

from speechxfer import Data, Optim, Perturb, Run, Task, main
from speechxfer.demo import CHECKPOINT

SOURCE = Path("../shared/data/speech/speechocean762")
DATA = Path("runs/speechocean762-data")

TASK = Task(
    name="speechocean762_ctc",
    model=str(CHECKPOINT),
    train=str(DATA / "train.jsonl"),
    dev=str(DATA / "dev.jsonl"),
    test=str(SOURCE / "dev.jsonl"),
    config={"mask_time_prob": 0.05, "hidden_dropout": 0.1},
    data=Data(batch_seconds=40, perturb=Perturb(speed=(0.9, 1.0, 1.1))),
    optim=Optim(lr=6e-4),
    run=Run(steps=500, eval_every=125, save_every=125),
    require={"wer": "<= baseline * 0.5"},
)


def prepare() -> None:
    """Set every tenth speaker of the training set apart for dev."""
    from speechxfer import read_manifest, write_manifest
    from speechxfer.demo.architecture import write_random

    write_random(Path("runs/random"))
    if (DATA / "dev.jsonl").is_file():
        return
    examples = list(read_manifest(SOURCE / "train.jsonl"))
    speakers = sorted({example.group["speaker"] for example in examples})
    held_out = set(speakers[::10])
    write_manifest(DATA / "train.jsonl", (e for e in examples if e.group["speaker"] not in held_out))
    write_manifest(DATA / "dev.jsonl", (e for e in examples if e.group["speaker"] in held_out))


if __name__ == "__main__":
    main(TASK, prepare)
