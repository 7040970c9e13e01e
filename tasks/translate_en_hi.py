"""A new language pair from a parent: English-German learns to write Hindi, from five thousand real sentence pairs.

    python tasks/parent_en_de.py run --out runs/parent
    python tasks/translate_en_hi.py run --out runs/en-hi
    python tasks/translate_en_hi.py run --out runs/en-hi-random --model runs/en-hi-data/random

The parent gets Hindi pieces in place of its German ones (`graft`), each beginning as what it means: the German words
to which the English of both corpora leads. The last command is the same job from random weights of the same
architecture and pieces. SOURCE is Tatoeba's English-Hindi as train.jsonl, dev.jsonl and test.jsonl, with `source` and
`text` in every row.
"""

from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Task, main

SOURCE = Path("../shared/data/text/tatoeba-en-hi")
DATA = Path("runs/en-hi-data")

TASK = Task(
    name="translate_en_hi",
    model=str(DATA / "grafted"),
    train=str(SOURCE / "train.jsonl"),
    dev=str(SOURCE / "dev.jsonl"),
    test=str(SOURCE / "test.jsonl"),
    config={"dropout": 0.3},
    data=Data(batch_tokens=1024, workers=0),
    optim=Optim(lr=1e-3, warmup=0.1),
    run=Run(steps=4000, eval_every=500, save_every=500, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    metrics=("bleu", "chrf++"),
)


def prepare() -> None:
    """Graft Hindi onto the parent, and write the same model with random weights, where they are missing."""
    from parent_en_de import TASK as PARENT

    from speechxfer import read_manifest
    from speechxfer.models.graft import Graft, graft
    from speechxfer.models.marian_random import write_random_twin
    from speechxfer.models.word_list import write_word_list
    from speechxfer.text import normalise

    if not (DATA / "grafted").is_dir():
        new, parent = ([(e.source, e.text) for e in read_manifest(task.train)] for task in (TASK, PARENT))
        words = write_word_list(DATA / "words.tsv", new, parent)
        settings = Graft(pieces=3000, model_type="bpe", initial="mapping", mapping=words)
        texts = (normalise("nfc", text) for _, text in new)
        graft("runs/parent/best", texts, DATA / "grafted", settings=settings, lang="hi")
    if not (DATA / "random").is_dir():
        write_random_twin(DATA / "grafted", DATA / "random")


if __name__ == "__main__":
    main(TASK, prepare)
