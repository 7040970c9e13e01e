"""The loss of models that write token by token, against torch's own over all places."""

import pytest
import torch
from torch.nn import functional as F

from speechxfer.models.labels import IGNORED, cross_entropy, padded


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_all_places_without_their_logits(smoothing):
    torch.manual_seed(0)
    labels = padded([[3, 1, 4], [IGNORED, 2], [], [0, 5, 2, 5]], IGNORED)
    head, hidden = torch.nn.Linear(8, 6), torch.randn(4, 4, 8, requires_grad=True)
    losses, logits = cross_entropy(head, hidden, labels, smoothing)
    whole = F.cross_entropy(
        head(hidden).transpose(1, 2), labels, ignore_index=IGNORED, reduction="none", label_smoothing=smoothing
    ).sum(1)
    torch.testing.assert_close(losses, whole)
    assert losses[2] == 0 and logits.shape == (8, 6)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), hidden)[0] for loss in (losses, whole)))
    with torch.autocast("cpu", torch.bfloat16):
        assert cross_entropy(head, hidden, labels, smoothing)[0].dtype == torch.float32


def test_a_batch_without_labels_has_no_loss():
    hidden = torch.randn(2, 3, 8, requires_grad=True)
    losses, _ = cross_entropy(torch.nn.Linear(8, 6), hidden, torch.full((2, 3), IGNORED), 0.0)
    losses.sum().backward()
    assert losses.tolist() == [0, 0] and not hidden.grad.any()
