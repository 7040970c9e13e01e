"""The straight line over one run folder: train, predict, score, gate. Each step reads files and writes files.

RUN/best/                                  the adapted checkpoint
RUN/before/test.predictions.jsonl          of the checkpoint that training started from
RUN/after/test.predictions.jsonl           of RUN/best; likewise retain.*
RUN/*/test.scores.json                     likewise; beside it .items.npz (for comparing) and .diagnosis.json
RUN/verdict.json, verdict.xml, verdict.md  what the gate said: for programs, CI systems and people
RUN/report.html                            all of it on one page
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.atomic import replacing
from speechxfer.errors import CheckpointError, ConfigError, ScoreError
from speechxfer.task import Run, Task

if TYPE_CHECKING:
    from speechxfer.gate.verdict import Verdict
    from speechxfer.prediction import Prediction
    from speechxfer.score import Score
    from speechxfer.scoring.diagnosis import Diagnosis
    from speechxfer.scoring.equivalence import Equivalences
    from speechxfer.scoring.glossary import Glossary
    from speechxfer.scoring.items import Items
    from speechxfer.scoring.transcripts import Pairs

SETS = ("test", "retain")
STAGES = ("before", "after")


def check(task: Task) -> None:
    """Raise, before hours of training, what predicting, scoring and judging would raise after them."""
    from speechxfer import gate
    from speechxfer.data import read_examples
    from speechxfer.manifest import expect_files
    from speechxfer.models import family_of, resolve

    check_scoring(task)
    gate.judge({}, task.require)
    expect_files(task.manifest(name) for name in sets(task))
    given = family_of(resolve(task.model)).given
    for name in sets(task):
        read_examples(task.manifest(name), given, "text")


def check_scoring(task: Task) -> None:
    """Raise what scoring would raise of the task alone: metrics that there are not, a list that cannot be read."""
    from speechxfer.scoring import metrics

    for name in task.metrics:
        metrics.find(name, ())
    equivalences(task)
    if "glossary" in task.metrics and not glossary(task):
        raise ConfigError("metric glossary without a file of terms; expected --glossary FILE or Task(glossary=...)")


def train_run(task: Task, run: Path) -> None:
    """Train, or go on training. A run that begins is warned of what `lint` finds in a few seconds."""
    from speechxfer.checkpoint import states
    from speechxfer.lint.start import warn
    from speechxfer.train import train

    if not states(run):
        warn(task)
    result = train(task, run)
    best = f"; best on dev at step {result.best_step} ({result.best:.4f}): {run / 'best'}" if result.best_step else ""
    print(f"{result.reason} at step {result.steps}{best}")
    if result.reason == "terminated":
        raise SystemExit(143)  # 128 + SIGTERM, as shells and schedulers write it


def predict_run(task: Task, run: Path) -> None:
    """Transcribe or translate test and retain with the checkpoint before and after."""
    from speechxfer.models import can_predict, resolve
    from speechxfer.predict import predict

    best = run / "best"
    if not best.is_dir():
        raise CheckpointError(f"{best}: no such folder; train first, with the same --out")
    before = resolve(task.model)
    has_before = can_predict(before)
    if not has_before:
        print(f"{task.model}: self-supervised, it cannot transcribe yet; there is no before")
    for stage, checkpoint in (("before", before), ("after", best)):
        if stage == "after" or has_before:
            for name in sets(task):
                out = run / stage / f"{name}.predictions.jsonl"
                print(f"{stage}: {name} -> {out}")
                predict(
                    checkpoint,
                    task.manifest(name),
                    out,
                    data=task.data,
                    speech=task.speech,
                    decode=task.decode,
                    run=in_float32(task.run),
                )


def in_float32(run: Run) -> Run:
    """Whatever training ran in, the predictions that people decide on do not hang on a machine's bf16."""
    return dataclasses.replace(run, precision="fp32")


def score_run(task: Task, run: Path) -> None:
    """Score what `predict_run` wrote, and print before against after."""
    from speechxfer.models import complete

    if (run / "best" / "config.json").is_file():  # what the task leaves to its model
        task = complete(task, run / "best")
    found = False
    for stage, name in stages_and_sets(task):
        predictions = run / stage / f"{name}.predictions.jsonl"
        if predictions.is_file():
            score_file(task, predictions, run / stage / f"{name}.scores.json")
            found = True
    if not found:
        raise ScoreError(f"{run}: no predictions; predict first, with the same --out")
    print(comparison(read_run_scores(task, run)))


def score_file(
    task: Task, predictions: "str | Path | Pairs | Sequence[Prediction]", out: Path | None
) -> tuple[dict[str, "Score"], "Diagnosis"]:
    """Score predictions as the task says; `out` is where scores.json goes, with items and diagnosis beside it."""
    from speechxfer.prediction import iterate
    from speechxfer.score import summarise, write_scores
    from speechxfer.scoring.diagnosis import diagnose, diagnose_translation, diagnosis_path, write_diagnosis
    from speechxfer.scoring.edits import count
    from speechxfer.scoring.items import extract
    from speechxfer.scoring.items_file import items_path, write_items
    from speechxfer.scoring.survival import Numerals
    from speechxfer.text import normalise

    equal, terms = equivalences(task), glossary(task)
    items = extract(predictions, measured_by(task, predictions), task.scored_by(), equal, terms)
    scores = summarise(items)

    def as_scored(text: str) -> str:
        text = normalise(task.scored_by(), text)
        return equal.apply(text) if equal else text

    def pairs() -> Iterator[tuple[str, str, str]]:
        for row in iterate(predictions):
            hyp, refs = as_scored(row.hyp), [as_scored(ref) for ref in (row.ref, *row.alternatives)]
            yield row.id, min(refs, key=lambda ref: count("wer", ref, hyp).rate) if refs[1:] else refs[0], hyp

    diagnosis = diagnose(pairs())
    if any("sources" in column.metric.reads for column in items.columns.values()):
        numerals = Numerals(task.scored_by(), equal) if equal else None
        found = diagnose_translation(iterate(predictions), numerals, terms)
        diagnosis = dataclasses.replace(diagnosis, translation=found)
    if out:
        write_items(items_path(out), items)
        write_diagnosis(diagnosis_path(out), diagnosis)
        write_scores(out, scores)
    return scores, diagnosis


