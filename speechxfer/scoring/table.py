"""Scores as plain text of at most 80 columns, for the terminal."""

from collections import defaultdict
from collections.abc import Mapping

from speechxfer.score import MANY, Score
from speechxfer.scoring.terminal import cell, wrapped

NAME = 21


def table(scores: Mapping[str, Score]) -> str:
    """One block for each metric; rates in per cent, points as they are.

    A key with more than 50 values (speakers, often) is summed up in one line: all its groups are in the JSON.
    """
    return "\n\n".join("\n".join(_block(one)) for one in scores.values())


def _block(whole: Score) -> list[str]:
    spread = f"{100 * whole.confidence:.3g}% interval"
    edits = ("sub", "del", "ins") if _edits(whole) else ()
    head = "rate" if whole.unit == "rate" else "score"
    clusters = "utterances" if whole.cluster == "utterance" else f"{whole.cluster}s"
    title = f"{whole.metric.upper()} in %" if whole.unit == "rate" else whole.metric
    lines = [title, _line("", head, spread, edits, "items", clusters), _score_line("all", whole)]
    by_key = defaultdict(dict)
    for name, group in whole.groups.items():
        by_key[name.partition("=")[0]][name] = group
    for key, groups in by_key.items():
        if len(groups) > MANY:
            values = [group.value for group in groups.values() if group.value is not None]
            extent = f", from {figure(min(values), whole.unit)} to {figure(max(values), whole.unit)}" if values else ""
            lines += wrapped(f"{key}: {len(groups)} values{extent}; each is in the JSON", rest="  ")
            continue
        lines += [_score_line(name, group) for name, group in groups.items()]
        if gap := whole.gaps.get(key):
            ends = "" if gap.low is None else f" [{extent_of(gap.low, gap.high, whole.unit)}]"
            text = f"{key}: {gap.worst} is worst, {figure(gap.value, whole.unit)}{ends} from {gap.best}"
            lines += wrapped(text, "- ", "  ")
    notes = defaultdict(list)
    for name, one in {"all": whole, **whole.groups}.items():
        if one.note:
            notes[one.note].append(name)
    for note, names in notes.items():
        lines += wrapped(f"{note} ({names[0] if len(names) == 1 else f'{len(names)} rows'})", "- ", "  ")
    return lines + [whole.signature, whole.origin]


def _score_line(name: str, one: Score) -> str:
    ends = "-" if one.low is None else extent_of(one.low, one.high, one.unit)
    length = one.sums.get("hits", 0) + one.sums.get("substitutions", 0) + one.sums.get("deletions", 0)
    edits = tuple("-" if one.value is None or not length else f"{100 * n / length:.1f}" for n in _edits(one))
    return _line(name, figure(one.value, one.unit), ends, edits, f"{one.n}", f"{one.clusters}")


def _edits(one: Score) -> tuple[float, ...]:
    names = ("substitutions", "deletions", "insertions")
    return tuple(one.sums[name] for name in names) if set(names) <= one.sums.keys() else ()


def figure(value: float | None, unit: str, scale: float | None = None) -> str:
    """In per cent, or points, with more digits where `scale` (or the value) is small as COMET is; "-" for none."""
    if value is None:
        return "-"
    if unit == "rate":
        return f"{100 * value:.2f}"
    return f"{value:.4f}" if abs(value if scale is None else scale) < 2 else f"{value:.2f}"


def extent_of(low: float, high: float, unit: str) -> str:
    """`12.1-15.3`; with a comma where one of them is negative."""
    scale = max(abs(low), abs(high))
    return f"{figure(low, unit, scale)}{', ' if low < 0 else '-'}{figure(high, unit, scale)}"


def _line(name: str, value: str, ends: str, edits: tuple[str, ...], items: str, clusters: str) -> str:
    figures = f"{value:>7}{ends:>{15 if edits else 18}}" + "".join(f"{one:>6}" for one in edits)
    return f"{cell(name, NAME)}{figures}{items:>8}{clusters:>11}"
