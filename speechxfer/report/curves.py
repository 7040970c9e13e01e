"""Curves over the steps of training, as SVG that takes its colours and its font from the page.

The plots are drawn with marker colours, which are then exchanged for CSS variables: one plot serves light, dark and
print. Each has a table of its figures, for who cannot see it.
"""

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speechxfer.report.run import RunFolder

WIDTH, HEIGHT = 5.2, 3.1  # inches of 72 units: at a phone's width the text is still readable
POINTS = 500  # of a curve; a longer one is averaged over stretches of steps
MARKED = 40  # evaluations up to which each has a dot
ROWS = 40  # of a table; a longer one keeps every k-th row
LOG_FROM = 20  # largest value over the smallest from which a loss needs a logarithmic axis
INK, GRID, PAPER = "#000001", "#000002", "#000003"
COLOURS = {INK: "var(--muted)", GRID: "var(--line)", PAPER: "var(--paper)"}
RUN_COLOURS = 6  # --run-0 ... of page.css
COLOURS |= {f"#0000{16 + i:02x}": f"var(--run-{i})" for i in range(RUN_COLOURS)}
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))

TRAIN = {
    "lr": "Learning rate",
    "audio_per_second": "Throughput, seconds of audio a second",
    "text_per_second": "Throughput, tokens a second",
    "grad_norm": "Norm of the gradient",
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot: `values` [n] at `steps` [n], NaN where a step had no figure."""

    label: str
    run: int  # which run, for the colour
    kind: int  # which of the plot's kinds of line, for the dashes
    steps: np.ndarray
    values: np.ndarray
    event: str  # of the log: "train", "dev"
    faint: bool

    @property
    def colour(self) -> int:
        return self.run % RUN_COLOURS


@dataclass(frozen=True)
class Plot:
    """`rows` are those of the table: a step, then the figure of each curve there or None."""

    name: str
    title: str
    note: str
    svg: str
    curves: tuple[Curve, ...]
    rows: tuple[tuple[int, tuple[float | None, ...]], ...]


def plots(runs: Sequence[RunFolder]) -> list[Plot]:
    """The plots that the logs have figures for; none before the first line of a log."""
    found = [_plot("loss", "Loss per token", _curves(runs, (("train", "loss"), ("dev", "loss"))), log=True)]
    scores = dict.fromkeys(k for r in runs for e in r.log if e["event"] == "dev" for k in e)
    rates, others = _by_unit(name for name in scores if name not in ("step", "event", "loss"))
    if rates:
        percent = _curves(runs, [("dev", name) for name in rates], factor=100)
        found.append(_plot("dev", "Scores on dev, %", percent, bottom=0))
    found += [_plot(f"dev-{i}", f"{name} on dev", _curves(runs, [("dev", name)])) for i, name in enumerate(others)]
    found += [_plot(name.replace("_", "-"), title, _curves(runs, [("train", name)])) for name, title in TRAIN.items()]
    return [one for one in found if one]


def _by_unit(names: Iterable[str]) -> tuple[list[str], list[str]]:
    from speechxfer.scoring.metrics import METRICS, find

    rates, others = [], []
    for name in names:
        (rates if name in METRICS and find(name, ()).unit == "rate" else others).append(name)
    return rates, others


def _curves(runs: Sequence[RunFolder], lines: Sequence[tuple[str, str]], factor: float = 1.0) -> list[Curve]:
    curves, one_kind = [], len(lines) == 1
    for i, run in enumerate(runs):
        for kind, (event, name) in enumerate(lines):
            rows = [one for one in run.log if one["event"] == event and name in one]
            if not rows:
                continue
            values = [math.nan if one[name] is None else factor * one[name] for one in rows]
            what = event if name == "loss" else name
            labels = [run.name] * (len(runs) > 1) + [what] * (not one_kind)
            # of two kinds of line, the many figures of the training steps stand back behind those of dev
            colour = i if len(runs) > 1 else kind
            behind = {event for event, _ in lines} == {"train", "dev"}
            faint = behind and event == "train"
            steps = np.array([one["step"] for one in rows])
            curves.append(Curve(" ".join(labels), colour, 0 if behind else kind, steps, np.array(values), event, faint))
    return curves


def _plot(name: str, title: str, curves: list[Curve], log: bool = False, bottom: float | None = None) -> Plot | None:
    drawn = [one for one in curves if np.isfinite(one.values).any()]
    if not drawn:
        return None
    notes = []
    positive = [one.values[one.values > 0] for one in drawn]
    log = log and all(map(len, positive)) and _ratio(positive) > LOG_FROM
    if log:
        notes.append("logarithmic axis")
    each = max(-(-len(one.steps) // POINTS) for one in drawn)
    if each > 1:
        notes.append(f"means over up to {each} lines of the log")
    return Plot(name, title, "; ".join(notes), _svg(name, title, drawn, log, bottom), tuple(drawn), _rows(drawn))


def _ratio(values: Sequence[np.ndarray]) -> float:
    return max(one.max() for one in values) / min(one.min() for one in values)


def thin(steps: np.ndarray, values: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """[n] -> at most [points]: means over stretches of equal length, each at its last step; NaN is left out."""
    each = -(-len(steps) // points)
    if each == 1:
        return steps, values
    starts = np.arange(0, len(steps), each)
    counts = np.add.reduceat(np.isfinite(values).astype(float), starts)
    sums = np.add.reduceat(np.nan_to_num(values), starts)
    means = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return steps[np.minimum(starts + each, len(steps)) - 1], means


def _rows(curves: Sequence[Curve]) -> tuple[tuple[int, tuple[float | None, ...]], ...]:
    """The figures at the steps of the curve with the fewest, which are those of dev where there is one."""
    steps = min((one.steps for one in curves), key=len)
    kept = dict.fromkeys([*steps[:: -(-len(steps) // ROWS)].tolist(), int(steps[-1])])
    at = [dict(zip(one.steps.tolist(), one.values.tolist(), strict=True)) for one in curves]
    figures = [(step, [values.get(step, math.nan) for values in at]) for step in kept]
    return tuple((step, tuple(None if math.isnan(v) else v for v in row)) for step, row in figures)


def _svg(name: str, title: str, curves: Sequence[Curve], log: bool, bottom: float | None) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        for curve in curves:
            steps, values = thin(curve.steps, curve.values)
            marked = len(steps) == 1 or (curve.event == "dev" and len(steps) <= MARKED)
            axes.plot(
                steps,
                values,
                color=f"#0000{16 + curve.colour:02x}",
                linestyle=DASHES[curve.kind % len(DASHES)] if not curve.faint else "-",
                linewidth=1.2 if curve.faint else 2,
                alpha=0.55 if curve.faint else 1,
                marker="o" if marked else None,
                markersize=4,
            )
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        elif name == "lr":
            axes.ticklabel_format(axis="y", scilimits=(0, 0), useMathText=False)
        axes.set_xlim(left=0)
        if bottom is not None:
            axes.set_ylim(bottom=bottom)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("step", color=INK, fontsize=10)
        axes.tick_params(which="both", colors=INK, labelcolor=INK, labelsize=10, length=0)
        axes.yaxis.get_offset_text().set_color(INK)
        axes.grid(which="major", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_page(buffer.getvalue(), f"plot-{name}-title")


def _for_page(svg: str, label: str) -> str:
    """A file of its own -> an element of the page, labelled by the element with the id `label`."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would reach the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # "axes_1" in every plot; nothing refers to them
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)  # the page's own
    svg = re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        rf'<svg class="curves" \1 role="img" aria-labelledby="{label}"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">',
        svg,
        count=1,
    )
    return re.sub(r"\n\s*", "\n", svg)
