"""Low-rank adaptation (Hu et al. 2021) and its weight-decomposed kin (DoRA, Liu et al. 2024), by `peft`.

Only the small matrices learn. A checkpoint that is written has them merged into the weights, so it is a plain folder
like any other; the training state keeps them apart, so a resumed run goes on exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    from speechxfer.models.base import Model

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True)
class Lora(Adaptation):
    """`targets` are the last part of the names of linear layers; those that `also` names learn in full."""

    rank: int = 16
    alpha: float = 32.0  # the update is scaled by alpha / rank
    dropout: float = 0.0
    targets: tuple[str, ...] = ATTENTION
    dora: bool = False
    also: tuple[str, ...] = ()  # parameters whose name contains one of these: a new head, "lm_head"

    def __post_init__(self):
        if self.rank < 1 or not self.alpha > 0 or not 0 <= self.dropout < 1:
            found = f"rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}"
            raise ConfigError(f"lora: {found}; expected rank >= 1, alpha > 0 and a dropout >= 0 and < 1")

    def setup(self, model: Model) -> None:
        """Put the matrices into the model. Raises ConfigError where it has no such layers."""
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
            use_dora=self.dora,
        )
        fixed = {id(p) for p in model.parameters() if not p.requires_grad}
        try:
            inject_adapter_in_model(config, model.net)
        except ValueError as error:
            raise ConfigError(f"lora: {str(error).splitlines()[0]}; the model has other layers") from error
        for parameter in model.parameters():  # peft freezes the rest; what learns is for `trainable` to say
            parameter.requires_grad_(id(parameter) not in fixed)

    def trainable(self, name: str, depth: int, step: int) -> bool:
        return "lora_" in name or any(part in name for part in self.also)
