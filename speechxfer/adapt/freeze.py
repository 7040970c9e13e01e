"""Keep the lower layers as they are, for a while or for good."""

from dataclasses import dataclass

from speechxfer.adapt import Adaptation


@dataclass(frozen=True)
class Freeze(Adaptation):
    """Layers below `depth` do not learn before step `until` (None: never).

    Depth 1 is the feature encoder alone, which wav2vec2 recipes keep frozen. Several of these, one above the other
    and with rising `until` downwards, thaw a model from the top.
    """

    depth: int = 1
    until: int | None = None

    def trainable(self, name: str, depth: int, step: int) -> bool:
        return depth >= self.depth or (self.until is not None and step >= self.until)
