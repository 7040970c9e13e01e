"""Loading a Marian checkpoint: its config, its two tokenizers, its weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import AutoConfig, MarianMTModel, PretrainedConfig

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import read_json, saved_normaliser
from speechxfer.models.marian import Marian
from speechxfer.models.marian_frontend import MarianFrontend
from speechxfer.models.pieces import Pieces
from speechxfer.models.pretrained import changed, load_weights, refuse_missing

TOKENIZER = ("source.spm", "target.spm", "vocab.json")
OTHERS = ("target_vocab.json", "tokenizer_config.json", "special_tokens_map.json")


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
    """The tokenizers of a folder. Raises CheckpointError where a file is missing or does not fit the weights."""
    separate = not config.share_encoder_decoder_embeddings
    wanted = (*TOKENIZER, "target_vocab.json") if separate else TOKENIZER
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder}: has no {' and no '.join(missing)}; expected the files of a Marian tokenizer")
    names = [name for name in (*TOKENIZER, *OTHERS) if (folder / name).is_file()]
    files = {name: (folder / name).read_bytes() for name in names}
    source = read_json(folder / "vocab.json")
    target = read_json(folder / "target_vocab.json") if separate else source
    rows = config.decoder_vocab_size if separate else config.vocab_size
    for file, ids, size in (("vocab.json", source, config.vocab_size), (wanted[-1], target, rows)):
        if not ids or max(ids.values()) >= size:
            raise CheckpointError(
                f"{folder / file}: its ids end at {max(ids.values(), default=-1)}; config has {size} rows"
            )
        if absent := [name for name in ("<unk>", "</s>", "<pad>") if name not in ids]:
            raise CheckpointError(f"{folder / file}: has no {', '.join(absent)}")
    if source["</s>"] != target["</s>"] or source["<pad>"] != target["<pad>"]:
        raise CheckpointError(f"{folder}: </s> and <pad> have other ids in vocab.json than in target_vocab.json")
    for name, token in (("eos_token_id", "</s>"), ("pad_token_id", "<pad>")):
        if getattr(config, name) != source[token]:
            found = f"{name} is {getattr(config, name)} in config.json, and {token} is {source[token]} in vocab.json"
            raise CheckpointError(f"{folder}: {found}; expected one id: are the two files of one checkpoint?")
    return MarianFrontend(
        source=Pieces(files["source.spm"], source),
        target=Pieces(files["target.spm"], target),
        files=files,
        end=config.eos_token_id,
        pad=config.pad_token_id,
        start=config.decoder_start_token_id,
        positions=config.max_position_embeddings,
        normaliser=normaliser,
    )
