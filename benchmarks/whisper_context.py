"""What training on the audio's own length costs a Whisper that knew 30 s alone, and how much stitched audio mends it.

    python benchmarks/whisper_context.py
    python benchmarks/whisper_context.py --steps 600 --seed 2

The shipped Whisper is first taught to hear 30 s padded with silence, as those of the hub do. From there it learns ten
minutes of Scottish speech: padded, and on its own length with several shares of stitched audio (data.stitch). Scored:
minutes of single utterances and the same ones joined to 30 s: WER, by what part of padding's it is above that, with a
95 % interval (paired, over speakers), and the starts and ends of phrases that were told within 0.2 s. What is there
already is not made again; an hour on a core, most of it the padding.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from speechxfer import Data, Decode, Optim, Perturb, Run, Source, Speech, Task, read_manifest
from speechxfer.demo import WHISPER
from speechxfer.demo.corpus import CorpusSpec, write_corpus
from speechxfer.pieces import write_stitched
from speechxfer.predict import predict
from speechxfer.prediction import read_predictions
from speechxfer.scoring.items import Items, extract
from speechxfer.scoring.metrics import Metric
from speechxfer.task import Guards
from speechxfer.train import train

RUNS = Path("runs/whisper-context")
SHARES = (0.0, 0.1, 0.25, 0.5)  # of stitched audio
NEAR = 0.2  # seconds that a time may be off
UTTERANCES = 12  # of a padded step, 360 s for the encoder; without padding as many make some 30 s
GREEDY = Decode(beams=1, guards=Guards(temperatures=()))
RESAMPLES = 2000


def prepare(minutes: float) -> dict[str, Path]:
    """The manifests by name, those of the test with so many minutes."""
    written = {
        f"{accent}-{split}": write_corpus(RUNS / "data", CorpusSpec(accent, split, minutes))
        for accent, split, minutes in (
            ("american", "train", 60),
            ("scottish", "train", 10),
            ("scottish", "dev", 3),
            ("scottish", "test", minutes),
        )
    }
    written["short"] = written.pop("scottish-test")
    written["long"] = RUNS / f"data/scottish-test-{minutes:g}-joined.jsonl"
    if not written["long"].is_file():
        write_stitched(written["short"], written["long"])
    return written


def task(data: dict[str, Path], steps: int, seed: int, context: str, share: float) -> Task:
    """Ten minutes of Scottish speech beside as much American, learnt in one of the two ways."""
    seconds = 30.0 * UTTERANCES if context == "full" else 2.5 * UTTERANCES
    return Task(
        name="whisper_context",
        model=str(RUNS / "padded"),
        train=(Source(str(data["scottish-train"])), Source(str(data["american-train"]))),
        dev=str(data["scottish-dev"]),
        speech=Speech(context=context),
        data=Data(batch_seconds=seconds, stitch=share, workers=0, perturb=Perturb(speed=(0.85, 0.92, 1.0, 1.08, 1.17))),
        optim=Optim(lr=1e-3),
        run=Run(steps=steps, eval_every=steps, save_every=50, seed=seed),
    )


def scored(checkpoint: Path, data: dict[str, Path], folder: Path) -> tuple[dict[str, Items], float]:
    """Words of the short and the long set, and the share of phrases with the right times."""
    items = {}
    for name in ("short", "long"):
        decode, out = replace(GREEDY, timestamps=name == "long"), folder / f"{name}.predictions.jsonl"
        if not out.is_file():
            predict(checkpoint, data[name], out, decode=decode)
        items[name] = extract(out, ("wer",), "basic")
    return items, timed(data["long"], out)


def timed(manifest: Path, predictions: Path) -> float:
    """The share of starts and ends of phrases that a predicted start or end is near to."""
    near = []
    for example, found in zip(read_manifest(manifest), read_predictions(predictions), strict=True):
        for place in (1, 2):
            told = np.array([segment[place] for segment in found.segments] or [np.inf])
            near += [np.abs(told - segment[place]).min() < NEAR for segment in example.segments]
    return float(np.mean(near))


def wer(items: Items) -> float:
    metric, totals = of_speakers(items)
    return float(metric.value(totals.sum(axis=0)))


def of_speakers(items: Items) -> tuple[Metric, np.ndarray]:
    index = items.members(None)
    return items.columns["wer"].metric, items.totals("wer", index, items.clusters(index)[1])


def above(padded: Items, own: Items) -> str:
    """By how much the second WER is above the first, as a share of the first, with a 95 % interval over speakers."""
    metric, first = of_speakers(padded)
    _, second = of_speakers(own)
    drawn = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    ratios = metric.value(second[drawn].sum(axis=1)) / metric.value(first[drawn].sum(axis=1)) - 1
    low, high = np.quantile(ratios, (0.025, 0.975))
    return f"{100 * (wer(own) / wer(padded) - 1):+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--steps", type=int, default=200, help="of adapting")
    asked.add_argument("--padded-steps", type=int, default=200, help="of learning to hear 30 s")
    asked.add_argument("--minutes", type=float, default=20, help="of the test set")
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    data = prepare(given.minutes)
    if not (RUNS / "padded").is_dir():
        learn = task(data, given.padded_steps, 0, "full", 0.1)
        learn = replace(learn, model=str(WHISPER), train=str(data["american-train"]))
        train(learn, RUNS / "pad")
        (RUNS / "pad/last").rename(RUNS / "padded")
    ways = {"padded": ("full", 0.0)} | {f"own length, {100 * share:g} % stitched": ("own", share) for share in SHARES}
    print("| training | short | above padding | 30 s | above padding | times |\n|---|---|---|---|---|---|")
    start, times = scored(RUNS / "padded", data, RUNS / "before")
    print(
        f"| before | {100 * wer(start['short']):.1f} % | | {100 * wer(start['long']):.1f} % | | {100 * times:.0f} % |"
    )
    padded: dict[str, Items] = {}
    for name, (context, share) in ways.items():
        run = RUNS / f"{context}-{share}-{given.steps}-{given.seed}"
        train(task(data, given.steps, given.seed, context, share), run)
        items, times = scored(run / "last", data, run)
        padded = padded or items
        cells = [(f"{100 * wer(items[n]):.1f} %", above(padded[n], items[n])) for n in ("short", "long")]
        print(f"| {name} | {' | '.join(cell for pair in cells for cell in pair)} | {100 * times:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
