"""A new domain: the English-Hindi model of everyday sentences learns medical text, with rehearsal and without.

    python tasks/translate_en_hi.py run --out runs/en-hi
    python tasks/translate_domain.py run --out runs/medical
    python tasks/translate_domain.py run --out runs/medical-alone --train ../shared/data/text/tico19-en-hi/train.jsonl

The rehearsal share of Tatoeba keeps what the model could do; `retain` measures that on Tatoeba's test set. MEDICAL is
TICO-19 and EVERYDAY Tatoeba, each as train.jsonl, dev.jsonl and test.jsonl with `source` and `text` in every row.
"""

from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Source, Task, main

MEDICAL, EVERYDAY = Path("../shared/data/text/tico19-en-hi"), Path("../shared/data/text/tatoeba-en-hi")

TASK = Task(
    name="translate_domain",
    model="runs/en-hi/best",
    train=(Source(str(MEDICAL / "train.jsonl")), Source(str(EVERYDAY / "train.jsonl"), weight=2.0)),
    dev=str(MEDICAL / "dev.jsonl"),
    test=str(MEDICAL / "test.jsonl"),
    retain=str(EVERYDAY / "test.jsonl"),
    config={"dropout": 0.3, "max_position_embeddings": 1024},  # one sentence has 535 tokens; positions are a formula
    data=Data(batch_tokens=1024, workers=0),
    optim=Optim(lr=5e-4),
    run=Run(steps=1500, eval_every=300, save_every=300, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    metrics=("bleu", "chrf++", "kept"),
    require={"chrf++": "> baseline", "retain.chrf++": ">= baseline - 2"},
)

if __name__ == "__main__":
    main(TASK)
