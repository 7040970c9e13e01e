"""Log-mel features of a batch of audio, as Whisper was trained on, computed where the model is.

The feature extractors at hand pad every example to 30 s before they transform it, so five sixths of the work on a
sentence of 5 s are spent on silence. Here only frames that exist are computed, and the silence is known without it.

`LogMel` is no nn.Module. What it computes with is fixed by the architecture, so it is neither saved nor synchronised
nor sharded, and casting a model to half precision must not round it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

RATE = 16_000  # samples a second
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
LONGEST = 3000  # frames: the 30 s that the encoder has positions for
BINS = WINDOW // 2 + 1
FLOOR = 1e-10  # power, so that the logarithm of silence is -10
RANGE = 8.0  # powers of ten below an example's loudest value; all that is lower is raised to it
AT_ONCE = 4  # examples: so few that their spectra stay in a processor's cache
TAIL = 2  # frames that begin behind the last sample and yet reach back over it


def slaney_filters(mels: int) -> np.ndarray:
    """(mels, BINS) float32: triangles on Slaney's mel scale up to 8 kHz, each of unit area, as librosa makes them."""
    filters = mel_filter_bank(BINS, mels, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
    return np.ascontiguousarray(filters.T, dtype=np.float32)


def log_power(samples: torch.Tensor, window: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """(batch, frames * HOP) -> (batch, mels, frames): powers of ten in each filter's band."""
    spectrum = torch.stft(samples, WINDOW, HOP, window=window, return_complex=True)[..., :-1]
    power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)  # in a sixth of the time of abs() ** 2
    return (filters @ power).clamp_(min=FLOOR).log10_()


class LogMel:
    """Samples at 16 kHz -> log-mel features, in float32 on the device of the samples, also under autocast.

    longest: frames that the encoder has positions for, twice as many as those.
    """

    def __init__(self, mels: int, longest: int = LONGEST):
        self.mels = mels
        self.longest = longest
        self.window = torch.hann_window(WINDOW, dtype=torch.float32, device="cpu")
        self.filters = torch.from_numpy(slaney_filters(mels))
        self._at: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, samples: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the audio that is there.

        samples: (batch, n) at 16 kHz, -1..1. lengths: (batch,) how many of them are each example's own; what stands
        behind them is not looked at. Returns (batch, mels, ceil(n / HOP)) float32, zero behind an example's frames,
        and (batch,) the number of its frames, ceil(length / HOP).

        An example's frames are the first that `WhisperFeatureExtractor` gives for it alone, whose formula this is:
        reflected before the first sample, zeros behind the last. Raises ValueError when n is more than 30 s.
        """
        features, _ = self._transform(samples, lengths)
        frames = (lengths + HOP - 1).div(HOP, rounding_mode="floor")
        features = features[..., : -(-samples.shape[1] // HOP)]
        real = torch.arange(features.shape[-1], device=samples.device) < frames[:, None]
        return features.masked_fill(~real[:, None], 0.0), frames

    def full(self, samples: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(batch, mels, longest) float32: likewise, of the audio followed by silence up to 30 s."""
        features, silence = self._transform(samples, lengths)
        behind = silence.expand(-1, self.mels, self.longest - features.shape[-1])
        return torch.cat([features, behind], dim=-1)

    def _transform(self, samples: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (batch, mels, frames) of all frames that any sample reaches, and of silence, (batch, 1, 1)."""
        count = samples.shape[1]
        if count > self.longest * HOP:
            raise ValueError(f"{count / RATE:.2f} s of audio; expected at most {self.longest * HOP // RATE} s")
        window, filters = self._on(samples.device)
        # A loud end may be loudest in a frame of the tail. At 30 s there is none: the end is reflected, as stft does.
        frames = min(-(-count // HOP) + TAIL, self.longest)
        behind = torch.arange(count, device=samples.device) >= lengths[:, None]
        heard = F.pad(samples.float().masked_fill(behind, 0.0), (0, frames * HOP - count))
        at_once = AT_ONCE if samples.device.type == "cpu" else len(samples)
        with torch.autocast(samples.device.type, enabled=False):
            level = torch.cat([log_power(rows, window, filters) for rows in heard.split(at_once)])
            lowest = level.amax(dim=(1, 2), keepdim=True) - RANGE
            silence = lowest.clamp(min=np.log10(FLOOR))
            return (torch.maximum(level, lowest) + 4) / 4, (silence + 4) / 4

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Window and filters on a device."""
        if device not in self._at:
            self._at[device] = self.window.to(device), self.filters.to(device)
        return self._at[device]
