"""The verbs and their flags."""

import argparse
from collections.abc import Callable
from pathlib import Path

import speechxfer.cli.acts as acts
import speechxfer.cli.judging as judging
import speechxfer.cli.translating as translating
from speechxfer.cli.task_flags import add_task_flags
from speechxfer.task import Task


def parser(task: Task | None = None) -> argparse.ArgumentParser:
    """The parser of a task module's script, or of `speechxfer` where there is no task."""
    described = "Adapt a speech or translation checkpoint, and prove that it got better."
    if task:
        described = f"Task {task.name}: from {task.model}."
    top = argparse.ArgumentParser(prog=None if task else "speechxfer", description=described)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: Callable, summary: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=summary.replace("%", "%%"), description=summary)
        sub.set_defaults(act=act)
        return sub

    for name, act, summary in (
        ("run", acts.run, "the whole line: train, predict, score, gate, report"),
        ("train", acts.train, "adapt the checkpoint; the same command again goes on where it stopped"),
    ):
        sub = verb(name, act, summary)
        sub.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
        add_task_flags(sub)
    lint = verb("lint", acts.lint, "what is wrong with the data: exit 0 nothing that is an error, 1 errors")
    lint.add_argument("--quick", action="store_true", help="text and headers of audio: decode nothing")
    lint.add_argument("--rule", action="append", default=[], metavar="NAME=SEVERITY", help="error, warning, note, off")
    lint.add_argument("--json", type=Path, metavar="FILE", help="where the findings go, for programs")
    lint.add_argument("--fix", type=Path, metavar="FILE", help="where the rows go that no error names, as .jsonl")
    lint.add_argument("--cache", type=Path, metavar="FILE", help="where what was measured of audio is kept")
    add_task_flags(lint)
    add_task_flags(verb("show", acts.show, "print every field of the task as it stands"))

    predict = verb(
        "predict", acts.predict, "what a model writes for test and retain of a run, or --checkpoint on --manifest"
    )
    predict.add_argument("--checkpoint", metavar="C", help="folder or hub name; with --manifest, and --out a file")
    predict.add_argument("--manifest", metavar="FILE", help="what to transcribe or translate")
    predict.add_argument("--out", type=Path, required=True, metavar="PATH", help="run folder, or file to write")
    add_task_flags(predict)

    score = verb(
        "score", judging.score, "scores with 95 % intervals: of a run, of a predictions file, or of plain texts"
    )
    score.add_argument("predictions", nargs="?", type=Path, help="predictions: .jsonl, .csv or .tsv")
    score.add_argument("--out", type=Path, metavar="PATH", help="run folder, or scores.json to write")
    _add_text_flags(score)
    score.add_argument("--hyp", type=Path, metavar="FILE", help="what the system wrote, with --ref")
    add_task_flags(score)

    compare = verb("compare", judging.compare, "two systems on the same items: difference, interval, significance")
    compare.add_argument("before", type=Path, help="predictions (or with --ref, hypotheses), or a scores.json")
    compare.add_argument("after", type=Path, help="likewise, of the other system")
    compare.add_argument("--groups", nargs="+", default=[], metavar="KEY", help="break down by these")
    _add_text_flags(compare)
    add_task_flags(compare)

    gate = verb("gate", judging.gate, "scores against rules: exit 0 pass, 1 fail, 2 cannot judge")
    gate.add_argument("--out", type=Path, metavar="PATH", help="run folder, or where verdict.* go")
    gate.add_argument("--scores", nargs="+", default=[], metavar="[SET=]FILE", help="of test, or retain=scores.json")
    gate.add_argument("--baseline", nargs="+", default=[], metavar="[SET=]FILE", help="likewise, of the model before")
    gate.add_argument("--rules", type=Path, metavar="FILE", help="of one rule a line, besides the task's or --require")
    gate.add_argument("--allow-small", action="store_true", help="pass what this few items cannot show to be broken")
    add_task_flags(gate)

    translate = verb("translate", translating.translate, "a text file line by line; blank lines and the order stay")
    translate.add_argument("file", type=Path, help="UTF-8, a sentence a line")
    translate.add_argument("--checkpoint", required=True, metavar="C", help="folder or hub name of a translation model")
    translate.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    translate.add_argument("--lang", metavar="LANG", help="language to write, for models of several")
    add_task_flags(translate)

    cascade = verb("cascade", translating.cascade, "recognise, then translate: scores, and what each half costs")
    cascade.add_argument("--recogniser", required=True, metavar="C", help="folder or hub name")
    cascade.add_argument("--translator", required=True, metavar="C", help="folder or hub name")
    cascade.add_argument("--manifest", required=True, metavar="FILE", help="audio, source (transcript), text")
    cascade.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="predictions and scores of each step"
    )
    cascade.add_argument("--metrics", nargs="+", metavar="METRIC", help="of the translations (bleu chrf++)")
    add_task_flags(cascade)

    graft = verb("graft", translating.graft, "a parent checkpoint with new pieces for a new language, to train from")
    graft.add_argument("--parent", required=True, metavar="M", help="folder or hub name of a translation model")
    graft.add_argument("--texts", nargs="+", required=True, metavar="FILE", help="manifests with the new language")
    graft.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="checkpoint to write")
    graft.add_argument("--side", choices=("source", "target"), default="target", help="the new language's")
    graft.add_argument("--lang", metavar="LANG", help="its code")
    graft.add_argument("--pieces", type=int, default=4000, metavar="N", help="SentencePiece entries at most (4000)")
    graft.add_argument("--pieces-by", choices=("unigram", "bpe"), default="unigram", help="how they are found")
    graft.add_argument("--coverage", type=float, default=1.0, metavar="SHARE", help="of characters with a piece (1.0)")
    graft.add_argument("--initial", choices=("mean", "random"), default="mean", help="new rows, without --mapping")
    graft.add_argument("--mapping", type=Path, metavar="FILE", help="TSV: word of the new language, of the parent's")
    graft.add_argument(
        "--bridge", nargs="+", metavar="FILE", help="pairs of the parent's languages: writes OUT-words.tsv and takes it"
    )
    graft.add_argument("--normaliser", default="nfc", metavar="NAME", help="of the target texts (nfc)")
    graft.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise in new rows")

    back = verb("backtranslate", translating.backtranslate, "synthetic sources for text of the target language alone")
    back.add_argument("texts", type=Path, help="manifest with text, or .txt of a sentence a line")
    back.add_argument("--checkpoint", required=True, metavar="C", help="translation model of the reverse direction")
    back.add_argument("--out", type=Path, required=True, metavar="FILE", help="manifest of pairs to write, .jsonl")
    back.add_argument("--tag", default=">>back<<", metavar="TAG", help="that the sources begin with (>>back<<)")
    back.add_argument("--lang", metavar="LANG", help="language to write, for models of several")
    add_task_flags(back)

    report = verb("report", judging.report, "one HTML page of a run, or of several beside each other")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    report.add_argument("--out", type=Path, metavar="FILE", help="page to write (default: RUN/report.html)")
    return top


def _add_text_flags(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--ref", nargs="+", type=Path, default=[], metavar="FILE", help="references: a file each")
    sub.add_argument("--src", type=Path, metavar="FILE", help="with --ref: the sentences that were translated")
    sub.add_argument("--metrics", nargs="+", metavar="METRIC", help="wer cer gcer mer wil bleu chrf chrf++ ter, ...")
    sub.add_argument("--equivalences", metavar="FILE", help="spellings that count as the same")
    sub.add_argument("--glossary", metavar="FILE", help="terms and their translations, for the metric glossary")
