"""A fine-tuned recogniser from Python: `load("runs/x/best").transcribe("x.wav")`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from speechxfer import audio
from speechxfer.data import length_sorted
from speechxfer.errors import AudioError
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
        self, sound: Audio | Sequence[Audio], *, batch_seconds: float = 80.0
    ) -> Hypothesis | list[Hypothesis]:
        """Text, confidence and word times of one recording, or of a list of them in its order.

        A recording is a path to any audio file, or (samples, rate) with samples (n,) mono in -1..1. Recordings are
        read at the model's rate and decoded in batches of about the same length.
        Raises AudioError for a file that cannot be read, naming it, and for samples that are not as said here.
        """
        if isinstance(sound, (str, Path)) or _is_array(sound):
            return self.transcribe([sound], batch_seconds=batch_seconds)[0]
        rate = self.model.frontend.rate
        samples = [self._samples(one) for one in sound]
        if not samples:
            return []
        seconds = np.array([len(s) / rate for s in samples])
        transcripts: dict[int, Hypothesis] = {}
        for chosen in length_sorted(seconds, batch_seconds):
            items = [self.model.frontend.features(Example(id=str(i)), samples[i]) for i in chosen]
            with torch.no_grad(), self.precision.autocast(self.device):
                batch = self.model.frontend.collate(items).to(self.device)
                transcripts |= zip(chosen.tolist(), self.model.generate(batch, DECODE), strict=True)
        return [transcripts[i] for i in range(len(samples))]

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
        resampled = audio.resample(samples.astype(np.float32), from_rate, rate)
        if not len(resampled):
            raise AudioError(f"{len(samples)} samples at {from_rate} Hz are not one sample at {rate} Hz")
        return resampled


def _is_array(sound: object) -> bool:
    return isinstance(sound, tuple) and len(sound) == 2 and isinstance(sound[0], (np.ndarray, torch.Tensor))
