"""Spoken digit strings of an accent that was never heard: single digits (free-spoken-digit-dataset) joined by speaker.

    python tasks/digits_ctc.py run --out runs/digits
    python tasks/digits_ctc.py run --out runs/digits-random --model runs/random

The second command is the same job from random weights of the same architecture. Train is one American and the German
speaker, dev the other American, test the Greek one. SOURCE holds train.jsonl with `speaker` and `accent` in every row.
"""

from pathlib import Path

from speechxfer import Data, Example, Optim, Perturb, Run, Task, main, read_manifest, write_manifest
from speechxfer.demo import CHECKPOINT

SOURCE = Path("../shared/data/speech/fsdd")
DATA = Path("runs/digits-data")
SPEAKERS = {"train": ("jackson", "yweweler"), "dev": ("theo",), "test": ("george",)}
STRINGS = {"train": 400, "dev": 80, "test": 120}  # of each speaker

TASK = Task(
    name="digits_ctc",
    model=str(CHECKPOINT),
    train=str(DATA / "train.jsonl"),
    dev=str(DATA / "dev.jsonl"),
    test=str(DATA / "test.jsonl"),
    config={"mask_time_prob": 0.05, "hidden_dropout": 0.1},
    data=Data(batch_seconds=40, perturb=Perturb(speed=(0.9, 1.0, 1.1), gain_db=(-6.0, 6.0))),
    optim=Optim(lr=4e-4),
    run=Run(steps=200, eval_every=50, save_every=50),
    require={"wer": "<= baseline * 0.5"},
)


def prepare() -> None:
    """Join two to seven digits of one speaker, with pauses, into the strings of each split."""
    from speechxfer.demo.architecture import write_random

    write_random(Path("runs/random"))
    for split, speakers in SPEAKERS.items():
        if not (DATA / f"{split}.jsonl").is_file():
            write_manifest(DATA / f"{split}.jsonl", list(joined(split, speakers)))


def joined(split: str, speakers: tuple[str, ...]) -> list[Example]:
    """Write the strings of a split, and return their examples."""
    import numpy as np
    import soundfile

    from speechxfer import audio

    rate, rng, examples = 16_000, np.random.default_rng(len(split)), []
    (DATA / "audio").mkdir(parents=True, exist_ok=True)
    everything = list(read_manifest(SOURCE / "train.jsonl"))
    for speaker in speakers:
        digits = [example for example in everything if example.group["speaker"] == speaker]
        for number in range(STRINGS[split]):
            chosen = [digits[i] for i in rng.integers(len(digits), size=rng.integers(2, 8))]
            pieces = [np.zeros(int(rng.uniform(0.05, 0.2) * rate), np.float32)]
            for digit in chosen:
                pieces += [audio.load(digit.audio, rate), np.zeros(int(rng.uniform(0.05, 0.3) * rate), np.float32)]
            samples, path = np.concatenate(pieces), DATA / "audio" / f"{speaker}-{number:03d}.flac"
            soundfile.write(path, samples, rate)
            words = " ".join(digit.text for digit in chosen)
            group = {"speaker": speaker, "accent": chosen[0].group["accent"]}
            examples.append(Example(f"{speaker}-{number:03d}", words, path, seconds=len(samples) / rate, group=group))
    return examples


if __name__ == "__main__":
    main(TASK, prepare)
