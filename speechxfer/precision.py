"""Which arithmetic and which attention this device and model should use, and why."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from speechxfer.errors import ConfigError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Precision:
    """dtype of the autocast region; `reason` is what the log says about it."""

    name: str
    reason: str

    def autocast(self, device: torch.device) -> AbstractContextManager:
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.name])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Loss scaling, which only fp16 needs; for the others it does nothing."""
        return torch.amp.GradScaler(device.type, enabled=self.name == "fp16")


def choose_precision(name: str, device: torch.device) -> Precision:
    """The precision called `name`, or for "auto" the fastest that is safe here. Raises ConfigError."""
    if name in DTYPES:
        return Precision(name, "as asked")
    if name != "auto":
        raise ConfigError(f"run.precision is {name!r}; expected auto, {', '.join(DTYPES)}")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", "the GPU has bf16 units, and bf16 needs no loss scaling")
        return Precision("fp16", "the GPU has no bf16 units")
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return Precision("bf16", "the CPU has avx512_bf16")
    return Precision("fp32", f"no bf16 units on this {device.type}")


def choose_attention(name: str, net: nn.Module, learns_on: torch.device | None = None) -> str:
    """Set the attention of a transformers model and return the reason in words.

    learns_on: the device on which it is to be trained, if it is. Raises ConfigError.
    """
    if name != "auto":
        try:
            net.set_attn_implementation(name)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"run.attention is {name!r}: {error}") from error
        return f"{name}, as asked"
    if learns_on is not None and learns_on.type == "cpu":
        net.set_attn_implementation("eager")
        return "eager, since the backward pass of sdpa is slow on a CPU (benchmarks/attention.py)"
    if net._supports_sdpa:
        net.set_attn_implementation("sdpa")
        return "sdpa, which PyTorch fuses and the model allows"
    return f"eager, since {net.config.model_type} adds a position bias that sdpa does not take"
