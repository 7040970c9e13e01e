"""The verbs that need texts and numbers alone, score, compare, gate and report: no torch is imported."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.cli.acts import Prepare, expect_folder
from speechxfer.cli.task_flags import resolved
from speechxfer.errors import ConfigError
from speechxfer.task import Task

if TYPE_CHECKING:
    from speechxfer.scoring.transcripts import Pairs


def score(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs

    chosen = _with_text_flags(arguments, task)
    if bool(arguments.hyp) != bool(arguments.ref):
        raise ConfigError("score takes --ref and --hyp together: references, and what the system wrote")
    if arguments.predictions and arguments.hyp:
        raise ConfigError(f"score takes a predictions file ({arguments.predictions}) or --ref and --hyp, not both")
    if arguments.predictions or arguments.hyp:
        from speechxfer.scoring import diagnosis
        from speechxfer.scoring.table import table

        if arguments.out and arguments.out.is_dir():
            example = arguments.out / "scores.json"
            raise ConfigError(f"--out {arguments.out}: is a folder; expected a file to write, such as {example}")
        for path in filter(None, (arguments.predictions, arguments.hyp, *arguments.ref, arguments.src)):
            if arguments.out and arguments.out.resolve() == path.resolve():
                raise ConfigError(f"--out {path}: is what is to be scored; expected another file, such as scores.json")
        scores, found = verbs.score_file(chosen, _predictions(arguments, arguments.hyp), arguments.out)
        print(table(scores) + "\n\n" + diagnosis.table(found))
        return 0
    if not arguments.out:
        raise ConfigError("score takes a predictions file, --ref and --hyp, or --out RUN")
    verbs.score_run(chosen, arguments.out)
    return 0


def _with_text_flags(arguments: argparse.Namespace, task: Task | None) -> Task:
    given = {"metrics": arguments.metrics and tuple(arguments.metrics), "equivalences": arguments.equivalences}
    given |= {"glossary": arguments.glossary}
    return dataclasses.replace(resolved(arguments, task), **{name: value for name, value in given.items() if value})


def _predictions(arguments: argparse.Namespace, hyp: Path | None) -> "Path | Pairs":
    """A predictions file, or references and hypotheses joined."""
    if not arguments.ref:
        if arguments.src:
            raise ConfigError(f"--src {arguments.src} goes with --ref; rows of predictions carry their source")
        return hyp or arguments.predictions
    from speechxfer.scoring.transcripts import Pairs

    return Pairs(tuple(arguments.ref), hyp, arguments.src)


def compare(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.scoring.comparison import compare, table
    from speechxfer.scoring.items import extract
    from speechxfer.scoring.items_file import items_path, read_items

    chosen = _with_text_flags(arguments, task)
    if arguments.before.suffix == arguments.after.suffix == ".json":
        for name in ("ref", "src", "metrics", "equivalences", "glossary", "normaliser"):
            if getattr(arguments, name):
                raise ConfigError(
                    f"--{name} is for texts, and {arguments.after} holds what was counted of them already"
                )
    sides = (arguments.before, arguments.after)
    items = {path: read_items(items_path(path)) for path in sides if path.suffix == ".json"}
    texts = {path: _predictions(arguments, path) for path in sides if path not in items}
    if texts:
        counted = [name for one in items.values() for name in one.columns]  # of the texts it is counted as well
        metrics = chosen.metrics or counted or verbs.measured_by(chosen, texts[arguments.after])
        equal, terms = verbs.equivalences(chosen), verbs.glossary(chosen)
        items |= {path: extract(one, metrics, chosen.scored_by(), equal, terms) for path, one in texts.items()}
    print(table(compare(*(items[path] for path in sides), groups=arguments.groups)))
    return 0


def gate(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.gate.rules import as_lines, read_rules

    chosen = resolved(arguments, task)
    if arguments.rules:
        chosen = dataclasses.replace(chosen, require=(*read_rules(arguments.rules), *as_lines(chosen.require)))
    if arguments.allow_small:
        chosen = dataclasses.replace(chosen, allow_small=True)
    if not arguments.scores:
        if not arguments.out:
            raise ConfigError("gate takes --scores FILE, or --out RUN")
        return verbs.gate_run(chosen, arguments.out)
    if arguments.out:
        expect_folder(arguments.out)
    scores, items = _named_scores(arguments.scores)
    baseline, before = _named_scores(arguments.baseline)
    return verbs.judge(chosen, arguments.out, scores, baseline or None, items, before)


def _named_scores(files: Sequence[str]) -> tuple[dict[str, dict], dict]:
    """{"test": scores, ...} of `FILE` and `retain=FILE`, and the items beside them as far as they are there."""
    from speechxfer.score import read_scores
    from speechxfer.scoring.items_file import items_path, read_items

    named, items = {}, {}
    for text in files:
        name, equals, path = text.partition("=")
        name, path = (name, path) if equals else ("test", text)
        if name in named:
            raise ConfigError(f"two files for the set {name!r}, the second is {path}; write SET=FILE, as retain={path}")
        named[name] = read_scores(path)
        if items_path(path).is_file():
            items[name] = read_items(items_path(path))
    return named, items


def report(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer.report import report

    print(report(arguments.runs, arguments.out or arguments.runs[0] / "report.html"))
    return 0
