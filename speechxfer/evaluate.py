"""Scoring dev while training: loss per token and the task's metrics, shared out over the ranks."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speechxfer import text
from speechxfer.data import length_sorted, load_batches
from speechxfer.errors import ConfigError, SpeechxferError
from speechxfer.manifest import Manifest
from speechxfer.models.base import Frontend, Model
from speechxfer.parallel import Ranks
from speechxfer.precision import Precision
from speechxfer.scoring import metrics
from speechxfer.scoring.items import VERBATIM
from speechxfer.scoring.metrics import Metric
from speechxfer.task import Task

LOSS = "loss"


@dataclass(frozen=True)
class DevScore:
    """What follows from sums over dev."""

    figures: dict[str, float]  # loss per token, and each metric
    empty: float  # share of hypotheses without a character
    spoke: bool  # whether a word of a reference was in its hypothesis


@dataclass(frozen=True)
class Dev:
    """The dev manifest, ready to be scored again and again. `task` names its metrics."""

    manifest: Manifest
    frontend: Frontend
    task: Task
    here: Ranks

    @cached_property
    def refs(self) -> list[str]:
        return list(self.manifest.texts())

    @cached_property
    def sources(self) -> list[str | None]:
        return self.manifest.column("source").to_pylist()

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.frontend.lengths(self.manifest)

    @cached_property
    def metrics(self) -> list[Metric]:
        """Without those that need more than texts: a glossary's terms are looked for when a run is scored."""
        found = [metrics.find(name, self.refs) for name in self.task.metrics]
        return [metric for metric in found if metric.name != "glossary"]

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value of run.best_by is better than the best so far. Raises ConfigError for what dev has not."""
        name = self.task.run.best_by
        higher = {LOSS: False} | {metric.name: metric.higher_is_better for metric in self.metrics}
        if name not in higher:
            raise ConfigError(f"run.best_by is {name!r}; expected one of {', '.join(higher)}")
        if best is None or math.isnan(best):
            return True
        return value > best if higher[name] else value < best

    @torch.no_grad()
    def score(self, model: Model, precision: Precision) -> DevScore:
        """Score the model; it is left in training mode."""
        model.eval()
        sums, error = [], None
        try:
            sums = self._sums(model, precision)
        except SpeechxferError as found:
            error = found
        self.here.raise_together(error)
        model.train()
        loss, tokens, empty, right, n, *counts = self.here.sum(*sums)
        figures, start = {LOSS: loss / tokens}, 0
        for metric in self.metrics:
            end = start + len(metric.columns)
            figures[metric.name] = float(metric.value(np.array(counts[start:end])))
            start = end
        return DevScore(figures, empty / n, right > 0)

    def _sums(self, model: Model, precision: Precision) -> list[float]:
        """Over this rank's examples: loss, tokens, hypotheses that are empty, have a right word, all; metrics' sums."""
        loss = tokens = empty = right = 0.0
        batches = length_sorted(self.lengths, self.frontend.budget(self.task.data))
        mine = batches[self.here.rank :: self.here.world]
        texts: dict[str, list] = {"sources": [], "references": [], "hypotheses": []}
        for indices, batch in load_batches(self.manifest, mine, self.frontend, self.task.data):
            with precision.autocast(self.here.device):
                output, written = model.evaluate(batch.to(self.here.device))
            loss, tokens = loss + float(output.loss_sum), tokens + output.tokens
            for index, hyp in zip(indices, written, strict=True):
                texts["sources"].append(self.sources[index])
                texts["references"].append(self.refs[index])
                texts["hypotheses"].append(hyp)
                empty += not hyp.strip()
                right += not set(self._words(hyp)).isdisjoint(self._words(self.refs[index]))
        counts = [self._statistics(metric, texts) for metric in self.metrics]
        return [loss, tokens, empty, right, len(texts["hypotheses"]), *itertools.chain(*counts)]

    def _words(self, written: str) -> list[str]:
        return text.normalise(self.task.scored_by(), written).split()

    def _statistics(self, metric: Metric, texts: dict[str, list]) -> np.ndarray:
        """The metric's statistics, summed over these texts; of a rank that has none, zeros."""
        if not texts["hypotheses"]:
            return np.zeros(len(metric.columns))
        name = VERBATIM if metric.verbatim else self.task.scored_by()
        given = {kind: [text.normalise(name, one or "") for one in texts[kind]] for kind in metric.reads}
        if "references" in given:
            given["references"] = [[ref] for ref in given["references"]]
        return metric.statistics(*given.values()).sum(axis=0)


def collapse_advice(task: Task, silence: str, done: int, steps: int, ever_spoke: bool) -> str:
    """What to say when nothing is written for any example of dev. `silence` is what the model gives then."""
    if ever_spoke:
        cause = (
            f"the model got words right before and has collapsed: lower optim.lr ({task.optim.lr:g}), lengthen"
            f" optim.warmup ({task.optim.warmup:g}) or lower optim.clip ({task.optim.clip:g})"
        )
    elif done <= max(task.optim.warmup * steps, 0.2 * steps):
        cause = "usual for a new head in its first steps; if it lasts, raise optim.lr or train longer"
    else:
        cause = (
            f"the model never gave anything but {silence}: train longer (run.steps {steps}), raise optim.lr"
            f" ({task.optim.lr:g}), thaw layers (adapt), and check that each text belongs to its recording (is the"
            " sampling rate right?) or source"
        )
    return f"step {done}: every dev hypothesis is empty ({silence}): {cause}"
