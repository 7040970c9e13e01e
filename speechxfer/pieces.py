"""The samples of an example, and when in them each thing is said; of a stitched one the pieces, one after the other."""

from typing import TYPE_CHECKING

import numpy as np

from speechxfer import audio
from speechxfer.manifest import Example
from speechxfer.perturb import perturb
from speechxfer.voice_activity import extent

if TYPE_CHECKING:
    from speechxfer.models.base import Noise


def load_pieces(
    example: Example, rate: int, noise: "Noise | None" = None
) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """float32 (samples,) at `rate` Hz, and (text, start, end) in seconds of its segments, where they are known.

    A piece with word times is one segment, from its first word to its last; of a stitched example one without any times
    too, from where it is loud to where it is not. Noise is of the
    whole: one speed, one room, one level. Times are counted in the samples that there are, not those of the manifest,
    and follow the speed. Segments in which nothing is said have none. Raises AudioError.
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
