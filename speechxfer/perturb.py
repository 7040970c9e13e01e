"""Perturbation of training audio: speed, room, noise, telephone, gain; each is off until its setting says otherwise.

`perturb` is a function of its arguments and of nothing else: the caller makes the rng from (seed, step, place in the
step), so a resumed run hears what the run that was never killed would have heard. Speed, which changes lengths, is a
function of (seed, epoch, example), so that the plan knows it too. The order is that of the real thing: a speaker
(speed) in a room, noise beside them, a telephone line, and a level at its far end.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from speechxfer import audio
from speechxfer.errors import ConfigError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".webm"}
TELEPHONE_RATE, TELEPHONE_BAND = 8000, (300.0, 3400.0)  # Hz (ITU-T G.711, G.712)


@dataclass(frozen=True)
class Perturb:
    """What may happen to an utterance on its way into training. The default changes nothing.

    Speed changes the length: an utterance lasts up to 1 / min(speed) times as long, and one played faster has fewer
    frames for its labels. Gain does not clip: float samples may exceed 1.
    """

    speed: tuple[
        float, ...
    ] = ()  # factors, one drawn per utterance and epoch; 1.0 must be among them to keep some as they are
    gain_db: tuple[float, float] | None = None  # range in dB, drawn uniformly
    noise: str | None = None  # folder of audio files, or a JSONL manifest whose lines have "audio"
    noise_snr_db: tuple[float, float] = (5.0, 30.0)  # range of speech over noise in dB, drawn uniformly
    noise_prob: float = 0.5  # share of utterances that get noise, where `noise` is given
    telephone_prob: float = 0.0  # share that goes through a telephone line: 300-3400 Hz, 8 kHz, mu-law
    room: str | None = None  # folder or JSONL manifest of impulse responses
    room_prob: float = 0.5  # share that is put into a room, where `room` is given

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}; expected a share from 0 to 1"
            for name in ("noise_prob", "telephone_prob", "room_prob")
            if not 0 <= getattr(self, name) <= 1
        ]
        for factor in self.speed:
            if not 0.5 <= factor <= 2:
                problems.append(f"speed has {factor!r}; expected factors from 0.5 to 2, such as (0.9, 1.0, 1.1)")
        for name in ("gain_db", "noise_snr_db"):
            bounds = getattr(self, name)
            if bounds is not None and not (len(bounds) == 2 and np.isfinite(bounds).all() and bounds[0] <= bounds[1]):
                problems.append(f"{name} is {bounds!r}; expected (lowest, highest) in dB")
        if problems:
            raise ConfigError("\n".join(f"perturb: {problem}" for problem in problems))


def check(settings: Perturb) -> None:
    """Open the header of every noise and room file, so that none fails in a worker later.

    Raises ConfigError when a folder or manifest holds no audio, AudioError at a file that cannot be read.
    """
    for source in (settings.noise, settings.room):
        for path in sound_files(source) if source is not None else ():
            audio.info(path)


@lru_cache(maxsize=16)
def sound_files(source: str) -> tuple[Path, ...]:
    """The audio files below a folder, sorted, or those that a JSONL manifest names. Raises ConfigError."""
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    elif path.is_file():
        files = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                files.append(path.parent / json.loads(line)["audio"])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ConfigError(f'{path}:{number}: expected an object with "audio": a path') from error
    else:
        raise ConfigError(f"perturb: {source}: no such folder or manifest of sounds")
    if not files:
        raise ConfigError(f"perturb: {source}: found no audio; expected {', '.join(sorted(AUDIO_SUFFIXES))}")
    return tuple(files)


def speeds(choices: Sequence[float], seed: int, epoch: int, examples: np.ndarray) -> np.ndarray:
    """The factor [n] of each of `examples` [n], numbers from 0, in an epoch; 1 where there are no choices.

    By a hash (splitmix64; Steele, Lea & Flood 2014), so that planning a million and loading one of them agree.
    """
    if not choices:
        return np.ones(len(examples))
    key = np.random.default_rng([seed, epoch]).integers(1 << 64, size=1, dtype=np.uint64)
    mixed = (np.asarray(examples).astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15) + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(choices)[(mixed ^ (mixed >> np.uint64(31))) % np.uint64(len(choices))]


def perturb(samples: np.ndarray, rate: int, settings: Perturb, speed: float, rng: np.random.Generator) -> np.ndarray:
    """Perturb one utterance of float32 (samples,) at `rate` Hz; returns float32 (samples',), or the input itself.

    Only speed changes the number of samples. Raises AudioError when a noise or room file cannot be read.
    """
    samples = change_speed(samples, rate, speed)
    if settings.room is not None and rng.random() < settings.room_prob:
        samples = _in_room(samples, rate, sound_files(settings.room), rng)
    if settings.noise is not None and rng.random() < settings.noise_prob:
        noise = _draw_noise(len(samples), rate, sound_files(settings.noise), rng)
        samples = add_noise(samples, noise, rng.uniform(*settings.noise_snr_db))
    if settings.telephone_prob and rng.random() < settings.telephone_prob:
        samples = telephone(samples, rate)
    if settings.gain_db is not None:
        samples = samples * np.float32(10 ** (rng.uniform(*settings.gain_db) / 20))
    return samples


def change_speed(samples: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play (samples,) `factor` times as fast, pitch and all (Ko et al. 2015, "Audio augmentation").

    By the resampler that reads the files, not torchaudio.functional.speed, whose default filter also dulls the highest
    tones (benchmarks/resample.py): then a changed speed would be heard by its colour.
    """
    return audio.resample(samples, round(factor * rate), rate)


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """(samples,) plus noise (samples,) that is `snr_db` below it over the utterance; silent noise adds nothing."""
    import torch
    import torchaudio.functional as F

    if not noise.any():
        return samples
    return F.add_noise(torch.from_numpy(samples), torch.from_numpy(noise), torch.tensor(float(snr_db))).numpy()


def telephone(samples: np.ndarray, rate: int) -> np.ndarray:
    """What a telephone line leaves of (samples,): 300-3400 Hz, sampled at 8 kHz, 8-bit mu-law (ITU-T G.711)."""
    import torch
    import torchaudio.functional as F

    low, high = TELEPHONE_BAND
    line = torch.from_numpy(audio.resample(samples, rate, TELEPHONE_RATE))
    line = F.lowpass_biquad(F.highpass_biquad(line, TELEPHONE_RATE, low), TELEPHONE_RATE, high)
    line = F.mu_law_decoding(F.mu_law_encoding(line.clamp(-1, 1), 256), 256)
    return _fit(audio.resample(line.numpy(), TELEPHONE_RATE, rate), len(samples))


def reverberate(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """(samples,) heard through the impulse response (taps,): no later, no longer and as loud as before."""
    import torch
    import torchaudio.functional as F

    direct = response[np.abs(response).argmax() :]  # from the direct sound on: word times stay true
    heard = F.fftconvolve(torch.from_numpy(samples), torch.from_numpy(direct))[: len(samples)].numpy()
    return heard * np.sqrt(np.mean(samples**2) / max(np.mean(heard**2), 1e-20))


def _draw_noise(count: int, rate: int, files: tuple[Path, ...], rng: np.random.Generator) -> np.ndarray:
    """A piece (count,) of a drawn file at a drawn place, repeated where the file is shorter; of channels the first."""
    path = files[rng.integers(len(files))]
    seconds, place = audio.info(path).seconds, rng.random()
    wanted = count / rate
    start = place * max(0.0, seconds - wanted)
    samples, native = audio.read(path, start=start, end=min(start + wanted, seconds))
    noise = audio.resample(np.ascontiguousarray(samples[:, 0]), native, rate)
    if seconds <= wanted:
        noise = np.roll(noise, -int(place * len(noise)))
    return np.resize(noise, count)  # which repeats


def _in_room(samples: np.ndarray, rate: int, files: tuple[Path, ...], rng: np.random.Generator) -> np.ndarray:
    return reverberate(samples, audio.load(files[rng.integers(len(files))], rate, channel=0))


def _fit(samples: np.ndarray, count: int) -> np.ndarray:
    """(n,) -> (count,): resampling there and back may round to a sample more or less."""
    return np.pad(samples[:count], (0, max(0, count - len(samples))))
