"""Any audio file -> mono float32 at the model's rate, or an AudioError that names the file and what is wrong with it.

soundfile (libsndfile) reads wav, flac, ogg, opus and mp3 and seeks in them to the sample; what it cannot open goes to
av (FFmpeg's libraries inside a wheel): m4a/aac, webm, the sound of a video. A piece of a long recording is a seeking
read. Nothing here guesses: two different channels are not averaged, a truncated file is not padded.
"""

import os
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from speechxfer.errors import AudioError

if TYPE_CHECKING:
    import av

END_SLACK = 0.1  # seconds that `end`, or the length in a compressed file's header, may lie beyond the last sample
SILENT_PEAK = 1e-5  # -100 dB of full scale: below the last bit of 16-bit audio
SAME_CHANNEL = 1e-3  # of the peak: what a lossy codec does to two copies of one signal
UNKNOWN_LENGTH = 1 << 62  # libsndfile says 2^63 - 1 where a FLAC stream's header has no length
PREROLL = 0.5  # seconds decoded and thrown away after a seek, for codecs whose frames lean on the ones before


@dataclass(frozen=True)
class Info:
    """What a file's header says: sampling rate in Hz, number of channels, length in seconds."""

    rate: int
    channels: int
    seconds: float


def info(path: str | Path) -> Info:
    """Rate, channels and length from the header, without decoding.

    (Only streams without a length in their header, such as bare AAC, have their packets counted.)
    Raises AudioError when the file is missing, empty, truncated or not audio.
    """
    path = _existing(path)
    file = _open_soundfile(path)
    if file is not None:
        with file:
            return Info(file.samplerate, file.channels, file.frames / file.samplerate)
    with _open_av(path) as container:
        stream = container.streams.audio[0]
        return Info(stream.rate, stream.channels, _av_seconds(path, container))


def load(
    path: str | Path, rate: int, *, start: float | None = None, end: float | None = None, channel: int | None = None
) -> np.ndarray:
    """Read a file, or the piece of it from `start` to `end` seconds, as float32 of shape (samples,) at `rate` Hz.

    `channel` (from 0) picks one channel. Without it, a file of several channels is accepted when all carry the same
    signal (no sample differs by more than a thousandth of the peak); otherwise it is refused, even when the channels
    resemble each other, because two channels may be two speakers, and their average is nobody.

    Raises AudioError as `read` does, and when the samples are silent or the channel is not there.
    """
    samples, native = read(path, start=start, end=end)
    mono = one_channel(Path(path), samples, channel)
    if _peak(mono) < SILENT_PEAK:
        raise AudioError(f"{_where(path, start, end)}: silent, no sample is above {SILENT_PEAK:g}; expected speech")
    return resample(mono, native, rate)


