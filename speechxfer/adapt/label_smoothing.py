"""Label smoothing: the target distribution gives a little to every token (Szegedy et al. 2016, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    from speechxfer.models.base import Model


@dataclass(frozen=True)
class LabelSmoothing(Adaptation):
    """Of models that predict their target token by token. Dev's loss is not smoothed, so it compares with others."""

    share: float = 0.1  # of the probability, spread evenly over the vocabulary

    def __post_init__(self):
        if not 0 <= self.share < 1:
            raise ConfigError(f"label smoothing of {self.share}; expected a share >= 0 and < 1")

    def setup(self, model: Model) -> None:
        """Raises ConfigError for a CTC model, whose targets have no place of their own to smooth."""
        if not hasattr(model, "label_smoothing"):
            raise ConfigError("label smoothing is for models that write token by token; CTC has no such targets")
        model.label_smoothing = self.share
