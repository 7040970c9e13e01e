"""The task that a command line describes: a task module's own, or none, with what the flags change."""

import argparse
import dataclasses

from speechxfer.adapt.freeze import Freeze
from speechxfer.adapt.lora import Lora
from speechxfer.errors import ConfigError
from speechxfer.task import Source, Task, override


def add_task_flags(sub: argparse.ArgumentParser) -> None:
    """The fields of a task that people set most; --set reaches all of them."""
    group = sub.add_argument_group("the task")
    group.add_argument("--model", metavar="M", help="checkpoint folder or hub name")
    group.add_argument("--train", nargs="+", metavar="FILE[=WEIGHT]", help="training manifests, mixed by weight")
    for name in ("dev", "test", "retain"):
        group.add_argument(f"--{name}", metavar="FILE", help=f"{name} manifest")
    group.add_argument("--normaliser", metavar="NAME", help="of texts: none, nfc, basic, english, indic")
    for name, metavar, summary in (
        ("freeze", "DEPTH[:STEP]", "keep the lowest DEPTH layers (until STEP); repeatable"),
        ("lora", "RANK[:ALPHA][+NAME]", "learn low-rank matrices alone, and NAME in full: a new head, 16+lm_head"),
        ("require", "RULE", 'of the gate, such as "wer <= 0.2"; repeatable'),
        ("set", "FIELD=VALUE", "any field, such as optim.lr=2e-5; repeatable"),
    ):
        group.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=summary)


def resolved(arguments: argparse.Namespace, task: Task | None) -> Task:
    """The task with what the command line changes. Raises ConfigError."""
    task = task or Task(name="command line", model="")
    given = {name: getattr(arguments, name) for name in ("model", "dev", "test", "retain", "normaliser")}
    changes = {name: value for name, value in given.items() if value is not None}
    if arguments.train:
        changes["train"] = tuple(_source(text) for text in arguments.train)
    if arguments.freeze:
        changes["adapt"] = (*task.adapt, *(_freeze(text) for text in arguments.freeze))
    if arguments.lora:
        others = (a for a in changes.get("adapt", task.adapt) if not isinstance(a, Lora))
        changes["adapt"] = (*others, *(_lora(text) for text in arguments.lora))
    if arguments.require:
        changes["require"] = tuple(arguments.require)  # lines, which the gate reads
    return override(dataclasses.replace(task, **changes), arguments.set)


def _source(text: str) -> Source:
    path, equals, weight = text.rpartition("=")
    if not equals:
        return Source(text)
    try:
        return Source(path, float(weight))
    except ValueError as error:
        raise ConfigError(f"--train {text}: weight is {weight!r}; expected a number, as in old.jsonl=0.3") from error


def _lora(text: str) -> Lora:
    numbers, *also = text.split("+")
    rank, _, alpha = numbers.partition(":")
    try:
        return Lora(int(rank), float(alpha or 2 * int(rank)), also=tuple(also))
    except ValueError as error:
        raise ConfigError(f"--lora {text}: expected RANK[:ALPHA][+NAME], such as 16, 16:32 or 16+lm_head") from error


def _freeze(text: str) -> Freeze:
    depth, _, until = text.partition(":")
    try:
        return Freeze(int(depth), int(until) if until else None)
    except ValueError as error:
        raise ConfigError(f"--freeze {text}: expected DEPTH or DEPTH:STEP, such as 1 or 5:300") from error
