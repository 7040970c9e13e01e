"""Labels of models that write token by token: padded by what no loss counts, and the loss of them."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

IGNORED = -100


def padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """(rows, longest), at least one column."""
    found = torch.full((len(rows), max(1, *map(len, rows))), filler)
    for row, ids in zip(found, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return found


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """(batch,) summed over the labels of each row, in float32 whatever the autocast.

    logits: (batch, tokens, vocabulary); labels: (batch, tokens).
    """
    with torch.autocast(logits.device.type, enabled=False):
        losses = F.cross_entropy(
            logits.float().transpose(1, 2),
            labels,
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=smoothing,
        )
    return losses.sum(1)
