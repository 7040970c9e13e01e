"""Reading a run folder as it stands: finished, in training, or with parts missing. Nothing here loads torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.gate.verdict import Verdict, read_verdict
from speechxfer.score import Score, read_scores
from speechxfer.scoring.diagnosis import Diagnosis, read_diagnosis

STAGES = ("before", "after")
SETS = ("test", "retain")
SCORES, PREDICTIONS, ITEMS, DIAGNOSIS = ".scores.json", ".predictions.jsonl", ".items.npz", ".diagnosis.json"
TRACES = ("log.jsonl", "task.json", "verdict.json", "before", "after")  # any of these makes a folder a run


@dataclass(frozen=True)
class RunFolder:
    """What a run has written so far; a part whose file is not there is empty."""

    folder: Path
    name: str  # the folder's name, with as many parents as tell it from the other runs
    task: dict[str, Any]  # flat, as task.json has it: {"optim.lr": 0.0005, ...}
    log: tuple[dict[str, Any], ...]  # the events of log.jsonl: {"step": 10, "event": "train", "loss": 2.3, ...}
    state: dict[str, Any]  # state.json of the newest training state
    scores: dict[str, dict[str, dict[str, Score]]]  # stage -> set -> metric -> Score
    verdict: Verdict | None
    diagnoses: dict[str, Diagnosis]  # by set, of the adapted checkpoint

    def path(self, stage: str, name: str, ending: str) -> Path:
        """`RUN/after/test.items.npz` and the like."""
        return self.folder / stage / f"{name}{ending}"

    @property
    def diagnosed(self) -> list[tuple[str, Diagnosis]]:
        """The diagnoses, test and retain first."""
        return sorted(self.diagnoses.items(), key=lambda one: _place(one[0]))

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets that have scores, test and retain first."""
        found = {name: None for of_stage in self.scores.values() for name in of_stage}
        return tuple(sorted(found, key=_place))


def _place(name: str) -> tuple[int, str]:
    return (SETS.index(name) if name in SETS else len(SETS), name)


def read_runs(folders: Sequence[str | Path]) -> tuple[RunFolder, ...]:
    """Raises ConfigError with every folder that is no run, ScoreError for a file of a run that cannot be read."""
    folders = [Path(folder) for folder in folders]
    problems = [] if folders else ["no runs; expected at least one run folder"]
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            found = "is a file" if folder.exists() else "no such folder"
            problems.append(f"{folder}: {found}; expected a run folder, as `speechxfer train --out RUN` makes it")
        elif not any((folder / name).exists() for name in TRACES):
            problems.append(f"{folder}: is no run; expected one of {', '.join(TRACES)} in it")
    if len({folder.resolve() for folder in folders}) < len(folders):
        problems.append(f"a run is given twice: {', '.join(map(str, folders))}; expected different folders")
    if problems:
        raise ConfigError("\n".join(problems))
    names = distinct_names(folders)
    return tuple(_read_run(folder, name) for folder, name in zip(folders, names, strict=True))


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ: runs/a and runs/b are a and b, x/run and y/run stay as they are."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _read_run(folder: Path, name: str) -> RunFolder:
    scores: dict[str, dict[str, dict[str, Score]]] = {}
    for stage in STAGES:
        for path in sorted((folder / stage).glob(f"*{SCORES}")):
            scores.setdefault(stage, {})[path.name.removesuffix(SCORES)] = read_scores(path)
    diagnoses = {
        path.name.removesuffix(DIAGNOSIS): read_diagnosis(path)
        for path in sorted((folder / "after").glob(f"*{DIAGNOSIS}"))
    }
    states = [path for path in folder.glob("step_*/state.json") if path.parent.name[5:].isdigit()]
    newest = max(states, key=lambda path: int(path.parent.name[5:]), default=folder / "state.json")
    return RunFolder(
        folder=folder,
        name=name,
        task=_read_object(folder / "task.json"),
        log=read_log(folder / "log.jsonl"),
        state=_read_object(newest),
        scores=scores,
        verdict=read_verdict(folder / "verdict.json") if (folder / "verdict.json").is_file() else None,
        diagnoses=diagnoses,
    )


def _read_object(path: Path) -> dict[str, Any]:
    """{} where there is no such file. Raises ScoreError where it holds no JSON object."""
    if not path.is_file():
        return {}
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ScoreError(f"{path}: {error}; expected JSON") from None
    if not isinstance(row, dict):
        raise ScoreError(f"{path}: found {type(row).__name__}; expected an object")
    return row


def read_log(path: Path) -> tuple[dict[str, Any], ...]:
    """The events of log.jsonl. A last line without its end is being written, or was when the run was killed.

    Raises ScoreError with every other line that is no event.
    """
    if not path.is_file():
        return ()
    lines = path.read_bytes().split(b"\n")
    events, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if not (isinstance(event, dict) and isinstance(event.get("step"), int) and "event" in event):
                raise ValueError("expected an object with step and event")
            events.append(event)
        except ValueError as error:
            if number < len(lines):
                problems.append(f"{path}:{number}: {error}")
    if problems:
        raise ScoreError("\n".join(problems))
    return tuple(events)
