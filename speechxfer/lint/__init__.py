"""What is wrong with the data of a task, found before an hour is spent.

Read every manifest, ask the rules of text, measure the audio, ask the rules of audio, then those between sets. What
is wrong with a manifest itself is a finding too: the rows that can be read are looked at all the same.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechxfer.lint.asking import Stage
    from speechxfer.lint.result import Result
    from speechxfer.lint.rules import Subject
    from speechxfer.task import Task


def lint(
    task: "Task",
    *,
    quick: bool = False,
    cache: str | Path | None = None,
    within: float = math.inf,
    stages: "Sequence[Stage] | None" = None,
) -> "Result":
    """What is wrong with the task's sets for its model. Severities are the rules' own, changed by `task.lint`.

    `quick` looks at text and the headers of audio, and decodes none. `cache` is the file that what was measured of
    audio is kept in. `within` seconds after reading no other rule begins, and the result names those left. `stages`
    are the rules.

    Raises ConfigError (no set, no such rule), ManifestError (no such file) and CheckpointError.
    """
    from speechxfer.lint import reading
    from speechxfer.lint.asking import Asked, severities
    from speechxfer.lint.result import Result, ordered

    if stages is None:
        from speechxfer.lint.table import STAGES as stages
    chosen, began = severities(stages, task.lint), time.monotonic()
    sets, subjects = reading.read(task)
    asked = Asked(chosen, time.monotonic() + within)
    severity = asked.severities.get(reading.MANIFEST.name, "off")
    asked.findings += reading.unreadable(sets, severity) if severity != "off" else []
    asked.took["reading"] = time.monotonic() - began
    for stage in stages:
        if stage.sound and asked.any_on(stage) and not quick:
            before = time.monotonic()
            subjects = _measured(subjects, cache)
            asked.took["measuring"] = time.monotonic() - before
        asked.ask(stage, subjects)
    skipped = []
    if quick and any(reading.has_audio(subject.manifest) for subject in subjects):
        skipped.append("what the audio sounds like (quick: only its headers were read)")
    if not task.model:
        skipped.append("what the model takes (no model was named)")
    if asked.late:
        skipped.append(f"{', '.join(asked.late)} (after {within:g} s no other rule begins)")
    figures = reading.figures(sets, subjects)
    return Result(figures, ordered(asked.findings), asked.severities, asked.took, tuple(skipped))


def _measured(subjects: "Sequence[Subject]", cache: str | Path | None) -> "list[Subject]":
    """The subjects with what was measured of their audio: once for a manifest that is two sets."""
    from speechxfer.lint.reading import has_audio
    from speechxfer.lint.sound import measure

    sounds = {}
    for subject in subjects:
        if has_audio(subject.manifest) and id(subject.manifest) not in sounds:
            sounds[id(subject.manifest)] = measure(subject.manifest, cache=cache)
    return [dataclasses.replace(subject, sound=sounds.get(id(subject.manifest))) for subject in subjects]
