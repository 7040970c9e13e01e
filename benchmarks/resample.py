"""Which resampler: torchaudio or soxr, by quality first and time second. Run: python benchmarks/resample.py

Quality needs no peer: a tone below both Nyquist frequencies is known at any rate, so the SNR against the ideal tone is
the error of the passband; a tone above the new Nyquist should vanish, so what is left of it is the alias. The table
shows the worst of 24 tones in each band, edges (the filter's transition, 0.9 to 1.1 of the Nyquist) left out. Time
alternates between the resamplers within each round, on one thread as in a loading worker; ratios are
per round, to `soxr HQ`, as median and (lowest to highest).
"""

import time
from collections.abc import Callable

import numpy as np
import soxr
import torch
import torchaudio.functional as F

PAIRS = ((48000, 16000), (44100, 16000), (24000, 16000), (22050, 16000), (8000, 16000))
SECONDS, ROUNDS, TONES = 10, 15, 24
KAISER_BEST = {  # the settings that torchaudio's documentation gives for parity with resampy's kaiser_best
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}

Resampler = Callable[[np.ndarray, int, int], np.ndarray]


def with_soxr(quality: str) -> Resampler:
    return lambda samples, old, new: soxr.resample(samples, old, new, quality=quality)


def with_torchaudio(settings: dict) -> Resampler:
    return lambda samples, old, new: F.resample(torch.from_numpy(samples), old, new, **settings).numpy()


RESAMPLERS = {
    "soxr HQ": with_soxr("HQ"),
    "soxr VHQ": with_soxr("VHQ"),
    "soxr MQ": with_soxr("MQ"),
    "torchaudio default": with_torchaudio({}),
    "torchaudio width 32": with_torchaudio({"lowpass_filter_width": 32}),
    "torchaudio kaiser_best": with_torchaudio(KAISER_BEST),
}


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return 10 * np.log10(np.sum(part**2) / max(np.sum(whole**2), 1e-30))


def passband_snr(resample: Resampler, old: int, new: int) -> float:
    """Lowest SNR in dB of tones up to 0.9 of the lower Nyquist, without 0.1 s at each end, where the filter fills."""
    worst = np.inf
    for frequency in np.linspace(50, 0.9 * min(old, new) / 2, TONES):
        found = resample(tone(frequency, old).astype(np.float32), old, new).astype(np.float64)
        ideal = tone(frequency, new)[: len(found)]
        inner = slice(new // 10, len(ideal) - new // 10)
        worst = min(worst, decibels(ideal[inner], (found[: len(ideal)] - ideal)[inner]))
    return worst


def alias_attenuation(resample: Resampler, old: int, new: int) -> float:
    """Least attenuation in dB of tones from 1.1 of the new Nyquist to the old one; nan when the rate goes up."""
    if new >= old:
        return np.nan
    worst = np.inf
    for frequency in np.linspace(1.1 * new / 2, 0.98 * old / 2, TONES):
        source = tone(frequency, old)
        left = resample(source.astype(np.float32), old, new).astype(np.float64)[new // 10 : -new // 10]
        worst = min(worst, -decibels(left, source[old // 10 : -old // 10]) - 10 * np.log10(old / new))
    return worst


def times(old: int, new: int) -> dict[str, np.ndarray]:
    """Seconds of each round for each resampler, shape (ROUNDS,)."""
    samples = np.random.default_rng(0).normal(0, 0.1, SECONDS * old).astype(np.float32)
    taken = {name: [] for name in RESAMPLERS}
    for round_number in range(ROUNDS + 2):  # the first two warm up
        for name, resample in RESAMPLERS.items():
            began = time.perf_counter()
            resample(samples, old, new)
            if round_number >= 2:
                taken[name].append(time.perf_counter() - began)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def main() -> None:
    torch.set_num_threads(1)
    print(f"{SECONDS} s of audio, {ROUNDS} rounds, soxr {soxr.__version__}, torch {torch.__version__}, one thread")
    print(f"{'rates':>15}  {'resampler':22} {'passband SNR':>12} {'alias':>9} {'ms':>8}  time / soxr HQ")
    for old, new in PAIRS:
        taken = times(old, new)
        for name, resample in RESAMPLERS.items():
            ratio = taken[name] / taken["soxr HQ"]
            print(
                f"{old:>6} -> {new:>5}  {name:22} {passband_snr(resample, old, new):9.1f} dB "
                f"{alias_attenuation(resample, old, new):6.1f} dB {1e3 * np.median(taken[name]):8.2f}  "
                f"{np.median(ratio):5.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
            )


if __name__ == "__main__":
    main()
