"""What the small files of a CTC checkpoint say of its head, and how its feature encoder counts frames. No torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechxfer.models.folder import read_json


def has_head(architectures: Sequence[str] | None) -> bool:
    """Whether the weights have a CTC head. Some self-supervised checkpoints bring a vocab.json all the same."""
    return any(name.endswith("ForCTC") for name in architectures or ["ForCTC"])


def can_transcribe(folder: Path) -> bool:
    """Whether a checkpoint folder has all that `transcribe` needs, without training."""
    return has_head(read_json(folder / "config.json").get("architectures")) and (folder / "vocab.json").is_file()


def frames(samples: int | np.ndarray, kernels: Sequence[int], strides: Sequence[int]) -> int | np.ndarray:
    """Frames that convolutions without padding make of so many samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return np.maximum(samples, 0) if isinstance(samples, np.ndarray) else max(samples, 0)


def samples(frames: int, kernels: Sequence[int], strides: Sequence[int]) -> int:
    """The least number of samples that give so many frames: the inverse of `frames`."""
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        frames = (frames - 1) * stride + kernel
    return frames
