"""The command line: `speechxfer VERB ...`, and the same verbs as `python tasks/X.py VERB`.

Nothing here imports torch before a verb needs it, so `--help` answers at once. A user's mistake is printed
without a traceback and exits 2; a failed gate exits 1.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.adapt.freeze import Freeze
from speechxfer.errors import ConfigError, SpeechxferError
from speechxfer.task import Source, Task, fields, override

if TYPE_CHECKING:
    from speechxfer.scoring.transcripts import Pairs

Prepare = Callable[[], None]


def main(task: Task | None = None, prepare: Prepare | None = None, argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit. `task` is a task module's own; `prepare` writes its data where it is missing."""
    arguments = parser(task).parse_args(argv)
    if os.environ.get("RANK", "0") != "0":  # the first of several ranks talks for all
        sys.stdout = open(os.devnull, "w")
    try:
        code = arguments.act(arguments, task, prepare)
        sys.stdout.flush()
    except SpeechxferError as error:
        print(f"speechxfer: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        if error.errno is None:  # raised by a library for reasons of its own
            raise
        print(f"speechxfer: {error.filename or 'writing'}: {os.strerror(error.errno)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("speechxfer: interrupted; what was saved is kept", file=sys.stderr)
        code = 130
    sys.exit(code)


def parser(task: Task | None = None) -> argparse.ArgumentParser:
    """The parser of a task module's script, or of `speechxfer` where there is no task."""
    described = "Adapt a speech checkpoint, and prove that it got better."
    if task:
        described = f"Task {task.name}: from {task.model}."
    top = argparse.ArgumentParser(prog=None if task else "speechxfer", description=described)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: Callable, summary: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=summary.replace("%", "%%"), description=summary)
        sub.set_defaults(act=act)
        return sub

    for name, act, summary in (
        ("run", _run, "the whole line: train, predict, score, gate, report"),
        ("train", _train, "adapt the checkpoint; the same command again goes on where it stopped"),
    ):
        sub = verb(name, act, summary)
        sub.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
        _add_task_flags(sub)
    lint = verb("lint", _lint, "what is wrong with the data: exit 0 nothing that is an error, 1 errors")
    lint.add_argument("--quick", action="store_true", help="text and headers of audio: decode nothing")
    lint.add_argument("--rule", action="append", default=[], metavar="NAME=SEVERITY", help="error, warning, note, off")
    lint.add_argument("--json", type=Path, metavar="FILE", help="where the findings go, for programs")
    lint.add_argument("--fix", type=Path, metavar="FILE", help="where the rows go that no error names, as .jsonl")
    lint.add_argument("--cache", type=Path, metavar="FILE", help="where what was measured of audio is kept")
    _add_task_flags(lint)
    _add_task_flags(verb("show", _show, "print every field of the task as it stands"))

    predict = verb("predict", _predict, "transcribe test and retain of a run, or --checkpoint on --manifest")
    predict.add_argument("--checkpoint", metavar="C", help="folder or hub name; with --manifest, and --out a file")
    predict.add_argument("--manifest", metavar="FILE", help="what to transcribe")
    predict.add_argument("--out", type=Path, required=True, metavar="PATH", help="run folder, or file to write")
    _add_task_flags(predict)

    score = verb("score", _score, "scores with 95 % intervals: of a run, of a predictions file, or of plain texts")
    score.add_argument("predictions", nargs="?", type=Path, help="predictions: .jsonl, .csv or .tsv")
    score.add_argument("--out", type=Path, metavar="PATH", help="run folder, or scores.json to write")
    _add_text_flags(score)
    score.add_argument("--hyp", type=Path, metavar="FILE", help="what the system wrote, with --ref")
    _add_task_flags(score)

    compare = verb("compare", _compare, "two systems on the same items: difference, interval, significance")
    compare.add_argument("before", type=Path, help="predictions (or with --ref, hypotheses), or a scores.json")
    compare.add_argument("after", type=Path, help="likewise, of the other system")
    compare.add_argument("--groups", nargs="+", default=[], metavar="KEY", help="break down by these")
    _add_text_flags(compare)
    _add_task_flags(compare)

    gate = verb("gate", _gate, "scores against rules: exit 0 pass, 1 fail, 2 cannot judge")
    gate.add_argument("--out", type=Path, metavar="PATH", help="run folder, or where verdict.* go")
    gate.add_argument("--scores", nargs="+", default=[], metavar="[SET=]FILE", help="of test, or retain=scores.json")
    gate.add_argument("--baseline", nargs="+", default=[], metavar="[SET=]FILE", help="likewise, of the model before")
    gate.add_argument("--rules", type=Path, metavar="FILE", help="of one rule a line, besides those of --require")
    gate.add_argument("--allow-small", action="store_true", help="pass what this few items cannot show to be broken")
    _add_task_flags(gate)

    report = verb("report", _report, "one HTML page of a run, or of several beside each other")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    report.add_argument("--out", type=Path, metavar="FILE", help="page to write (default: RUN/report.html)")
    return top


def _add_text_flags(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--ref", nargs="+", type=Path, default=[], metavar="FILE", help="references: a file each")
    sub.add_argument("--metrics", nargs="+", metavar="METRIC", help="wer cer gcer mer wil bleu chrf chrf++ ter, ...")
    sub.add_argument("--equivalences", metavar="FILE", help="spellings that count as the same")


def _add_task_flags(sub: argparse.ArgumentParser) -> None:
    """The fields of a task that people set most; --set reaches all of them."""
    group = sub.add_argument_group("the task")
    group.add_argument("--model", metavar="M", help="checkpoint folder or hub name")
    group.add_argument("--train", nargs="+", metavar="FILE[=WEIGHT]", help="training manifests, mixed by weight")
    for name in ("dev", "test", "retain"):
        group.add_argument(f"--{name}", metavar="FILE", help=f"{name} manifest")
    group.add_argument("--normaliser", metavar="NAME", help="of texts: none, nfc, basic, english, indic")
    for name, metavar, summary in (
        ("freeze", "DEPTH[:STEP]", "keep the lowest DEPTH layers (until STEP); repeatable"),
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


def _freeze(text: str) -> Freeze:
    depth, _, until = text.partition(":")
    try:
        return Freeze(int(depth), int(until) if until else None)
    except ValueError as error:
        raise ConfigError(f"--freeze {text}: expected DEPTH or DEPTH:STEP, such as 1 or 5:300") from error


def _prepared(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> Task:
    chosen = resolved(arguments, task)
    _expect_folder(arguments.out)
    if not chosen.model:
        raise ConfigError("no model; expected a checkpoint folder or hub name: --model M")
    if prepare is not None:
        from speechxfer.parallel import ranks

        with ranks("cpu") as here:  # one rank writes what the others wait for
            if here.first:
                prepare()
            here.wait()
    return chosen


def _expect_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, there or not")


def _run(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
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
    print(f"files: {arguments.out}; next: speechxfer.load({str(arguments.out / 'best')!r}).transcribe('x.wav')")
    return code


def _train(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs

    verbs.train_run(_prepared(arguments, task, prepare), arguments.out)
    return 0


def _lint(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
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


def _show(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    for name, value in fields(resolved(arguments, task)).items():
        print(f"{name} = {value!r}")
    return 0


def _predict(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    if bool(arguments.checkpoint) != bool(arguments.manifest):
        raise ConfigError("predict takes --checkpoint and --manifest together, or neither for a run's test and retain")
    if arguments.checkpoint:
        from speechxfer import verbs
        from speechxfer.predict import predict

        chosen = resolved(arguments, task)
        run = verbs.in_float32(chosen.run)
        print(predict(arguments.checkpoint, arguments.manifest, arguments.out, data=chosen.data, run=run))
        return 0
    from speechxfer import verbs

    verbs.predict_run(_prepared(arguments, task, prepare), arguments.out)
    return 0


def _score(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
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
        for path in filter(None, (arguments.predictions, arguments.hyp, *arguments.ref)):
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
    return dataclasses.replace(resolved(arguments, task), **{name: value for name, value in given.items() if value})


def _predictions(arguments: argparse.Namespace, hyp: Path | None) -> "Path | Pairs":
    """A predictions file, or references and hypotheses joined."""
    if not arguments.ref:
        return hyp or arguments.predictions
    from speechxfer.scoring.transcripts import Pairs

    return Pairs(tuple(arguments.ref), hyp)


def _compare(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.scoring.comparison import compare, table
    from speechxfer.scoring.items import extract, items_path, read_items

    chosen = _with_text_flags(arguments, task)
    equal = verbs.equivalences(chosen)
    if arguments.before.suffix == arguments.after.suffix == ".json":
        for name in ("ref", "metrics", "equivalences", "normaliser"):
            if getattr(arguments, name):
                raise ConfigError(
                    f"--{name} is for texts, and {arguments.after} holds what was counted of them already"
                )
    items = [
        read_items(items_path(path))
        if path.suffix == ".json"
        else extract(_predictions(arguments, path), chosen.metrics, chosen.scored_by(), equal)
        for path in (arguments.before, arguments.after)
    ]
    print(table(compare(*items, groups=arguments.groups)))
    return 0


def _gate(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.gate.rules import read_rules

    chosen = resolved(arguments, task)
    if arguments.rules:
        lines = read_rules(arguments.rules)
        chosen = dataclasses.replace(chosen, require=(*lines, *arguments.require))
    if arguments.allow_small:
        chosen = dataclasses.replace(chosen, allow_small=True)
    if not arguments.scores:
        if not arguments.out:
            raise ConfigError("gate takes --scores FILE, or --out RUN")
        return verbs.gate_run(chosen, arguments.out)
    if arguments.out:
        _expect_folder(arguments.out)
    scores, items = _named_scores(arguments.scores)
    baseline, before = _named_scores(arguments.baseline)
    return verbs.judge(chosen, arguments.out, scores, baseline or None, items, before)


def _report(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer.report import report

    print(report(arguments.runs, arguments.out or arguments.runs[0] / "report.html"))
    return 0


def _named_scores(files: Sequence[str]) -> tuple[dict[str, dict], dict]:
    """{"test": scores, ...} of `FILE` and `retain=FILE`, and the items beside them as far as they are there."""
    from speechxfer.score import read_scores
    from speechxfer.scoring.items import items_path, read_items

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


if __name__ == "__main__":
    main()
