"""What is measured of audio: one decoding of every file, in parallel, kept in a cache by the file's content.

A minute of one core measures 10 hours of Ogg Opus (speechocean762, pieces of 4 s) or 32 hours of FLAC (LJ, of 8 s),
both at 16 kHz; decoding alone takes 90 % and 55 % of that. What is in the cache goes at 1,500 hours a minute. By
threads: the decoders and numpy let go of Python's lock, and processes were no faster. Measured by

    python -c "import time; from speechxfer.manifest import read_manifest; from speechxfer.lint.sound import measure
    m, t = read_manifest('MANIFEST'), time.process_time()
    print(measure(m, cache=':memory:').seconds.sum() / 60 / (time.process_time() - t), 'hours a minute of a core')"
"""

import functools
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from speechxfer import audio
from speechxfer.columns import floats
from speechxfer.errors import AudioError
from speechxfer.lint.cache import Cache, open_cache
from speechxfer.manifest import Manifest
from speechxfer.voice_activity import FRAMES, LEVEL_LEAST, frames, levels

VERSION = 1  # of the measurement; another one makes the cache measure anew
BLOCK = 120.0  # seconds that are in memory at a time
AT_ONCE = 32  # pieces of one long file that are one job
AHEAD = 64  # jobs that may wait for each worker: so many that a long file does not hold up the short ones

LEVEL_RANGE = 3.0  # dB between quiet and loud frames: less is a hum or a hiss; speech in as loud a noise has more
RUN = 3  # samples in a row at the peak that are clipping; round peaks have one or two
SAME = 2e-5  # of full scale: two samples of 16 bits that are equal
COARSE = 0.05  # of the peak, from it to the next lower value: quantised so coarsely that round peaks are flat too
EDGE = 25.0  # dB by which the spectrum falls where a filter cut it; natural speech falls up to 23 dB in EDGE_WIDTH
EDGE_WIDTH, EDGE_LEAST = 400.0, 2500.0  # Hz: how wide a filter's edge is at most, and the lowest that is looked for

MEASURED = np.dtype(
    [("rate", "i8"), ("channels", "i8"), ("seconds", "f8"), ("peak", "f8"), ("rms", "f8"), ("offset", "f8")]
    + [("clipped", "f8"), ("bandwidth", "f8"), ("speech", "f8"), ("digest", "u8")]
)


@dataclass(frozen=True)
class Sound:
    """By row [n] of a manifest; NaN, 0 or "" where `problem` says that there is nothing to measure."""

    problem: np.ndarray  # object: what `audio.read` refused, "" where it did not
    rate: np.ndarray  # int, samples a second as the file has them
    channels: np.ndarray  # int
    seconds: np.ndarray  # float, as decoded
    peak: np.ndarray  # float, of full scale
    rms: np.ndarray  # float, of full scale
    offset: np.ndarray  # float, the mean: DC
    clipped: np.ndarray  # float, share of samples in runs at the peak
    bandwidth: np.ndarray  # float, Hz: above it there is next to nothing
    speech: np.ndarray  # float, seconds that are louder than the floor
    digest: np.ndarray  # uint64, of the samples; equal where they are


@dataclass(frozen=True)
class Piece:
    """What a row cuts out of its file."""

    row: int
    start: float | None
    end: float | None
    channel: int | None


