"""The training loop.

One step: (1) load this rank's batches of the step, (2) count the target tokens of all ranks, (3) for each batch seed
all noise from (seed, step, place), run forward and backward on summed loss / tokens of the step, (4) clip, (5) set
the rate of this step and update. Weights, optimiser, step and a few named values are the only state: everything
else is a function of the step, so a killed run that is started again ends in the weights of a run never killed.
"""

import json
import math
import random
import signal
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechxfer import checkpoint, perturb, resume
from speechxfer.compilation import compile_layers, compiling, uncompiled
from speechxfer.data import Share, TrainingBatches, check_noise, read_limited, read_mixture, shares
from speechxfer.errors import ManifestError, TrainingError
from speechxfer.evaluate import Dev, collapse_advice
from speechxfer.manifest import expect_files
from speechxfer.models import complete, family_of, load_checkpoint, resolve, told
from speechxfer.optim import depths, learning_rate, make_optimiser, set_learning_rates, set_trainable
from speechxfer.parallel import Ranks, ranks
from speechxfer.plan import occupancy
from speechxfer.precision import choose_attention, choose_precision
from speechxfer.progress import TrainingLog, Window
from speechxfer.stitch import Stitched
from speechxfer.task import Task
from speechxfer.text import normalise

BEST, LAST = "best", "last"


@dataclass
class State:
    """The named values that survive a restart beside weights, optimiser and step."""

    best: float | None = None
    best_step: int = 0
    bad_evaluations: int = 0
    skips: int = 0
    ever_spoke: bool = False  # some dev word was right once: a new head's first gibberish is no speech


@dataclass(frozen=True)
class Result:
    """How training ended."""

    steps: int
    best_step: int
    best: float | None  # dev score of the best checkpoint
    reason: str  # "finished", "stopped early" or "terminated"


def train(task: Task, out: str | Path) -> Result:
    """Train `task` in the run folder `out`, or go on where an earlier call was stopped.

    Writes out/best and out/last (folders that transformers loads), out/step_* (training states), out/log.jsonl and
    out/tensorboard. Raises ManifestError, ConfigError, CheckpointError and TrainingError.
    """
    with ranks(task.run.device) as here:
        return _Training(task, Path(out), here).run()


def seed_everything(*key: int) -> None:
    """Seed python, numpy and torch from a key: transformers' time masking draws from numpy's global generator."""
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


