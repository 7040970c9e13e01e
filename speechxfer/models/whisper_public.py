"""The public sizes of Whisper: their configurations, as the hub has them. Loads nothing heavy."""

from typing import Any

from speechxfer.errors import ConfigError

TEXT_PIECES = 50_257  # of the multilingual vocabulary: what stands before <|endoftext|>; .en has one less

# name -> d_model, (encoder layers, decoder layers), heads; the feed-forward layers are 4 x d_model wide
_SIZES = {
    "tiny": (384, (4, 4), 6),
    "base": (512, (6, 6), 8),
    "small": (768, (12, 12), 12),
    "medium": (1024, (24, 24), 16),
    "large-v2": (1280, (32, 32), 20),
    "large-v3": (1280, (32, 32), 20),
    "turbo": (1280, (32, 4), 20),
    "distil-small.en": (768, (12, 4), 12),
    "distil-medium.en": (1024, (24, 2), 16),
    "distil-large-v2": (1280, (32, 2), 20),
    "distil-large-v3": (1280, (32, 2), 20),
    "distil-large-v3.5": (1280, (32, 2), 20),
}
_SIZES |= {f"{name}.en": _SIZES[name] for name in ("tiny", "base", "small", "medium")}
NAMES = tuple(_SIZES)

# Cross-attention heads that follow time, as layer.head: openai/whisper's _ALIGNMENT_HEADS; distil's own.
_ALIGNMENT_HEADS = {
    "tiny": "2.2 3.0 3.2 3.3 3.4 3.5",
    "tiny.en": "1.0 2.0 2.5 3.0 3.1 3.2 3.3 3.4",
    "base": "3.1 4.2 4.3 4.7 5.1 5.2 5.4 5.6",
    "base.en": "3.3 4.7 5.1 5.5 5.7",
    "small": "5.3 5.9 8.0 8.4 8.7 8.8 9.0 9.7 9.9 10.5",
    "small.en": "6.6 7.0 7.3 7.8 8.2 8.5 8.7 9.0 9.4 9.8 9.10 10.0 10.1 10.2 10.3 10.6 10.11 11.2 11.4",
    "medium": "13.15 15.4 15.15 16.1 20.0 23.4",
    "medium.en": ("11.4 14.1 14.12 14.14 15.4 16.0 16.4 16.9 17.12 17.14 18.7 18.10 18.15 20.0 20.3 20.9 20.14 21.12"),
    "large-v2": (
        "10.12 13.17 16.11 16.12 16.13 17.15 17.16 18.4 18.11 18.19 19.11 21.2 21.3 22.3 22.9 22.12 23.5 23.7 23.13 "
        "25.5 26.1 26.12 27.15"
    ),
    "large-v3": "7.0 10.17 12.18 13.12 16.1 17.14 19.11 21.4 24.1 25.6",
    "turbo": "2.4 2.11 3.3 3.6 3.11 3.14",
    "distil-small.en": "1.7 2.0 2.3 2.4 3.2 3.4 3.5 3.10",
}


def public(name: str) -> dict[str, Any]:
    """The keyword arguments of a public checkpoint's WhisperConfig. Raises ConfigError for an unknown name."""
    if name not in _SIZES:
        raise ConfigError(f"no public Whisper is called {name!r}; expected one of {', '.join(NAMES)}")
    d_model, layers, heads = _SIZES[name]
    english = name.endswith(".en")
    end = TEXT_PIECES - english
    return architecture(d_model, layers, heads, 4 * d_model, 128 if third_edition(name) else 80) | dict(
        vocab_size=51_865 + third_edition(name) - english,
        bos_token_id=TEXT_PIECES,  # a slip of the hub's where it is not the end, and the next too: they change nothing
        eos_token_id=end,
        pad_token_id=end - (name in ("large-v3", "distil-large-v3")),
        decoder_start_token_id=end + 1,
        begin_suppress_tokens=[220, end],
    )


def architecture(d_model: int, layers: tuple[int, int], heads: int, ffn: int, mels: int) -> dict[str, Any]:
    """What of a WhisperConfig says the shapes. layers: of encoder and decoder."""
    return dict(
        d_model=d_model,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn,
        num_mel_bins=mels,
        max_source_positions=1500,
        max_target_positions=448,
        dropout=0.0,
    )


def smaller(config: dict[str, Any], width: int, layers: int) -> dict[str, Any]:
    """The same with layers of another width, in heads of 64 as all have them, and of each stack at most so many."""
    stacks = min(layers, config["encoder_layers"]), min(layers, config["decoder_layers"])
    return config | architecture(width, stacks, width // 64, 4 * width, config["num_mel_bins"])


def alignment_heads(name: str) -> list[list[int]] | None:
    """(layer, head) of the cross-attention heads that follow time; None where they are not known."""
    heads = _ALIGNMENT_HEADS.get(name)
    return heads and [[int(number) for number in head.split(".")] for head in heads.split()]


def third_edition(name: str) -> bool:
    """Whether it has large-v3's features (128 mels) and vocabulary (with Cantonese)."""
    return name == "turbo" or "large-v3" in name
