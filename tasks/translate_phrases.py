"""A new language from five hundred sentence pairs: the second half of the demo, and the pattern to copy.

    python tasks/translate_phrases.py run --out runs/demo-translation

The shipped translator knows English to German (generated sentences only). It gets Hindi pieces (`graft`), each
beginning as the German words to which the English of both leads, and learns to write Hindi in a minute; sentences that
are not among the pairs are what is scored. With the recogniser of the demo's first half it makes a cascade, Scottish
speech to Hindi text, and one sees which of the two to improve:

    speechxfer cascade --recogniser runs/demo/best --translator runs/demo-translation/best \\
        --manifest runs/demo-translation-data/scottish-hi-test.jsonl --out runs/demo-cascade

For your own languages:

    speechxfer graft --parent Helsinki-NLP/opus-mt-en-de --texts mine/train.jsonl --lang mr \\
        --bridge en-de.tsv --out start
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
    data=Data(batch_tokens=512, workers=0),
    optim=Optim(lr=1e-3),
    run=Run(steps=450, eval_every=225, save_every=225, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    require={"chrf++": ">= 60"},
)


def prepare() -> None:
    """Write the pairs, the speech of the cascade, and the translator with Hindi grafted on, where they are missing."""
    from speechxfer import read_manifest
    from speechxfer.demo.corpus import CorpusSpec, write_corpus
    from speechxfer.demo.phrases import pairs, write_pairs
    from speechxfer.models.graft import Graft, graft
    from speechxfer.models.word_list import write_word_list

    for split, count in (("train", 500), ("dev", 100), ("test", 300)):
        write_pairs(DATA, "hi", split, count)
    if not (DATA / "grafted").is_dir():
        new = [(e.source, e.text) for e in read_manifest(TASK.train)]
        words = write_word_list(DATA / "words.tsv", new, ((p.en, p.de) for p in pairs("train", 3000, seed=2)))
        # whole words are pieces, as far as the pairs have them
        settings = Graft(pieces=1200, model_type="bpe", initial="mapping", mapping=words)
        graft(TRANSLATOR, (text for _, text in new), DATA / "grafted", settings=settings, lang="hi")
    write_corpus(DATA, CorpusSpec("scottish", "test", 5, translated="hi"))


if __name__ == "__main__":
    main(TASK, prepare)
