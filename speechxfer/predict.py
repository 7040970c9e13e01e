"""Checkpoint + manifest -> predictions.jsonl: longest first, resumable, shared out over ranks."""

import json
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from speechxfer.data import sorted_batches
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models import load_checkpoint, resolve
from speechxfer.models.base import Model, Transcript
from speechxfer.parallel import Ranks, ranks
from speechxfer.precision import Precision, choose_attention, choose_precision
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.task import Data, Run


def predict(
    checkpoint: str | Path, manifest: str | Path, out: str | Path, *, data: Data = Data(), run: Run = Run(precision="fp32")
) -> Path:
    """Write the transcripts of every example of `manifest` to `out`, in its order; the text is the reference.

    Of `data`, batch_seconds and workers matter; of `run`, device, precision and attention. float32 is the default,
    so that what people decide on does not hang on the machine's bf16. What is done goes to `out`.partial-RANK as it
    is done: the same call after a kill does the rest. `out` itself appears whole or not at all.
    Raises ManifestError, CheckpointError.
    """
    out = Path(out)
    with ranks(run.device) as here:
        examples = read_manifest(manifest, require=("audio", "text"))
        examples.check_audio()
        folder = resolve(checkpoint)
        precision = choose_precision(run.precision, here.device)
        model = load_checkpoint(folder)
        choose_attention(run.attention, model.net)
        model.to(here.device).eval()
        key = {"manifest": examples.sha256, "weights": weights_hash(folder), "precision": precision.name}
        done = here.gather(_merge_partials(out, key) if here.first else set())[0]
        todo = np.array([i for i, example in enumerate(examples) if example.id not in done], dtype=np.int64)
        mine = todo[np.argsort(-examples.seconds[todo], kind="stable")][here.rank :: here.world]
        with _partial(out, here.rank).open("a", encoding="utf-8") as file:
            if not here.first:
                file.write(json.dumps(key) + "\n")
            for prediction in _transcribe(model, examples, mine, data, precision, here):
                file.write(prediction.to_json() + "\n")
                file.flush()
        here.wait()
        if here.first:
            finished = _read_partials(out, key)
            write_predictions(out, (finished[example.id] for example in examples))
            for leftover in _partials(out):
                leftover.unlink()
        here.wait()
    return out


def weights_hash(folder: Path) -> str:
    """SHA-256 of a checkpoint's weight files."""
    names = sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])
    digests = []
    for path in names:
        with path.open("rb") as file:
            digests.append(file_digest(file, "sha256").hexdigest())
    return "+".join(digests)


def _transcribe(
    model: Model, examples: Manifest, mine: np.ndarray, data: Data, precision: Precision, here: Ranks
) -> Iterator[Prediction]:
    with tqdm(total=float(examples.seconds[mine].sum()), unit="s", unit_scale=True, disable=None if here.first else True) as bar:
        for indices, batch in sorted_batches(examples, mine, model.frontend, data.batch_seconds, data):
            with torch.no_grad(), precision.autocast(here.device):
                transcripts = model.generate(batch.to(here.device))
            bar.update(batch.seconds)
            for index, transcript in zip(indices, transcripts, strict=True):
                yield _prediction(examples[int(index)], float(examples.seconds[index]), transcript)


def _prediction(example: Example, seconds: float, transcript: Transcript) -> Prediction:
    return Prediction(
        id=example.id,
        ref=example.text,
        hyp=transcript.text,
        group=example.group,
        seconds=round(seconds, 3),
        confidence=None if transcript.confidence is None else round(transcript.confidence, 4),
        words=transcript.words,
    )


def _partial(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}.partial-{rank}")


def _partials(out: Path) -> list[Path]:
    return sorted(out.parent.glob(f"{out.name}.partial-*"))


def _merge_partials(out: Path, key: dict[str, str]) -> set[str]:
    """Gather what earlier calls have done into the first rank's file; returns its ids."""
    done = _read_partials(out, key)
    first = _partial(out, 0)
    first.parent.mkdir(parents=True, exist_ok=True)
    merged = first.with_name(first.name + ".tmp")
    merged.write_text("".join(f"{line}\n" for line in (json.dumps(key), *(p.to_json() for p in done.values()))), encoding="utf-8")
    merged.replace(first)
    for other in _partials(out):
        if other != first:
            other.unlink()
    return set(done)


def _read_partials(out: Path, key: dict[str, str]) -> dict[str, Prediction]:
    """What earlier calls with the same key have done, by id; a line that a kill cut short is left out."""
    done = {}
    for path in _partials(out):
        first, *lines = path.read_text(encoding="utf-8").split("\n")
        if first != json.dumps(key):
            continue
        for line in lines[:-1]:  # what follows the last line end is cut short, or empty
            prediction = Prediction.from_json(line)
            done[prediction.id] = prediction
    return done
