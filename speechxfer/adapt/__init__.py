"""Adaptations of the model: each overrides some of five hooks, all of which default to nothing.

They combine over a task's `adapt` tuple as: in order (setup, after_step), and (trainable), product (lr_scale),
sum (extra_loss). `depth` counts `model.layers()` from the bottom: 0 is the feature encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from speechxfer.models.base import Batch, Model, Output


class Adaptation:
    """Base of all adaptations; a subclass is a frozen dataclass, so that it can be written into the run."""

    def setup(self, model: Model) -> None:
        """Change the model once, before the first step or the resume."""

    def trainable(self, name: str, depth: int, step: int) -> bool:
        """Whether this parameter learns in this step: a function of the step alone, so that a resume agrees."""
        return True

    def lr_scale(self, name: str, depth: int, step: int) -> float:
        """Factor on the learning rate of this parameter."""
        return 1.0

    def extra_loss(self, model: Model, batch: Batch, output: Output, step: int) -> torch.Tensor | None:
        """A loss of its own, already weighted: what one step adds, in the unit of the mean loss per token."""
        return None

    def after_step(self, model: Model, step: int) -> None:
        """Called when the weights have changed."""

    def state(self) -> dict[str, torch.Tensor]:
        """Named tensors that must survive a restart."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""


def trainable(adapt: Sequence[Adaptation], name: str, depth: int, step: int) -> bool:
    """Whether all adaptations let this parameter learn."""
    return all(a.trainable(name, depth, step) for a in adapt)


def lr_scale(adapt: Sequence[Adaptation], name: str, depth: int, step: int) -> float:
    """Product of the factors of all adaptations."""
    scale = 1.0
    for a in adapt:
        scale *= a.lr_scale(name, depth, step)
    return scale
