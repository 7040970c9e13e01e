"""Marian's tokenizer: of each side, SentencePiece cuts a text up, vocab.json says which pieces have an id. No torch.

Ids are those that MarianTokenizer gives, and a text in any script comes back as it was, but for what the SentencePiece
model's own normaliser does.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from speechxfer.errors import CheckpointError
from speechxfer.models.folder import read_json

FILES = ("source.spm", "target.spm", "vocab.json")
OTHERS = ("target_vocab.json", "tokenizer_config.json", "special_tokens_map.json")
# what MarianConfig of transformers takes where config.json does not say
DEFAULTS = {
    "vocab_size": 58_101,
    "decoder_vocab_size": None,  # that of the source
    "share_encoder_decoder_embeddings": True,
    "eos_token_id": 0,
    "pad_token_id": 58_100,
    "max_position_embeddings": 1024,
}
UNKNOWN, SPACE = "<unk>", "\u2581"
BEST = 64  # segmentations of a word that are drawn from
KEPT = 100_000  # words whose segmentations are remembered
_CODE = re.compile(r"\s*(>>[^\s<>]+<<)\s*")


def language_codes(text: str) -> tuple[list[str], str]:
    """The codes at the head of a text, and the rest: ">>hin<<" tells a model of many languages which one to write."""
    codes = []
    while match := _CODE.match(text):
        codes.append(match[1])
        text = text[match.end() :]
    return codes, text


class Pieces:
    """The source or the target side. A code at the head of a text is one piece."""

    def __init__(self, model: bytes, vocabulary: Mapping[str, int]):
        self.vocabulary = dict(vocabulary)
        self.model = SentencePieceProcessor(model_proto=model)
        self.unknown = self.vocabulary[UNKNOWN]
        self._pieces = {i: piece for piece, i in self.vocabulary.items()}
        names = [self.model.id_to_piece(i) for i in range(len(self.model))]
        self._ids = np.array([self.vocabulary.get(name, -1) for name in names])
        self._ids[self.model.unk_id()] = -1  # what it has no piece for, though "<unk>" is an entry as well
        self._scores = {name: self.model.get_score(i) for i, name in enumerate(names) if i != self.model.unk_id()}
        self._best: dict[str, tuple[list[list[str]], np.ndarray]] = {}  # word -> segmentations, and their log shares

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without an end."""
        codes, body = language_codes(text)
        return self._found(codes) + self._body(body)

    def sample(self, text: str, alpha: float, rng: np.random.Generator) -> list[int]:
        """Like `encode`, by another segmentation of each word, which no piece crosses; a function of `rng` alone.

        A unigram model draws from the word's 64 best, the flatter the lower alpha (Kudo 2018, "Subword
        regularization"); a BPE model leaves out a share of alpha of the merges (Provilkov et al. 2020, "BPE-Dropout").
        SentencePiece's own draws differ from process to process whatever their seed: no resume would be exact.
        """
        codes, body = language_codes(text)
        draw = self._unigram if self._has_best else self._bpe
        words = (draw(word, alpha, rng) for word in body.split(" ") if word)
        return self._found([*codes, *itertools.chain.from_iterable(words)])

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) ids of each text."""
        return np.array([len(codes) + len(ids) for codes, _, ids in self._cut(texts)], np.int64)

    def tally(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) ids of each text, and (n,) how many of them stand for what the vocabulary lacks."""
        count, unknown = np.zeros((2, len(texts)), np.int64)
        for i, (codes, body, ids) in enumerate(self._cut(texts)):
            count[i] = len(codes) + len(ids)
            found = self._found(codes) + (self._body(body) if (self._ids[ids] < 0).any() else [])
            unknown[i] = found.count(self.unknown)
        return count, unknown

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of these texts' ids that stand for what the vocabulary lacks."""
        count, unknown = self.tally(texts)
        return float(unknown.sum() / max(count.sum(), 1))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; what is unknown is written as "⁇"."""
        pieces = [self._pieces.get(i, UNKNOWN) for i in ids]
        return self.model.decode_pieces(pieces).replace(SPACE, " ").strip()

    @cached_property
    def _has_best(self) -> bool:
        """Whether it is a unigram model, which alone knows more than one segmentation."""
        try:
            return bool(self.model.nbest_encode("a", nbest_size=1))
        except RuntimeError:
            return False

    def _unigram(self, word: str, alpha: float, rng: np.random.Generator) -> list[str]:
        if word not in self._best:
            if len(self._best) >= KEPT:
                self._best.clear()
            cuts = self.model.nbest_encode(word, nbest_size=BEST, out_type=str)
            # what is unknown is so in all of them, and counts for nothing
            scores = np.array([sum(self._scores.get(piece, 0.0) for piece in pieces) for pieces in cuts])
            self._best[word] = cuts, scores - scores.max(initial=-np.inf)
        cuts, scores = self._best[word]
        total = np.cumsum(np.exp(alpha * scores))
        return cuts[np.searchsorted(total, rng.random() * total[-1])] if cuts else []

    def _bpe(self, word: str, alpha: float, rng: np.random.Generator) -> list[str]:
        symbols = list(self.model.normalize(word))
        while True:
            merged = [(self._scores.get(a + b), i) for i, (a, b) in enumerate(itertools.pairwise(symbols))]
            merged = [(-score, i) for score, i in merged if score is not None and rng.random() >= alpha]
            if not merged:
                return symbols
            _, i = min(merged)  # the best one, and of equals the leftmost
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]

    def _cut(self, texts: Sequence[str]) -> list[tuple[list[str], str, list[int]]]:
        """Of each text its codes, the rest, and what the SentencePiece model makes of that, in its own ids."""
        parts = [language_codes(text) for text in texts]
        bodies = self.model.encode([body for _, body in parts], num_threads=-1)
        return [(codes, body, ids) for (codes, body), ids in zip(parts, bodies, strict=True)]

    def _body(self, body: str) -> list[int]:
        ids = self._ids[self.model.encode(body)]
        # what this side's model has no piece for, the other side's may, where they share a vocabulary
        return ids.tolist() if (ids >= 0).all() else self._found(self.model.encode(body, out_type=str))

    def _found(self, pieces: Sequence[str]) -> list[int]:
        return [self.vocabulary.get(piece, self.unknown) for piece in pieces]


@dataclass(frozen=True)
class Tokenizer:
    """Both sides, as a checkpoint's folder has them; `files` are all of its files, by name."""

    source: Pieces
    target: Pieces
    files: dict[str, bytes]


