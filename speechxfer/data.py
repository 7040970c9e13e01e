"""From a plan to the batches of a step: reading, perturbing and padding in loader workers.

All noise is drawn from (seed, step, place in the step, place in the batch), so what a batch looks like does not
hang on which worker or rank loads it, nor on what was loaded before.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Dataset

from speechxfer import audio
from speechxfer.errors import ManifestError, SpeechxferError
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models.base import Batch, Frontend
from speechxfer.parallel import Ranks
from speechxfer.perturb import Perturb, perturb, speeds
from speechxfer.plan import Plan, cut, draw
from speechxfer.task import Data, Run, Source


@dataclass(frozen=True)
class Mixture:
    """Several manifests under one numbering, each with its weight."""

    manifests: tuple[Manifest, ...]
    weights: tuple[float, ...]
    left_out: tuple[str, ...] = ()  # what the length limits left out, in words

    @property
    def seconds(self) -> np.ndarray:
        return np.concatenate([m.seconds for m in self.manifests])

    def __getitem__(self, index: int) -> Example:
        for manifest in self.manifests:
            if index < len(manifest):
                return manifest[int(index)]
            index -= len(manifest)
        raise IndexError(index)

    def draw(self, seed: int, epoch: int) -> np.ndarray:
        """The examples of an epoch."""
        return draw([len(m) for m in self.manifests], self.weights, seed, epoch)

    def plan(self, data: Data, run: Run) -> Plan:
        # no lambdas: spawned workers are sent the plan as a pickle
        draw_epoch, slower = partial(self.draw, run.seed), partial(_slower, data.perturb.speed, run.seed)
        return Plan(self.seconds, data.batch_seconds, run.batches_per_step, run.seed, draw_epoch, slower)


def _slower(choices: Sequence[float], seed: int, epoch: int, examples: np.ndarray) -> np.ndarray:
    return 1 / speeds(choices, seed, epoch, examples)


def read_mixture(sources: Sequence[Source], data: Data) -> Mixture:
    """Read the training manifests and leave out what the length limits exclude. Raises ManifestError."""
    manifests, left_out = [], []
    for source in sources:
        manifest, words = within_limits(read_speech(source.manifest), data)
        manifests.append(manifest)
        left_out += words
    return Mixture(tuple(manifests), tuple(s.weight for s in sources), tuple(left_out))


def read_speech(source: str | Path, require: Sequence[str] = ("audio", "text")) -> Manifest:
    """A manifest whose every example has these fields and an audio file that is there. Raises ManifestError."""
    manifest = read_manifest(source, require=require)
    manifest.check_audio()
    return manifest


def within_limits(manifest: Manifest, data: Data) -> tuple[Manifest, list[str]]:
    """The examples between min_seconds and max_seconds, and a line about those that are not, if there are any.

    Raises ManifestError when no example is within the limits.
    """
    fits = (manifest.seconds >= data.min_seconds) & (manifest.seconds <= data.max_seconds)
    if not fits.any():
        raise ManifestError(
            f"{manifest.name}: no example lasts between {data.min_seconds:g} and {data.max_seconds:g} s;"
            " set data.min_seconds and data.max_seconds, or cut the recordings with start/end"
        )
    if fits.all():
        return manifest, []
    words = (
        f"{manifest.name}: left out {np.count_nonzero(~fits)} of {len(manifest)} examples, shorter than"
        f" {data.min_seconds:g} s or longer than {data.max_seconds:g} s (data.min_seconds, data.max_seconds)"
    )
    return manifest.select(np.flatnonzero(fits)), [words]


def load_samples(example: Example, rate: int) -> np.ndarray:
    """(n,) float32 samples of an example at `rate`. Raises AudioError."""
    return audio.load(example.audio, rate, start=example.start, end=example.end, channel=example.channel)


@dataclass(frozen=True)
class TrainingBatches(Dataset):
    """Batches of a plan by (step, place)."""

    mixture: Mixture
    plan: Plan
    frontend: Frontend
    perturb: Perturb
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Batch | SpeechxferError:
        step, place = key
        items, rate = [], self.frontend.rate
        batch, (epoch, _) = self.plan.step(step)[place], self.plan.locate(step)
        factors = speeds(self.perturb.speed, self.seed, epoch, batch)
        try:
            for position, (index, speed) in enumerate(zip(batch, factors, strict=True)):
                example = self.mixture[index]
                rng = np.random.default_rng([self.seed, step, place, position])
                samples = perturb(load_samples(example, rate), rate, self.perturb, float(speed), rng)
                items.append(self.frontend.features(example, samples))
        except SpeechxferError as error:  # as a value: a worker's exception arrives wrapped in its traceback
            return error
        return self.frontend.collate(items)


@dataclass(frozen=True)
class Share:
    """One rank's part of a step: its batches, and the weight of each in the loss.

    A rank that is left without a batch takes part with the first one at weight 0, since every rank must join the
    exchange of gradients.
    """

    step: int
    places: tuple[int, ...]
    batches: tuple[Batch, ...]
    weight: float
    error: SpeechxferError | None = None  # why a batch of it could not be loaded


def shares(batches: TrainingBatches, first: int, last: int, data: Data, ranks: Ranks) -> Iterator[Share]:
    """This rank's shares of steps `first` .. `last` - 1, loaded ahead by workers."""

    def places(step: int) -> list[int]:
        return list(range(len(batches.plan.step(step))))[ranks.rank :: ranks.world] or [0]

    keys = ((step, place) for step in range(first, last) for place in places(step))
    loaded = iter(_loader(batches, keys, data.workers))
    try:
        for step in range(first, last):
            mine = places(step)
            weight = 0.0 if ranks.rank >= len(batches.plan.step(step)) else 1.0
            found = [next(loaded) for _ in mine]
            error = next((f for f in found if isinstance(f, SpeechxferError)), None)
            yield Share(step, tuple(mine), () if error else tuple(found), weight, error)
    finally:
        del loaded  # ends its workers now: an error's traceback may hold this frame for long


