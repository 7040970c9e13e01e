"""Pre-train the small Whisper that the demo starts from, on synthetic American voices.

    python tasks/pretrain_whisper.py run --out runs/pretrain-whisper

writes 15 hours of espeak-ng speech (1.7 GB, runs/pretrain-whisper-data) and trains on single sentences, at other speeds
each time they come. Shorter goes, each from the one before, teach it the times of phrases and up to 30 s at once:

    R=runs/pretrain-whisper; GO="python tasks/pretrain_whisper.py train --set speech.timestamps=0.5"
    $GO --out $R-2 --model $R/best --set run.steps=4500 --set optim.lr=1e-3 --set data.batch_seconds=60 \\
        --set data.stitch=0.25
    GO="$GO --set run.batches_per_step=2 --set optim.lr=8e-4 --set data.stitch=0.5"
    $GO --out $R-3 --model $R-2/best --set run.steps=1000 --set data.max_seconds=12
    $GO --out $R-4 --model $R-3/last --set run.steps=1900 --set data.batch_seconds=36
    $GO --out $R-5 --model $R-4/last --set run.steps=3300 --set data.batch_seconds=36 --set data.stitch=0.6 \\
        --set optim.lr=1e-3
    GO="python tasks/pretrain_whisper.py train --set data.batch_seconds=60"
    $GO --out $R-6 --model $R-5/last --set run.steps=2200 --set optim.lr=1e-3 --set data.stitch=0.85 \\
        --set speech.timestamps=0.5
    python -c "from speechxfer.models.whisper_padding import *; lift(Path('$R-6/last'), Path('$R-lifted'))"
    GO="$GO --set data.stitch=0.7 --set speech.timestamps=0.6"
    $GO --out $R-7 --model $R-lifted --set run.steps=1800 --set optim.lr=1e-3 --set run.eval_every=900 \\
        --set run.seed=2    # stopped at step 900
    $GO --out $R-8 --model $R-7/best --set run.steps=1000 --set optim.lr=6e-4 --set run.batches_per_step=2 \\
        --set run.seed=3

Width 128, six encoder and three decoder layers, 2.6 M parameters: each encoder layer is as useful as it is cheap, since
the decoder only spells what the encoder heard. The pieces are characters, English and Hindi, and letters that begin a
word; with 1,500 pieces and a CTC weight of 0.3 it had learnt next to nothing after 28 hours heard.

What is shipped has the public number of tokens (`speechxfer.models.whisper_padding.pad_vocabulary`) and float16 weights
(`python -m speechxfer.demo.shrink`): of its 18 MB the 13 MB of unused tokens are one row over and over.
"""

from pathlib import Path

from speechxfer import Data, Optim, Perturb, Run, Speech, Task, main
from speechxfer.adapt.auxiliary_ctc import AuxiliaryCtc

DATA = Path("runs/pretrain-whisper-data")

TASK = Task(
    name="pretrain_whisper",
    model=str(DATA / "random"),
    train=str(DATA / "american-train.jsonl"),
    dev=str(DATA / "american-dev.jsonl"),
    test=str(DATA / "american-test.jsonl"),
    data=Data(batch_seconds=30, stitch=0.0, workers=0, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
    speech=Speech(timestamps=0.0),
    optim=Optim(lr=2e-3, schedule="linear", warmup=0.03, weight_decay=0.01),
    run=Run(steps=8000, eval_every=400, save_every=400, best_by="wer", seed=1),
    adapt=(AuxiliaryCtc(1.0),),
    require={"wer": "<= 0.12"},
)


def prepare() -> None:
    """Write the corpus and the random checkpoint, where they are missing."""
    import random

    from speechxfer.demo.corpus import CorpusSpec, write_corpus
    from speechxfer.demo.grammar import sentence_of
    from speechxfer.demo.phrases import pairs
    from speechxfer.models.whisper_random import Size, write_random

    write_corpus(DATA, CorpusSpec("american", "train", minutes=900, speakers=640, seed=2, container="wav"))
    write_corpus(DATA, CorpusSpec("american", "dev", minutes=12))
    write_corpus(DATA, CorpusSpec("american", "test", minutes=20))
    if not (DATA / "random").is_dir():
        rng = random.Random(0)
        texts = [sentence_of("train", rng) for _ in range(2000)]
        texts += [text for phrase in pairs("train", 2000, seed=0) for text in (phrase.en, phrase.hi)]
        characters = [character for text in texts for character in text if character != " "]
        write_random(DATA / "random", Size(pieces=600, encoder_layers=6, decoder_layers=3), characters)


if __name__ == "__main__":
    main(TASK, prepare)
