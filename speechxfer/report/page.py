"""From runs to the page: the parts that the template shows, and how it writes figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechxfer.errors import ScoreError
from speechxfer.gate.verdict import number
from speechxfer.report import charts, training
from speechxfer.report.charts import Chart
from speechxfer.report.clips import Clip, Player
from speechxfer.report.curves import RUN_COLOURS, plots
from speechxfer.report.run import ITEMS, RunFolder
from speechxfer.report.worst import Worst, worst
from speechxfer.scoring.table import figure

HERE = Path(__file__).parent
MANY = 12  # values of a group key from which its chart is folded
CONFUSIONS = 12  # of each sort
BADGES = {"pass": "PASS", "fail": "FAIL", "cannot judge": "CANNOT JUDGE", "": "NOT JUDGED"}


@dataclass(frozen=True)
class Paired:
    """How one run's scores on a set differ before and after, resampled together; `why` says why that is not known."""

    run: RunFolder
    differences: tuple[Any, ...]  # comparison.Difference
    why: str = ""


@dataclass(frozen=True)
class SetScores:
    """One set's scores: every metric, the paired differences of each run, and by group for each metric."""

    name: str
    charts: tuple[Chart, ...]
    paired: tuple[Paired, ...]
    groups: dict[str, tuple[Chart, ...]]  # by metric, in the order of the task


@dataclass(frozen=True)
class Listing:
    """The worst items of one set of one run, with what can be heard of them."""

    worst: Worst
    clips: dict[str, Clip]
    silent: str  # why there is no player at all


def render(runs: Sequence[RunFolder]) -> str:
    """The whole page, as text without anything that a browser would have to fetch."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "extent": extent, "number": judged, "setting": setting, "signed": signed}
    sets = dict.fromkeys(name for run in runs for name in run.sets)
    scored = [(run, name) for run in runs for name in run.sets if name in run.scores.get("after", {})]
    player = Player()
    return environment.get_template("page.html.j2").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        markup=Markup,  # for the plots, whose texts are all ours
        title=", ".join(run.name for run in runs),
        runs=runs,
        colours=RUN_COLOURS,
        badges=BADGES,
        sets=[_set(runs, name) for name in sets],
        plots=plots(runs),
        confusions=CONFUSIONS,
        many=MANY,
        listings=[_listing(run, name, player) for run, name in scored],
        facts={run.name: training.facts(run) for run in runs},
        versions={run.name: training.versions(run) for run in runs},
        stretches={run.name: training.stretches(run.task.get("adapt", ())) for run in runs},
        adaptations={run.name: training.other_adaptations(run.task.get("adapt", ())) for run in runs},
        settings=settings(runs),
    )


def _set(runs: Sequence[RunFolder], name: str) -> SetScores:
    found = charts.metric_charts(runs, name)
    metrics = [row.label for chart in found for row in chart.rows]
    return SetScores(
        name=name,
        charts=tuple(found),
        paired=tuple(_paired(run, name) for run in runs if _has_both(run, name)),
        groups={metric: tuple(charts.group_charts(runs, name, metric)) for metric in metrics},
    )


def _has_both(run: RunFolder, name: str) -> bool:
    return all(name in run.scores.get(stage, {}) for stage in ("before", "after"))


def _paired(run: RunFolder, name: str) -> Paired:
    from speechxfer.scoring.comparison import compare
    from speechxfer.scoring.items_file import read_items

    try:
        before, after = (read_items(run.path(stage, name, ITEMS)) for stage in ("before", "after"))
        return Paired(run, tuple(compare(before, after)))
    except ScoreError as error:
        return Paired(run, (), str(error))


def _listing(run: RunFolder, name: str, player: Player) -> Listing:
    found = worst(run, name)
    clips, silent = player.clips(run.task.get(name, ""), [item.id for item in found.items]) if found.items else ({}, "")
    return Listing(found, clips, silent)


def settings(runs: Sequence[RunFolder]) -> list[tuple[str, list[Any], bool]]:
    """(field, its value in each run, whether they differ) of the tasks; "" where a run's task lacks the field."""
    names = dict.fromkeys(name for run in runs for name in run.task)
    rows = [(name, [run.task.get(name, "") for run in runs]) for name in names]
    told = [run for run in runs if run.task]
    return [(name, values, any(run.task.get(name) != told[0].task.get(name) for run in told)) for name, values in rows]


def setting(value: Any) -> str:
    """A field of a task as it is written on the command line, more or less."""
    if isinstance(value, dict):
        kind = value.get("kind")
        between = "=" if kind else ": "
        inner = ", ".join(f"{key}{between}{setting(one)}" for key, one in value.items() if key != "kind")
        return f"{kind}({inner})" if kind else inner or "-"
    if isinstance(value, list):
        return ", ".join(map(setting, value)) or "-"
    return "-" if value == "" else "none" if value is None else str(value)


def extent(low: float | None, high: float | None, unit: str) -> str:
    """`12.10–15.30`, `−1.20 to 0.40`; "" where there is no interval."""
    if low is None or high is None:
        return ""
    ends = [figure(end, unit).replace("-", "\u2212") for end in (low, high)]
    return ("\u2013" if low >= 0 else " to ").join(ends)


def judged(value: float | None, unit: str, signed: bool = False) -> str:
    """A figure of a verdict, in the units of the rules."""
    return "-" if value is None else number(value, unit, signed=signed).replace("-", "\u2212")


def signed(value: float | None, unit: str) -> str:
    """`+1.20`, with a true minus sign."""
    if value is None:
        return "-"
    return ("+" if value > 0 else "\u2212" if value < 0 else "\u00b1") + figure(abs(value), unit)