def read(path: str | Path, *, start: float | None = None, end: float | None = None) -> tuple[np.ndarray, int]:
    """The samples as the file has them: float32 of shape (samples, channels), and their rate in Hz.

    Raises AudioError, naming the path, when the file is missing, a folder, empty, truncated, damaged, not audio or
    holds values that are not finite, or when the piece lies outside it (`end` may overshoot by 0.1 s, as the rounded
    times of manifests do).
    """
    path = _existing(path)
    file = _open_soundfile(path)
    if file is not None:
        with file:
            samples, rate = _read_soundfile(path, file, start, end), file.samplerate
    else:
        samples, rate = _read_av(path, start, end)
    if not len(samples):
        raise AudioError(f"{_where(path, start, end)}: holds no samples")
    if not np.isfinite(_peak(samples)):
        bad = f"{np.count_nonzero(~np.isfinite(samples).all(axis=1))} of {len(samples)} samples are NaN or infinite"
        raise AudioError(f"{_where(path, start, end)}: {bad}; expected finite samples, write the file anew")
    return samples, rate


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Band-limited resampling of float32 (samples,), rates in Hz; the input itself when the rates are equal.

    By soxr, because in benchmarks/resample.py its HQ setting leaves less error and less alias than any setting of
    torchaudio there, in less time than those of torchaudio that come near; it runs on one thread and keeps no state.
    """
    if from_rate == to_rate:
        return samples
    return soxr.resample(samples, from_rate, to_rate, quality="HQ")


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise AudioError(f"{path}: no such file; audio paths are relative to the manifest's folder")
    if not path.is_file():
        raise AudioError(f"{path}: is a folder; expected an audio file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty (0 bytes); expected an audio file")
    return path


def _where(path: str | Path, start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return str(path)
    return f"{path} [{start or 0:g} s to {'the end' if end is None else f'{end:g} s'}]"


def _piece(path: Path, start: float | None, end: float | None, rate: int, seconds: float) -> tuple[int, int]:
    """The samples [first, last) that `start`..`end` seconds mean in a file of `seconds`; AudioError when outside."""
    where = _where(path, start, end)
    start, stop = 0.0 if start is None else start, seconds if end is None else end
    if start < 0 or (end is not None and end <= start):
        raise AudioError(f"{where}: expected 0 <= start < end")
    if start >= seconds:
        raise AudioError(f"{where}: the piece starts beyond the end, the file has {seconds:.3f} s")
    if stop > seconds + END_SLACK:
        raise AudioError(f"{where}: the piece ends beyond the end, the file has {seconds:.3f} s")
    return round(start * rate), round(min(stop, seconds) * rate)


def one_channel(path: Path, samples: np.ndarray, channel: int | None) -> np.ndarray:
    """(samples, channels) -> (samples,)."""
    count = samples.shape[1]
    if channel is not None:
        if not 0 <= channel < count:
            raise AudioError(f"{path}: has no channel {channel}; found {count}, expected 0 to {count - 1}")
        return np.ascontiguousarray(samples[:, channel])
    first = samples[:, 0]
    if count > 1 and max(_peak(other - first) for other in samples.T[1:]) > SAME_CHANNEL * _peak(samples):
        raise AudioError(
            f'{path}: found {count} channels that differ; expected "channel": 0 to {count - 1} in the manifest, '
            "or mono audio (an average of two speakers is nobody)"
        )
    return np.ascontiguousarray(first)


def _peak(samples: np.ndarray) -> float:
    """The greatest magnitude, without a copy: the samples may be of an hour."""
    return max(float(samples.max()), -float(samples.min()))


# --- soundfile -------------------------------------------------------------------------------------------------------


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """The open file, or None when libsndfile does not know the format or, in a stream written to a pipe, the length."""
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: samples without a header, so rate and format are unknown; convert it to wav or flac")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    try:
        _refuse_truncated(path, file.format)
    except AudioError:
        file.close()
        raise
    if 0 < file.frames < UNKNOWN_LENGTH:
        return file
    file.close()
    return None


def _read_soundfile(path: Path, file: soundfile.SoundFile, start: float | None, end: float | None) -> np.ndarray:
    """float32 (samples, channels)."""
    first, last = _piece(path, start, end, file.samplerate, file.frames / file.samplerate)
    try:
        if first:
            file.seek(first)
        samples = file.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: truncated or damaged ({error}); fetch it again") from error
    if last - first - len(samples) > END_SLACK * file.samplerate:
        raise AudioError(_truncated(path, last / file.samplerate, (first + len(samples)) / file.samplerate))
    return samples


def _truncated(path: Path, promised: float, found: float) -> str:
    return f"{path}: truncated, the header promises {promised:.3f} s, found {found:.3f} s; fetch it again"


def _refuse_truncated(path: Path, container: str) -> None:
    """libsndfile quietly shortens a cut WAV or Ogg to what is left of it, so look at the bytes."""
    if container in ("WAV", "WAVEX"):
        missing = _wav_missing(path)
    elif container == "OGG":
        missing = _ogg_missing(path)
    else:
        return
    if missing:
        raise AudioError(f"{path}: truncated, at least {missing} bytes are missing at its end; fetch it again")


def _wav_missing(path: Path) -> int:
    """Bytes that the data chunk promises and the file lacks; 0 for streams, whose length was unknown when written."""
    size = path.stat().st_size
    with path.open("rb") as file:
        riff = file.read(12)
        order = ">" if riff[:4] == b"RIFX" else "<"
        at = 12
        while len(header := file.read(8)) == 8:
            at += 8
            (length,) = struct.unpack(order + "I", header[4:])
            if header[:4] == b"data":
                # Who writes to a pipe cannot go back: FFmpeg leaves 0xFFFFFFFF, SoX 0x7FFFF000 and more, others 0.
                return 0 if length >= 0x7FFFF000 else max(0, at + length - size)
            at += length + length % 2
            file.seek(at)
    return 0


def _ogg_missing(path: Path) -> int:
    """Bytes that the last Ogg page's header promises and the file lacks (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 1 << 16), os.SEEK_END)  # a page has at most 65,307 bytes
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return 1
    return max(0, 27 + page[26] + sum(page[27 : 27 + page[26]]) - len(page))


