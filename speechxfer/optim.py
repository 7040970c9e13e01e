"""Parameter groups and learning rates. The schedule is a pure function of the step, so a resume needs no scheduler."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from speechxfer import adapt
from speechxfer.adapt import Adaptation
from speechxfer.errors import ConfigError
from speechxfer.models.base import Model
from speechxfer.task import Optim


def _linear(done: float) -> float:
    return 1 - done


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _constant(done: float) -> float:
    return 1.0


def _tristage(done: float) -> float:
    """Held for the first 4/9 after the warm-up, then decayed exponentially to 5 % (wav2vec 2.0, appendix B)."""
    hold = 4 / 9
    return 1.0 if done < hold else 0.05 ** ((done - hold) / (1 - hold))


# name -> factor on the peak learning rate when this share of the steps after the warm-up is done
SCHEDULES = {"linear": _linear, "cosine": _cosine, "constant": _constant, "tristage": _tristage}


def learning_rate(step: int, steps: int, optim: Optim) -> float:
    """Learning rate of step `step` (from 0) of `steps`. Raises ConfigError for an unknown schedule."""
    if optim.schedule not in SCHEDULES:
        raise ConfigError(f"optim.schedule is {optim.schedule!r}; expected one of {', '.join(SCHEDULES)}")
    warmup = optim.warmup * steps
    if step + 1 < warmup:
        return optim.lr * (step + 1) / warmup
    done = min((step + 1 - warmup) / max(steps - warmup, 1), 1.0)
    return optim.lr * (optim.final + (1 - optim.final) * SCHEDULES[optim.schedule](done))


def depths(model: Model) -> dict[str, int]:
    """Depth of every parameter by name.

    What stands in no layer of the network (a mask embedding) goes with the projection; what stands beside the network
    (the head of an adaptation) goes above all layers.
    """
    layers = [layer for _, layer in model.layers()]
    by_tensor = {id(p): depth for depth, layer in enumerate(layers) for p in layer.parameters()}
    elsewhere = {True: 1, False: len(layers)}
    return {name: by_tensor.get(id(p), elsewhere[name.startswith("net.")]) for name, p in model.named_parameters()}


def make_optimiser(model: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW with one group per parameter: its learning rate may differ from every other one's.

    Every parameter is in it from the start, also the frozen ones: without a gradient they are passed over, and
    the state keeps its shape when layers thaw. Biases, norms and embeddings of masks are not decayed.
    """
    groups = [
        {"params": [p], "name": name, "weight_decay": optim.weight_decay if p.ndim > 1 else 0.0}
        for name, p in model.named_parameters()
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, foreach=False, fused=True)


def set_learning_rates(
    optimiser: torch.optim.AdamW, lr: float, adaptations: Sequence[Adaptation], depth: dict[str, int], step: int
) -> None:
    """The rate of this step for every parameter."""
    for group in optimiser.param_groups:
        group["lr"] = lr * adapt.lr_scale(adaptations, group["name"], depth[group["name"]], step)


def set_trainable(
    model: nn.Module, adaptations: Sequence[Adaptation], depth: dict[str, int], step: int, fixed: frozenset[str]
) -> frozenset[str]:
    """Switch gradients on for what learns in this step, and return its names: never of what is `fixed`, sinusoids say.

    Raises ConfigError when nothing learns.
    """
    learning = set()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in fixed and adapt.trainable(adaptations, name, depth[name], step))
        if parameter.requires_grad:
            learning.add(name)
        else:
            parameter.grad = None
    if not learning:
        raise ConfigError(f"nothing is trainable at step {step}; expected the task's adapt to leave something to learn")
    return frozenset(learning)
