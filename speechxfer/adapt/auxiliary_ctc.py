"""A CTC loss on the encoder of a model that writes token by token (hybrid CTC/attention, Watanabe et al. 2017).

Attention finds out late, from random weights, that text follows audio in time; CTC knows nothing else. The head serves
training alone: it is part of the training state, and of no folder that is written.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from speechxfer.models.base import Batch, Model, Output


@dataclass(frozen=True)
class AuxiliaryCtc(Adaptation):
    """Of Whisper. Adds `weight` times the CTC loss of the text tokens: no languages, tasks, times or ends.

    The reference takes weight * CTC + (1 - weight) * attention, with a weight of 0.1 to 0.5; here the attention loss
    keeps its size, so 0.3 is its 0.23. Dev's loss has no CTC in it. An example with more text than its frames can
    spell gives nothing here, as its CTC loss would be infinite; the decoder learns it all the same.
    """

    weight: float = 0.3

    def __post_init__(self):
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"auxiliary CTC: weight is {self.weight}; expected a finite number > 0")

    def setup(self, model: Model) -> None:
        """Give the model a `ctc_head`: from its encoder's states to the text tokens and a blank, which comes last.

        Raises ConfigError for a model that is no Whisper, and where there is such a head already.
        """
        from torch import nn

        config = model.net.config
        if config.model_type != "whisper":
            raise ConfigError(f"auxiliary CTC is for Whisper, whose encoder hears audio; this is a {config.model_type}")
        if hasattr(model, "ctc_head"):
            raise ConfigError("auxiliary CTC: the model has a CTC head already; expected one AuxiliaryCtc in adapt")
        model.ctc_head = nn.Linear(config.d_model, model.frontend.tokens.end + 1)
        model.register_forward_hook(_with_head)

    def extra_loss(self, model: Model, batch: Batch, output: Output, step: int) -> torch.Tensor:
        """Weighted CTC loss of the batch, divided by its target tokens."""
        from torch.nn import functional as F

        blank = model.ctc_head.out_features - 1
        is_text = (batch.labels >= 0) & (batch.labels < blank)  # text stands below the special tokens
        log_probs = model.ctc_head(output.hidden.float()).log_softmax(-1)
        loss_sum = F.ctc_loss(
            log_probs.transpose(0, 1),
            batch.labels[is_text],  # one row after the other
            batch.inputs["encoder_lengths"],
            is_text.sum(-1),
            blank=blank,
            reduction="sum",
            zero_infinity=True,
        )
        return self.weight * loss_sum / batch.tokens


def _with_head(model: Model, args: tuple, output: Output) -> Output:
    """The same loss with the head in its graph: DistributedDataParallel looks there for what has gradients to wait for.

    The head itself is called when the forward pass is over.
    """
    if not model.training:
        return output
    nothing = sum(0.0 * parameter.sum() for parameter in model.ctc_head.parameters())
    return dataclasses.replace(output, loss_sum=output.loss_sum + nothing)
