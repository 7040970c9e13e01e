"""From a plan to the batches of a step: loading, perturbing and padding in loader workers.

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

from speechxfer.errors import ConfigError, ManifestError, SpeechxferError
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models.base import Batch, Frontend, Noise
from speechxfer.parallel import Ranks
from speechxfer.perturb import Perturb, speeds
from speechxfer.plan import Plan, by_length, cut, draw
from speechxfer.problems import PIECE_TOLERANCE, Problems
from speechxfer.stitch import Stitched, stitch, windows
from speechxfer.task import Data, Run, Source

MEASURED, QUANTILE = 1_000, 0.98  # examples whose drawn pieces are counted, and which of their lengthenings is taken


@dataclass(frozen=True)
class Mixture:
    """Several manifests under one numbering, each with its weight."""

    manifests: tuple[Manifest | Stitched, ...]
    weights: tuple[float, ...]
    left_out: tuple[str, ...] = ()  # what the length limits left out, what was cut and what joined, in words

    def __getitem__(self, index: int) -> Example:
        for manifest in self.manifests:
            if index < len(manifest):
                return manifest[int(index)]
            index -= len(manifest)
        raise IndexError(index)

    def draw(self, seed: int, epoch: int) -> np.ndarray:
        """The examples of an epoch."""
        sizes = [m.ways if isinstance(m, Stitched) else len(m) for m in self.manifests]
        return draw(sizes, self.weights, seed, epoch)

    def plan(self, lengths: np.ndarray, frontend: Frontend, data: Data, run: Run) -> Plan:
        """`lengths` are of all examples, as the frontend has them."""
        draw_epoch, factors = partial(self.draw, run.seed), None
        # no lambdas: spawned workers are sent the plan as a pickle
        if data.perturb.speed:
            factors = partial(_slower, data.perturb.speed, run.seed)
        elif data.sampling:
            factors = partial(_longer, self._lengthened(lengths, frontend, data))
        return Plan(lengths, frontend.budget(data), run.batches_per_step, run.seed, draw_epoch, factors)

    def _lengthened(self, lengths: np.ndarray, frontend: Frontend, data: Data) -> float:
        """By how much drawn pieces are more than the best ones, which are what was counted; measured on some examples.

        The longest of a batch is what it costs, so it is a high quantile: on English-German and English-Hindi text
        batches then came to 0.99 to 1.03 of their budget on average, the greatest to 1.4, whatever the alpha.
        """
        some = np.linspace(0, len(lengths) - 1, min(MEASURED, len(lengths)), dtype=int)
        noises = (Noise(data, 1.0, np.random.default_rng(int(i))) for i in some)
        drawn = [frontend.load(self[i], noise) for i, noise in zip(some, noises, strict=True)]
        sizes = np.array([frontend.collate([item]).size for item in drawn])
        return max(1.0, float(np.quantile(sizes / lengths[some].sum(axis=1), QUANTILE)))


def _slower(choices: Sequence[float], seed: int, epoch: int, examples: np.ndarray) -> np.ndarray:
    return 1 / speeds(choices, seed, epoch, examples)


def _longer(factor: float, epoch: int, examples: np.ndarray) -> np.ndarray:
    return np.full(len(examples), factor)


def read_mixture(sources: Sequence[Source], given: str, data: Data) -> Mixture:
    """Read the training manifests and leave out what the length limits exclude. `given` as `read_examples` has it.

    Recordings that are too long are cut where they have segments. Raises ManifestError.
    """
    manifests, said = [], []
    for source in sources:
        manifest, words = read_limited(source.manifest, given, data)
        manifests.append(manifest)
        said += words
    weights = [s.weight * len(m) ** (1 / data.temperature) for s, m in zip(sources, manifests, strict=True)]
    if data.stitch:
        joined = [stitch(manifest, min(data.longest, data.batch_seconds)) for manifest in manifests]
        for one, manifest, weight in zip(joined, manifests, tuple(weights), strict=True):
            single, together = manifest.seconds.mean(), one.seconds.mean()
            seconds = data.stitch / (1 - data.stitch)  # for each second of single utterances
            weights.append(weight * seconds * single / together)
            said.append(
                f"{manifest.name}: joined {len(manifest)} utterances in {len(one.ways)} ways to {together:.1f} s on"
                f" average, for {100 * data.stitch:g} % of the audio (data.stitch)"
            )
        manifests += joined
    return Mixture(tuple(manifests), tuple(weights), tuple(said))


def read_limited(source: str | Path, given: str, data: Data) -> tuple[Manifest, list[str]]:
    """The examples of a manifest of train or dev, as the length limits have them, and lines about what they did.

    Recordings that are too long are cut where they have segments, and where they have none refused, or left out if
    data.max_seconds is set. `given` as `read_examples` has it. Raises ManifestError.
    """
    whole = read_examples(source, given, "text")
    if given != "audio":
        return whole, []
    cut_up = windows(whole, data.longest)
    manifest, said = within_limits(cut_up, data)
    if cut_up is not whole:
        said.insert(
            0,
            f"{whole.name}: cut recordings longer than {data.longest:g} s (data.max_seconds) between their"
            f" segments: {len(whole)} rows became {len(cut_up)} examples",
        )
    return manifest, said


def read_examples(source: str | Path, given: str, *require: str) -> Manifest:
    """A manifest whose every example has what is `given` to the model, "audio" (with its file) or "source".

    `require` are other fields that every example must have. Raises ManifestError.
    """
    manifest = read_manifest(source, require=(given, *require))
    if given == "audio":
        manifest.check_audio()
    return manifest


def check_noise(data: Data, given: str) -> None:
    """Raise ConfigError for noise that is for another input than the `given` one, and would do nothing."""
    if given != "audio" and data.perturb != Perturb():
        raise ConfigError("data.perturb is for audio; expected data.sampling for the noise of a translation model")
    if given != "audio" and data.stitch:
        raise ConfigError("data.stitch is for audio; a translation model takes sentences as they are")
    if given == "audio" and data.sampling:
        raise ConfigError("data.sampling is for the source of a translation model; expected data.perturb for audio")


def within_limits(manifest: Manifest, data: Data) -> tuple[Manifest, list[str]]:
    """The examples between min_seconds and max_seconds, and a line about those that are not, if there are any.

    Raises ManifestError when no example is, and with all that are too long where nobody said how long is too long.
    """
    seconds, longest = manifest.seconds, data.longest
    long = seconds > longest
    if data.max_seconds is None:
        long = seconds > longest + PIECE_TOLERANCE  # corpora that were cut to it are a few hundredths over
        problems, rows = Problems(manifest.name), np.flatnonzero(long)
        advice = "give `segments` with times, or cut it with start/end; data.max_seconds=30 leaves out what is longer"
        problems.add_rows(
            "long",
            manifest.column("line").to_numpy()[rows],
            lambda place: (
                f"{manifest[int(rows[place])].id} lasts {seconds[rows[place]]:.2f} s with one text; expected"
                f" at most {longest:g} s: {advice}"
            ),
        )
        problems.raise_any()
    outside = long | (seconds < data.min_seconds)
    if outside.all():
        raise ManifestError(
            f"{manifest.name}: no example lasts between {data.min_seconds:g} and {longest:g} s;"
            " set data.min_seconds and data.max_seconds, or cut the recordings with `segments` or start/end"
        )
    if not outside.any():
        return manifest, []
    words = (
        f"{manifest.name}: left out {np.count_nonzero(outside)} of {len(manifest)} examples, shorter than"
        f" {data.min_seconds:g} s or longer than {longest:g} s (data.min_seconds, data.max_seconds)"
    )
    if long.any():
        words += "; `segments` with times, or start/end, keep long recordings"
    return manifest.select(np.flatnonzero(~outside)), [words]


@dataclass(frozen=True)
class TrainingBatches(Dataset):
    """Batches of a plan by (step, place)."""

    mixture: Mixture
    plan: Plan
    frontend: Frontend
    data: Data
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Batch | SpeechxferError:
        step, place = key
        items = []
        batch, (epoch, _) = self.plan.step(step)[place], self.plan.locate(step)
        factors = speeds(self.data.perturb.speed, self.seed, epoch, batch)
        try:
            for position, (index, speed) in enumerate(zip(batch, factors, strict=True)):
                rng = np.random.default_rng([self.seed, step, place, position])
                items.append(self.frontend.load(self.mixture[index], Noise(self.data, float(speed), rng)))
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
class ListedBatches(Dataset):
    """Batches of a manifest: for evaluation and prediction."""

    manifest: Manifest
    frontend: Frontend
    batches: tuple[np.ndarray, ...]

    def __getitem__(self, number: int) -> Batch | SpeechxferError:
        try:
            items = [self.frontend.load(self.manifest[int(i)]) for i in self.batches[number]]
        except SpeechxferError as error:
            return error
        return self.frontend.collate(items)


def length_sorted(lengths: np.ndarray, budget: float) -> list[np.ndarray]:
    """Batches of all examples by their lengths (n,) or (n, k), longest first.

    The first then shows whether memory is enough. An example over the budget is a batch of its own.
    """
    order = by_length(lengths, budget)[::-1]
    over = lengths.reshape(len(lengths), -1).sum(axis=1)[order] > budget
    return [*order[over][:, None], *cut(order[~over], lengths, budget)]


def load_batches(
    manifest: Manifest, batches: Sequence[np.ndarray], frontend: Frontend, data: Data
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(indices, batch) of these batches of a manifest, without noise."""
    dataset = ListedBatches(manifest, frontend, tuple(batches))
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
