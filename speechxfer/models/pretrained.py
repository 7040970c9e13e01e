"""What `transformers` loads of a folder: its config with changes, and its weights, none missing unnoticed."""

import copy
import difflib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from speechxfer.errors import CheckpointError, ConfigError


def changed(config: PretrainedConfig, changes: Mapping[str, Any]) -> PretrainedConfig:
    """The config with fields set. Raises ConfigError for a field that it does not have, or of another type."""
    for name, value in changes.items():
        if not hasattr(config, name):
            near = difflib.get_close_matches(name, config.to_dict(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"no field config.{name} in a {config.model_type} checkpoint{hint}")
        now = getattr(config, name)
        if now is not None and not isinstance(value, (int, float) if isinstance(now, float) else type(now)):
            raise ConfigError(f"config.{name} is {value!r}; expected {type(now).__name__}, as in {now!r}")
        setattr(config, name, value)
    return config


def load_weights(kind: type, folder: Path, config: PretrainedConfig) -> tuple[PreTrainedModel, set[str]]:
    """The float32 model of a class of transformers, and the names of weights that are random: the folder lacks them.

    Raises CheckpointError.
    """
    try:
        with quiet():
            net, found = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
            )
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder}: no weights that transformers can load: {reason}") from error
    mismatched = {key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]}
    return net, {*found["missing_keys"], *mismatched}


def refuse_missing(folder: Path, missing: Collection[str]) -> None:
    """Raise CheckpointError when weights are missing."""
    if missing:
        names = ", ".join(sorted(missing))
        raise CheckpointError(f"{folder}: weights are missing: {names}; the model would be partly random")


def plain_weights(net: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The state of a model as its class has it: low-rank matrices are merged into what they adapt, in a copy of it."""
    adapted = {name: module for name, module in net.named_modules() if hasattr(module, "base_layer")}
    weights = net.state_dict()
    for name, module in adapted.items():
        copied = copy.deepcopy(module)
        copied.merge()
        for part, tensor in copied.base_layer.state_dict().items():
            weights[f"{name}.base_layer.{part}"] = tensor
    inside = tuple(f"{name}." for name in adapted)
    return {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in weights.items()
        if not name.startswith(inside) or ".base_layer." in name
    }


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and tables of transformers: what matters in them is reported here."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