class _Training:
    """Everything that one call of `train` holds."""

    def __init__(self, task: Task, out: Path, here: Ranks):
        expect_files([*(source.manifest for source in task.sources()), task.manifest("dev")])
        folder = resolve(task.model)
        self.task = task = complete(task, folder)
        self.out, self.here = out, here
        perturb.check(task.data.perturb)
        given = family_of(folder).given
        check_noise(task.data, given)
        mixture = read_mixture(task.sources(), given, task.data)
        dev, dev_left_out = read_limited(task.manifest("dev"), given, task.data)
        self.left_out = (*mixture.left_out, *dev_left_out)
        single = [m for m in mixture.manifests if not isinstance(m, Stitched)]  # whose pieces are in another of them
        seed_everything(task.run.seed)
        self.model = load_checkpoint(
            folder,
            texts=(normalise(task.normaliser, t) for m in single for t in m.texts()),
            vocabulary=task.data.vocabulary,
            normaliser=task.normaliser,
            changes=task.config,
            speech=told(task.speech, single, folder),
        )
        if task.run.checkpointing:
            self.model.net.gradient_checkpointing_enable()
        frontend = self.model.frontend
        lengths = [frontend.lengths(m) for m in mixture.manifests]
        fastest = max(task.data.perturb.speed, default=1.0)
        problems = [
            problem
            for manifest, length in zip(single, lengths, strict=False)  # they stand first
            for problem in frontend.problems(manifest, length, fastest)
        ]
        self.dev = Dev(dev, frontend, task, here)
        problems += frontend.problems(dev, self.dev.lengths)
        if problems:
            raise ManifestError("\n".join(problems))
        self.dev.better(0.0, None)  # refuses a best_by that there is not, before the first step
        self.plan = mixture.plan(np.concatenate(lengths), frontend, task.data, task.run)
        self.steps = task.run.steps or self._steps_of(task.run.epochs)
        self.batches = TrainingBatches(mixture, self.plan, frontend, task.data, task.run.seed)
        self.precision = choose_precision(task.run.precision, here.device)
        self.attention = choose_attention(task.run.attention, self.model.net, here.device)
        self.fixed = frozenset(name for name, p in self.model.named_parameters() if not p.requires_grad)
        for adaptation in task.adapt:
            adaptation.setup(self.model)
        self.model.to(here.device).train()
        if task.run.compile:
            compile_layers(self.model)
        self.depth = depths(self.model)
        self.optimiser = make_optimiser(self.model, task.optim)
        self.scaler = self.precision.scaler(here.device)
        self.state = State()
        self.fingerprint = resume.fingerprint(task, mixture, dev, self.steps)
        self.learning: frozenset[str] = frozenset()
        self.wrapped: nn.Module = self.model
        self.terminated = False
        self.single = sum(map(len, single))
        self.machine_changes: list[str] = []

    def _steps_of(self, epochs: float) -> int:
        whole, part = divmod(epochs, 1)
        before, after = self.plan.steps_before(int(whole)), self.plan.steps_before(math.ceil(epochs))
        return max(1, before + round(part * (after - before)))

    def run(self) -> Result:
        first = self._resume()
        log = TrainingLog(self.out, self.here, first, self.steps)
        self._introduce(log, first)
        previous = signal.signal(signal.SIGTERM, self._terminate)
        try:
            with compiling() if self.task.run.compile else nullcontext():
                return self._loop(first, log)
        finally:
            signal.signal(signal.SIGTERM, previous)
            log.close()

    def _terminate(self, *_: object) -> None:
        self.terminated = True

    def _loop(self, first: int, log: TrainingLog) -> Result:
        run, done = self.task.run, first
        window = Window()
        if reason := self._ended(first):
            killed_before_last = self.here.any(self.here.first and not (self.out / LAST).is_dir())
            return self._finish(done, reason) if killed_before_last else self._result(done, reason)
        for share in shares(self.batches, first, self.steps, self.task.data, self.here):
            window.add(self._step(share, log))
            done = share.step + 1
            log.step(done)
            last = done == self.steps
            if done % run.log_every == 0 or last:
                log.train(done, window.figures(self.here, self.model.frontend.unit, self._rate(share.step)))
                window = Window()
            if done % run.eval_every == 0 or last:
                self._evaluate(done, log)
                window.restart_clock()
            stop = self._stopped_early()
            terminated = self.here.any(self.terminated)
            if done % run.save_every == 0 or last or stop or terminated:
                self._save(done)
            if terminated and not last:
                log.say(f"terminated at step {done}: saved; the same command goes on from here")
                return self._result(done, "terminated")
            if stop:
                log.say(f"no better dev {run.best_by} in {run.patience} evaluations: stopped at step {done}")
                break
        return self._finish(done, self._ended(done))

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.steps, self.task.optim)

    def _step(self, share: Share, log: TrainingLog) -> dict[str, float]:
        """One update of the weights. Returns sums over this rank: loss, tokens, sizes; and the gradient norm."""
        task, step = self.task, share.step
        self._set_trainable(step)
        mine = sum(b.tokens for b in share.batches) * share.weight
        tokens, errors = self.here.sum(mine, share.error is not None)
        if errors:
            self.here.raise_together(share.error)
        self.model.draw(np.random.default_rng([task.run.seed, step]))
        loss_sum, failed = 0.0, []
        for number, (place, batch) in enumerate(zip(share.places, share.batches, strict=True)):
            seed_everything(task.run.seed, step, place)
            batch = batch.to(self.here.device)
            last = number == len(share.batches) - 1
            # Ranks exchange gradients once, in the backward pass of their last batch.
            alone = nullcontext() if last or self.here.world == 1 else self.wrapped.no_sync()
            with alone:
                with self.precision.autocast(self.here.device):
                    output = self.wrapped(batch)
                # DDP averages over ranks: times world makes it a sum, which the tokens of the step then divide.
                loss = output.loss_sum * (share.weight * self.here.world / tokens)
                for adaptation in task.adapt:
                    extra = adaptation.extra_loss(self.model, batch, output, step)
                    if extra is not None:  # once per step: each batch carries its part
                        loss = loss + extra * (share.weight * self.here.world * batch.tokens / tokens)
                self.scaler.scale(loss).backward()
            loss_sum += float(output.loss_sum.detach()) * share.weight
            finite = torch.isfinite(output.losses).tolist()
            failed += [i for i, ok in zip(batch.ids, finite, strict=True) if not ok]
        norm = self._update(step, failed, log)
        size, padded = (share.weight * sum(getattr(b, name) for b in share.batches) for name in ("size", "padded"))
        if not math.isfinite(norm):  # the weights did not see this step
            loss_sum = mine = 0.0
        return {"loss": loss_sum, "tokens": mine, "size": size, "padded": padded, "grad_norm": norm}

    def _update(self, step: int, failed: list[str], log: TrainingLog) -> float:
        """Clip and apply the gradients, or skip the step when they are not finite. Returns their norm."""
        self.scaler.unscale_(self.optimiser)
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.task.optim.clip or math.inf))
        set_learning_rates(self.optimiser, self._rate(step), self.task.adapt, self.depth, step)
        # Every rank holds the same gradients, so all agree; the names are of the rank that has them.
        if math.isfinite(norm):
            self.scaler.step(self.optimiser)
            for adaptation in self.task.adapt:
                adaptation.after_step(self.model, step)
        # An overflow while the loss is scaled up (fp16) is no fault of the examples: the scale goes down.
        elif self.scaler.get_scale() <= 1 or self.here.any(bool(failed)):
            self._skip(step, failed, log)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        return norm

    def _skip(self, step: int, failed: list[str], log: TrainingLog) -> None:
        names = sorted({i for part in self.here.gather(failed) for i in part})
        where = f"the loss of {', '.join(names)}" if names else "the gradient, though no loss,"
        self.state.skips += 1
        count = f"{self.state.skips} of {self.task.run.max_skips}"
        log.say(f"step {step + 1}: {where} is not finite: step skipped ({count})")
        if self.state.skips >= self.task.run.max_skips:
            raise TrainingError(
                f"step {step + 1}: {self.state.skips} steps had a loss or gradient that is not finite, the last in"
                f" {', '.join(names) or 'no single example'}; lower optim.lr ({self.task.optim.lr:g}), use"
                f" run.precision=fp32 (now {self.precision.name}), or look at these examples"
            )

    def _set_trainable(self, step: int) -> None:
        learning = set_trainable(self.model, self.task.adapt, self.depth, step, self.fixed)
        if learning != self.learning:
            self.learning = learning
            self.wrapped = self.here.wrap(self.model)

    def _evaluate(self, done: int, log: TrainingLog) -> None:
        """Score dev, keep the best weights, warn of a collapse."""
        with uncompiled() if self.task.run.compile else nullcontext():
            score = self.dev.score(self.model, self.precision)
        log.dev(done, score.figures)
        self.state.ever_spoke |= score.spoke
        if score.empty == 1:
            log.say(collapse_advice(self.task, self.model.silence, done, self.steps, self.state.ever_spoke))
        value = score.figures[self.task.run.best_by]
        if self.dev.better(value, self.state.best):
            self.state.best, self.state.best_step, self.state.bad_evaluations = value, done, 0
            self._write_model(BEST)
        else:
            self.state.bad_evaluations += 1

    def _stopped_early(self) -> bool:
        return 0 < self.task.run.patience <= self.state.bad_evaluations

    def _ended(self, done: int) -> str:
        """Why training is over after so many steps; empty when it is not."""
        if self._stopped_early():
            return "stopped early"
        return "finished" if done >= self.steps else ""

    def _write_model(self, name: str) -> None:
        if self.here.first:
            checkpoint.write_folder(self.out / name, self.model.save)
        self.here.wait()

    def _save(self, done: int) -> None:
        """Write the training state."""
        if self.here.first:
            named = {
                "state": vars(self.state),
                "scaler": self.scaler.state_dict(),
                "fingerprint": self.fingerprint,
                "machine": resume.machine(self.here, self.precision),
            }
            weights = checkpoint.unshared(self.model.state_dict()) | {
                f"adapt.{i}.{name}": tensor
                for i, adaptation in enumerate(self.task.adapt)
                for name, tensor in adaptation.state().items()
            }
            checkpoint.save_state(self.out, done, weights, self.optimiser.state_dict(), named, self.task.run.keep)
        self.here.wait()

    def _resume(self) -> int:
        """Load the newest state of this run, if there is one. Returns the steps done."""
        if self.here.first:
            self.out.mkdir(parents=True, exist_ok=True)
            checkpoint.clean(self.out, self.task.run.keep)
            for name in (BEST, LAST):
                checkpoint.restore_folder(self.out / name)
        self.here.wait()
        found = checkpoint.states(self.out)
        if not found:
            if self.here.first:
                written = json.dumps(self.fingerprint["task"], indent=1, ensure_ascii=False)
                (self.out / "task.json").write_text(written + "\n")
            return 0
        weights, optimiser, saved = checkpoint.load_state(found[-1])
        self.machine_changes = resume.compare(
            found[-1], saved, self.fingerprint, resume.machine(self.here, self.precision)
        )
        for i, adaptation in enumerate(self.task.adapt):
            prefix = f"adapt.{i}."
            names = [name for name in weights if name.startswith(prefix)]
            adaptation.load_state({name.removeprefix(prefix): weights.pop(name) for name in names})
        checkpoint.load_unshared(self.model, weights)
        self.optimiser.load_state_dict(optimiser)
        if self.scaler.is_enabled() and saved["scaler"]:  # empty when the run began in another precision
            self.scaler.load_state_dict(saved["scaler"])
        self.state = State(**saved["state"])
        return saved["step"]

    def _introduce(self, log: TrainingLog, first: int) -> None:
        """Say what is about to happen, with the figures that were derived."""
        costs, batches, unit = self.plan.costs, self.plan.epoch(0), self.model.frontend.unit
        parameters = sum(p.numel() for p in self.model.parameters())
        total = costs[: self.single].sum()  # stitched examples stand behind, and have nothing of their own
        total = f"{total / 3600:.2f} h" if unit == "s" else f"{total:.0f} {unit}"
        as_heard = self.plan.costs_of(0, np.arange(len(costs)))
        for name, value in self.fingerprint["task"].items():
            log.say(f"{name} = {value!r}")
        for line in (*self.left_out, *self.machine_changes):
            log.say(line)
        each, world = self.task.run.batches_per_step, self.here.world
        if idle := -each % world:
            log.say(
                f"warning: {world} processes share out {each} batches a step, so that {idle} of them work in vain while"
                f" it ends; expected a multiple: run.batches_per_step={each + idle}"
            )
        if reason := self._ended(first):
            todo = f"{reason} at step {first}: nothing is left to do"
        else:
            todo = f"going on from step {first} of {self.steps}" if first else f"training {self.steps} steps"
        log.say(
            f"{self.task.model}: {parameters / 1e6:.1f} M parameters,"
            f" vocabulary of {self.model.frontend.vocabulary_size}\n"
            f"train: {self.single} examples, {total}; an epoch has {len(batches)} batches,"
            f" {self.plan.steps_before(1)} steps, {100 * occupancy(batches, as_heard):.1f} % of it no padding\n"
            f"precision: {self.precision.name} ({self.precision.reason}); attention: {self.attention}\n"
            f"{todo}"
        )

    def _finish(self, done: int, reason: str) -> Result:
        self._write_model(LAST)
        return self._result(done, reason)

    def _result(self, done: int, reason: str) -> Result:
        return Result(done, self.state.best_step, self.state.best, reason)
