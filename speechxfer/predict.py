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

from speechxfer import task as tasks
from speechxfer.atomic import replacing
from speechxfer.data import length_sorted, load_batches, read_examples
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.manifest import Example, Manifest, expect_files
from speechxfer.models import family_of, load_checkpoint, resolve
from speechxfer.models.base import Hypothesis, Model
from speechxfer.models.folder import WANTED
from speechxfer.parallel import Ranks, ranks
from speechxfer.precision import Precision, choose_attention, choose_precision
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.receipt import read_receipt, write_receipt
from speechxfer.task import Data, Decode, Run, Speech

DATA, SPEECH, DECODE, RUN = Data(), Speech(), Decode(), Run(precision="fp32")


def predict(
    checkpoint: str | Path,
    manifest: str | Path,
    out: str | Path,
    *,
    data: Data = DATA,
    speech: Speech = SPEECH,
    decode: Decode = DECODE,
    run: Run = RUN,
) -> Path:
    """Write the transcripts or translations of every example of `manifest` to `out`, in its order.

    The text is the reference, "" where there is none.

    Of `data`, the budget of a batch and workers matter; of `run`, device, precision and attention. float32 is the
    default, so that what people decide on does not hang on the machine's bf16. What is done goes to `out`.partial-RANK
    as it is done: the same call after a kill does the rest. `out` itself appears whole or not at all, with a receipt
    beside it; where those are there, of this manifest and checkpoint and these versions, there is nothing to do.
    Raises ManifestError, CheckpointError, ConfigError.
    """
    out = Path(out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; expected a file to write, such as {out / 'predictions.jsonl'}")
    with ranks(run.device) as here:
        expect_files([manifest])
        folder = resolve(checkpoint)
        family = family_of(folder)
        examples = read_examples(manifest, family.given)
        precision = choose_precision(run.precision, here.device)
        key = {"weights": digest(folder), "manifest": examples.sha256, "precision": precision.name}
        key |= {name: version(name) for name in ("speechxfer", "torch", "transformers")}
        key |= tasks.fields(speech, "speech.") | (tasks.fields(decode, "decode.") if family.searches else {})
        if here.gather(key.items() <= read_receipt(out).items())[0]:
            return out
        model = load_checkpoint(folder, speech=speech)
        choose_attention(run.attention, model.net)
        model.to(here.device).eval()
        done = here.gather(_merge_partials(out, key) if here.first else set())[0]
        lengths = model.frontend.lengths(examples)
        if unfit := model.frontend.unfit(examples, lengths):
            raise ManifestError("\n".join(unfit))
        mine = _batches_left(examples, lengths, done, model.frontend.budget(data))[here.rank :: here.world]
        with _partial(out, here.rank).open("a", encoding="utf-8") as file:
            if not here.first:
                file.write(json.dumps(key) + "\n")
            for prediction in _written(model, examples, mine, data, decode, precision, here):
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
    for path in sorted({path for pattern in WANTED for path in checkpoint.glob(pattern)}):
        with path.open("rb") as file:
            total.update(f"{path.name} {file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _batches_left(examples: Manifest, lengths: np.ndarray, done: set[str], budget: float) -> list[np.ndarray]:
    """Indices of the batches, longest first, that hold something to do.

    Batches are a function of the manifest alone, since padding may touch what is written: what a resumed call or
    another number of ranks writes is what one undisturbed process writes.
    """
    finished = np.array([example.id in done for example in examples])
    return [batch for batch in length_sorted(lengths, budget) if not finished[batch].all()]


def _written(
    model: Model,
    examples: Manifest,
    batches: list[np.ndarray],
    data: Data,
    decode: Decode,
    precision: Precision,
    here: Ranks,
) -> Iterator[Prediction]:
    disable = None if here.first else True  # None: where there is no terminal
    with tqdm(total=sum(map(len, batches)), unit="examples", unit_scale=True, disable=disable) as bar:
        for indices, batch in load_batches(examples, batches, model.frontend, data):
            with torch.no_grad(), precision.autocast(here.device):
                hypotheses = model.generate(batch.to(here.device), decode)
            bar.update(len(indices))
            for index, hypothesis in zip(indices, hypotheses, strict=True):
                yield _prediction(examples[int(index)], hypothesis)


def _prediction(example: Example, hypothesis: Hypothesis) -> Prediction:
    return Prediction(
        id=example.id,
        ref=example.text or "",
        hyp=hypothesis.text,
        group=example.group,
        source=example.source,
        seconds=None if example.seconds is None else round(example.seconds, 3),
        confidence=None if hypothesis.confidence is None else round(hypothesis.confidence, 4),
        words=hypothesis.words,
        segments=hypothesis.segments,
        n_best=tuple((text, round(score, 4)) for text, score in hypothesis.n_best),
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
