"""Keep the lower layers as they are, for a while or for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    from speechxfer.models.base import Model


@dataclass(frozen=True)
class Freeze(Adaptation):
    """Layers below `depth` do not learn before step `until` (None: never).

    Depth 1 is the feature encoder alone, which wav2vec2 recipes keep frozen. Several of these, one above the other
    and with rising `until` downwards, thaw a model from the top.
    """

    depth: int = 1
    until: int | None = None

    def setup(self, model: Model) -> None:
        """Change nothing. Raises ConfigError where no weights are below `depth`.

        What two layers share, as embeddings of a joint vocabulary, counts as the higher one's.
        """
        layers = model.layers()
        depths = {id(p): depth for depth, (_, layer) in enumerate(layers) for p in layer.parameters()}
        lowest = min(depths.values())
        if self.depth <= lowest:
            shared = f" ({layers[0][0]} has the weights of a higher layer)" if lowest else ""
            raise ConfigError(
                f"freeze: depth {self.depth} keeps nothing{shared}; expected {lowest + 1} or more: {layers[lowest][0]}"
            )

    def trainable(self, name: str, depth: int, step: int) -> bool:
        return depth >= self.depth or (self.until is not None and step >= self.until)
