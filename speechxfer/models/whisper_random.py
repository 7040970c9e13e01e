"""Whisper checkpoints with random weights, complete as the hub's: configuration, tokenizer, features, generation.

`write_random` is a small architecture with a tokenizer of its own, which pre-training and tests start from;
`write_public` is a public size, for shapes and speed. Importing this loads no torch.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.errors import ConfigError
from speechxfer.models.folder import new_folder, read_json
from speechxfer.models.whisper_folder import config_of, save, special_tokens, write_tokenizer
from speechxfer.models.whisper_public import TEXT_PIECES, alignment_heads, architecture, public, smaller, third_edition

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LANGUAGES = 99  # of every checkpoint before large-v3, which has Cantonese too


@dataclass(frozen=True)
class Size:
    """The size of a random Whisper; by default 2.6 million parameters."""

    pieces: int = 1500  # of text in the vocabulary, at most: 256 bytes and what is merged of them
    d_model: int = 128
    encoder_layers: int = 4
    decoder_layers: int = 4
    heads: int = 4
    ffn: int = 512
    mels: int = 80
    audio_positions: int = 1500  # of 20 ms
    text_positions: int = 448
    multilingual: bool = True  # else as the .en checkpoints: neither language nor task is asked for


def write_random(folder: Path, size: Size, texts: Iterable[str], *, seed: int = 0) -> Path:
    """Write a Whisper folder with random weights and a byte-level BPE tokenizer of texts (normalised).

    The vocabulary is compact: text pieces, then the special tokens of the public one in its order (1,608). The same
    arguments give the same bytes. The decoder's last norm begins with a bias of 0.5, so that rows of the embeddings can
    have a logit that no hidden state changes: `pad_vocabulary` needs that.
    Raises ConfigError: no texts, d_model not divisible by heads, too few pieces, `folder` not empty.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    if size.d_model % (2 * size.heads):
        raise ConfigError(f"d_model is {size.d_model}; expected a multiple of 2 x heads ({2 * size.heads})")
    vocabulary, merges = _train_pieces(texts, size.pieces)
    with new_folder(folder) as partial:
        ids = write_tokenizer(partial, vocabulary, merges, special_tokens(LANGUAGES))
        layers = size.encoder_layers, size.decoder_layers
        settings = architecture(size.d_model, layers, size.heads, size.ffn, size.mels) | dict(
            max_source_positions=size.audio_positions,
            max_target_positions=size.text_positions,
            init_std=size.d_model**-0.5,
        )
        config = config_of(settings, ids)
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            net = WhisperForConditionalGeneration(config)
            torch.nn.init.constant_(net.model.decoder.layer_norm.bias, 0.5)
            save(partial, net, ids, size.multilingual, None)
    return folder


def _train_pieces(texts: Iterable[str], pieces: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Pieces with ids and merges of a byte-level BPE. Texts are seen as they are spelled: with a space before them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    texts = [f" {text}" for text in texts if text.strip()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if not texts:
        raise ConfigError("there are no texts to make pieces of")
    if pieces < len(alphabet):
        raise ConfigError(f"pieces is {pieces}; expected at least {len(alphabet)}, one for each byte")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def write_public(
    folder: Path, name: str, tokenizer_folder: Path, *, size: tuple[int, int] | None = None, seed: int = 0
) -> Path:
    """Write a public size with random float16 weights and the pieces of the public multilingual tokenizer.

    large-v3's vocabulary is that one with Cantonese. That of the .en checkpoints is another, one piece smaller; theirs
    here has the right ids of special tokens, but multilingual pieces. The weights repeat a million random numbers, so
    the largest takes seconds. size: (width, layers of a stack at most), for all of the kind but its size; a multiple
    of 64. Raises ConfigError: an unknown name, another tokenizer, `folder` not empty.
    """
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    settings = public(name) if size is None else smaller(public(name), *size)
    model = read_json(tokenizer_folder / "tokenizer.json").get("model", {})
    if len(model.get("vocab", ())) != TEXT_PIECES:
        found = f"has {len(model.get('vocab', ()))} text pieces"
        raise ConfigError(f"{tokenizer_folder}: {found}; expected the {TEXT_PIECES} of the multilingual Whisper")
    vocabulary = {piece: i for piece, i in model["vocab"].items() if i < settings["eos_token_id"]}
    with new_folder(folder) as partial, quiet():
        specials = special_tokens(LANGUAGES + third_edition(name))
        ids = write_tokenizer(partial, vocabulary, [tuple(pair) for pair in model["merges"]], specials)
        with torch.device("meta"):
            net = WhisperForConditionalGeneration(WhisperConfig(**settings))
        net.load_state_dict(_quick_weights(net, seed), assign=True)
        net.tie_weights()
        save(partial, net, ids, not name.endswith(".en"), None if size else alignment_heads(name))
    return folder


def _quick_weights(net: "PreTrainedModel", seed: int) -> dict[str, "torch.Tensor"]:
    """A state with the scales of `_init_weights`, by copying: drawing 1.5 billion numbers would take a minute."""
    import torch
    from transformers.models.whisper.modeling_whisper import sinusoids

    # A prime number of them, so that no two rows are alike.
    drawn = torch.randn(1_000_003, generator=torch.Generator().manual_seed(seed)).mul_(net.config.init_std).half()
    weights = {}
    for name, tensor in net.state_dict().items():
        if name == "model.encoder.embed_positions.weight":
            weights[name] = sinusoids(*tensor.shape).half()
        elif tensor.ndim == 1:
            weights[name] = torch.full(tensor.shape, float(name.endswith("norm.weight")), dtype=torch.float16)
        else:
            weights[name] = drawn.repeat(-(-tensor.numel() // len(drawn)))[: tensor.numel()].view(tensor.shape)
    return weights
