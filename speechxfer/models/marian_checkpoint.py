"""Loading a Marian checkpoint: its config, its two tokenizers, its weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import AutoConfig, MarianMTModel, PretrainedConfig

from speechxfer.errors import ConfigError
from speechxfer.models.folder import saved_normaliser
from speechxfer.models.marian import Marian
from speechxfer.models.marian_frontend import MarianFrontend
from speechxfer.models.pieces import read_tokenizer
from speechxfer.models.pretrained import changed, load_weights, refuse_missing


def load_marian(
    folder: Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Marian:
    """Load a checkpoint folder as float32. `texts` are not needed: the vocabulary stays, since `graft` makes new ones.

    Raises CheckpointError, ConfigError.
    """
    if vocabulary != "keep":
        raise ConfigError(
            f"data.vocabulary is {vocabulary!r}; of a translation model it stays as it is: `speechxfer graft` makes"
            " a checkpoint with new pieces, from which to train"
        )
    config = changed(AutoConfig.from_pretrained(folder), changes)
    if config.encoder_layerdrop or config.decoder_layerdrop:
        raise ConfigError("LayerDrop is not supported for Marian; set encoder_layerdrop and decoder_layerdrop to 0")
    frontend = read_frontend(folder, config, normaliser or saved_normaliser(folder) or "nfc")
    net, missing = load_weights(MarianMTModel, folder, config)
    # opus-mt folders lack what is computed (positions) and what is tied
    tied = {"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}
    refuse_missing(folder, {name for name in missing - tied if "embed_positions" not in name})
    return Marian(net, frontend)


def read_frontend(folder: Path, config: PretrainedConfig, normaliser: str) -> MarianFrontend:
    """The tokenizers of a folder, as training uses them. Raises CheckpointError as `read_tokenizer` does."""
    tokenizer = read_tokenizer(folder, config.to_dict())
    return MarianFrontend(
        source=tokenizer.source,
        target=tokenizer.target,
        files=tokenizer.files,
        end=config.eos_token_id,
        pad=config.pad_token_id,
        start=config.decoder_start_token_id,
        positions=config.max_position_embeddings,
        normaliser=normaliser,
    )
