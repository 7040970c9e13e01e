"""What a person watches while training: a bar on a terminal, plain lines elsewhere, log.jsonl and TensorBoard."""

import json
import math
import sys
import time
from pathlib import Path

from tqdm import tqdm

from speechxfer.atomic import replacing
from speechxfer.parallel import Ranks

# unit of lengths -> what their figures are called in log.jsonl, and their speed on the terminal
SPEED = {"s": ("audio", "audio s/s"), "tokens": ("text", "tokens/s")}


class TrainingLog:
    """Writes on the first rank only. `log.jsonl` has one line per event; a resume cuts off what it will do again."""

    def __init__(self, run: Path, ranks: Ranks, first: int, last: int):
        self.quiet = not ranks.first
        self.last = last
        if self.quiet:
            return
        from torch.utils.tensorboard import SummaryWriter

        self.path = run / "log.jsonl"
        self._keep_before(first)
        self.board = SummaryWriter(str(run / "tensorboard"), purge_step=first + 1)
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(total=last, initial=first, unit="step", disable=not self.terminal, dynamic_ncols=True)
        self.started, self.first = time.monotonic(), first

    def _keep_before(self, first: int) -> None:
        if self.path.is_file():
            lines = [line for line in self.path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= first]
            with replacing(self.path) as partial:  # a kill leaves the old lines or the new ones
                partial.write_text("".join(line + "\n" for line in kept))

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def step(self, step: int) -> None:
        if not self.quiet:
            self.bar.update(step - self.bar.n)

    def train(self, step: int, figures: dict[str, float]) -> None:
        """Figures of the steps since the last line."""
        if self.quiet:
            return
        self._write(step, "train", figures)
        shown = {"loss": f"{figures['loss']:.3f}", "lr": f"{figures['lr']:.1e}"}
        for kind, name in SPEED.values():
            if f"{kind}_per_second" in figures:
                shown[name] = f"{figures[f'{kind}_per_second']:.0f}"
        self.bar.set_postfix(shown)
        if not self.terminal:
            left = (time.monotonic() - self.started) / max(step - self.first, 1) * (self.last - step)
            words = "  ".join(f"{name} {value}" for name, value in shown.items())
            print(f"step {step}/{self.last}  {words}  left {left / 60:.1f} min", file=sys.stderr, flush=True)

    def dev(self, step: int, figures: dict[str, float]) -> None:
        """Scores on dev."""
        if self.quiet:
            return
        self._write(step, "dev", figures)
        self.say(f"step {step}/{self.last}  dev  " + "  ".join(f"{k} {v:.4f}" for k, v in figures.items()))

    def _write(self, step: int, event: str, figures: dict[str, float]) -> None:
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        row = {"step": step, "event": event} | {name: finite.get(name) for name in figures}  # JSON has no NaN, but null
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in finite.items():
            self.board.add_scalar(f"{event}/{name}", value, step)

    def close(self) -> None:
        if not self.quiet:
            self.bar.close()
            self.board.close()


class Window:
    """Figures of the steps since the last line of the log."""

    def __init__(self):
        self.sums = dict.fromkeys(("loss", "tokens", "size", "padded"), 0.0)
        self.norm = 0.0
        self.elapsed, self.clock = 0.0, time.monotonic()

    def add(self, step: dict[str, float]) -> None:
        self.sums = {name: value + step[name] for name, value in self.sums.items()}
        self.norm = step["grad_norm"]
        now = time.monotonic()
        self.elapsed, self.clock = self.elapsed + now - self.clock, now

    def restart_clock(self) -> None:
        """Leave out what has passed since the last step: evaluation is not training time."""
        self.clock = time.monotonic()

    def figures(self, here: Ranks, unit: str, rate: float) -> dict[str, float]:
        """Over all ranks. `unit` is that of lengths: seconds of audio, or tokens of text."""
        loss, tokens, size, padded = here.sum(*self.sums.values())
        kind, whole = SPEED[unit][0], "seconds" if unit == "s" else unit
        return {
            "loss": loss / tokens if tokens else math.nan,  # every step was skipped
            "lr": rate,
            "grad_norm": self.norm,
            f"{kind}_{whole}": size,
            f"{kind}_per_second": size / self.elapsed,
            "real_share": size / padded,
        }
