"""Where somebody speaks in a long recording: windows short enough for a recogniser, silence between them left out.

By energy alone. A frame of 20 ms is speech when it is louder than a threshold over the recording's noise floor, set as
Rabiner and Sambur do ("An algorithm for determining the endpoints of isolated utterances", Bell System Technical
Journal 54, 1975): by the lower of one figure above the silence and another below the peak. Windows are made as in
WhisperX (Bain et al., Interspeech 2023, "cut and merge"): neighbours are joined up to the longest window, and what is
longer without a pause is cut at the quietest place of a window's second half.

It errs on the side of hearing: where noise is nearly as loud as speech, or grows louder after a quiet beginning, all
of it is taken. What is left out is never more than ABOVE_FLOOR over the quietest parts.
"""

import numpy as np

FRAMES = 50  # a second: 20 ms each
LEVEL_LEAST = -80.0  # dB of full scale: the last bits of 16-bit audio
ABOVE_FLOOR = 6.0  # dB over the quiet frames
BELOW_PEAK = 10.0  # dB below the loud frames, at least
PAD = 0.2  # seconds before and behind speech, for its weak beginning and end
SILENCE = 2.0  # seconds: a pause that is longer is left out
DIP = 0.2  # seconds over which the quietest place is sought, so that it is not the closure of a consonant
BLOCK = 1000  # frames at a time, which stay in the processor's cache


def windows(samples: np.ndarray, rate: int, most: float, overlap: float = 0.0) -> list[tuple[float, float]]:
    """The parts of a recording that hold speech, as (start, end) in seconds.

    samples: (n,) float32 at `rate` Hz. The windows stand in order, none is longer than `most` seconds, and every frame
    louder than `threshold` is in one, with 0.2 s around it. Silence gives []. They overlap where there was no pause to
    cut in, and nowhere else: a window then begins at the quietest place from `overlap` seconds to half as many before
    the last one's end. Raises ValueError when `most` is less than a second, or `overlap` more than a quarter of it.
    """
    if most < 1:
        raise ValueError(f"windows of at most {most:g} s; expected 1 s or more")
    if not 0 <= overlap <= most / 4:
        raise ValueError(
            f"windows that overlap by {overlap:g} s; expected 0 to {most / 4:g} s, a quarter of the longest"
        )
    level = levels_of(samples, rate)
    size = round(rate / FRAMES)
    longest, shared = int(most * rate / size), round(overlap * rate / size)
    found: list[tuple[int, int]] = []
    for start, end in regions(level > threshold(level), round(PAD * FRAMES)):
        if found and start - found[-1][1] <= SILENCE * FRAMES and end - found[-1][0] <= longest:
            found[-1] = found[-1][0], end
            continue
        while end - start > longest:
            cut = quietest(level, start + longest // 2, min(start + longest, end - longest // 4))
            found.append((start, cut))
            start = quietest(level, cut - shared, cut - shared // 2)
        found.append((start, end))
    return [(start * size / rate, min(end * size, len(samples)) / rate) for start, end in found]


def extent(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """When in an utterance speech begins and ends, seconds; its whole length where all is silent."""
    level = levels_of(samples, rate)
    speech = np.flatnonzero(level > threshold(level))
    if not len(speech):
        return 0.0, len(samples) / rate
    size = round(rate / FRAMES)
    return speech[0] * size / rate, min((speech[-1] + 1) * size, len(samples)) / rate


def regions(speech: np.ndarray, pad: int) -> list[tuple[int, int]]:
    """(frames,) bool -> [first, last) of each run of True, widened by `pad` frames; joined where they meet."""
    edges = np.flatnonzero(np.diff(speech, prepend=False, append=False))
    found: list[tuple[int, int]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        first, last = max(0, first - pad), min(len(speech), last + pad)
        if found and first <= found[-1][1]:
            first = found.pop()[0]
        found.append((first, last))
    return found


def quietest(level: np.ndarray, first: int, last: int) -> int:
    """The frame from `first` to `last`, both at least DIP from the ends of `level`, around which it is quietest."""
    reach = round(DIP * FRAMES / 2)
    around = np.maximum(level[first - reach : last + reach + 1], LEVEL_LEAST)  # digital silence is no deeper a pause
    return first + int(np.convolve(around, np.ones(2 * reach + 1), "valid").argmin())


def threshold(level: np.ndarray) -> float:
    """dB over which a frame is speech, by the levels (frames,) of a whole recording; infinite where all are silent.

    Quiet is the 5th percentile of what is no digital silence. Loud is what 0.2 s exceed, or 5 % where that is less: a
    percentile alone would overlook the few words of an hour.
    """
    heard = level[level > LEVEL_LEAST]
    if not len(heard):
        return np.inf
    quiet, loud = np.quantile(heard, (0.05, 1 - min(0.05, 0.2 * FRAMES / len(heard))))
    return max(LEVEL_LEAST, min(quiet + ABOVE_FLOOR, loud - BELOW_PEAK))


def levels_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """(n,) -> (frames,) dB, the last one of what is left at the end; without a copy of the samples."""
    step = BLOCK * round(rate / FRAMES)
    whole = len(samples) - len(samples) % round(rate / FRAMES)
    blocks = [samples[at : min(at + step, whole)] for at in range(0, whole, step)]
    blocks += [samples[whole:]] if whole < len(samples) else []
    return np.concatenate([np.zeros(0), *(levels(frames(block, rate)) for block in blocks)])


def frames(samples: np.ndarray, rate: int) -> np.ndarray:
    """[n] -> [frames of 20 ms, samples in each], without what is left at the end; at least one, padded with zeros."""
    size = round(rate / FRAMES)
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    return samples[: len(samples) // size * size].reshape(-1, size)


def levels(frames: np.ndarray) -> np.ndarray:
    """[frames] dB of full scale, without DC."""
    return 10 * np.log10(frames.var(axis=1) + 1e-12)
