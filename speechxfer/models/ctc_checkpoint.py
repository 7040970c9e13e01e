"""Loading a CTC checkpoint: its config, its vocabulary, and a head that has a row for every token."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCTC, PretrainedConfig, PreTrainedModel

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.ctc import Ctc, quiet
from speechxfer.models.ctc_config import has_head, read_json, saved_normaliser
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.models.vocabulary import Vocabulary

VOCABULARY_CHOICES = ("keep", "extend", "rebuild")


def load_ctc(
    folder: Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Ctc:
    """Load a checkpoint folder as float32.

    `texts` (normalised) and `vocabulary` settle the head: "keep" takes the checkpoint's characters, "extend" adds
    the ones that the texts need, "rebuild" keeps only those of the texts; rows of characters that stay are kept.
    A self-supervised checkpoint has no head, though some come with a vocab.json: its vocabulary is always built
    from the texts.
    Raises CheckpointError, ConfigError.
    """
    if vocabulary not in VOCABULARY_CHOICES:
        raise ConfigError(f"data.vocabulary is {vocabulary!r}; expected one of {', '.join(VOCABULARY_CHOICES)}")
    config = changed(AutoConfig.from_pretrained(folder), changes)
    if getattr(config, "add_adapter", False):
        raise CheckpointError(f"{folder}: checkpoints with a convolutional adapter (add_adapter) are not supported")
    head = has_head(config.architectures)
    old = Vocabulary.from_folder(folder, config.pad_token_id, config.vocab_size) if head else None
    if old is None and texts is None:
        lacks = "vocabulary (vocab.json)" if head else f"CTC head ({', '.join(config.architectures)})"
        raise CheckpointError(
            f"{folder}: has no {lacks}: a self-supervised checkpoint must be fine-tuned before it can"
            " transcribe; `speechxfer train` builds its vocabulary from the training text"
        )
    if vocabulary != "keep" and texts is None:
        raise ConfigError(f"data.vocabulary is {vocabulary!r}, which needs the training text")
    if old is None or vocabulary == "rebuild":
        new = Vocabulary.from_texts(texts)
    else:
        new = old.extended(texts) if vocabulary == "extend" else old
    frontend = _frontend(folder, config, new)
    normaliser = normaliser or saved_normaliser(folder)
    if normaliser is not None:
        frontend = replace(frontend, normaliser=normaliser)
    config.vocab_size = max(new.ids.values()) + 1 if new is not old else config.vocab_size
    config.pad_token_id = new.blank
    config.ctc_loss_reduction, config.ctc_zero_infinity = "sum", True
    net, missing = _load_net(folder, config)
    missing -= {"lm_head.weight", "lm_head.bias"} if new is not old else set()
    missing = {name for name in missing if not name.endswith("masked_spec_embed")}  # only drawn on by time masking
    if missing:
        names = ", ".join(sorted(missing))
        raise CheckpointError(f"{folder}: weights are missing: {names}; the model would be partly random")
    if old is not None and new is not old:
        _keep_rows(net.lm_head, folder, old, new)
    return Ctc(net, frontend)


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


def _load_net(folder: Path, config: PretrainedConfig) -> tuple[PreTrainedModel, set[str]]:
    """The transformers model, and the names of weights that the folder does not have: those are random."""
    try:
        with quiet():
            net, found = AutoModelForCTC.from_pretrained(
                folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
            )
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder}: no weights that transformers can load: {reason}") from error
    mismatched = {key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]}
    return net, {*found["missing_keys"], *mismatched}


def _frontend(folder: Path, config: PretrainedConfig, vocabulary: Vocabulary) -> CtcFrontend:
    settings = read_json(folder / "preprocessor_config.json")
    layer_norm = config.feat_extract_norm == "layer"
    return CtcFrontend(
        vocabulary=vocabulary,
        rate=settings.get("sampling_rate", 16000),
        kernels=tuple(config.conv_kernel),
        strides=tuple(config.conv_stride),
        standardise=settings.get("do_normalize", True),
        mask=layer_norm,
        least_frames=config.mask_time_length + 1 if getattr(config, "apply_spec_augment", False) else 1,
    )


def _keep_rows(head: nn.Linear, folder: Path, old: Vocabulary, new: Vocabulary) -> None:
    """Copy the head's rows of what both vocabularies have; the others start anew."""
    config = AutoConfig.from_pretrained(folder)
    source = _load_net(folder, config)[0].lm_head
    with torch.no_grad():
        # A new head of the old size was loaded with the old rows, which stood for other characters.
        head.weight.normal_(std=config.initializer_range)
        head.bias.zero_()
        for row, old_row in new.counterparts(old).items():
            head.weight[row] = source.weight[old_row]
            head.bias[row] = source.bias[old_row]
