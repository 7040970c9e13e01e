"""Who and what a set is made of: the table that tells, and rules on groups that are too small or too large.

Groups are what scores are broken down by: keys of `group` with a few values each. Speakers, recordings and documents
are not groups but what intervals are drawn over, and a number (an age) makes no group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.columns import floats
from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.manifest import Manifest
from speechxfer.scoring.interval import FEWEST
from speechxfer.scoring.items import CLUSTERS, FEW

MOST = 50  # values of a key that is a grouping
DOMINATES = 0.5  # of train
SPEAKERS = 5  # from here on, one of them saying more than half is no matter of course
EXTREME = 100  # times as much of one group as of another
SHOWN = 5  # groups that a message names


@dataclass(frozen=True)
class Share:
    """One group's part of a set; `key` and `value` are "" for the whole."""

    key: str
    value: str
    rows: int
    sentences: int  # different texts
    hours: float | None  # None where no length is known
    speakers: int | None  # None where nobody is named


def balance(subject: Subject) -> list[Share]:
    """The whole set, then every group of every key of at most MOST values, the largest groups first."""
    table = _table(subject)
    shares = [_share("", "", row) for row in _totals(table, []).to_pylist()]
    for key, column in categories(subject.manifest).items():
        rows = _totals(table.append_column("value", column), ["value"]).to_pylist()
        rows = [row for row in rows if row["value"] is not None]
        rows.sort(key=lambda row: (-row["rows_sum"], row["value"]))
        shares += [_share(key, row["value"], row) for row in rows]
    return shares


def categories(manifest: Manifest) -> dict[str, pa.ChunkedArray]:
    """Key -> every row's value, of the keys that group: at most MOST values, not all of them numbers."""
    found = {}
    for name in manifest.dataset.column_names:
        key = name.removeprefix("group.")
        if key != name and key not in CLUSTERS:
            column = manifest.column(name)
            values = pc.unique(column).drop_null()
            numbers = pc.all(pc.match_substring_regex(values, r"^[-+]?\d+([.,]\d+)?$")).as_py()
            if 0 < len(values) <= MOST and not numbers:
                found[key] = column
    return found


def group(manifest: Manifest, key: str) -> pa.ChunkedArray | None:
    """Every row's value of a key; None where no row has one."""
    name = f"group.{key}"
    column = manifest.column(name) if name in manifest.dataset.column_names else None
    return column if column is not None and column.null_count < len(column) else None


def _seconds(subject: Subject) -> np.ndarray:
    """float64 [n]: as decoded, else as stated; NaN where neither is known. No file is opened for it."""
    return subject.sound.seconds if subject.sound else floats(subject.manifest.column("seconds"))


def _table(subject: Subject) -> pa.Table:
    manifest, seconds = subject.manifest, _seconds(subject)
    speaker = group(manifest, "speaker")
    return pa.table(
        {
            "rows": np.ones(len(manifest), np.int64),
            "text": manifest.column("text"),
            "seconds": pa.array(seconds, mask=np.isnan(seconds)),
            "speaker": pa.nulls(len(manifest), pa.string()) if speaker is None else speaker,
        }
    )


def _totals(table: pa.Table, keys: list[str]) -> pa.Table:
    sums = [("rows", "sum"), ("seconds", "sum"), ("text", "count_distinct"), ("speaker", "count_distinct")]
    return table.group_by(keys).aggregate(sums)


def _share(key: str, value: str, row: dict) -> Share:
    hours = None if row["seconds_sum"] is None else row["seconds_sum"] / 3600
    return Share(key, value, row["rows_sum"], row["text_count_distinct"], hours, row["speaker_count_distinct"] or None)


# The rules.


def _is_scored(subject: Subject) -> bool:
    return subject.name != "train"


def _say(subject: Subject, message: str) -> Found:
    return Found(subject, None, lambda _: message)


def small_group(subject: Subject) -> Iterator[Found]:
    if not _is_scored(subject):
        return
    for key, shares in _by_key(subject).items():
        small = [share for share in shares if share.rows < FEW]
        if small and len(shares) > 1:
            names = ", ".join(f"{share.value} ({share.rows})" for share in small[:SHOWN])
            more = ", ..." if len(small) > SHOWN else ""
            yield _say(subject, f"{len(small)} of {len(shares)} groups of {key}: {names}{more}; expected {FEW} rows")


