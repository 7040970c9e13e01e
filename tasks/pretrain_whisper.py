"""Pre-train the small Whisper that the demo starts from, on synthetic American voices.

    python tasks/pretrain_whisper.py run --out runs/pretrain-whisper

Hears 15 hours of espeak-ng speech again and again at other speeds (1.7 GB in runs/pretrain-whisper-data, written where
it is missing). Width 128, six encoder and three decoder layers: 2.7 M parameters with a vocabulary of its own, in which
Hindi can be spelled too, though nobody speaks it here. Each encoder layer is as useful as it is cheap: the decoder only
spells what the encoder heard. A CTC loss on the encoder makes attention find the audio.

What is shipped has the public number of tokens (`speechxfer.models.whisper_random.pad_vocabulary`) and float16 weights
(`python -m speechxfer.demo.shrink`): 19 MB, of which the 12 MB of unused tokens are one row over and over.
"""

from pathlib import Path

from speechxfer import Data, Optim, Perturb, Run, Task, main
from speechxfer.adapt.auxiliary_ctc import AuxiliaryCtc

DATA = Path("runs/pretrain-whisper-data")

TASK = Task(
    name="pretrain_whisper",
    model=str(DATA / "random"),
    train=str(DATA / "american-train.jsonl"),
    dev=str(DATA / "american-dev.jsonl"),
    test=str(DATA / "american-test.jsonl"),
    data=Data(batch_seconds=60, workers=0, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
    optim=Optim(lr=1.5e-3, schedule="linear", warmup=0.06, weight_decay=0.01),
    run=Run(steps=5000, eval_every=500, save_every=200, best_by="wer", seed=1),
    adapt=(AuxiliaryCtc(0.3),),
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
        texts = [sentence_of("train", rng) for _ in range(20_000)]
        texts += [text for phrase in pairs("train", 5000, seed=0) for text in (phrase.en, phrase.hi)]
        write_random(DATA / "random", Size(pieces=1500, encoder_layers=6, decoder_layers=3), texts)


if __name__ == "__main__":
    main(TASK, prepare)
