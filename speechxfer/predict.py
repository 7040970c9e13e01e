"""Checkpoint + manifest -> predictions.jsonl: longest first, resumable, shared out over ranks."""

import glob
import json
from collections.abc import Iterator
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from speechxfer.atomic import replacing
from speechxfer.data import read_speech, sorted_batches
from speechxfer.errors import ConfigError
from speechxfer.manifest import Example, Manifest
from speechxfer.models import load_checkpoint, resolve
from speechxfer.models.base import Model, Transcript
from speechxfer.parallel import Ranks, ranks
from speechxfer.plan import cut
from speechxfer.precision import Precision, choose_attention, choose_precision
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.receipt import read_receipt, write_receipt
from speechxfer.task import Data, Run

DATA, RUN = Data(), Run(precision="fp32")
MADE_OF = ("*.safetensors", "pytorch_model*.bin", "*.json", "*.txt", "*.model")  # what of a checkpoint predicts


def predict(
    checkpoint: str | Path, manifest: str | Path, out: str | Path, *, data: Data = DATA, run: Run = RUN
) -> Path:
    """Write the transcripts of every example of `manifest` to `out`, in its order.

    The text is the reference, "" where there is none.

    Of `data`, batch_seconds and workers matter; of `run`, device, precision and attention. float32 is the default,
    so that what people decide on does not hang on the machine's bf16. What is done goes to `out`.partial-RANK as it
    is done: the same call after a kill does the rest. `out` itself appears whole or not at all, with a receipt beside
    it; where those are there already, of this manifest and checkpoint and these versions, there is nothing to do.
    Raises ManifestError, CheckpointError, ConfigError.
    """
    out = Path(out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; expected a file to write, such as {out / 'predictions.jsonl'}")
    with ranks(run.device) as here:
        examples = read_speech(manifest, require=("audio",))
        folder = resolve(checkpoint)
        precision = choose_precision(run.precision, here.device)
        model = load_checkpoint(folder)
        choose_attention(run.attention, model.net)
        model.to(here.device).eval()
        key = {"weights": digest(folder), "manifest": examples.sha256, "precision": precision.name}
        key |= {name: version(name) for name in ("speechxfer", "torch", "transformers")}
        if here.gather(key.items() <= read_receipt(out).items())[0]:
            return out
        done = here.gather(_merge_partials(out, key) if here.first else set())[0]
        budget = max(data.batch_seconds, float(examples.seconds.max()))
        left = _batches_left(examples, done, budget)
        mine = np.concatenate([np.empty(0, np.int64), *left[here.rank :: here.world]])
        with _partial(out, here.rank).open("a", encoding="utf-8") as file:
            if not here.first:
                file.write(json.dumps(key) + "\n")
            for prediction in _transcribe(model, examples, mine, budget, data, precision, here):
                file.write(prediction.to_json() + "\n")
                file.flush()
        here.wait()
        if here.first:
            finished = _read_partials(out, key)
            write_predictions(out, (finished[example.id] for example in examples))
            write_receipt(out, key | {"checkpoint": str(checkpoint)})
            for leftover in _partials(out):
                leftover.unlink()
        here.wait()
    return out


def digest(checkpoint: Path) -> str:
    """SHA-256 over the names and contents of the files that decide what a checkpoint predicts."""
    total = sha256()
    for path in sorted({path for pattern in MADE_OF for path in checkpoint.glob(pattern)}):
        with path.open("rb") as file:
            total.update(f"{path.name} {file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _batches_left(examples: Manifest, done: set[str], budget: float) -> list[np.ndarray]:
    """Indices of the batches, longest first, that hold something to do.

    Batches are a function of the manifest alone, since padding may touch a transcript: what a resumed call or another
    number of ranks writes is what one undisturbed process writes.
    """
    batches = cut(np.argsort(-examples.seconds, kind="stable"), examples.seconds, budget)
    finished = np.array([example.id in done for example in examples])
    return [batch for batch in batches if not finished[batch].all()]


def _transcribe(
    model: Model, examples: Manifest, mine: np.ndarray, budget: float, data: Data, precision: Precision, here: Ranks
) -> Iterator[Prediction]:
    disable = None if here.first else True  # None: where there is no terminal
    with tqdm(total=float(examples.seconds[mine].sum()), unit="s", unit_scale=True, disable=disable) as bar:
        # By falling length a batch's first example decides its size, so these batches are cut as they were.
        for indices, batch in sorted_batches(examples, mine, model.frontend, budget, data):
            with torch.no_grad(), precision.autocast(here.device):
                transcripts = model.generate(batch.to(here.device))
            bar.update(batch.seconds)
            for index, transcript in zip(indices, transcripts, strict=True):
                yield _prediction(examples[int(index)], float(examples.seconds[index]), transcript)


def _prediction(example: Example, seconds: float, transcript: Transcript) -> Prediction:
    return Prediction(
        id=example.id,
        ref=example.text or "",
        hyp=transcript.text,
        group=example.group,
        seconds=round(seconds, 3),
        confidence=None if transcript.confidence is None else round(transcript.confidence, 4),
        words=transcript.words,
    )


def _partial(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}.partial-{rank}")


def _partials(out: Path) -> list[Path]:
    return sorted(out.parent.glob(f"{glob.escape(out.name)}.partial-*"))


def _merge_partials(out: Path, key: dict[str, str]) -> set[str]:
    """Gather what earlier calls have done into the first rank's file; returns its ids."""
    done = _read_partials(out, key)
    first = _partial(out, 0)
    with replacing(first) as merged, merged.open("w", encoding="utf-8") as file:
        file.write(json.dumps(key) + "\n")
        file.writelines(p.to_json() + "\n" for p in done.values())
    for other in _partials(out):
        if other != first:
            other.unlink()
    return set(done)


def _read_partials(out: Path, key: dict[str, str]) -> dict[str, Prediction]:
    """What earlier calls with the same key have done, by id; a line that a kill cut short is left out."""
    done = {}
    for path in _partials(out):
        # As bytes: a kill may have cut a character in two.
        first, *lines = path.read_bytes().split(b"\n")
        if first != json.dumps(key).encode():
            continue
        for line in lines[:-1]:  # what follows the last line end is cut short, or empty
            prediction = Prediction.from_json(line.decode())
            done[prediction.id] = prediction
    return done
