"""From recordings to the samples and label ids of a Whisper model, and what makes an example unfit for it.

What the decoder is told (start, language, task, times or none) is made here once, for training and for decoding: the
labels are that prefix, the text and the end, so what generation starts from is what training taught.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechxfer import text
from speechxfer.columns import join
from speechxfer.errors import ManifestError
from speechxfer.manifest import Example, Manifest
from speechxfer.models.base import Batch, Noise
from speechxfer.models.labels import IGNORED, padded
from speechxfer.models.log_mel import HOP, RATE
from speechxfer.models.whisper_tokens import Segment, Tokens
from speechxfer.pieces import load_pieces
from speechxfer.task import Data, Speech

STATE = 2 * HOP  # samples from one encoder state to the next
NO_TOKEN = -2  # padding of prefixes
ROUNDED = RATE // 10  # samples that lengths in a manifest may be off
NAMES = {"transcribe": "transcribe", "asr": "transcribe"}  # what manifests call the two tasks
NAMES |= dict.fromkeys(("translate", "ast", "s2t_translation"), "translate")
CHUNK = 10_000  # texts whose labels are counted at a time


@dataclass(frozen=True)
class Item:
    """One example before padding. `inputs` and `labels` are of one length, and empty where there is no text."""

    id: str
    samples: np.ndarray  # (n,) float32
    prefix: list[int]  # what decoding starts from; -1 stands for a language still to be found
    inputs: list[int]
    labels: list[int]


@dataclass(frozen=True)
class WhisperFrontend:
    """Samples in, byte pieces out. `seconds` is the longest audio and `positions` the most labels at once."""

    tokens: Tokens
    files: Mapping[str, bytes]  # the feature extractor's, by name
    speech: Speech = Speech()
    own_length: bool = True  # the encoder sees the audio's own length, not `seconds` of it
    seconds: float = 30.0
    positions: int = 448
    rate: int = RATE
    normaliser: str = "nfc"
    unit: str = "s"

    @property
    def vocabulary_size(self) -> int:
        return len(self.tokens)

    def lengths(self, manifest: Manifest) -> np.ndarray:
        """What the encoder will see, (n,) in seconds."""
        return manifest.seconds if self.own_length else np.maximum(manifest.seconds, self.seconds)

    def budget(self, data: Data) -> float:
        return data.batch_seconds

    def load(self, example: Example, noise: Noise | None = None) -> Item:
        """Raises AudioError, ManifestError."""
        if noise and (example.seconds or 0) / noise.speed > self.seconds:
            noise = replace(noise, speed=1.0)  # slower it would be longer than the model can hear
        if example.pieces:
            example = self._fitting(example)
        samples, times = load_pieces(example, self.rate, noise)
        while example.pieces[1:] and len(samples) > self.most + ROUNDED:  # files longer than the manifest says
            example = _without_last(example)
            samples, times = load_pieces(example, self.rate, noise)
        if len(samples) <= self.most + ROUNDED:
            samples = samples[: self.most]
        elif noise is not None:
            raise ManifestError(
                f"example {example.id}: its audio lasts {len(samples) / self.rate:.2f} s, and the manifest says"
                f" {example.seconds:g}; expected at most {self.seconds:g} s in training"
            )
        timed = noise is not None and noise.rng.random() < self.speech.timestamps
        return self.features(example, samples, times if timed else ())

    def features(self, example: Example, samples: np.ndarray, times: Sequence[tuple[str, float, float]] = ()) -> Item:
        """samples: (n,) float32 at `rate`. With `times` of its phrases, the labels have them."""
        try:
            lang, task = self.told(example)
        except ValueError as error:
            raise ManifestError(f"example {example.id}: {error}") from error
        written = "en" if task == "translate" else lang
        body = self._body(example, written, times)
        if times and len(self.tokens.prefix(lang, task, timestamps=True)) + len(body) > self.positions:
            times, body = (), self._body(example, written, ())  # its times have no room
        prefix = self.tokens.prefix(lang, task, timestamps=bool(times))
        prefix = [*self._prompt(example, written, self.positions - len(prefix) - len(body)), *prefix]
        if example.text is None:
            return Item(example.id, samples, prefix, [], [])
        if not body:  # nothing is said: the model learns to say so, right after the start
            start = prefix.index(self.tokens.start) + 1
            body, whole = [self.tokens.no_speech], prefix[:start]
        else:
            whole = prefix
        whole = [*whole, *body, self.tokens.end]
        asked = prefix.index(self.tokens.start)  # a prompt is given, not learnt
        return Item(example.id, samples, prefix, whole[:-1], [IGNORED] * asked + whole[asked + 1 :])

    def told(self, example: Example) -> tuple[str | None, str]:
        """(language code or None where it is to be found, task) of an example. Raises ValueError."""
        speech, tokens = self.speech, self.tokens
        task = NAMES.get(example.task or speech.task, "")
        if not task:
            raise ValueError(f"task is {example.task!r}; expected transcribe or translate")
        if not tokens.multilingual:
            if task == "translate":
                raise ValueError("this checkpoint is of English alone; expected a multilingual one to translate")
            if example.lang:
                tokens.code(example.lang, speech.proxy)  # which refuses other languages
            return None, task
        spoken = tokens.code(example.lang, speech.proxy) if example.lang else None
        set_to = tokens.code(speech.language, speech.proxy) if speech.language else None
        if task == "translate":  # the text is English, the token says what is spoken
            return set_to or (spoken if spoken != "en" else None), task
        return spoken or set_to, task

    @property
    def most(self) -> int:
        """Samples that the encoder takes at once."""
        return round(self.seconds * self.rate)

    def _prompt(self, example: Example, lang: str | None, room: int) -> list[int]:
        """The end of the text that stands before: what has room, at most half of the positions, as Whisper does."""
        most = min(self.positions // 2, room) - 1
        if not example.prompt or most < 1:
            return []
        ids = self.tokens.encode(text.normalise(self.normaliser, example.prompt), lang)
        return [self.tokens.previous, *ids[-most:]]

    def _body(self, example: Example, lang: str | None, times: Sequence[tuple[str, float, float]]) -> list[int]:
        if example.text is None:
            return []
        if times:
            segments = [Segment(text.normalise(self.normaliser, written), *ends) for written, *ends in times]
            return self.tokens.labels(segments, lang)
        written = text.normalise(self.normaliser, example.text).strip()
        return self.tokens.encode(written, lang) if written else []

    def _fitting(self, stitched: Example) -> Example:
        """As many of the first pieces as the labels have room for: Devanagari in bytes is long."""
        lang, task = self.told(stitched)
        room = self.positions - len(self.tokens.prefix(lang, task, timestamps=True))
        kept = []
        for piece in stitched.pieces:
            room -= len(self._body(piece, lang, ())) + 2  # its two times
            if room < 0 and kept:
                break
            kept.append(piece)
        if len(kept) == len(stitched.pieces):
            return stitched
        return replace(stitched, pieces=tuple(kept), text=join(piece.text for piece in kept))

    def collate(self, items: Sequence[Item]) -> Batch:
        """Labels are (batch, tokens), one place ahead of the decoder's inputs; -100 where nothing is asked."""
        lengths = torch.tensor([len(item.samples) for item in items])
        samples = [torch.from_numpy(item.samples) for item in items]
        # One alone may be of hours, and is not copied.
        samples = samples[0][None] if len(items) == 1 else nn.utils.rnn.pad_sequence(samples, batch_first=True)
        seen = lengths / self.rate if self.own_length else torch.clamp(lengths / self.rate, min=self.seconds)
        inputs = {
            "samples": samples,
            "lengths": lengths,
            "encoder_lengths": states_of(lengths),
            "decoder_input_ids": padded([item.inputs for item in items], self.tokens.end),
            "prefix": padded([item.prefix for item in items], NO_TOKEN),
        }
        return Batch(
            inputs=inputs,
            labels=padded([item.labels for item in items], IGNORED),
            tokens=sum(label != IGNORED for item in items for label in item.labels),
            ids=tuple(item.id for item in items),
            size=float(lengths.sum()) / self.rate,
            padded=float(seen.max()) * len(items),
        )

    def unfit(self, manifest: Manifest, lengths: np.ndarray) -> list[str]:
        """Languages that the checkpoint does not know. Audio of any length can be transcribed."""
        return [problem for problem, _ in self._told_problems(manifest)]

    def problems(self, manifest: Manifest, lengths: np.ndarray, speed: float = 1.0) -> list[str]:
        """Languages that are not known or not said, texts of too many labels, audio that is too long, by file:line."""
        problems = [problem for problem, _ in self._told_problems(manifest, said=True)]
        for index in np.flatnonzero(manifest.seconds > self.seconds + ROUNDED / self.rate + 1e-6):
            problems.append(
                f"{manifest.where(int(index))}: {manifest.seconds[index]:.1f} s of audio with one text; the model hears"
                f" {self.seconds:g} s at once: set data.max_seconds={self.seconds:g} and give `segments` with times, or"
                " cut it with start/end"
            )
        counts = self._counts(manifest)
        for index in np.flatnonzero(counts > self.positions):
            problems.append(
                f"{manifest.where(int(index))}: the text is {counts[index]} labels; the model has {self.positions}"
                " positions: give `segments` with times, or cut it (is the text of a longer recording?)"
            )
        return problems

    def _counts(self, manifest: Manifest) -> np.ndarray:
        """Labels of every example, with all that is added to them but a prompt (n,)."""
        added = len(self.tokens.prefix(None, "transcribe", False)) + 1
        normalised = [text.normalise(self.normaliser, written) for written in manifest.texts()]
        starts = range(0, len(normalised), CHUNK)
        return np.concatenate([self.tokens.counts(normalised[i : i + CHUNK]) for i in starts]) + added

    def _told_problems(self, manifest: Manifest, said: bool = False) -> list[tuple[str, int]]:
        """Each once, with its number of rows. `said`: the language must be known before anything is heard."""
        found: Counter[str] = Counter()
        first: dict[str, int] = {}
        columns = [manifest.column(name).to_pylist() for name in ("lang", "task")]
        for index, (lang, task) in enumerate(zip(*columns, strict=True)):
            what = self._wrong(lang, task, said)
            if what:
                found[what] += 1
                first.setdefault(what, index)
        return [(f"{manifest.where(first[what])}: {what} ({n} rows)", n) for what, n in found.items()]

    def _wrong(self, lang: str | None, task: str | None, said: bool) -> str:
        try:
            known, task = self.told(Example("", lang=lang, task=task))
        except ValueError as error:
            return str(error)
        if known is None and said and self.tokens.multilingual:
            of = "what is spoken" if task == "translate" else "the text"
            return f"the language of {of} is not said; give it as lang, or for all rows by --set speech.language=hi"
        return ""

    def save(self, folder: Path) -> None:
        """Write tokenizer and feature extractor, as they were read."""
        self.tokens.save(folder)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def _without_last(stitched: Example) -> Example:
    pieces = stitched.pieces[:-1]
    return replace(stitched, pieces=pieces, text=join(piece.text for piece in pieces))


def states_of(samples: torch.Tensor) -> torch.Tensor:
    """How many encoder states are of so many samples."""
    return (samples + STATE - 1) // STATE
