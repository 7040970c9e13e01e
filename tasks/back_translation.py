"""Five hundred sentence pairs, and three thousand sentences of the new language alone: back-translation.

    python tasks/back_translation.py run --out runs/back-translation
    python tasks/back_translation.py run --out runs/pairs-alone --train runs/demo-translation-data/en-hi-train.jsonl

The first command makes what is missing: a Hindi-English translator from the pairs (the shipped English-German one with
both sides grafted, by word lists), and its translation of the Hindi sentences, tagged `>>back<<`; then English-Hindi
learns from the pairs and, as often, from those. The second is the same job, from the same start, without them. Pairs
and test set are those of translate_phrases.py; no Hindi sentence of pairs, dev or test is among the three thousand.
"""

from dataclasses import replace
from pathlib import Path

from speechxfer import Data, LabelSmoothing, Optim, Run, Source, Task, main
from speechxfer.demo import TRANSLATOR

PAIRS, DATA = Path("runs/demo-translation-data"), Path("runs/back-translation-data")
SENTENCES = 3000

TASK = Task(
    name="back_translation",
    model=str(DATA / "start"),
    train=(Source(str(PAIRS / "en-hi-train.jsonl")), Source(str(DATA / "synthetic.jsonl"))),
    dev=str(PAIRS / "en-hi-dev.jsonl"),
    test=str(PAIRS / "en-hi-test.jsonl"),
    data=Data(batch_tokens=512, workers=0),
    optim=Optim(lr=1e-3),
    run=Run(steps=900, eval_every=300, save_every=300, best_by="chrf++"),
    adapt=(LabelSmoothing(0.1),),
    require={"chrf++": ">= 60"},
)
SWAPPED = {split: str(DATA / f"hi-en-{split}.jsonl") for split in ("train", "dev")}
REVERSE = replace(TASK, name="hi-en", model=str(DATA / "reverse-start"), **SWAPPED)


def prepare() -> None:
    """Write pairs, the reverse translator, what it makes of the Hindi sentences, and the start, where missing."""
    from speechxfer import Example, read_manifest, write_manifest
    from speechxfer.back_translation import TAG, back_translate
    from speechxfer.demo.phrases import pairs, write_pairs
    from speechxfer.models.graft import Graft, add_tokens, graft
    from speechxfer.models.word_list import write_word_list
    from speechxfer.train import train

    counts = {"train": 500, "dev": 100, "test": 300}
    real = {split: list(read_manifest(write_pairs(PAIRS, "hi", split, counts[split]))) for split in counts}
    known = {e.text for examples in real.values() for e in examples}
    drawn = dict.fromkeys(phrase.hi for phrase in pairs("train", 2 * SENTENCES, seed=1))
    mono = [text for text in drawn if text not in known][:SENTENCES]
    own = [(phrase.en, phrase.de) for phrase in pairs("train", SENTENCES, seed=2)]
    learnt = [(e.source, e.text) for e in real["train"]]
    english, hindi = [en for en, _ in learnt], [hi for _, hi in learnt] + mono

    def by_words(name: str, new: list[tuple[str, str]], parent: list[tuple[str, str]]) -> Graft:
        words = write_word_list(DATA / f"{name}.tsv", new, parent)
        return Graft(pieces=1200, model_type="bpe", initial="mapping", mapping=words)

    if not (DATA / "reverse-start").is_dir():  # English for the parent's German, then Hindi for its English
        words = by_words("english-german", [(de, en) for en, de in own], [(de, de) for _, de in own])
        graft(TRANSLATOR, english, DATA / "english", settings=words, lang="en")
        words = by_words("hindi-english", learnt, [(en, en) for en in english])
        graft(DATA / "english", hindi, DATA / "reverse-start", side="source", settings=words, lang="hi")
    if not (DATA / "synthetic.jsonl").is_file():
        for split, manifest in SWAPPED.items():
            write_manifest(manifest, (replace(e, source=e.text, text=e.source, lang="en") for e in real[split]))
        train(REVERSE, DATA / "reverse")
        rows = (Example(id=f"{i:04}", text=text, lang="hi") for i, text in enumerate(mono))
        write_manifest(DATA / "mono.jsonl", rows)
        back_translate(DATA / "reverse/best", DATA / "mono.jsonl", DATA / "synthetic.jsonl", data=TASK.data)
    if not (DATA / "start").is_dir():
        graft(TRANSLATOR, hindi, DATA / "grafted", settings=by_words("hindi-german", learnt, own), lang="hi")
        add_tokens(DATA / "grafted", [TAG], DATA / "start")


if __name__ == "__main__":
    main(TASK, prepare)
