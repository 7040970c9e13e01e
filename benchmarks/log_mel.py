"""Log-mel features of audio that is not 30 s long, against transformers' extractor. Run: python benchmarks/log_mel.py

The extractor pads every example to 30 s; of its two paths this is the one by torch, which takes a batch at once or one
example at a time, as most recipes do. All begin with a list of arrays in the processor's memory and end with features
on the device. Lengths are those of Common Voice: lognormal, 5 s on average, 1.5 to 10 s; a batch holds neighbours of
the order by length, as the plan of an epoch cuts them. The ways take turns within each round; ratios are per round, the
time of the faster of the extractor's two ways to that of each, as median and (lowest to highest). One thread.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from speechxfer.models.log_mel import RATE, LogMel

ROUNDS, BATCH = 9, 16

Way = Callable[[list[np.ndarray]], torch.Tensor]


def with_extractor(mels: int, device: str) -> Way:
    extractor = WhisperFeatureExtractor(feature_size=mels)

    def compute(examples: list[np.ndarray]) -> torch.Tensor:
        found = extractor(examples, sampling_rate=RATE, return_tensors="pt", device=device)
        return found.input_features.to(device)

    return compute


def padded(examples: list[np.ndarray], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(samples) for samples in examples]
    lengths = torch.tensor([len(samples) for samples in examples], device=device)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device), lengths


def one_by_one(way: Way) -> Way:
    return lambda examples: torch.stack([way([samples])[0, :, :1] for samples in examples])


def times(ways: dict[str, Way], batches: list[list[np.ndarray]], device: str) -> dict[str, np.ndarray]:
    """Seconds of each round for each way, shape (ROUNDS,)."""
    clock = time.perf_counter if device == "cuda" else time.process_time  # a busy machine does not stretch the latter
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS + 2):  # the first two warm up
        for name, way in ways.items():
            began = clock()
            way(batches[round_number])
            if device == "cuda":
                torch.cuda.synchronize()
            if round_number >= 2:
                taken[name].append(clock() - began)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    seconds = np.sort(np.clip(rng.lognormal(np.log(4.8), 0.3, (ROUNDS + 2) * BATCH), 1.5, 10)).reshape(-1, BATCH)
    seconds = rng.permutation(seconds)
    batches = [[rng.normal(0, 0.1, int(s * RATE)).astype(np.float32) for s in row] for row in seconds]
    print(f"{ROUNDS} rounds of {BATCH} examples of {seconds.mean():.1f} s, torch {torch.__version__}, one thread")
    print(f"{'device':6} {'mels':>4}  {'way':24} {'audio s / s':>11}  extractor's time / its time")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for mels in (80, 128):
            log_mel, extractor = LogMel(mels), with_extractor(mels, device)
            ways = {
                "extractor": extractor,
                "extractor, one by one": one_by_one(extractor),
                "LogMel": lambda examples, own=log_mel, at=device: own(*padded(examples, at))[0],
                "LogMel, one by one": one_by_one(lambda one, own=log_mel, at=device: own(*padded(one, at))[0]),
                "LogMel.full": lambda examples, own=log_mel, at=device: own.full(*padded(examples, at)),
            }
            taken = times(ways, batches, device)
            fastest = np.minimum(taken["extractor"], taken["extractor, one by one"])
            heard = seconds[2:].sum(axis=1)
            for name in ways:
                ratio = fastest / taken[name]
                print(
                    f"{device:6} {mels:>4}  {name:24} {np.median(heard / taken[name]):11.0f}  "
                    f"{np.median(ratio):5.1f} ({ratio.min():.1f} to {ratio.max():.1f})"
                )


if __name__ == "__main__":
    main()