def measure(manifest: Manifest, *, cache: str | Path | None = None, workers: int | None = None) -> Sound:
    """Decode and measure the audio of every row; rows without audio stay empty.

    `cache` is a file (default: below $XDG_CACHE_HOME or ~/.cache); what is in it is not decoded again, so a run that
    was interrupted goes on. `workers` are threads (default: one per core). Raises ConfigError when the cache that was
    named cannot be used; what is wrong with the audio stands in `problem`.
    """
    from tqdm import tqdm

    table = np.zeros(len(manifest), MEASURED)
    for name in MEASURED.names:
        if MEASURED[name].kind == "f":
            table[name] = np.nan
    problem = np.full(len(manifest), "", object)
    stated = stated_seconds(manifest)
    has_audio = manifest.column("audio").is_valid().to_numpy()
    total = stated[has_audio].sum()
    workers = workers or os.cpu_count() or 1
    waiting: deque[Future[list[tuple[int, bytes | str]]]] = deque()

    with (
        open_cache(cache) as known,
        tqdm(
            desc=f"{manifest.name}: audio",
            total=None if np.isnan(total) else round(total),
            unit="s",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        pool = ThreadPoolExecutor(workers)

        def collect() -> None:
            for row, found in waiting.popleft().result():
                if isinstance(found, str):
                    problem[row] = found
                else:
                    table[row] = np.frombuffer(found, MEASURED)[0]
                bar.update(np.nan_to_num(table[row]["seconds"] if np.isnan(stated[row]) else stated[row]))

        try:
            for path, pieces in jobs(manifest):
                if len(waiting) == AHEAD * workers:
                    collect()
                waiting.append(pool.submit(measure_file, path, pieces, known))
            while waiting:
                collect()
        finally:
            pool.shutdown(cancel_futures=True)
    return Sound(problem, **{name: np.ascontiguousarray(table[name]) for name in MEASURED.names})


def stated_seconds(manifest: Manifest) -> np.ndarray:
    """float64 [n]: the length that the manifest states, NaN where it does not."""
    return floats(manifest.column("seconds"))


def jobs(manifest: Manifest) -> Iterator[tuple[Path, list[Piece]]]:
    """Every file with what is to be measured of it, in the manifest's order; a file of many pieces makes many jobs."""
    column = manifest.column("audio")
    names = pa.array([], pa.string()) if not len(column) else pa.concat_arrays(column.chunks).dictionary_encode()
    which = names.indices.fill_null(-1).to_numpy()
    start, end, channel = (floats(manifest.column(name)) for name in ("start", "end", "channel"))
    order = np.argsort(which, kind="stable")
    order = order[np.count_nonzero(which < 0) :]
    bounds = [0, *(np.flatnonzero(np.diff(which[order])) + 1), len(order)]
    for first, last in itertools.pairwise(bounds):
        for at in range(first, last, AT_ONCE):
            rows = order[at : min(at + AT_ONCE, last)]
            path = manifest.folder / names.dictionary[which[rows[0]]].as_py()
            yield path, [Piece(int(i), given(start[i]), given(end[i]), given(channel[i], int)) for i in rows]


def given(value: float, kind: type = float) -> float | int | None:
    return None if np.isnan(value) else kind(value)


def measure_file(path: Path, pieces: list[Piece], known: Cache) -> list[tuple[int, bytes | str]]:
    """By row: a record of MEASURED as bytes, or what is wrong with the audio, without the file's name."""
    try:
        content = known.content(path)
    except OSError:
        content = None  # `audio.read` says why, in words for people
    found = []
    for piece in pieces:
        name = f"{VERSION} {piece.start} {piece.end} {piece.channel}"
        record = known.get(content, name) if content else None
        if record is None:
            try:
                record = measure_piece(path, piece).tobytes()
            except AudioError as error:  # not kept: its words name a file, and another copy may have another ending
                record = str(error).removeprefix(str(path)).removeprefix(":").strip()
            else:
                known.put(content, name, record)
        found.append((piece.row, record))
    return found


def measure_piece(path: Path, piece: Piece) -> np.ndarray:
    """A record of MEASURED. Raises AudioError where `audio.load` would, but not for silence."""
    content = hashlib.blake2b(digest_size=8)
    record = np.zeros((), MEASURED)
    count, total, energy, level, power = 0, 0.0, 0.0, [], 0.0
    peaks = [Peak(), Peak()]  # upwards and downwards: a recorder may clip one side alone
    for samples, rate, channels in blocks(path, piece):
        record["rate"], record["channels"] = rate, channels
        content.update(samples)
        count += len(samples)
        total += samples.sum(dtype=np.float64)
        energy += np.dot(samples, samples)
        peaks = [peaks[0].joined(peak_of(samples)), peaks[1].joined(peak_of(-samples))]
        spans = frames(samples, rate)
        level.append(levels(spans))
        power = power + powers(spans)
    record["seconds"] = count / rate
    record["peak"] = max(peak.height for peak in peaks)
    record["rms"], record["offset"] = np.sqrt(energy / count), total / count
    record["clipped"] = sum(peak.flat for peak in peaks) / count
    record["bandwidth"] = bandwidth(power, rate)
    record["speech"] = speech_seconds(np.concatenate(level))
    record["digest"] = int.from_bytes(content.digest(), "little")
    return record


def blocks(path: Path, piece: Piece) -> Iterator[tuple[np.ndarray, int, int]]:
    """(samples [n] float32, their rate, the file's channels), at most 2 BLOCK at a time."""
    start, end = piece.start, piece.end
    length = (audio.info(path).seconds if end is None else end) - (start or 0.0)
    count = max(1, int(length / BLOCK))
    cuts = [start, *((start or 0.0) + BLOCK * i for i in range(1, count)), end]
    for first, last in itertools.pairwise(cuts):
        samples, rate = audio.read(path, start=first, end=last)
        yield audio.one_channel(path, samples, piece.channel), rate, samples.shape[1]


@dataclass(frozen=True)
class Peak:
    """The highest value of a signal, and how many samples lie in runs at it."""

    height: float = 0.0
    flat: int = 0

    def joined(self, other: "Peak") -> "Peak":
        """Of two signals one after the other."""
        if abs(self.height - other.height) <= SAME:
            return Peak(max(self.height, other.height), self.flat + other.flat)
        return max(self, other, key=lambda peak: peak.height)


def peak_of(samples: np.ndarray) -> Peak:
    """Of float32 [n]. No runs are counted where the steps of quantisation are so coarse that round peaks are flat."""
    height = float(samples.max())
    top = samples >= height - SAME
    if height <= 0 or np.count_nonzero(top) < RUN:
        return Peak(height)
    below = samples[~top]
    if not len(below) or height - below.max() > COARSE * height:
        return Peak(height)
    turns = np.flatnonzero(np.diff(top, prepend=False, append=False))
    lengths = turns[1::2] - turns[::2]
    return Peak(height, int(lengths[lengths >= RUN].sum()))


def powers(spans: np.ndarray) -> np.ndarray:
    """[bins of 50 Hz] the power spectrum summed over the spans, so that loud ones tell."""
    window = hann(spans.shape[1])
    some = range(0, len(spans), 1000)  # a few at a time stay in the processor's cache
    return sum((np.abs(np.fft.rfft(spans[i : i + 1000] * window)) ** 2).sum(axis=0, dtype=np.float64) for i in some)


@functools.cache
def hann(size: int) -> np.ndarray:
    return np.hanning(size).astype(np.float32)


def bandwidth(power: np.ndarray, rate: int) -> float:
    """Hz: where a filter cut the spectrum [bins of 50 Hz] off, or half the rate where none did.

    It is looked for as an edge, not as a level: speech itself has next to nothing high up when it is quiet or all
    vowels, but it gets there gradually, and a fricative rises again. What lies above the edge must stay below it by
    EDGE decibels up to the end.
    """
    level = 10 * np.log10(np.convolve(power, np.full(5, 0.2), "same") + 1e-12)
    highest_above = np.maximum.accumulate(level[::-1])[::-1]
    hertz = rate / 2 / (len(power) - 1)
    width, least = round(EDGE_WIDTH / hertz), round(EDGE_LEAST / hertz)
    fall = level[least:-width] - highest_above[least + width :]
    if not len(fall) or fall.max() < EDGE:
        return rate / 2
    return (least + int(fall.argmax()) + width / 2) * hertz


def speech_seconds(level: np.ndarray) -> float:
    """How long a signal with these levels [spans of 20 ms, dB] is loud enough to be speech.

    Loud is relative: above the quiet spans, but never more than 30 dB below the loud ones nor less than 10. Where all
    spans are about equally loud nobody speaks.
    """
    quiet, loud = np.percentile(level, (5, 95))
    if loud < LEVEL_LEAST or loud - quiet < LEVEL_RANGE:
        return 0.0
    return np.count_nonzero(level > max(loud - 30, min(quiet + 6, loud - 10))) / FRAMES
