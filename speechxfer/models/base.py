"""The contract of a model family: what the loop, `predict` and the adaptations may ask of a model.

A model is an nn.Module with a `frontend`. The frontend holds what stands before the weights (tokenizer, rate,
normalisation), knows no weights, and runs in loader workers; the module turns its batches into summed losses and
text. How long an example is, in seconds or in tokens, is for the frontend to say: batches are cut by it. A family is
one file in `models/` and one line in `FAMILIES`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from speechxfer.manifest import Example, Manifest
from speechxfer.task import Data, Decode


@dataclass(frozen=True)
class Batch:
    """Padded examples, ready for `forward`."""

    inputs: dict[str, torch.Tensor]  # what the network takes, each (batch, ...)
    labels: torch.Tensor  # family's own layout
    tokens: int  # target tokens: what the loss is divided by
    ids: tuple[str, ...]
    size: float  # its examples' lengths, before padding, in the frontend's unit
    padded: float  # likewise, after it

    def to(self, device: torch.device) -> "Batch":
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return replace(self, inputs=moved, labels=self.labels.to(device, non_blocking=True))


@dataclass(frozen=True)
class Output:
    """What `forward` returns. Losses are sums with counts, so they add over micro-batches and ranks."""

    loss_sum: torch.Tensor  # ()
    tokens: int
    losses: torch.Tensor  # (batch,) detached: the loss of each example, to name the one that is not finite
    logits: torch.Tensor  # (batch, frames, vocabulary); where tokens are written (labels, vocabulary), of each label
    hidden: torch.Tensor  # (batch, frames, width) of the top layer


@dataclass(frozen=True)
class Hypothesis:
    """What a model wrote for one example."""

    text: str
    confidence: float | None = None  # 0..1: geometric mean of the probabilities of the tokens
    words: tuple[tuple[str, float, float], ...] = ()  # (word, start, end) in seconds
    segments: tuple[tuple[str, float, float], ...] = ()  # (phrase, start, end), where they were asked for
    n_best: tuple[tuple[str, float], ...] = ()  # (text, its confidence) of the beam, best first, where it was asked for


@dataclass(frozen=True)
class Noise:
    """What is done to an example of the training data, so that the model never sees it twice alike."""

    data: Data
    speed: float  # factor, already drawn: batches are cut by the lengths that it makes
    rng: np.random.Generator  # for all else


class Frontend(Protocol):
    """What stands before the weights. Pure functions of their arguments; run in loader workers."""

    unit: str  # of lengths: "s" or "tokens"
    normaliser: str  # of the training targets
    vocabulary_size: int  # of what it writes

    def lengths(self, manifest: Manifest) -> np.ndarray:
        """(n,), or (n, 2) of source and target, of every example, in `unit`."""

    def budget(self, data: Data) -> float:
        """The padded length of a batch, in `unit`."""

    def load(self, example: Example, noise: Noise | None = None) -> Any:
        """Model input and labels of one example, without the weights; with noise, as training hears it."""

    def collate(self, items: Sequence[Any]) -> Batch:
        """Pad items into a batch."""

    def unfit(self, manifest: Manifest, lengths: np.ndarray) -> list[str]:
        """What in this manifest the model cannot turn into text, as `file:line: what, expected, how to mend`."""

    def problems(self, manifest: Manifest, lengths: np.ndarray, speed: float = 1.0) -> list[str]:
        """What in this manifest it cannot be trained on, likewise. `lengths` are those that it gave of it.

        `speed` is the highest factor by which perturbation will shorten the audio.
        """


class Model(Protocol):
    """An nn.Module that also has these."""

    frontend: Frontend
    silence: str  # what it gives, in words, where it writes nothing

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the noise that all micro-batches and ranks of a step share (LayerDrop)."""

    def forward(self, batch: Batch) -> Output:
        """Summed loss and token count of a batch."""

    def evaluate(self, batch: Batch) -> tuple[Output, list[str]]:
        """Loss and text of a batch, in the fewest passes: for dev scores while training."""

    def generate(self, batch: Batch, decode: Decode) -> list[Hypothesis]:
        """Decode a batch."""

    def layers(self) -> list[tuple[str, nn.Module]]:
        """(name, module) from bottom to top: serves unfreezing and layer-wise learning rates alike."""

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads."""
