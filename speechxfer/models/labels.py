"""Labels of models that write token by token: padded by what no loss counts, and the loss of them."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

IGNORED = -100


def padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """(rows, longest), at least one column."""
    found = torch.full((len(rows), max(1, *map(len, rows))), filler)
    for row, ids in zip(found, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return found


def cross_entropy(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, labels: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (batch,) summed over each row's labels, in float32 whatever the autocast, and logits (labels, vocabulary).

    hidden: (batch, tokens, width), of which `head` makes logits; labels: (batch, tokens). A public vocabulary is large:
    there are logits where there is a label to compare them with, and nowhere else.
    """
    real = labels != IGNORED
    logits = head(hidden[real])
    with torch.autocast(logits.device.type, enabled=False):
        each = F.cross_entropy(logits.float(), labels[real], reduction="none", label_smoothing=smoothing)
    return torch.zeros(labels.shape, device=each.device).masked_scatter(real, each).sum(1), logits
