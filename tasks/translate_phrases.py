"""A new language from five hundred sentence pairs: the second half of the demo, and the pattern to copy.

    python tasks/translate_phrases.py run --out runs/demo-translation

The shipped translator knows English to German (generated sentences only). It gets Hindi pieces (`graft`) and learns to
write Hindi in a minute; sentences that are not among the pairs are what is scored. For your own languages:

    speechxfer graft --parent Helsinki-NLP/opus-mt-en-de --texts mine/train.jsonl --lang mr --out start
    speechxfer run --model start --train mine/train.jsonl --dev mine/dev.jsonl --test mine/test.jsonl --out runs/mine
"""

from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Task, main
from speechxfer.demo import TRANSLATOR

DATA = Path("runs/demo-translation-data")

TASK = Task(
    name="translate_phrases",
    model=str(DATA / "grafted"),
    train=str(DATA / "en-hi-train.jsonl"),
    dev=str(DATA / "en-hi-dev.jsonl"),
    test=str(DATA / "en-hi-test.jsonl"),
    config={"dropout": 0.2},
    data=Data(batch_tokens=1024, workers=0),
    optim=Optim(lr=1.5e-3),
    run=Run(steps=300, eval_every=100, save_every=100, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    require={"chrf++": ">= 50"},
)


def prepare() -> None:
    """Write the pairs, and graft Hindi onto the shipped translator, where they are missing."""
    from speechxfer import read_manifest
    from speechxfer.demo.phrases import write_pairs
    from speechxfer.models.graft import Graft, graft

    for split, count in (("train", 500), ("dev", 100), ("test", 300)):
        write_pairs(DATA, "hi", split, count)
    if not (DATA / "grafted").is_dir():
        graft(TRANSLATOR, read_manifest(TASK.train).texts(), DATA / "grafted", settings=Graft(pieces=600), lang="hi")


if __name__ == "__main__":
    main(TASK, prepare)
