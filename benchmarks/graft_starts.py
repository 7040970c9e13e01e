"""How new rows should begin, and what should learn when: short runs of translate_en_hi, each with something changed.

    python tasks/parent_en_de.py run --out runs/parent
    python benchmarks/graft_starts.py

English-Hindi on Tatoeba from the Multi30k parent (tasks/translate_en_hi.py, whose data it needs), 1,500 steps in place
of 4,000, one seed; prints chrF++ on dev at every 500 steps. Some five minutes a row on a core; a row that is there
already is not run again. Without the parent there is nothing to begin from, and it says so.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
import translate_en_hi as job  # noqa: E402

from speechxfer import Freeze, read_manifest  # noqa: E402
from speechxfer.models.graft import Graft, graft  # noqa: E402
from speechxfer.task import override  # noqa: E402
from speechxfer.text import normalise  # noqa: E402
from speechxfer.train import train  # noqa: E402

PARENT, RUNS = Path("runs/parent/best"), Path("runs/graft-starts")
WORDS = job.DATA / "words.tsv"
BPE = Graft(pieces=3000, model_type="bpe")
LISTED = replace(BPE, initial="mapping", mapping=WORDS)
ENCODER = 4  # source embedding and three layers

# name of the row -> (how the new rows begin, what is kept, settings)
ROWS = {
    "mean of the parent's rows": (BPE, (), ()),
    "mean, encoder kept until step 500": (BPE, (Freeze(ENCODER, until=500),), ()),
    "mean, encoder kept for good": (BPE, (Freeze(ENCODER),), ()),
    "random rows": (replace(BPE, initial="random"), (), ()),
    "word list": (LISTED, (), ()),
    "word list, encoder kept until step 500": (LISTED, (Freeze(ENCODER, until=500),), ()),
    "word list, no noise": (replace(LISTED, noise=0.0), (), ()),
    "word list, 1,500 pieces": (replace(LISTED, pieces=1500), (), ()),
    "word list, unigram pieces": (replace(LISTED, model_type="unigram"), (), ()),
    "word list, learning rate 2e-3": (LISTED, (), ("optim.lr=2e-3",)),
    "word list, BPE-dropout 0.1": (LISTED, (), ("data.sampling=0.1",)),
    "random weights throughout": (None, (), ()),
}


def main(rows: list[str]) -> None:
    if not PARENT.is_dir():
        print(f"{PARENT}: not there; python tasks/parent_en_de.py run --out runs/parent makes it in 20 minutes")
        return
    job.prepare()
    print("| start | step 500 | step 1,000 | step 1,500 |\n|---|---|---|---|")
    for name in rows or ROWS:
        print(f"| {name} | {' | '.join(f'{score:.1f}' for score in scores(name))} |", flush=True)


def scores(name: str) -> list[float]:
    """chrF++ on dev of one row, at each evaluation."""
    settings, keep, changes = ROWS[name]
    folder = RUNS / name.replace(" ", "-").replace(",", "")
    if settings is None:
        model = job.DATA / "random"
    elif not (model := folder / "start").is_dir():
        texts = (normalise("nfc", text) for text in read_manifest(job.TASK.train).texts())
        graft(PARENT, texts, model, settings=settings, lang="hi")
    task = replace(job.TASK, model=str(model), adapt=(*job.TASK.adapt, *keep))
    train(override(task, ["run.steps=1500", *changes]), folder / "run")
    log = map(json.loads, (folder / "run/log.jsonl").read_text().splitlines())
    return [row["chrf++"] for row in log if row["event"] == "dev"]


if __name__ == "__main__":
    main(sys.argv[1:])
