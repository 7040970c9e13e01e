"""Low-rank adaptation (Hu et al. 2021) and its weight-decomposed kin (DoRA, Liu et al. 2024), by `peft`.

Only the small matrices learn. A checkpoint that is written has them merged into the weights, so it is a plain folder
like any other; the training state keeps them apart, so a resumed run goes on exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

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
        if self.rank < 1 or not 0 < self.alpha < math.inf or not 0 <= self.dropout < 1:
            found = f"rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}"
            raise ConfigError(f"lora: {found}; expected rank >= 1, a finite alpha > 0 and a dropout >= 0 and < 1")
        for name in ("targets", "also"):
            if isinstance(getattr(self, name), str) or "" in getattr(self, name):  # a string's letters would be names
                raise ConfigError(f"lora: {name} is {getattr(self, name)!r}; expected a tuple, such as ('lm_head',)")
        if not self.targets:
            raise ConfigError("lora: targets is empty; expected names of linear layers, such as 'q_proj'")

    def setup(self, model: Model) -> None:
        """Put the matrices into the model.

        Raises ConfigError with every name that it does not have, and for a new head that would not learn.
        """
        from peft import LoraConfig, inject_adapter_in_model

        self._check(model.net, getattr(model, "fresh", ()))  # families that make no heads say nothing
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
            use_dora=self.dora,
        )
        fixed = {id(p) for p in model.parameters() if not p.requires_grad}
        inject_adapter_in_model(config, model.net)
        for parameter in model.parameters():  # peft freezes the rest; what learns is for `trainable` to say
            parameter.requires_grad_(id(parameter) not in fixed)

    def _check(self, net: nn.Module, fresh: Sequence[str]) -> None:
        if any(hasattr(module, "base_layer") for module in net.modules()):
            raise ConfigError("lora: the model has low-rank matrices already; expected one Lora in adapt")
        known, names = adaptable(net), [name for name, _ in net.named_parameters()]
        called = {
            target: {n for n, _ in net.named_modules() if f".{n}".endswith(f".{target}")} for target in self.targets
        }
        wrong = [target for target, layers in called.items() if not layers or not layers <= known]
        absent = [part for part in self.also if not any(part in name for name in names)]
        random = [name for name in fresh if not any(part in name for part in self.also)]
        problems = []
        if wrong:
            expected = ", ".join(sorted({name.rpartition(".")[2] for name in known}))
            problems.append(
                f"lora: no linear layers of their own are called {', '.join(wrong)}; expected of {expected}"
            )
        if absent:
            problems.append(f"lora: no parameter's name contains {', '.join(absent)} (also); the last is {names[-1]}")
        if random:
            layer = random[0].rpartition(".")[0]
            problems.append(
                f"lora: {', '.join(random)}: new, and would stay random beside the matrices; expected to learn in full:"
                f" --lora {self.rank}+{layer}, or Lora({self.rank}, also=({layer!r},))"
            )
        if problems:
            raise ConfigError("\n".join(problems))

    def trainable(self, name: str, depth: int, step: int) -> bool:
        beside = not name.startswith("net.")  # what another adaptation put there learns as that one says
        return beside or "lora_" in name or any(part in name for part in self.also)


def adaptable(net: nn.Module) -> set[str]:
    """The names of the linear layers that matrices can stand beside: those whose weight only they use.

    An output layer that is tied to the embeddings is none, and neither are the projections of WavLM's attention, which
    takes their weights and never calls them: what stands beside them would not be heard.
    """
    from torch import nn

    users = Counter(id(p) for _, p in net.named_parameters(remove_duplicate=False))
    past = tuple(f"{n}." for n, module in net.named_modules() if hasattr(module, "torch_multi_head_self_attention"))
    return {
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear) and users[id(module.weight)] == 1 and not name.startswith(past)
    }
