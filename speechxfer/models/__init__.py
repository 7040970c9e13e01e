"""Model families. `load_checkpoint` takes a folder or a hub name and returns the model that its config.json names.

A family's loader is imported when it is called, since it loads torch, which the modules beside it must not need.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models import ctc_config
from speechxfer.models.folder import read_json, resolve, saved_normaliser
from speechxfer.task import Speech

if TYPE_CHECKING:
    from speechxfer.manifest import Manifest
    from speechxfer.models.ctc import Ctc
    from speechxfer.models.marian import Marian
    from speechxfer.models.whisper import Whisper
    from speechxfer.task import Task

__all__ = ["FAMILIES", "Family", "can_predict", "complete", "family_of", "load_checkpoint", "resolve", "told"]

SPEECH = Speech()


def _ctc() -> Callable[..., "Ctc"]:
    from speechxfer.models.ctc_checkpoint import load_ctc

    return load_ctc


def _marian() -> Callable[..., "Marian"]:
    from speechxfer.models.marian_checkpoint import load_marian

    return load_marian


def _whisper() -> Callable[..., "Whisper"]:
    from speechxfer.models.whisper_checkpoint import load_whisper

    return load_whisper


@dataclass(frozen=True)
class Family:
    """What is known of a kind of model before its weights are loaded, and what a task that does not say gets."""

    loader: Callable[[], Callable]
    given: str  # the field of an example that it turns into text: "audio" or "source"
    normaliser: str
    metrics: tuple[str, ...]
    score_normaliser: str = ""  # where texts are not scored as they are written
    searches: bool = True  # whether what it writes hangs on how it is decoded
    stitch: float = 0.0  # share of the training audio that is stitched


CTC = Family(_ctc, "audio", "basic", ("wer", "cer"), searches=False)
MARIAN = Family(_marian, "source", "nfc", ("bleu", "chrf++"))
WHISPER = Family(_whisper, "audio", "nfc", ("wer", "cer"), "basic", stitch=0.5)  # benchmarks/whisper_context.py

# model_type of config.json -> family
FAMILIES = {**dict.fromkeys(("wav2vec2", "hubert", "wavlm"), CTC), "marian": MARIAN, "whisper": WHISPER}


def family_of(folder: Path) -> Family:
    """The family of a checkpoint folder. Raises CheckpointError for one that is not known."""
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def complete(task: "Task", folder: Path) -> "Task":
    """The task with what it leaves to its model: metrics, normaliser, stitching, and the score of the best weights.

    A checkpoint that this package trained brings its normaliser.
    """
    family = family_of(folder)
    metrics = task.metrics or family.metrics
    stitch = family.stitch if task.data.stitch is None else task.data.stitch
    return dataclasses.replace(
        task,
        normaliser=task.normaliser or saved_normaliser(folder) or family.normaliser,
        score_normaliser=task.score_normaliser or _scored_by(family, metrics),
        metrics=metrics,
        data=dataclasses.replace(task.data, stitch=stitch),
        run=dataclasses.replace(task.run, best_by=task.run.best_by or metrics[0]),
    )


def _scored_by(family: Family, metrics: tuple[str, ...]) -> str:
    """Error rates pass over case and punctuation, which the model writes; translations are scored as written."""
    return family.score_normaliser if set(metrics) <= set(family.metrics) else ""


def told(speech: Speech, manifests: Sequence["Manifest"], folder: Path) -> Speech:
    """With the language that all rows share which a Whisper is to be trained on, so that its checkpoint knows it.

    Not where something is translated: the token is then of what is spoken, which `lang` does not say.
    """
    import pyarrow.compute as pc

    if family_of(folder) is not WHISPER or speech.language:
        return speech
    langs, tasks = ({v for m in manifests for v in pc.unique(m.column(name)).to_pylist()} for name in ("lang", "task"))
    tasks.add(speech.task or read_json(folder / "speechxfer.json").get("task", ""))
    if len(langs) != 1 or None in langs or not tasks <= {None, "", "transcribe", "asr"}:
        return speech
    return dataclasses.replace(speech, language=langs.pop())


def can_predict(folder: Path) -> bool:
    """Whether a checkpoint has all that predicting needs: a self-supervised one must be trained before."""
    return family_of(folder) is not CTC or ctc_config.can_transcribe(folder)


def load_checkpoint(
    checkpoint: str | Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
    speech: Speech = SPEECH,
) -> "Ctc | Marian | Whisper":
    """The float32 model of a folder or hub name, on the CPU. See `load_ctc` and its kin for the arguments.

    Raises CheckpointError, and ConfigError for `speech` settings that the family has no use for.
    """
    folder = resolve(checkpoint)
    family = family_of(folder)
    given = {"texts": texts, "vocabulary": vocabulary, "normaliser": normaliser, "changes": changes}
    if family is WHISPER:
        return family.loader()(folder, **given, speech=speech)
    if speech != SPEECH:
        raise ConfigError(f"{checkpoint}: speech.* settings are for Whisper; this is another model")
    return family.loader()(folder, **given)
