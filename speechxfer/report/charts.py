"""Dot-and-whisker charts: scores with their intervals on one axis, a row for each metric or group.

The page draws them in HTML, beside the figures themselves: labels in any script are then the browser's to shape, and a
chart is a table for who cannot see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from speechxfer.report.curves import RUN_COLOURS
from speechxfer.report.run import RunFolder
from speechxfer.score import Gap, Score

SHOWN = 30  # rows of a chart; of a key with more values than this, the worst
UNLIKE = "not scored on the same references in the same way: do not compare"
BANDS = ("length", "duration")  # group keys whose values have an order of their own


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, in the unit of the scores."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Where a value lies, in per cent of the axis; what is outside lies on its end."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)


@dataclass(frozen=True)
class Series:
    """One mark in every row: a run, before or after."""

    label: str
    run: int
    stage: str

    @property
    def colour(self) -> int:
        return self.run % RUN_COLOURS


@dataclass(frozen=True)
class Row:
    label: str
    scores: tuple[Score | None, ...]  # one for each series

    @property
    def n(self) -> str:
        """How many items; of the series that have others, too."""
        return ", ".join(f"{n:,}" for n in dict.fromkeys(one.n for one in self.scores if one))

    @property
    def comparable(self) -> bool:
        """Whether all were scored on the same references in the same way."""
        return len({one.signature for one in self.scores if one}) <= 1

    @property
    def change(self) -> float | None:
        """The second of two scores less the first, where they may be compared."""
        values = [one.value for one in self.scores if one and one.value is not None]
        return values[1] - values[0] if len(self.scores) == len(values) == 2 and self.comparable else None

    @property
    def better(self) -> bool | None:
        """Whether the change is for the better; None without one."""
        return None if not self.change else (self.change > 0) == self.scores[-1].higher_is_better


@dataclass(frozen=True)
class Chart:
    """`left_out` counts the rows that are not shown; `gaps` are those of the series that have one."""

    title: str
    unit: str
    series: tuple[Series, ...]
    rows: tuple[Row, ...]
    axis: Axis
    left_out: int = 0
    gaps: tuple[tuple[Series, Gap], ...] = ()

    @property
    def pair(self) -> bool:
        """Whether the two series are one run's before and after."""
        return [one.stage for one in self.series] == ["before", "after"]

    @property
    def notes(self) -> list[str]:
        """Why an interval is not there, and which rows must not be compared; each note once."""
        notes: dict[str, dict[str, None]] = {}
        for row in self.rows:
            found = [one.note for one in row.scores if one and one.note] + [UNLIKE] * (not row.comparable)
            for note in found:
                notes.setdefault(note, {})[row.label] = None
        return [f"{', '.join(labels)}: {note}" if len(labels) <= 4 else note for note, labels in notes.items()]


def series_of(runs: Sequence[RunFolder]) -> tuple[Series, ...]:
    """Before and after of every run; what several runs started from is one series when its scores are the same."""
    befores, afters = [], []
    for i, run in enumerate(runs):
        alone = len(runs) == 1
        if run.scores.get("before") and not any(_same(run, runs[one.run]) for one in befores):
            befores.append(Series("before" if alone else f"{run.name} before", i, "before"))
        if run.scores.get("after"):
            afters.append(Series("after" if alone else run.name, i, "after"))
    if len(befores) == 1:
        befores = [Series("before", befores[0].run, "before")]
    return (*befores, *afters)


def _same(one: RunFolder, other: RunFolder) -> bool:
    def figures(run: RunFolder) -> dict:
        scores = run.scores["before"]
        return {(name, m): (s.value, s.signature) for name, of_set in scores.items() for m, s in of_set.items()}

    return figures(one) == figures(other)


def metric_charts(runs: Sequence[RunFolder], name: str) -> list[Chart]:
    """The scores of one set: all rates on one axis, every other metric on its own."""
    series = series_of(runs)
    found = [runs[one.run].scores[one.stage].get(name, {}) for one in series]
    by_axis: dict[str, list[Row]] = {}
    for metric in dict.fromkeys(metric for of_set in found for metric in of_set):
        row = Row(metric, tuple(of_set.get(metric) for of_set in found))
        by_axis.setdefault("rate" if _unit(row) == "rate" else metric, []).append(row)
    return [_chart("Error rates" if title == "rate" else title, series, rows) for title, rows in by_axis.items()]


def group_charts(runs: Sequence[RunFolder], name: str, metric: str) -> list[Chart]:
    """One metric of one set, by every group key: the worst groups first, bands in their order."""
    series = series_of(runs)
    scores = [runs[one.run].scores[one.stage].get(name, {}).get(metric) for one in series]
    keys: dict[str, dict[str, Row]] = {}
    for group in dict.fromkeys(group for one in scores if one for group in one.groups):
        key, _, value = group.partition("=")
        row = Row(value, tuple(one.groups.get(group) if one else None for one in scores))
        keys.setdefault(key, {})[value] = row
    charts = []
    for key, rows in keys.items():
        ordered = list(rows.values()) if key in BANDS else sorted(rows.values(), key=_badness, reverse=True)
        shown = ordered if key in BANDS else ordered[:SHOWN]
        gaps = tuple((one, s.gaps[key]) for one, s in zip(series, scores, strict=True) if s and key in s.gaps)
        charts.append(_chart(key, series, shown, len(ordered) - len(shown), gaps))
    return sorted(charts, key=lambda one: one.title in BANDS)


def _badness(row: Row) -> float:
    last = next((one for one in reversed(row.scores) if one and one.value is not None), None)
    return float("-inf") if last is None else -last.value if last.higher_is_better else last.value


def _unit(row: Row) -> str:
    return next(one.unit for one in row.scores if one)


def _chart(title: str, series: tuple[Series, ...], rows: Sequence[Row], left_out: int = 0, gaps: tuple = ()) -> Chart:
    scores = [one for row in rows for one in row.scores if one and one.value is not None]
    ends = [end for one in scores for end in (one.low, one.high) if end is not None]
    return Chart(
        title, _unit(rows[0]), series, tuple(rows), axis_of([one.value for one in scores], ends), left_out, gaps
    )


def axis_of(values: Sequence[float], ends: Sequence[float] = ()) -> Axis:
    """From 0, so that lengths can be compared, to a round number; below 0 only where a value is.

    The ends of intervals have room up to half as much again as the greatest value: one group of two speakers must not
    squeeze all the others.
    """
    from matplotlib.ticker import MaxNLocator

    low, high = min([0.0, *values]), max([0.0, *values])
    reach = 0.5 * (high - low)
    high = min(high + reach, max([high, *ends]))
    low = max(low - reach, min([low, *ends])) if low < 0 else low
    ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high if high > low else low + 1)
    # 3 * 0.1 is not 0.3: the ends must hold the values all the same
    return Axis(min(low, float(ticks[0])), max(high, float(ticks[-1])), tuple(round(float(tick), 10) for tick in ticks))
