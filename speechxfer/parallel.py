"""Several processes, one set of weights: torchrun's environment, PyTorch's DDP and the few sums that ranks share."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speechxfer.errors import ConfigError, SpeechxferError


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

    def raise_together(self, error: SpeechxferError | None) -> None:
        """Raise on every rank what any of them ran into: else the others would only see that one is gone."""
        for found in self.gather(error):
            if found is not None:
                raise found

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


def choose_device(name: str, local: int = 0) -> torch.device:
    """The device of this name; "auto" is the GPU where there is one, "cuda" this process's own.

    Raises ConfigError for a name that torch does not know and for a GPU that is not there.
    """
    cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if cuda else "cpu"
    if name == "cuda":
        name = f"cuda:{local}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name!r}; expected auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and not cuda:
        raise ConfigError(f"device is {name!r} but no CUDA GPU is visible; expected auto or cpu here")
    return device


def expect_one_process(verb: str) -> None:
    """Raise ConfigError under torchrun: for what every rank would write to the same files."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        raise ConfigError(f"{verb} works in one process, found {world} (WORLD_SIZE); start it without torchrun")


@contextmanager
def ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the job that torchrun describes; a process alone without it. Raises ConfigError for an absent device."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Ranks(device=chosen)
        return
    if not dist.is_initialized():  # once for all verbs of this process: to leave and join again can hang
        dist.init_process_group()  # gloo for the CPU, and nccl for CUDA where there is one
        atexit.register(dist.destroy_process_group)
    yield Ranks(dist.get_rank(), dist.get_world_size(), chosen)
