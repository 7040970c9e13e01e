"""A new language pair from a parent: English-German learns to write Hindi, from five thousand real sentence pairs.

    python tasks/parent_en_de.py run --out runs/parent
    python tasks/translate_en_hi.py run --out runs/en-hi
    python tasks/translate_en_hi.py run --out runs/en-hi-random --model runs/en-hi-data/random

The parent gets Hindi pieces in place of its German ones (`graft`), keeps its encoder, and learns with the decoder alone
first. The last command is the same job from random weights of the same architecture and pieces. SOURCE is Tatoeba's
English-Hindi as train.jsonl, dev.jsonl and test.jsonl, with `source` and `text` in every row.
"""

from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Task, main

SOURCE = Path("../shared/data/text/tatoeba-en-hi")
PARENT, DATA = Path("runs/parent/best"), Path("runs/en-hi-data")

TASK = Task(
    name="translate_en_hi",
    model=str(DATA / "grafted"),
    train=str(SOURCE / "train.jsonl"),
    dev=str(SOURCE / "dev.jsonl"),
    test=str(SOURCE / "test.jsonl"),
    config={"dropout": 0.3},
    data=Data(batch_tokens=2048, sampling=0.2),
    optim=Optim(lr=1e-3, warmup=0.1),
    run=Run(epochs=30, eval_every=250, save_every=250, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    metrics=("bleu", "chrf++"),
)


def prepare() -> None:
    """Graft Hindi onto the parent, and write the same model with random weights, where they are missing."""
    from speechxfer import read_manifest
    from speechxfer.models.graft import Graft, graft
    from speechxfer.models.marian_random import write_random_twin
    from speechxfer.text import normalise

    if not (DATA / "grafted").is_dir():
        texts = [normalise("nfc", text) for text in read_manifest(TASK.train).texts()]
        graft(PARENT, texts, DATA / "grafted", settings=Graft(pieces=3000), lang="hi")
    if not (DATA / "random").is_dir():
        write_random_twin(DATA / "grafted", DATA / "random")


if __name__ == "__main__":
    main(TASK, prepare)
