"""Layers as torch.compile makes them, for training alone (run.compile): what it costs and saves, benchmarks/compile.py.

A search would have them compiled anew for each of its shapes, so dev is scored by the layers as they were.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from speechxfer.errors import TrainingError
from speechxfer.models.base import Model


def compile_layers(model: Model) -> None:
    """Have torch.compile fuse the operations of each layer, where the layer stands: the names of weights stay.

    Sizes are unknowns, so that a batch of another length needs no other code; but a batch of one example does, one
    without padding, and a layer below which nothing learns. All that transformers calls a layer shares one limit.
    """
    from torch import _dynamo
    from transformers.modeling_layers import GradientCheckpointingLayer

    _dynamo.config.recompile_limit = 64  # torch's 8 are too few, and beyond it layers run as they were, unasked
    _dynamo.config.specialize_float = True  # rates of dropout and the like are constants; else all is traced twice
    for module in model.net.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=True)


def uncompiled() -> AbstractContextManager:
    """Layers as they were: a search would have them compiled for what training never sees."""
    return torch.compiler.set_stance("force_eager")


@contextmanager
def compiling() -> Iterator[None]:
    """Where layers are compiled, as they first run. Raises TrainingError where that fails."""
    from torch._dynamo.exc import BackendCompilerFailed

    try:
        yield
    except BackendCompilerFailed as error:
        reason = str(error.inner_exception).strip().partition("\n")[0]
        found = f"run.compile: the layers cannot be compiled here ({type(error.inner_exception).__name__}: {reason})"
        raise TrainingError(f"{found}; leave run.compile off, or install a C++ compiler (g++)") from error
