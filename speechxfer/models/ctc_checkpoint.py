"""Loading a CTC checkpoint: its config, its vocabulary, and a head that has a row for every token."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCTC, PretrainedConfig

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.ctc import Ctc
from speechxfer.models.ctc_config import has_head
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.models.folder import read_json, saved_normaliser
from speechxfer.models.pretrained import changed, load_weights, refuse_missing
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
    net, missing = load_weights(AutoModelForCTC, folder, config)
    missing -= {"lm_head.weight", "lm_head.bias"} if new is not old else set()
    missing = {name for name in missing if not name.endswith("masked_spec_embed")}  # only drawn on by time masking
    refuse_missing(folder, missing)
    if old is not None and new is not old:
        _keep_rows(net.lm_head, folder, old, new)
    kept = new.counterparts(old) if old is not None else {}
    begins = any(row not in kept for token, row in new.ids.items() if token not in new.specials)
    return Ctc(net, frontend, fresh=("lm_head.weight", "lm_head.bias") if begins else ())


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
    source = load_weights(AutoModelForCTC, folder, config)[0].lm_head
    with torch.no_grad():
        # A new head of the old size was loaded with the old rows, which stood for other characters.
        head.weight.normal_(std=config.initializer_range)
        head.bias.zero_()
        for row, old_row in new.counterparts(old).items():
            head.weight[row] = source.weight[old_row]
            head.bias[row] = source.bias[old_row]
