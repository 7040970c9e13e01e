"""Scoring dev while training: loss per token, WER and CER, shared out over the ranks."""

from dataclasses import dataclass

import numpy as np
import torch

from speechxfer.data import sorted_batches
from speechxfer.errors import SpeechxferError
from speechxfer.manifest import Manifest
from speechxfer.models.base import Frontend, Model
from speechxfer.parallel import Ranks
from speechxfer.precision import Precision
from speechxfer.scoring import edits
from speechxfer.task import Task
from speechxfer.text import normalise

METRICS = ("wer", "cer")


@dataclass(frozen=True)
class DevScore:
    """Sums over dev, from which the figures follow."""

    loss: float  # per token
    wer: float
    cer: float
    empty: float  # share of transcripts without a character

    def figures(self) -> dict[str, float]:
        return {"loss": self.loss, "wer": self.wer, "cer": self.cer}


@dataclass(frozen=True)
class Dev:
    """The dev manifest, ready to be scored again and again."""

    manifest: Manifest
    frontend: Frontend
    task: Task
    here: Ranks

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
        loss, tokens, empty, n, *edits = self.here.sum(*sums)
        return DevScore(loss / tokens, edits[0] / edits[1], edits[2] / edits[3], empty / n)

    def _sums(self, model: Model, precision: Precision) -> list[float]:
        """Of this rank's examples: loss, tokens, empty transcripts, examples; errors and length of each metric."""
        refs = list(self.manifest.texts())
        mine = np.arange(len(self.manifest))[self.here.rank :: self.here.world]
        loss = tokens = empty = 0.0
        counts = dict.fromkeys(METRICS, edits.Counts.zero())
        budget = self.task.data.batch_seconds
        for indices, batch in sorted_batches(self.manifest, mine, self.frontend, budget, self.task.data):
            with precision.autocast(self.here.device):
                output, texts = model.evaluate(batch.to(self.here.device))
            loss, tokens = loss + float(output.loss_sum), tokens + output.tokens
            for index, hyp in zip(indices, texts, strict=True):
                ref, hyp = (normalise(self.task.scored_by(), t) for t in (refs[index], hyp))
                empty += not hyp
                counts = {name: total + edits.count(name, ref, hyp) for name, total in counts.items()}
        return [loss, tokens, empty, len(mine), *(n for c in counts.values() for n in (c.errors, c.length))]


def collapse_advice(task: Task, done: int, steps: int, ever_spoke: bool) -> str:
    """What to say when every dev transcript is empty: the model gives nothing but blanks."""
    if ever_spoke:
        cause = (
            f"the model got words right before and has collapsed: lower optim.lr ({task.optim.lr:g}), lengthen"
            f" optim.warmup ({task.optim.warmup:g}) or lower optim.clip ({task.optim.clip:g})"
        )
    elif done <= max(task.optim.warmup * steps, 0.2 * steps):
        cause = "usual for a new CTC head in its first steps; if it lasts, raise optim.lr or train longer"
    else:
        cause = (
            f"the model never left the blank: train longer (run.steps {steps}), raise optim.lr ({task.optim.lr:g}),"
            " thaw layers (adapt), and check that the texts belong to the recordings and the sampling rate is right"
        )
    return f"step {done}: every dev transcript is empty (all blank): {cause}"