def group_of_one(subject: Subject) -> Iterator[Found]:
    if not _is_scored(subject) or len(_values(subject, "speaker")) < 2:
        return
    for key, shares in _by_key(subject).items():
        single = [share for share in shares if share.speakers == 1 and share.rows >= FEW]
        if single and len(shares) > 1:
            names = ", ".join(share.value for share in single[:SHOWN])
            more = ", ..." if len(single) > SHOWN else ""
            yield _say(subject, f"{len(single)} of {len(shares)} groups of {key}: {names}{more}")


def _by_key(subject: Subject) -> dict[str, list[Share]]:
    keys: dict[str, list[Share]] = {}
    for share in balance(subject)[1:]:
        keys.setdefault(share.key, []).append(share)
    return keys


def _values(subject: Subject, key: str) -> list[str]:
    column = group(subject.manifest, key)
    return [] if column is None else pc.unique(column).drop_null().to_pylist()


def few_speakers(subject: Subject) -> Iterator[Found]:
    count = len(_values(subject, "speaker"))
    if subject.name in ("test", "retain") and 1 < count < FEWEST:
        yield _say(subject, f"{count} speakers; expected {FEWEST} or more")


def one_speaker(subject: Subject) -> Iterator[Found]:
    values = _values(subject, "speaker")
    if _is_scored(subject) and len(values) == 1:
        yield _say(subject, f"all is said by {values[0]!r}")


def speaker_missing(subject: Subject) -> Iterator[Found]:
    column = group(subject.manifest, "speaker")
    if _is_scored(subject) and column is not None:
        rows = np.flatnonzero(column.is_null().to_numpy())
        named = len(column) - len(rows)
        yield Found(subject, rows, lambda _: f"no speaker; {named:,} of {len(column):,} rows name one")


def dominant_speaker(subject: Subject) -> Iterator[Found]:
    column = group(subject.manifest, "speaker")
    if subject.name != "train" or column is None:
        return
    rows = _totals(_table(subject), ["speaker"]).to_pylist()
    rows = [row for row in rows if row["speaker"] is not None]
    unit = "seconds_sum" if all(row["seconds_sum"] for row in rows) else "rows_sum"
    most, total = max(rows, key=lambda row: row[unit]), sum(row[unit] for row in rows)
    if len(rows) >= SPEAKERS and most[unit] > DOMINATES * total:
        what = "audio" if unit == "seconds_sum" else "rows"
        yield _say(
            subject, f"{most['speaker']!r} has {most[unit] / total:.0%} of the {what}, {len(rows) - 1} others the rest"
        )


def uneven_groups(subject: Subject) -> Iterator[Found]:
    for key, shares in _by_key(subject).items() if subject.name == "train" else ():
        most, least = shares[0], shares[-1]
        if most.rows >= EXTREME * least.rows:
            yield _say(subject, f"{key}: {most.rows:,} rows of {most.value}, {least.rows:,} of {least.value}")


RULES = (
    Rule(
        "few-speakers",
        "warning",
        "too few speakers to tell a difference from chance",
        f"add speakers: with fewer than {FEWEST} no comparison reaches p < 0.05, whatever the number of sentences",
        few_speakers,
    ),
    Rule(
        "speaker-missing",
        "warning",
        "some rows name no speaker, others do",
        "name them all: else intervals take every utterance for independent, and are too narrow",
        speaker_missing,
    ),
    Rule(
        "speaker-dominates",
        "warning",
        "one speaker has more than half of train",
        "add others, or draw less of this one: the model adapts to a voice, not to an accent",
        dominant_speaker,
    ),
    Rule(
        "one-speaker",
        "note",
        "all of this set is one speaker",
        "read its scores as that speaker's; they say nothing about others",
        one_speaker,
    ),
    Rule(
        "group-small",
        "note",
        "groups too small to score",
        "add rows, or merge groups: their scores are chance, and are called neither best nor worst",
        small_group,
    ),
    Rule(
        "group-of-one",
        "note",
        "groups that are one speaker",
        "read their scores as that speaker's, not as the group's",
        group_of_one,
    ),
    Rule(
        "group-uneven",
        "note",
        f"train has {EXTREME} times as much of one group as of another",
        "give the smaller one a manifest and a weight of its own, if it is to be learned",
        uneven_groups,
    ),
)
