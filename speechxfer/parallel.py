"""Several processes, one set of weights: torchrun's environment, PyTorch's DDP and the few sums that ranks share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speechxfer.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among all of the job."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all ranks, in float64."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether any rank says yes."""
        return self.sum(float(flag))[0] > 0

    def gather(self, value: object) -> list:
        """Every rank's value, on every rank, by rank."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.world > 1:
            dist.barrier()

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as the ranks train it together.

        Wrap again whenever the trainable set changes: a parameter that thaws after wrapping is in none of DDP's
        buckets, and the ranks drift apart without an error. LayerDrop leaves parameters unused, the same on every
        rank; hence find_unused_parameters.
        """
        if self.world == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=True)


@contextmanager
def ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the job that torchrun describes; a process alone without it. Raises ConfigError for an absent device."""
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    if device.startswith("cuda") and not cuda:
        raise ConfigError(f"run.device is {device!r} but no CUDA GPU is visible; expected auto or cpu here")
    name = device if device != "auto" else "cuda" if cuda else "cpu"
    if name == "cuda":
        name = f"cuda:{local}"
        torch.cuda.set_device(local)
    if world == 1:
        yield Ranks(device=torch.device(name))
        return
    dist.init_process_group("nccl" if name.startswith("cuda") else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), torch.device(name))
    finally:
        dist.destroy_process_group()