@dataclass(frozen=True)
class SortedBatches(Dataset):
    """Batches of a manifest by decreasing length: for evaluation and prediction, where order is free."""

    manifest: Manifest
    frontend: Frontend
    batches: tuple[np.ndarray, ...]

    def __getitem__(self, number: int) -> Batch | SpeechxferError:
        try:
            examples = [self.manifest[int(i)] for i in self.batches[number]]
            items = [self.frontend.features(e, load_samples(e, self.frontend.rate)) for e in examples]
        except SpeechxferError as error:
            return error
        return self.frontend.collate(items)


def sorted_batches(
    manifest: Manifest, indices: np.ndarray, frontend: Frontend, batch_seconds: float, data: Data
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(indices, batch) over these examples, longest first; a budget below the longest example is raised to it."""
    if not len(indices):
        return
    seconds = manifest.seconds[indices]
    order = np.argsort(-seconds, kind="stable")
    batches = tuple(indices[b] for b in cut(order, seconds, max(batch_seconds, float(seconds.max()))))
    dataset = SortedBatches(manifest, frontend, batches)
    for chosen, batch in zip(batches, _loader(dataset, range(len(batches)), data.workers), strict=True):
        yield chosen, _checked(batch)


def _loader(dataset: Dataset, keys: Iterator, workers: int) -> DataLoader:
    if workers < 0:
        workers = min(4, max((os.cpu_count() or 1) - 1, 0))
    sampler = _Keys(keys)
    return DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=workers, worker_init_fn=_heed_parent_alone)


def _heed_parent_alone(_: int) -> None:
    """Let a loader worker pass over the signals that its parent acts on.

    torchrun, schedulers and a Ctrl-C send theirs to every process of a job. A worker that ended at once would take
    the training down with it, before the state is saved. Only the parent's own SIGTERM ends a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_parents_sigterm, daemon=True).start()


def _await_parents_sigterm() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


@dataclass(frozen=True)
class _Keys:
    """Any iterable as a sampler."""

    keys: Iterator

    def __iter__(self):
        return iter(self.keys)


def _checked(loaded: Batch | SpeechxferError) -> Batch:
    if isinstance(loaded, SpeechxferError):
        raise loaded
    return loaded