def measured_by(task: Task, predictions: "str | Path | Pairs | Sequence[Prediction]") -> tuple[str, ...]:
    """The task's metrics; where it names none, those of translation for what has a source, else those of speech."""
    from speechxfer.models import CTC, MARIAN
    from speechxfer.prediction import iterate

    if task.metrics:
        return task.metrics
    first = next(iterate(predictions), None)
    return (MARIAN if first and first.source is not None else CTC).metrics


def equivalences(task: Task) -> "Equivalences | None":
    """The task's list of spellings that count as the same. Raises ConfigError with all that is wrong with it."""
    from speechxfer.scoring.equivalence import read_equivalences

    return read_equivalences(task.equivalences, task.scored_by()) if task.equivalences else None


def glossary(task: Task) -> "Glossary | None":
    """The task's terms and their translations. Raises ConfigError with all that is wrong with them."""
    from speechxfer.scoring.glossary import read_glossary

    return read_glossary(task.glossary) if task.glossary else None


def gate_run(task: Task, run: Path) -> int:
    """Judge the scores by the task's rules against those before. Returns the exit code: 0, 1 or 2."""
    scores, items = read_run_scores(task, run), read_run_items(task, run)
    if "after" not in scores:
        raise ScoreError(f"{run / 'after'}: no scores; score first, with the same --out")
    return judge(task, run, scores["after"], scores.get("before"), items.get("after"), items.get("before"))


def judge(task: Task, out: Path | None, scores: dict, baseline: dict | None, items: dict, before: dict | None) -> int:
    """Judge named sets of scores and their items, print the verdict and write it. Returns the exit code."""
    from speechxfer import gate
    from speechxfer.gate import verdict

    found = gate.judge(scores, task.require, baseline, items=items, baseline_items=before, allow_small=task.allow_small)
    if out:
        write_verdict(out, found)
    print(verdict.table(found))
    return found.exit_code


def write_verdict(folder: Path, verdict: "Verdict") -> None:
    """verdict.json, verdict.xml (JUnit) and verdict.md."""
    from speechxfer.gate.verdict import junit, markdown

    texts = {"json": verdict.to_json() + "\n", "xml": junit(verdict), "md": markdown(verdict)}
    for ending, text in texts.items():
        with replacing(folder / f"verdict.{ending}") as partial:
            partial.write_text(text, encoding="utf-8")


def sets(task: Task) -> list[str]:
    """The sets that the task scores. Raises ConfigError when there is none."""
    found = [name for name in SETS if getattr(task, name)]
    if not found:
        raise ConfigError("neither test nor retain is set; expected --test FILE or Task(test=...)")
    return found


def stages_and_sets(task: Task) -> Iterator[tuple[str, str]]:
    """All that may have been predicted and scored; of a task that names no set, whatever the run has."""
    names = [name for name in SETS if getattr(task, name)] or SETS
    for stage in STAGES:
        for name in names:
            yield stage, name


def read_run_scores(task: Task, run: Path) -> dict[str, dict[str, dict[str, "Score"]]]:
    """stage -> set -> metric -> Score, as far as they are there."""
    from speechxfer.score import read_scores

    found: dict[str, dict[str, dict[str, Score]]] = {}
    for stage, name in stages_and_sets(task):
        path = run / stage / f"{name}.scores.json"
        if path.is_file():
            found.setdefault(stage, {})[name] = read_scores(path)
    return found


def read_run_items(task: Task, run: Path) -> dict[str, dict[str, "Items"]]:
    """stage -> set -> Items, as far as they are there."""
    from speechxfer.scoring.items_file import items_path, read_items

    found: dict[str, dict[str, Items]] = {}
    for stage, name in stages_and_sets(task):
        path = items_path(run / stage / f"{name}.scores.json")
        if path.is_file():
            found.setdefault(stage, {})[name] = read_items(path)
    return found


def comparison(scores: dict[str, dict[str, dict[str, "Score"]]]) -> str:
    """Before against after, a line for each set and metric, rates in per cent, at most 80 columns.

    The change of a rate is that of the rate itself in per cent, the change of points is in points.
    """
    lines = [f"{'':14}{'before':>24}{'after':>24}{'change':>12}"]
    for name, of_set in scores["after" if "after" in scores else "before"].items():
        for metric in of_set:
            before, after = (scores.get(stage, {}).get(name, {}).get(metric) for stage in STAGES)
            change = "-"
            if before and after and None not in (before.value, after.value):
                if after.unit == "points":
                    change = f"{after.value - before.value:+.1f}"
                elif before.value:
                    change = f"{100 * (after.value / before.value - 1):+.1f} %"
            lines.append(f"{name + ' ' + metric:14}{_with_interval(before):>24}{_with_interval(after):>24}{change:>12}")
    return "\n".join(lines)


def _with_interval(score: "Score | None") -> str:
    if score is None or score.value is None:
        return "-"
    scale, sign = (100, " %") if score.unit == "rate" else (1, "")
    ends = "" if score.low is None else f" [{scale * score.low:.1f}, {scale * score.high:.1f}]"
    return f"{scale * score.value:.1f}{sign}{ends}"
