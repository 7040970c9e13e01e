"""What a run says of its own training: time and throughput, what was frozen when, on which machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speechxfer.report.run import RunFolder


@dataclass(frozen=True)
class Stretch:
    """Layers `first` to `last` (None: the top), counted from the bottom, learn from step `start` on (None: never)."""

    first: int
    last: int | None
    start: int | None

    @property
    def layers(self) -> str:
        if self.last is None:
            return "all layers" if self.first == 0 else f"layers {self.first} and above"
        what = f"layer {self.first}" if self.first == self.last else f"layers {self.first} to {self.last}"
        return what + (" (feature encoder)" if self.first == self.last == 0 else "")


def stretches(adapt: Sequence[dict[str, Any]]) -> list[Stretch]:
    """When which layers learn, bottom first, by the Freeze entries of a task's `adapt`.

    A layer learns once every Freeze above it has ended: adapt.freeze says how they combine.
    """
    freezes = [one for one in adapt if one.get("kind") == "Freeze"]
    edges = sorted({0, *(one["depth"] for one in freezes)})
    found = []
    for first, after in zip(edges, [*edges[1:], None], strict=True):
        untils = [one["until"] for one in freezes if one["depth"] > first]
        start = None if None in untils else max(untils, default=0)
        last = None if after is None else after - 1
        if found and found[-1].start == start:
            found[-1] = Stretch(found[-1].first, last, start)
        else:
            found.append(Stretch(first, last, start))
    return found


def other_adaptations(adapt: Sequence[dict[str, Any]]) -> list[str]:
    """What else was done to the model, a line each: `Lora rank=8 alpha=16`."""
    others = [one for one in adapt if one.get("kind") != "Freeze"]
    return [" ".join([str(one.get("kind")), *(f"{k}={v}" for k, v in one.items() if k != "kind")]) for one in others]


# of speech and of text: what the log calls the amount and its speed, and how they are shown
SEEN = (
    ("audio_seconds", "audio_per_second", "audio seen", lambda seconds: duration(seconds), "s of audio"),
    ("text_tokens", "text_per_second", "text seen", "{:,.0f} tokens".format, "tokens"),
)


def facts(run: RunFolder) -> list[tuple[str, str]]:
    """(name, figure) of the time that training took and what it did in it, as far as the log says."""
    train = [event for event in run.log if event["event"] == "train"]
    seconds, seen = 0.0, []
    for size, rate, name, written, unit in SEEN:
        timed = [event for event in train if event.get(size) and event.get(rate)]
        spent, amount = sum(event[size] / event[rate] for event in timed), sum(event[size] for event in timed)
        seconds += spent
        if spent:
            seen += [(name, written(amount)), ("throughput", f"{amount / spent:,.0f} {unit} a second")]
    steps, planned = max((event["step"] for event in run.log), default=0), run.task.get("run.steps")
    shares = [event["real_share"] for event in train if event.get("real_share")]
    best = run.state.get("state", {})
    found = []
    if run.log:
        found.append(("steps done", f"{steps:,}" + (f" of {planned:,}" if planned else "")))
    if best.get("best_step"):
        found.append((f"best dev {run.task.get('run.best_by') or 'score'}", f"at step {best['best_step']:,}"))
    if best.get("skips"):
        found.append(("steps skipped, loss not finite", f"{best['skips']:,}"))
    if seconds:
        found.append(("training time, without evaluation", duration(seconds)))
        found += seen
    if shares:
        found.append(("share of the batches that is no padding", f"{100 * sum(shares) / len(shares):.1f}\u00a0%"))
    return found


def versions(run: RunFolder) -> list[tuple[str, str]]:
    """(name, version or description) of the machine that trained and of what scored."""
    found = [(name, str(value)) for name, value in run.state.get("machine", {}).items()]
    for of_stage in run.scores.values():
        for of_set in of_stage.values():
            for one in of_set.values():
                parts = (part.partition(":") for part in one.origin.split("|"))
                found += [(name, value) for name, _, value in parts if name not in ("from", "checkpoint")]
    return list(dict.fromkeys(found))


def duration(seconds: float) -> str:
    """`47 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60:02d} min"