def read_tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a folder, whose config.json holds `config`.

    Raises CheckpointError where a file is missing or does not fit the config.
    """
    config = DEFAULTS | dict(config)
    separate = not config["share_encoder_decoder_embeddings"]
    wanted = (*FILES, "target_vocab.json") if separate else FILES
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder}: has no {' and no '.join(missing)}; expected the files of a Marian tokenizer")
    names = [name for name in (*FILES, *OTHERS) if (folder / name).is_file()]
    files = {name: (folder / name).read_bytes() for name in names}
    source = read_json(folder / "vocab.json")
    target = read_json(folder / "target_vocab.json") if separate else source
    rows = separate and config["decoder_vocab_size"] or config["vocab_size"]
    for file, ids, size in (("vocab.json", source, config["vocab_size"]), (wanted[-1], target, rows)):
        if not ids or max(ids.values()) >= size:
            raise CheckpointError(
                f"{folder / file}: its ids end at {max(ids.values(), default=-1)}; config has {size} rows"
            )
        if absent := [name for name in ("<unk>", "</s>", "<pad>") if name not in ids]:
            raise CheckpointError(f"{folder / file}: has no {', '.join(absent)}")
    if source["</s>"] != target["</s>"] or source["<pad>"] != target["<pad>"]:
        raise CheckpointError(f"{folder}: </s> and <pad> have other ids in vocab.json than in target_vocab.json")
    for name, token in (("eos_token_id", "</s>"), ("pad_token_id", "<pad>")):
        if config[name] != source[token]:
            found = f"{name} is {config[name]} in config.json, and {token} is {source[token]} in vocab.json"
            raise CheckpointError(f"{folder}: {found}; expected one id: are the two files of one checkpoint?")
    return Tokenizer(Pieces(files["source.spm"], source), Pieces(files["target.spm"], target), files)
