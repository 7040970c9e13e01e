"""The samples of an example, and when in them each thing is said; of a stitched one the pieces, one after the other."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from speechxfer import audio
from speechxfer.manifest import Example, read_manifest, write_manifest
from speechxfer.perturb import perturb
from speechxfer.stitch import stitch
from speechxfer.voice_activity import extent

if TYPE_CHECKING:
    from speechxfer.models.base import Noise


def load_pieces(
    example: Example, rate: int, noise: "Noise | None" = None
) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """float32 (samples,) at `rate` Hz, and (text, start, end) in seconds of its segments, where they are known.

    A piece with word times is one segment, from its first word to its last; of a stitched example one without any times
    too, from where it is loud to where it is not. Noise is of the whole: one speed, one room, one level. Times are
    counted in the samples that there are, not those of the manifest, and follow the speed. Segments in which nothing is
    said have none. Raises AudioError.
    """
    sounds, times, before = [], [], 0
    for piece in example.pieces or (example,):
        samples = audio.load(piece.audio, rate, start=piece.start, end=piece.end, channel=piece.channel)
        offset, length = before / rate, len(samples) / rate
        for text, *ends in _times(piece) or ([(piece.text or "", *extent(samples, rate))] if example.pieces else []):
            if text.strip():  # a stated time may lie a little beyond the last sample
                times.append((text, *(offset + min(end, length) for end in ends)))
        sounds.append(samples)
        before += len(samples)
    samples = np.concatenate(sounds) if example.pieces else sounds[0]
    if noise is None:
        return samples, times
    heard = perturb(samples, rate, noise.data.perturb, noise.speed, noise.rng)
    stretched = len(heard) / len(samples)
    return heard, [(text, start * stretched, end * stretched) for text, start, end in times]


def _times(piece: Example) -> tuple[tuple[str, float, float], ...]:
    """What the manifest knows."""
    if piece.segments or not piece.words:
        return piece.segments
    return ((piece.text or "", piece.words[0][1], piece.words[-1][2]),)


def write_stitched(manifest: str | Path, out: str | Path, *, seconds: float = 30.0, rate: int = 16_000) -> Path:
    """Write every utterance of a manifest once in recordings of up to `seconds`, with the time of each: a test set.

    `out` is the manifest to write; FLAC files come into the folder NAME-audio beside it. Returns `out`. Raises
    AudioError, ManifestError.
    """
    together, out = stitch(read_manifest(manifest, require=("audio", "text")), seconds), Path(out)
    folder = out.with_name(f"{out.stem}-audio")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in range(together.ways[0]):
        example, path = together[number], folder / f"{number:05d}.flac"
        samples, times = load_pieces(example, rate)
        soundfile.write(path, samples, rate)
        length = len(samples) / rate
        segments = ((text, *_span(start, end, length)) for text, start, end in times)
        written.append(replace(example, audio=path, seconds=length, pieces=(), segments=tuple(segments)))
    write_manifest(out, written)
    return out


def _span(start: float, end: float, length: float, least: float = 0.02) -> tuple[float, float]:
    """The times as a manifest may have them: within the audio, and the end behind the start."""
    start = min(start, length - least)
    return start, min(max(end, start + least), length)
