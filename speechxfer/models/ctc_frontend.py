"""From audio and text to the padded tensors of a CTC model, and what makes an example unfit for it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechxfer import text
from speechxfer.manifest import Example, Manifest
from speechxfer.models import ctc_config
from speechxfer.models.base import Batch, Noise
from speechxfer.models.vocabulary import Vocabulary, frames_needed
from speechxfer.pieces import load_pieces
from speechxfer.task import Data


@dataclass(frozen=True)
class Item:
    """One example before padding."""

    id: str
    samples: np.ndarray  # (n,) float32
    labels: list[int]


@dataclass(frozen=True)
class CtcFrontend:
    """Raw samples in, character ids out.

    `standardise` (zero mean, unit variance per utterance) and `mask` follow the checkpoint: models whose feature
    encoder has a group norm ("base") were trained without a mask, those with layer norms ("large") need it.
    """

    vocabulary: Vocabulary
    rate: int
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    standardise: bool = True
    mask: bool = True
    normaliser: str = "basic"  # what the training text goes through: see speechxfer.text
    least_frames: int = 1  # shorter batches are padded up to this, since time masking cannot be drawn on them
    unit: str = "s"

    def lengths(self, manifest: Manifest) -> np.ndarray:
        return manifest.seconds

    def budget(self, data: Data) -> float:
        return data.batch_seconds

    def frames(self, samples: int) -> int:
        """Frames that the feature encoder makes of so many samples."""
        return ctc_config.frames(samples, self.kernels, self.strides)

    def samples(self, frames: int) -> int:
        """The least number of samples that give so many frames: the inverse of `frames`."""
        return ctc_config.samples(frames, self.kernels, self.strides)

    @property
    def hop(self) -> float:
        """Seconds from one frame to the next."""
        return float(np.prod(self.strides)) / self.rate

    def encode(self, written: str) -> list[int]:
        return self.vocabulary.encode(text.normalise(self.normaliser, written))

    def load(self, example: Example, noise: Noise | None = None) -> Item:
        """Raises AudioError."""
        samples, _ = load_pieces(example, self.rate, noise)
        return self.features(example, samples)

    def features(self, example: Example, samples: np.ndarray) -> Item:
        """samples: (n,) float32 at `rate`."""
        if self.standardise:
            # float64 sums, so that the result does not hang on how numpy splits the addition
            mean, variance = samples.mean(dtype=np.float64), samples.var(dtype=np.float64)
            samples = ((samples - mean) / np.sqrt(variance + 1e-7)).astype(np.float32)
        return Item(example.id, samples, self.encode(example.text) if example.text else [])

    def collate(self, items: Sequence[Item]) -> Batch:
        lengths = torch.tensor([len(item.samples) for item in items])
        padded = torch.zeros(len(items), max(int(lengths.max()), self.samples(self.least_frames)))
        for row, item in zip(padded, items, strict=True):
            row[: len(item.samples)] = torch.from_numpy(item.samples)
        inputs = {"input_values": padded, "lengths": torch.tensor([self.frames(int(n)) for n in lengths])}
        if self.mask:
            inputs["attention_mask"] = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        inputs["label_lengths"] = torch.tensor([len(item.labels) for item in items])
        return Batch(
            inputs=inputs,
            labels=torch.tensor([i for item in items for i in item.labels], dtype=torch.long),
            tokens=sum(len(item.labels) for item in items),
            ids=tuple(item.id for item in items),
            size=float(lengths.sum()) / self.rate,
            padded=padded.numel() / self.rate,
        )

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary.ids)

    def unfit(self, manifest: Manifest, lengths: np.ndarray) -> list[str]:
        """Nothing: audio of any length can be transcribed."""
        return []

    def problems(self, manifest: Manifest, lengths: np.ndarray, speed: float = 1.0) -> list[str]:
        """Texts that these frames or this vocabulary cannot carry, each by file:line.

        `speed` is the highest factor by which perturbation will shorten the audio.
        """
        problems, unknown, first_seen = [], Counter(), {}
        for index, (written, seconds) in enumerate(zip(manifest.texts(), lengths, strict=True)):
            normalised = text.normalise(self.normaliser, written)
            missing = self.vocabulary.unknown(normalised)
            unknown.update(missing)
            for character in missing:
                first_seen.setdefault(character, index)
            labels = self.vocabulary.encode(normalised)
            if not labels and not missing:
                found = f"the text {written!r} is empty after normaliser {self.normaliser}"
                problems.append(f"{manifest.where(index)}: {found}")
                continue
            frames, needed = self.frames(round(seconds / speed * self.rate)), frames_needed(labels)
            if needed > frames:
                problems.append(
                    f"{manifest.where(index)}: {len(labels)} labels need {needed} frames (with a blank between equal"
                    f" neighbours) but {seconds:.2f} s give only {frames}: CTC cannot align them; is the text of"
                    " another recording, or the audio cut?"
                )
        for character, count in unknown.most_common():
            problems.append(
                f"{manifest.where(first_seen[character])}: character {character!r} (U+{ord(character[0]):04X}) is not"
                f" in the model's vocabulary ({count} times in {manifest.name}); choose a normaliser that removes it,"
                " or give the model a new row for it with --set data.vocabulary=extend"
            )
        return problems

    def save(self, folder: Path) -> None:
        """Write tokenizer and preprocessor files, which transformers 5 no longer writes with the model."""
        self.vocabulary.save(folder)
        preprocessor = {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "processor_class": "Wav2Vec2Processor",
            "feature_size": 1,
            "sampling_rate": self.rate,
            "padding_value": 0.0,
            "padding_side": "right",
            "do_normalize": self.standardise,
            "return_attention_mask": self.mask,
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
