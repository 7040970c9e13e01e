"""What `train` says of its data before the first step: the rules that need no decoding, for a few seconds."""

import dataclasses
import os
import shlex
import sys

from speechxfer.errors import SpeechxferError
from speechxfer.lint import lint
from speechxfer.lint.asking import severities
from speechxfer.lint.reading import MANIFEST, OTHERS
from speechxfer.lint.result import Result, counted
from speechxfer.lint.table import STAGES
from speechxfer.task import Data, Task

SECONDS = 5.0  # after which no other rule begins: of a million rows, what leaks is known by then, and little else
FIRST = ("Manifest", "Leakage")  # what is found out last otherwise
REFUSED = ("audio-missing", "model-frames")  # training looks at every file itself, and names all that are wrong


def warn(task: Task) -> None:
    """Print what is wrong on stderr, a line for each rule. Says nothing of what training is about to refuse itself.

    Raises ConfigError where `task.lint` makes no sense.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    severities(STAGES, task.lint)
    asked = dataclasses.replace(task, lint=task.lint | dict.fromkeys(REFUSED, "off"))
    try:
        result = lint(asked, quick=True, within=SECONDS, stages=sorted(STAGES, key=lambda one: one.title not in FIRST))
    except SpeechxferError:  # no such file, no such checkpoint
        return
    if any(finding.rule == MANIFEST.name for finding in result.findings):
        return
    for line in lines(task, result):
        print(line, file=sys.stderr)


def lines(task: Task, result: Result) -> list[str]:
    """A line for each rule with errors or warnings, and the command that shows all."""
    told = []
    for name, findings in result.by_rule():
        if findings[0].severity != "note":
            told.append(f"lint: {findings[0].severity}: {name}: {counted(findings)}: {findings[0].what}")
    return [*told, f"lint: all of it: {command(task)}"] if told else []


def command(task: Task) -> str:
    """The command line that shows all of it."""
    words = ["speechxfer", "lint", "--model", task.model, "--train", *(source.manifest for source in task.sources())]
    for name in OTHERS:
        words += [f"--{name}", getattr(task, name)] if getattr(task, name) else []
    if task.normaliser != Task.normaliser:
        words += ["--normaliser", task.normaliser]
    if task.data.vocabulary != Data.vocabulary:
        words += ["--set", f"data.vocabulary={task.data.vocabulary}"]
    for name, severity in task.lint.items():
        words += ["--rule", f"{name}={severity}"]
    return shlex.join(map(str, words))
