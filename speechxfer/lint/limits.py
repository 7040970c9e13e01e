"""What a checkpoint takes, read from its configuration and tokenizer without its weights.

No torch is loaded: tokenizers are read by the libraries that run them (`tokenizers`, `sentencepiece`), and the
vocabulary and the frames of CTC models by the modules that training itself uses. A family that this package does not
train yet can be linted for all the same.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from speechxfer.errors import CheckpointError
from speechxfer.lint.texts import words
from speechxfer.models import resolve
from speechxfer.models.ctc_config import frames, has_head
from speechxfer.models.folder import read_json, saved_normaliser
from speechxfer.models.pieces import language_codes
from speechxfer.models.vocabulary import Vocabulary, frames_needed
from speechxfer.text import normalise

WANTED = ("*.json", "*.txt", "*.model", "*.spm")  # of a hub checkpoint: all but its weights

# where config.json does not say: what wav2vec2, HuBERT and WavLM share
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
CTC_ROWS = 32

# Whisper: start, language, task, no timestamps, and the end; models of English alone have no language and no task
WHISPER_ADDED, WHISPER_ADDED_ENGLISH = 5, 3
WHISPER_MULTILINGUAL = 51_865  # entries of the smallest multilingual vocabulary, by which OpenAI's code tells them too
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
    rate: int | None = None  # samples a second
    seconds: float | None = None  # the longest recording: 30 for Whisper
    normalised: Callable[[str], str] = str  # what training does to a text before the tokenizer sees it
    characters: Container[str] | None = None  # what its vocabulary can spell, of normalised texts; None: everything
    source_characters: Container[str] | None = None  # likewise of the sentences to translate, as they are
    frames: Callable[[np.ndarray], np.ndarray] | None = None  # CTC: samples [n] -> frames [n]


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
    return family(str(checkpoint), folder, config, partial(normalise, chosen))


# --- CTC -------------------------------------------------------------------------------------------------------------


def _ctc(name: str, folder: Path, config: dict[str, Any], normalised: Callable[[str], str]) -> Limits:
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
        labels=partial(_ctc_labels, vocabulary.spell if vocabulary else list, normalised),
        rate=_rate(folder),
        normalised=normalised,
        characters=vocabulary.characters if vocabulary else None,
        frames=lambda samples: frames(samples, kernels, strides),
    )


def _ctc_labels(spell: Callable[[str], list], normalised: Callable[[str], str], texts: Sequence[str]) -> Labels:
    """By distinct words, since normalisers change each word by itself. A character without a label counts as one, as
    if the vocabulary were extended; spaces beside spaces, which only the normaliser "none" leaves, are counted once.
    """
    found = words(pa.array(texts, pa.string()))
    spelt = [spell(normalised(word)) for word in found.distinct]
    count = np.array([len(labels) for labels in spelt], np.int64)
    needed = np.array([frames_needed(labels) for labels in spelt], np.int64)
    unknown = np.array([sum(isinstance(label, str) for label in labels) for labels in spelt], np.int64)

    def by_row(values: np.ndarray) -> np.ndarray:
        return np.bincount(found.row, values[found.word], len(texts)).astype(np.int64)

    between = np.maximum(by_row((count > 0).astype(np.int64)) - 1, 0)  # word delimiters
    return Labels(by_row(count) + between, by_row(unknown), by_row(needed) + between)


# --- Whisper ---------------------------------------------------------------------------------------------------------


def _whisper(name: str, folder: Path, config: dict[str, Any], normalised: Callable[[str], str]) -> Limits:
    tokenizer = _bytes_tokenizer(folder)
    multilingual = config.get("vocab_size", WHISPER_MULTILINGUAL) >= WHISPER_MULTILINGUAL
    added = WHISPER_ADDED if multilingual else WHISPER_ADDED_ENGLISH

    def labels(texts: Sequence[str]) -> Labels:
        encoded = tokenizer.encode_batch_fast([normalised(text) for text in texts], add_special_tokens=False)
        count = np.array([len(one) for one in encoded], np.int64) + added
        return Labels(count, np.zeros(len(texts), np.int64))  # bytes spell everything

    return Limits(
        name=name,
        family="whisper",
        labels=labels,
        most_labels=config.get("max_target_positions", 448),
        rate=_rate(folder),
        seconds=float(_preprocessor(folder).get("chunk_length", WHISPER_SECONDS)),
        normalised=normalised,
    )


def _bytes_tokenizer(folder: Path) -> Any:
    """The `tokenizers` object of a folder, with a fast tokenizer's file or the two older ones."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary, merges = files = folder / "vocab.json", folder / "merges.txt"
    _require(folder, files, "tokenizer.json, or these two")
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


# --- Marian ----------------------------------------------------------------------------------------------------------


class _Pieces:
    """One side of a Marian tokenizer. `sentencepiece` cuts a text up, the vocabulary says which pieces have a label.

    As a container it holds the characters that it can spell.
    """

    def __init__(self, model: Path, vocabulary: dict[str, int], normalised: Callable[[str], str]):
        from sentencepiece import SentencePieceProcessor

        self._model = SentencePieceProcessor(model_file=str(model))
        self._vocabulary, self._normalised = vocabulary, normalised
        self._lacks = np.array([self._model.id_to_piece(i) not in vocabulary for i in range(len(self._model))])
        self._lacks[self._model.unk_id()] = True  # what it has no piece for, though "<unk>" is an entry as well
        self._spells = cache(self._spells_character)

    def labels(self, texts: Sequence[str]) -> Labels:
        codes, bodies = zip(*(language_codes(self._normalised(text)) for text in texts), strict=True)
        ids = self._model.encode(list(bodies))
        unknown = np.array([self._lacks[one].sum() for one in ids], np.int64)
        for i in np.flatnonzero(unknown):  # what this side's model has no piece for, the other side's may
            pieces = self._model.encode(bodies[i], out_type=str)
            unknown[i] = sum(piece not in self._vocabulary for piece in pieces)
        lacking = np.array([sum(code not in self._vocabulary for code in ahead) for ahead in codes])
        count = np.array([len(one) + len(ahead) for one, ahead in zip(ids, codes, strict=True)], np.int64)
        return Labels(count + 1, unknown + lacking)

    def __contains__(self, character: str) -> bool:
        return self._spells(character)

    def _spells_character(self, character: str) -> bool:
        return all(piece in self._vocabulary for piece in self._model.encode(character, out_type=str))


def _marian(name: str, folder: Path, config: dict[str, Any], normalised: Callable[[str], str]) -> Limits:
    separate = read_json(folder / "tokenizer_config.json").get("separate_vocabs", False)
    names = ("source.spm", "target.spm", "vocab.json", "target_vocab.json" if separate else "vocab.json")
    files = [folder / file for file in names]
    _require(folder, files, "the files of a Marian tokenizer")
    source = _Pieces(files[0], read_json(files[2]), str)
    target = _Pieces(files[1], read_json(files[3]), normalised)
    positions = config.get("max_position_embeddings", 512)
    return Limits(
        name=name,
        family="marian",
        labels=target.labels,
        most_labels=positions,
        source_labels=source.labels,
        most_source_labels=positions,
        normalised=normalised,
        characters=target,
        source_characters=source,
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
    "whisper": (_whisper, "none"),
    "marian": (_marian, "nfc"),
}