# --- av --------------------------------------------------------------------------------------------------------------


def _open_av(path: Path) -> "av.container.InputContainer":
    import av

    try:
        container = av.open(os.fspath(path))
    except (av.error.FFmpegError, OSError) as error:
        found = f"not audio, or its beginning or index is lost ({error.strerror})"
        raise AudioError(f"{path}: {found}; expected wav, flac, ogg, opus, mp3, m4a ...") from error
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{path}: has no audio in it; expected wav, flac, ogg, opus, mp3, m4a ...")
    return container


def _has_index(container: "av.container.InputContainer") -> bool:
    """Whether times in the file are exact. Bare streams (ADTS AAC, AC-3) estimate them from the bit rate."""
    return container.format.name.split(",")[0] in ("mov", "matroska", "asf")


def _av_seconds(path: Path, container: "av.container.InputContainer") -> float:
    """Length of the first audio stream in seconds; counts packets, moving the container, where no header says it."""
    import av

    stream = container.streams.audio[0]
    if _has_index(container):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        if container.duration and len(container.streams) == 1:
            return container.duration / av.time_base
    try:
        ticks = sum(packet.duration or 0 for packet in container.demux(stream))
    except av.error.FFmpegError as error:
        raise AudioError(f"{path}: truncated or damaged ({error.strerror}); fetch it again") from error
    if not ticks:
        raise AudioError(f"{path}: holds no samples")
    return float(ticks * stream.time_base)


def _read_av(path: Path, start: float | None, end: float | None) -> tuple[np.ndarray, int]:
    """float32 (samples, channels) and the native rate."""
    import av

    with _open_av(path) as container:
        seconds = _av_seconds(path, container)
    with _open_av(path) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        first, last = _piece(path, start, end, rate, seconds)
        blocks, origin, position = [], None, None
        to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
        try:
            frames = container.decode(stream)
            if first > PREROLL * rate and _has_index(container):
                origin = next((frame.pts for frame in frames), 0)  # where the file's own clock starts
                back = Fraction(first, rate) - Fraction(PREROLL)
                container.seek(int(back / stream.time_base) + origin, stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                if position is None:
                    position = 0 if origin is None else round((frame.pts - origin) * stream.time_base * rate)
                for block in to_float.resample(frame):
                    samples = block.to_ndarray()  # (channels, samples)
                    skip = max(0, first - position)
                    blocks.append(samples[:, skip : max(0, last - position)])
                    position += samples.shape[1]
                if position >= last:  # past the header's length there is only the padding of the last frame
                    break
        except av.error.FFmpegError as error:
            raise AudioError(f"{path}: truncated or damaged ({error.strerror}); fetch it again") from error
    if position is None or position < last - END_SLACK * rate:
        raise AudioError(_truncated(path, last / rate, (position or 0) / rate))
    return np.concatenate(blocks, axis=1).T, rate
