"""English speech to Hindi text in one model: a Whisper that is taught to write another language than it hears.

    python tasks/speech_translation.py run --out runs/speech-translation
    python tasks/speech_translation.py run --model runs/speech-translation/best --out runs/speech-translation-2

The manifests' texts are Hindi and their `lang` says so: `<|hi|><|transcribe|>` comes to mean "write Hindi". The same
test set through the cascade, whose recogniser wants no Hindi and whose translator no speech, after `make demo`:

    speechxfer cascade --recogniser speechxfer/demo/checkpoints/whisper-american \\
        --translator runs/demo-translation/best \\
        --manifest runs/speech-translation-data/american-hi-test.jsonl --out runs/speech-cascade

It forgets the language that it wrote before, unless a second train manifest rehearses that. For your own pair, from a
Whisper of the hub: --model, --train, --dev and --test.
"""

from pathlib import Path

from speechxfer import Data, Optim, Perturb, Run, Task, main
from speechxfer.demo import WHISPER

DATA = Path("runs/speech-translation-data")

TASK = Task(
    name="speech_translation",
    model=str(WHISPER),
    train=str(DATA / "american-hi-train.jsonl"),
    dev=str(DATA / "american-hi-dev.jsonl"),
    test=str(DATA / "american-hi-test.jsonl"),
    data=Data(batch_seconds=60, stitch=0.1, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
    optim=Optim(lr=1e-3, schedule="linear"),
    run=Run(steps=1200, eval_every=300, save_every=300, best_by="chrf++"),
    metrics=("chrf++", "bleu"),
    require={"chrf++": ">= 60"},
)


def prepare() -> None:
    """Write the speech and its Hindi where they are missing: three hours, 350 MB."""
    from speechxfer.demo.corpus import CorpusSpec, write_corpus

    for split, minutes in (("train", 180), ("dev", 5), ("test", 10)):
        write_corpus(DATA, CorpusSpec("american", split, minutes, translated="hi"))


if __name__ == "__main__":
    main(TASK, prepare)
