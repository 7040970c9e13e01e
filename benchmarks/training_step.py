"""What the benchmarks of training time: a forward and a backward pass."""

import time

import torch

from speechxfer.models.base import Batch
from speechxfer.precision import Precision


def seconds_of(model: torch.nn.Module, batch: Batch, precision: Precision, device: torch.device) -> float:
    """Seconds of one forward and backward pass."""
    began = time.perf_counter()
    with precision.autocast(device):
        loss = model(batch).loss_sum / batch.tokens
    loss.backward()
    model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
