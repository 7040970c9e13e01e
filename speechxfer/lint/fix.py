"""`--fix`: the rows of a set that no error names, as a manifest of their own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechxfer.errors import ConfigError
from speechxfer.lint.reading import named
from speechxfer.lint.result import Result
from speechxfer.manifest import write_manifest
from speechxfer.parallel_text import place
from speechxfer.scoring.terminal import wrapped
from speechxfer.task import Task


@dataclass(frozen=True)
class Fixed:
    """What was written, and what was dropped: `dropped` rows in all, some by several rules."""

    path: Path
    kept: int
    dropped: int
    by_rule: dict[str, int]
    unmended: tuple[str, ...]  # rules whose errors no dropping of rows mends


def choose(task: Task) -> str:
    """The manifest that is fixed: train if there are several sets, else the only one. Raises ConfigError."""
    sets = named(task)
    train = [path for name, path in sets if name == "train"]
    chosen = train or [path for _, path in sets]
    if len(chosen) > 1:
        found = f"{len(chosen)} manifests of train" if train else ", ".join(name for name, _ in sets)
        raise ConfigError(f"--fix writes one manifest and found {found}; lint them one by one, each with its --fix")
    return chosen[0]


def check(task: Task, fixed: Path | None, json: Path | None) -> None:
    """Raises ConfigError, before the work, where what is to be written would overwrite an input or could not be."""
    if fixed:
        choose(task)
        if fixed.suffix != ".jsonl":
            raise ConfigError(f"--fix {fixed}: unknown ending {fixed.suffix!r}; expected .jsonl")
    written = {flag: path.resolve() for flag, path in (("--fix", fixed), ("--json", json)) if path}
    for flag, path in written.items():
        for name, manifest in named(task):
            if path in [file.resolve() for file in place(manifest).files]:
                raise ConfigError(f"{flag} {path}: is the {name} manifest; expected another file")
    if len(set(written.values())) < len(written):
        raise ConfigError(f"--fix and --json are both {fixed}; expected two files")


def fix(task: Task, result: Result, path: Path) -> Fixed:
    """Write the rows that can be kept, in their order, with audio paths right for the new folder.

    `result` is that of the task. Raises ConfigError where no row is left, and writes nothing.
    """
    check(task, path, None)
    name = choose(task)
    chosen = next(one for one in result.sets if one.manifest == name)
    errors = [f for f in result.findings if f.severity == "error" and (f.set, f.manifest) == (chosen.name, name)]
    wrong = np.unique(np.concatenate([np.zeros(0, np.int64), *(finding.rows for finding in errors)]))
    keep = np.setdiff1d(np.arange(chosen.rows), wrong, assume_unique=True)
    if not len(keep):
        raise ConfigError(f"--fix {path}: no row of {name} is left; nothing was written")
    write_manifest(path, chosen.subject.manifest.select(keep))
    return Fixed(
        *(path, len(keep), len(wrong) + chosen.unreadable),
        {finding.rule: finding.count for finding in errors if finding.count},
        tuple(finding.rule for finding in errors if not finding.count),
    )


def told(fixed: Fixed) -> str:
    """What `fix` did, in lines of at most 80 columns."""
    head = f"fix: {fixed.kept:,} of {fixed.kept + fixed.dropped:,} rows -> {fixed.path}"
    lines = wrapped(head, rest="  ")
    if fixed.dropped:
        by_rule = ", ".join(f"{rule} {count:,}" for rule, count in fixed.by_rule.items())
        lines += wrapped(f"dropped {fixed.dropped:,}: {by_rule}", "  ", "    ")
    if len(fixed.by_rule) > 1:
        lines += wrapped("(a row that several rules name is counted by each)", "  ", "    ")
    if fixed.unmended:
        lines += wrapped(f"not mended by dropping rows: {', '.join(fixed.unmended)}", "  ", "    ")
    return "\n".join(lines)
