"""From a task to the sets that rules are asked about. A broken manifest is a finding, and the others are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from speechxfer.errors import ConfigError, ManifestError
from speechxfer.lint.result import Finding, Set, of_file, of_problems
from speechxfer.lint.rules import Rule, Severity, Subject
from speechxfer.manifest import Manifest, expect_files, read_good_rows
from speechxfer.problems import Problems

if TYPE_CHECKING:
    from speechxfer.lint.limits import Limits
    from speechxfer.task import Task

MANIFEST = Rule(
    "manifest",
    "error",
    "a row cannot be read, or makes no sense as a row of a manifest",
    "mend the row: training refuses a manifest that has one; `--fix` writes the rows that can be read",
    check=lambda subject: (),  # found while reading (`unreadable`): such rows never come before a rule
)
OTHERS = ("dev", "test", "retain")


@dataclass(frozen=True)
class Read:
    """One set as it was read: the rows that make sense, and what is wrong with the others or with the file."""

    name: str
    path: str
    manifest: Manifest | None
    problems: Problems
    refused: str = ""  # what is wrong with the file as a whole


def named(task: "Task") -> list[tuple[str, str]]:
    """(set, manifest) of a task. Raises ConfigError when there is none."""
    train = [("train", str(source.manifest)) for source in task.sources()] if task.train else []
    sets = [*train, *((name, str(getattr(task, name))) for name in OTHERS if getattr(task, name))]
    if not sets:
        raise ConfigError("no set to look at; expected a manifest: --train FILE, --dev, --test or --retain")
    return sets


def read(task: "Task") -> tuple[list[Read], list[Subject]]:
    """The sets, and those that have rows as subjects.

    Raises ConfigError (no set), ManifestError (no such file) and CheckpointError.
    """
    sets = named(task)
    expect_files(path for _, path in sets)
    limits = _limits(task)
    once: dict[str, Read] = {}
    found = []
    for name, path in sets:
        if path not in once:
            once[path] = _read(name, path)
        found.append(replace(once[path], name=name))
    return found, [Subject(one.name, one.manifest, limits) for one in found if one.manifest]


def _read(name: str, path: str) -> Read:
    try:
        manifest, problems = read_good_rows(path)
    except ManifestError as error:
        return Read(name, path, None, Problems(path), str(error))
    return Read(name, path, manifest if len(manifest) else None, problems)


def _limits(task: "Task") -> "Limits | None":
    """What the task's model takes. A vocabulary that is made from the training text lacks no character of it."""
    if not task.model:
        return None
    from speechxfer.lint.limits import read_limits

    limits = read_limits(task.model, normaliser=task.normaliser)
    return limits if task.data.vocabulary == "keep" else replace(limits, characters=None)


def unreadable(sets: Iterable[Read], severity: Severity) -> list[Finding]:
    """What is wrong with the manifests themselves."""
    found = []
    for one in sets:
        if one.refused:
            found.append(of_file(MANIFEST, severity, one.name, one.path, one.refused))
        if one.problems:
            found.append(of_problems(MANIFEST, severity, one.name, one.problems))
    return found


def has_audio(manifest: Manifest) -> bool:
    column = manifest.column("audio")
    return column.null_count < len(column)


def figures(sets: Sequence[Read], subjects: Sequence[Subject]) -> tuple[Set, ...]:
    """How much was read of each set."""
    by_manifest = {(subject.name, id(subject.manifest)): subject for subject in subjects}
    found = [(one, by_manifest.get((one.name, id(one.manifest)))) for one in sets]
    return tuple(
        Set(
            *(one.name, one.path, len(one.manifest or ()), len(one.problems.lines)),
            float(np.nansum(subject.seconds)) if subject else 0.0,
            subject,
        )
        for one, subject in found
    )
