"""What a checkpoint takes, read from its configuration and tokenizer without its weights.

No torch is loaded: tokenizers, vocabularies and the frames of CTC models are read by the modules that training itself
uses.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from speechxfer.errors import CheckpointError
from speechxfer.lint.texts import Words, wholes, words
from speechxfer.models import resolve
from speechxfer.models.ctc_config import frames, has_head
from speechxfer.models.folder import read_json, saved_normaliser
from speechxfer.models.languages import target_codes
from speechxfer.models.pieces import DEFAULTS, Pieces, language_codes, read_tokenizer
from speechxfer.models.vocabulary import Vocabulary, frames_needed
from speechxfer.models.whisper_tokens import Tokens
from speechxfer.text import by_word, normalise

WANTED = ("*.json", "*.txt", "*.model", "*.spm")  # of a hub checkpoint: all but its weights

# where config.json does not say: what wav2vec2, HuBERT and WavLM share
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
CTC_ROWS = 32

WHISPER_SECONDS = 30.0
RATE = 16_000


@dataclass(frozen=True)
class Labels:
    """Of n texts, as the model counts them: with those that it adds, such as the end of the sentence."""

    count: np.ndarray  # [n] int
    unknown: np.ndarray  # [n] int: how many of them stand for what the vocabulary lacks
    frames: np.ndarray | None = None  # [n] int, CTC: what they need at least, with a blank between equal neighbours


@dataclass(frozen=True)
class Limits:
    """Of one checkpoint. None where the family has no such limit."""

    name: str  # the checkpoint, as it was named
    family: str  # "ctc", "whisper" or "marian"
    labels: Callable[[Sequence[str]], Labels]  # of texts as a manifest has them
    most_labels: int | None = None  # Whisper 448; Marian's positions
    source_labels: Callable[[Sequence[str]], Labels] | None = None  # likewise of the sentences to translate
    most_source_labels: int | None = None
    normaliser: str = "none"  # what a text goes through in training before the tokenizer sees it
    rate: int | None = None  # samples a second
    seconds: float | None = None  # the longest recording: 30 for Whisper
    characters: Container[str] | None = None  # what its vocabulary can spell, of normalised texts; None: everything
    source_characters: Container[str] | None = None  # likewise of the sentences to translate, as they are
    frames: Callable[[np.ndarray], np.ndarray] | None = None  # CTC: samples [n] -> frames [n]

    def normalised(self, text: str) -> str:
        return normalise(self.normaliser, text)

    def units(self, texts: pa.Array) -> Words:
        """What may be normalised, and counted, by itself: see `units`."""
        return units(self.normaliser, texts)


def units(normaliser: str, texts: pa.Array) -> Words:
    """The words of a chunk where the normaliser changes each by itself, else its whole texts.

    So a million texts cost no more than their distinct words.
    """
    return (words if by_word(normaliser) else wholes)(texts)


def read_limits(checkpoint: str | Path, normaliser: str | None = None) -> Limits:
    """What a folder or hub checkpoint takes; of the hub only the small files are fetched.

    `normaliser` is what the text will go through: by default what the checkpoint was trained with by this package,
    else "basic" for CTC and "none" for the others. Raises CheckpointError, ConfigError (no such normaliser).
    """
    folder = resolve(checkpoint, wanted=WANTED)
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected one of {', '.join(FAMILIES)}")
    family, default = FAMILIES[kind]
    chosen = normaliser or saved_normaliser(folder) or default
    normalise(chosen, "")  # refuses a name that there is not before a text is read
    return family(str(checkpoint), folder, config, chosen)


# --- CTC -------------------------------------------------------------------------------------------------------------


def _ctc(name: str, folder: Path, config: dict[str, Any], normaliser: str) -> Limits:
    if config.get("add_adapter"):
        raise CheckpointError(f"{folder}: checkpoints with a convolutional adapter (add_adapter) are not supported")
    vocabulary = None  # of a self-supervised checkpoint it is made from the training text, a label for each character
    if has_head(config.get("architectures")):
        blank, rows = config.get("pad_token_id", 0), config.get("vocab_size", CTC_ROWS)
        vocabulary = Vocabulary.from_folder(folder, blank, rows)
    kernels, strides = config.get("conv_kernel", KERNELS), config.get("conv_stride", STRIDES)
    return Limits(
        name=name,
        family="ctc",
        labels=partial(_ctc_labels, vocabulary.spell if vocabulary else list, normaliser),
        normaliser=normaliser,
        rate=_rate(folder),
        characters=vocabulary.characters if vocabulary else None,
        frames=lambda samples: frames(samples, kernels, strides),
    )


def _ctc_labels(spell: Callable[[str], list], normaliser: str, texts: Sequence[str]) -> Labels:
    """By distinct words where they can be normalised one by one. A character without a label counts as one, as if the
    vocabulary were extended; spaces beside spaces, which "none" and "nfc" leave, are then counted once.
    """
    found = units(normaliser, pa.array(texts, pa.string()))
    spelt = [spell(normalise(normaliser, unit)) for unit in found.distinct]
    count = np.array([len(labels) for labels in spelt], np.int64)
    needed = np.array([frames_needed(labels) for labels in spelt], np.int64)
    unknown = np.array([sum(isinstance(label, str) for label in labels) for labels in spelt], np.int64)

    def by_row(values: np.ndarray) -> np.ndarray:
        return np.bincount(found.row, values[found.word], len(texts)).astype(np.int64)

    between = np.maximum(by_row((count > 0).astype(np.int64)) - 1, 0)  # word delimiters
    return Labels(by_row(count) + between, by_row(unknown), by_row(needed) + between)


# --- Whisper ---------------------------------------------------------------------------------------------------------


def _whisper(name: str, folder: Path, config: dict[str, Any], normaliser: str) -> Limits:
    tokens = Tokens.from_folder(folder)
    added = len(tokens.prefix(None)) + 1  # start, language, task and no timestamps, of English alone fewer; the end

    def labels(texts: Sequence[str]) -> Labels:
        count = tokens.counts([normalise(normaliser, text) for text in texts]) + added
        return Labels(count, np.zeros(len(texts), np.int64))  # bytes spell everything

    return Limits(
        name=name,
        family="whisper",
        labels=labels,
        most_labels=config.get("max_target_positions", 448),
        normaliser=normaliser,
        rate=_rate(folder),
        seconds=float(_preprocessor(folder).get("chunk_length", WHISPER_SECONDS)),
    )


# --- Marian ----------------------------------------------------------------------------------------------------------


class _Characters:
    """The characters that one side of a Marian tokenizer can write, as a container."""

    def __init__(self, pieces: Pieces):
        self._lacks = cache(lambda character: pieces.unknown_share([character]) > 0)

    def __contains__(self, character: str) -> bool:
        return not self._lacks(character)


def _marian(name: str, folder: Path, config: dict[str, Any], normaliser: str) -> Limits:
    tokenizer = read_tokenizer(folder, config)
    codes = target_codes(tokenizer.source.vocabulary)

    def labels(texts: Sequence[str]) -> Labels:
        count, unknown = tokenizer.target.tally([normalise(normaliser, text) for text in texts])
        return Labels(count + 1, unknown)

    def source_labels(texts: Sequence[str]) -> Labels:
        """With the code of the target language, which a model of several is given where the text has none."""
        count, unknown = tokenizer.source.tally(texts)
        given = [bool(codes) and not set(language_codes(text)[0]) & set(codes) for text in texts]
        return Labels(count + np.array(given, np.int64) + 1, unknown)

    positions = config.get("max_position_embeddings", DEFAULTS["max_position_embeddings"])
    return Limits(
        name=name,
        family="marian",
        labels=labels,
        most_labels=positions,
        source_labels=source_labels,
        most_source_labels=positions,
        normaliser=normaliser,
        characters=_Characters(tokenizer.target),
        source_characters=_Characters(tokenizer.source),
    )


# --- files -----------------------------------------------------------------------------------------------------------


def _require(folder: Path, files: Sequence[Path], expected: str) -> None:
    missing = [file.name for file in dict.fromkeys(files) if not file.is_file()]
    if missing:
        raise CheckpointError(f"{folder}: has no {' and no '.join(missing)}; expected {expected}")


def _preprocessor(folder: Path) -> dict[str, Any]:
    return read_json(folder / "preprocessor_config.json")


def _rate(folder: Path) -> int:
    return int(_preprocessor(folder).get("sampling_rate", RATE))


# model_type of config.json -> how its limits are read, and its normaliser where none is named
FAMILIES = {
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm"), (_ctc, "basic")),
    "whisper": (_whisper, "nfc"),
    "marian": (_marian, "nfc"),
}
