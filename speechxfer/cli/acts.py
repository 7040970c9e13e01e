"""The verbs that may need a model: their flags are checked, and the work is handed to the module that does it."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from speechxfer.cli.task_flags import resolved
from speechxfer.errors import ConfigError
from speechxfer.task import Task, fields

Prepare = Callable[[], None]


def _prepared(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> Task:
    chosen = resolved(arguments, task)
    expect_folder(arguments.out)
    if not chosen.model:
        raise ConfigError("no model; expected a checkpoint folder or hub name: --model M")
    if prepare is not None:
        from speechxfer.parallel import ranks

        with ranks("cpu") as here:  # one rank writes what the others wait for
            if here.first:
                prepare()
            here.wait()
    return chosen


def expect_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, there or not")


def run(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.models import MARIAN, family_of
    from speechxfer.report import report

    chosen = _prepared(arguments, task, prepare)
    verbs.check(chosen)
    verbs.train_run(chosen, arguments.out)
    verbs.predict_run(chosen, arguments.out)
    if os.environ.get("RANK", "0") != "0":
        return 0  # what is left is reading and writing text, which the first rank does
    verbs.score_run(chosen, arguments.out)
    code = verbs.gate_run(chosen, arguments.out)
    print(f"page: {report([arguments.out], arguments.out / 'report.html')}")
    call = "translate('...')" if family_of(arguments.out / "best") is MARIAN else "transcribe('x.wav')"
    print(f"files: {arguments.out}; next: speechxfer.load({str(arguments.out / 'best')!r}).{call}")
    return code


def train(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs

    verbs.train_run(_prepared(arguments, task, prepare), arguments.out)
    return 0


def lint(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer.lint import fix, lint, result

    chosen = resolved(arguments, task)
    chosen = dataclasses.replace(chosen, lint=chosen.lint | dict(map(_severity, arguments.rule)))
    fix.check(chosen, arguments.fix, arguments.json)  # mistakes are told before the work
    if prepare is not None:
        prepare()
    found = lint(chosen, quick=arguments.quick, cache=arguments.cache)
    print(result.text(found))
    if arguments.json:
        result.write_result(arguments.json, found)
    if arguments.fix:
        print(fix.told(fix.fix(chosen, found, arguments.fix)))
    return found.exit_code


def _severity(text: str) -> tuple[str, str]:
    name, equals, severity = text.partition("=")
    if not equals:
        raise ConfigError(f"--rule {text}: expected NAME=SEVERITY, such as audio-clipped=off")
    return name, severity


def show(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    for name, value in fields(resolved(arguments, task)).items():
        print(f"{name} = {value!r}")
    return 0


def predict(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    if bool(arguments.checkpoint) != bool(arguments.manifest):
        raise ConfigError("predict takes --checkpoint and --manifest together, or neither for a run's test and retain")
    if arguments.checkpoint:
        from speechxfer import verbs
        from speechxfer.predict import predict

        chosen = resolved(arguments, task)
        run = verbs.in_float32(chosen.run)
        print(
            predict(
                arguments.checkpoint,
                arguments.manifest,
                arguments.out,
                data=chosen.data,
                speech=chosen.speech,
                decode=chosen.decode,
                run=run,
            )
        )
        return 0
    from speechxfer import verbs

    verbs.predict_run(_prepared(arguments, task, prepare), arguments.out)
    return 0
