"""From sentence pairs to the padded ids of a Marian model, and what makes a pair unfit for it.

Right by construction where recipes go wrong: each side has its own tokenizer, both end in </s>, the decoder starts from
the pad token, and labels are padded by -100, which no loss counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch

from speechxfer import text
from speechxfer.errors import ManifestError
from speechxfer.manifest import Example, Manifest
from speechxfer.models.base import Batch, Noise
from speechxfer.models.labels import IGNORED, padded
from speechxfer.models.languages import choose_code, target_codes
from speechxfer.models.pieces import Pieces, language_codes
from speechxfer.task import Data

CHUNK = 50_000  # sentences that are counted at a time
LOOKED_AT, MOST_UNKNOWN = 2_000, 0.05  # rows of a manifest, and the share of unknown tokens that says: another language


@dataclass(frozen=True)
class Item:
    """One pair before padding, both sides with their end."""

    id: str
    source: list[int]
    labels: list[int]  # empty where there is no target


@dataclass(frozen=True)
class MarianFrontend:
    """`files` are the tokenizer's, by name, as MarianTokenizer reads them; `positions` the most tokens of a side."""

    source: Pieces
    target: Pieces
    files: Mapping[str, bytes]
    end: int
    pad: int
    start: int  # what the decoder is given first: pad, in all checkpoints that are known
    positions: int
    normaliser: str = "nfc"
    unit: str = "tokens"

    @property
    def vocabulary_size(self) -> int:
        return len(self.target.vocabulary)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The target languages that it may be told: ">>hin<<", of models of many."""
        return target_codes(self.source.vocabulary)

    def lengths(self, manifest: Manifest) -> np.ndarray:
        """(n, 2) tokens of source and target, with what is added to them; (n, 1) where no row has a target."""
        source = self._count(manifest, "source", self.source, str) + bool(self.codes)
        if not pc.any(manifest.column("text").is_valid()).as_py():
            return source[:, None]
        return np.stack([source, self._count(manifest, "text", self.target, self._normalised)], axis=1)

    def budget(self, data: Data) -> float:
        return data.batch_tokens

    def load(self, example: Example, noise: Noise | None = None) -> Item:
        """Raises ManifestError where the target language is not one of `codes`."""
        sampling = noise and noise.data.sampling
        source = self._encode(self.source, example.source, noise if sampling else None)
        if self.codes and not self._coded(example.source):
            try:
                source = [self.source.vocabulary[choose_code(example.lang, self.codes)], *source]
            except ValueError as error:
                raise ManifestError(f"example {example.id}: {error}") from error
        labels = []
        if example.text:
            labels = self._encode(self.target, self._normalised(example.text), noise if sampling else None)
        return Item(example.id, source, labels)

    def collate(self, items: Sequence[Item]) -> Batch:
        """Labels are (batch, tokens), -100 where there is none; the decoder sees them one place later."""
        source = padded([item.source for item in items], self.pad)
        labels = padded([item.labels for item in items], IGNORED)
        before = torch.full_like(labels, self.start)
        before[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, self.pad)
        lengths = torch.tensor([len(item.source) for item in items])
        tokens = sum(len(item.labels) for item in items)
        return Batch(
            inputs={
                "input_ids": source,
                "attention_mask": (torch.arange(source.shape[1]) < lengths[:, None]).long(),
                "decoder_input_ids": before,
            },
            labels=labels,
            tokens=tokens,
            ids=tuple(item.id for item in items),
            size=float(lengths.sum()) + tokens,
            padded=float(source.numel() + (labels.numel() if tokens else 0)),
        )

    def unfit(self, manifest: Manifest, lengths: np.ndarray) -> list[str]:
        """Sources that the model cannot take, each by file:line: too long, or for a language that it does not write."""
        found = self._too_long(manifest, lengths[:, 0], "source")
        if self.codes:
            langs = manifest.column("lang").to_pylist()
            problem: dict[str | None, str] = {}
            for lang in set(langs):
                try:
                    choose_code(lang, self.codes)
                except ValueError as error:
                    problem[lang] = str(error)
            rows = [i for i, lang in enumerate(langs) if lang in problem and not self._coded(manifest[i].source)]
            found += [f"{manifest.where(i)}: {problem[langs[i]]}" for i in rows]
        return found

    def problems(self, manifest: Manifest, lengths: np.ndarray, speed: float = 1.0) -> list[str]:
        """What of the pairs cannot be trained on: unfit sources, long targets, a vocabulary for another language."""
        found = self.unfit(manifest, lengths) + self._too_long(manifest, lengths[:, 1], "text")
        some = [manifest[i] for i in np.linspace(0, len(manifest) - 1, min(LOOKED_AT, len(manifest)), dtype=int)]
        heads = [language_codes(example.source) for example in some]
        if strange := sorted({code for codes, _ in heads for code in codes} - self.source.vocabulary.keys()):
            found.append(
                f"{manifest.name}: sources begin with {', '.join(strange)}, which the model's vocabulary lacks:"
                " `add_tokens` of speechxfer.models.graft gives a tag its row"
            )
        sides = {
            "source": (self.source, [body for _, body in heads]),
            "text": (self.target, [self._normalised(example.text) for example in some]),
        }
        for name, (pieces, texts) in sides.items():
            share = pieces.unknown_share(texts)
            if share > MOST_UNKNOWN:
                found.append(
                    f"{manifest.name}: the model's vocabulary lacks {100 * share:.0f} % of the tokens of {name}, so it"
                    " cannot learn them: is it the right column? A new language needs pieces of its own:"
                    " `speechxfer graft` makes them"
                )
        return found

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files as they were read."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def _normalised(self, written: str) -> str:
        return text.normalise(self.normaliser, written)

    def _coded(self, source: str) -> bool:
        return any(code in self.codes for code in language_codes(source)[0])

    def _encode(self, pieces: Pieces, written: str, noise: Noise | None) -> list[int]:
        ids = pieces.sample(written, noise.data.sampling, noise.rng) if noise else pieces.encode(written)
        if noise and len(ids) + 2 > self.positions:  # the best segmentation is the one that was found to fit
            ids = pieces.encode(written)
        return [*ids, self.end]

    def _count(self, manifest: Manifest, name: str, pieces: Pieces, prepare: Callable[[str], str]) -> np.ndarray:
        counts = [np.zeros(0, np.int64)]
        for chunk in manifest.column(name).iterchunks():
            for first in range(0, len(chunk), CHUNK):
                written = chunk.slice(first, CHUNK).to_pylist()
                counts.append(pieces.count([prepare(one or "") for one in written]) + 1)
        return np.concatenate(counts)

    def _too_long(self, manifest: Manifest, lengths: np.ndarray, name: str) -> list[str]:
        return [
            f"{manifest.where(int(i))}: {name} has {lengths[i]} tokens; expected at most {self.positions}, the"
            " positions of the model: split it into sentences"
            for i in np.flatnonzero(lengths > self.positions)
        ]
