"""A fine-tuned recogniser from Python: `load("runs/x/best").transcribe("x.wav")`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechxfer import audio
from speechxfer.data import length_sorted
from speechxfer.errors import AudioError, ConfigError, ManifestError
from speechxfer.manifest import Example
from speechxfer.models.base import Hypothesis, Model
from speechxfer.precision import choose_precision
from speechxfer.task import Decode

DECODE = Decode()
Audio = str | Path | tuple[np.ndarray, int]


class Recogniser:
    """A loaded checkpoint. `model` is the nn.Module, whose `net` is the transformers model."""

    def __init__(self, model: Model, device: torch.device, precision: str):
        self.model = model.to(device).eval()
        self.device = device
        self.precision = choose_precision(precision, device)

    def transcribe(
        self,
        sound: Audio | Sequence[Audio],
        *,
        decode: Decode = DECODE,
        lang: str | None = None,
        batch_seconds: float = 80.0,
    ) -> Hypothesis | list[Hypothesis]:
        """Text, confidence and word times of one recording, or of a list of them in its order.

        A recording is a path to any audio file, or (samples, rate) with samples (n,) mono in -1..1. Recordings are
        read at the model's rate, all of them first, and decoded in batches of about the same length; `predict` reads
        those of a manifest, however many hours, as it goes. `lang` is the language of what is to be written, and
        `decode` how it is found: times of phrases, n_best. A CTC model heeds neither of them. Raises AudioError for a
        file that cannot be read, naming it, and for samples that are not as said here, ConfigError for a language that
        the model does not know.
        """
        if isinstance(sound, (str, Path)) or _is_array(sound):
            return self.transcribe([sound], decode=decode, lang=lang, batch_seconds=batch_seconds)[0]
        rate = self.model.frontend.rate
        samples = [self._samples(one) for one in sound]
        if not samples:
            return []
        seconds = np.array([len(s) / rate for s in samples])
        transcripts: dict[int, Hypothesis] = {}
        for chosen in length_sorted(seconds, batch_seconds):
            items = [self._item(Example(id=str(i), lang=lang), samples[i]) for i in chosen]
            with torch.no_grad(), self.precision.autocast(self.device):
                batch = self.model.frontend.collate(items).to(self.device)
                transcripts |= zip(chosen.tolist(), self.model.generate(batch, decode), strict=True)
        return [transcripts[i] for i in range(len(samples))]

    def translate(
        self,
        sound: Audio | Sequence[Audio],
        *,
        lang: str | None = None,
        decode: Decode = DECODE,
        batch_seconds: float = 80.0,
    ) -> str | list[str]:
        """The text of a recording, or of a list of them, by a model that writes another language than it hears.

        One that was trained to, or a Whisper that was loaded with Speech(task="translate"): any other one gives its
        transcript. Called like `Cascade.translate`, so that either can stand in the other's place. Arguments and
        errors as `transcribe` has them.
        """
        found = self.transcribe(sound, decode=decode, lang=lang, batch_seconds=batch_seconds)
        return [one.text for one in found] if isinstance(found, list) else found.text

    def _item(self, example: Example, samples: np.ndarray) -> Any:
        try:
            return self.model.frontend.features(example, samples)
        except ManifestError as error:
            raise ConfigError(str(error).partition(": ")[2]) from error  # there is no manifest to look into

    def _samples(self, sound: Audio) -> np.ndarray:
        rate = self.model.frontend.rate
        if isinstance(sound, (str, Path)):
            return audio.load(sound, rate)
        if not _is_array(sound):
            raise AudioError(f"found a {type(sound).__name__}; expected a path to an audio file, or (samples, rate)")
        samples, from_rate = sound
        samples = np.asarray(samples)
        if samples.ndim != 1 or not len(samples) or not np.issubdtype(samples.dtype, np.floating):
            raise AudioError(
                f"samples have shape {samples.shape} and type {samples.dtype};"
                " expected (n,) floating point in -1..1, mono"
            )
        if not np.isfinite(samples).all():
            raise AudioError(f"{np.count_nonzero(~np.isfinite(samples))} of {len(samples)} samples are NaN or infinite")
        if not from_rate > 0:
            raise AudioError(f"rate is {from_rate}; expected samples per second, such as {rate}")
        resampled = audio.resample(np.require(samples, np.float32, ("C", "W")), from_rate, rate)
        if not len(resampled):
            raise AudioError(f"{len(samples)} samples at {from_rate} Hz are not one sample at {rate} Hz")
        return resampled


def _is_array(sound: object) -> bool:
    return isinstance(sound, tuple) and len(sound) == 2 and isinstance(sound[0], (np.ndarray, torch.Tensor))
