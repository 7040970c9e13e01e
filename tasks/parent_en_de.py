"""Pre-train a small English-German Marian on real text (Multi30k captions): the parent of other pairs.

    python tasks/parent_en_de.py run --out runs/parent

From random weights, 7.5 M parameters, pieces of its own. SOURCE holds the line-aligned files as Multi30k has them.
"""

from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Task, main

SOURCE = Path("../shared/data/text/multi30k/data/task1/raw")
DATA = Path("runs/parent-data")


def pair(name: str) -> str:
    return f"{SOURCE / name}.en.gz+{SOURCE / name}.de.gz"


TASK = Task(
    name="parent_en_de",
    model=str(DATA / "random"),
    train=pair("train"),
    dev=pair("val"),
    test=pair("test_2016_flickr"),
    data=Data(batch_tokens=2500, workers=1),
    optim=Optim(lr=1.5e-3, warmup=0.1),
    run=Run(epochs=8, eval_every=1000, save_every=500, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
)


def prepare() -> None:
    """Write the random checkpoint, whose pieces are those of the training text, where it is missing."""
    from speechxfer import read_manifest
    from speechxfer.models.marian_random import Size, write_random

    if not (DATA / "random").is_dir():
        train = list(read_manifest(pair("train"), require=["source", "text"]))
        size = Size(pieces=4000, joint=True)
        write_random(
            DATA / "random", (e.source for e in train), (e.text for e in train), size=size, languages=("en", "de")
        )


if __name__ == "__main__":
    main(TASK, prepare)
