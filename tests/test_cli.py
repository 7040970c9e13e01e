"""The command line: what each flag sets, exit codes, and mistakes in one clear line."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechxfer.adapt.freeze import Freeze
from speechxfer.cli import acts, main, parser, resolved
from speechxfer.demo import CHECKPOINT
from speechxfer.errors import ConfigError
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.score import summarise, write_scores
from speechxfer.scoring.items import extract
from speechxfer.scoring.items_file import write_items
from speechxfer.task import Source, Task

VERBS = ("run", "train", "lint", "show", "predict", "score", "compare", "gate", "report")
VERBS += ("translate", "cascade", "graft", "backtranslate")
COMMAND = [sys.executable, "-m", "speechxfer.cli"]


def task_of(*arguments: str, task: Task | None = None) -> Task:
    """The task that `show` would print."""
    return resolved(parser(task).parse_args(["show", *arguments]), task)


def exit_code(*arguments: object, task: Task | None = None, prepare=None) -> int:
    with pytest.raises(SystemExit) as exit:
        main(task, prepare, argv=[*map(str, arguments)])
    return exit.value.code


@pytest.fixture
def scored(tmp_path) -> Path:
    """before/ and after/ as `predict` and `score` write them: WER 1/2 before, 1/4 after, all errors in the south."""
    for stage, south in (("before", ("x x", "x x")), ("after", ("c d", "x x"))):
        texts = [
            ("a b", "a b", "north"),
            ("c d", south[0], "south"),
            ("a b", "a b", "north"),
            ("c d", south[1], "south"),
        ]
        predictions = [
            Prediction(f"u{i:02}", ref, hyp, {"accent": accent}) for i, (ref, hyp, accent) in enumerate(texts * 20)
        ]
        write_predictions(tmp_path / stage / "test.predictions.jsonl", predictions)
        items = extract(predictions, ["wer", "cer"], "basic")
        write_items(tmp_path / stage / "test.items.npz", items)
        write_scores(tmp_path / stage / "test.scores.json", summarise(items))
    return tmp_path


def test_flags_set_the_fields_of_the_task():
    task = task_of(
        *("--model", "m", "--dev", "d.jsonl", "--test", "t.jsonl", "--retain", "r.jsonl", "--normaliser", "english"),
        *("--train", "a.jsonl", "b.jsonl=0.3", "c=d.jsonl=2"),
        *("--freeze", "1", "--freeze", "5:300"),
        *("--require", "wer <= 0.2", "--require", "wer <= baseline * 0.5"),
        *("--set", "optim.lr=2e-5", "--set", "run.seed=7"),
    )
    assert (task.model, task.dev, task.test, task.retain, task.normaliser) == (
        *("m", "d.jsonl", "t.jsonl", "r.jsonl", "english"),
    )
    assert task.train == (Source("a.jsonl"), Source("b.jsonl", 0.3), Source("c=d.jsonl", 2.0))
    assert task.adapt == (Freeze(1), Freeze(5, until=300))
    assert task.require == ("wer <= 0.2", "wer <= baseline * 0.5")  # two limits of one score: neither is lost
    assert (task.optim.lr, task.run.seed) == (2e-5, 7)


def test_flags_change_a_tasks_own_fields_and_no_others():
    own = Task(name="own", model="m", dev="d", adapt=(Freeze(1),), require={"wer": "<= 0.2"})
    assert task_of(task=own) == own
    assert task_of("--model", "n", "--freeze", "3:10", task=own) == dataclasses.replace(
        own, model="n", adapt=(Freeze(1), Freeze(3, until=10))
    )
    assert task_of("--require", "cer < 1", task=own).require == ("cer < 1",)
    assert task_of("--dev", "", task=own).dev == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--train", "a.jsonl=much"), "--train a.jsonl=much: weight is 'much'; expected a number, as in old.jsonl=0.3"),
        (("--train", "a.jsonl=-1"), "a.jsonl: weight is -1.0; expected a finite number > 0"),
        (("--freeze", "low"), "--freeze low: expected DEPTH or DEPTH:STEP, such as 1 or 5:300"),
        (("--freeze", "1:x"), "--freeze 1:x: expected DEPTH or DEPTH:STEP, such as 1 or 5:300"),
        (("--set", "optim.lrr=1"), "no field optim.lrr; did you mean optim.lr?"),
    ],
)
def test_what_a_wrong_flag_says(arguments, message):
    with pytest.raises(ConfigError) as caught:
        task_of(*arguments)
    assert str(caught.value) == message


def test_a_mistake_is_one_line_without_traceback_and_exits_2(tmp_path, scored, capsys):
    train = ("--train", tmp_path / "no.jsonl", "--dev", tmp_path / "no.jsonl")
    after, predictions = (scored / "after" / f"test.{name}" for name in ("scores.json", "predictions.jsonl"))
    (tmp_path / "here.jsonl").write_text('{"id": "a", "audio": "a.wav", "text": "x"}\n')
    (tmp_path / "empty").mkdir()
    mistakes = {
        ("train", "--out", tmp_path / "x", *train): "no model; expected a checkpoint folder or hub name: --model M",
        ("train", "--out", tmp_path / "x", "--model", "m"): "train is not set; expected a manifest: --train FILE",
        ("train", "--out", tmp_path / "x", "--model", "m", *train): "no.jsonl: no such file; expected a manifest",
        ("train", "--out", tmp_path / "here.jsonl", "--model", "m", *train): "is a file; expected a folder",
        ("show", "--set", "optim.lrr=1"): "no field optim.lrr; did you mean optim.lr?",
        ("predict", "--checkpoint", "m", "--out", "x"): "predict takes --checkpoint and --manifest together",
        ("predict", "--manifest", "m", "--out", "x"): "predict takes --checkpoint and --manifest together",
        ("predict", "--out", "x"): "no model; expected a checkpoint folder or hub name: --model M",
        ("predict", "--checkpoint", "m", "--manifest", tmp_path / "no.jsonl", "--out", "x"): "no.jsonl: no such file",
        ("predict", "--checkpoint", CHECKPOINT, "--manifest", tmp_path / "here.jsonl", "--out", "x"): "a.wav",
        ("score", tmp_path / "no.jsonl"): "no.jsonl: no such file; write it with `speechxfer predict`",
        ("score",): "score takes a predictions file, --ref and --hyp, or --out RUN",
        ("score", "--ref", predictions): "score takes --ref and --hyp together",
        ("score", predictions, "--ref", predictions, "--hyp", predictions): "or --ref and --hyp, not both",
        ("score", predictions, "--equivalences", tmp_path / "no.txt"): "no.txt: cannot be read (No such file",
        ("score", predictions, "--out", predictions): "is what is to be scored; expected another file",
        ("score", "--ref", after, "--hyp", predictions, "--out", after): "is what is to be scored",
        ("score", predictions, "--out", predictions / "under.json"): "test.predictions.jsonl: File exists",
        ("compare", predictions, tmp_path / "no.jsonl"): "no.jsonl: no such file",
        ("compare", after, after, "--metrics", "wer"): "--metrics is for texts, and",
        ("compare", after, after, "--normaliser", "none"): "--normaliser is for texts, and",
        ("gate", "--scores", after, "--rules", tmp_path / "no.rules"): "no.rules: No such file",
        ("report", tmp_path / "nowhere"): "nowhere",
        ("score", "--out", tmp_path / "empty"): "empty: no predictions; predict first, with the same --out",
        ("score", predictions, "--out", scored): "is a folder; expected a file to write, such as",
        ("score", predictions, "--metrics", "werr"): "no metric 'werr'; did you mean 'wer'?",
        ("gate",): "gate takes --scores FILE, or --out RUN",
        ("gate", "--out", tmp_path / "empty", "--require", "wer < 1"): "no scores; score first, with the same --out",
        ("gate", "--scores", tmp_path / "no.json", "--require", "wer < 1"): "no.json: no such file",
        ("gate", "--scores", after, "--require", "wer == 1"): "the rule 'wer == 1' cannot be read",
        ("gate", "--scores", after, "--require", "wer <= 20"): "did you mean 'wer <= 0.2'?",
        ("gate", "--scores", after, after, "--require", "wer < 1"): "two files for the set 'test'",
    }
    for arguments, message in mistakes.items():
        assert exit_code(*arguments) == 2, arguments
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.startswith("speechxfer: "), arguments
        assert len(printed.err.splitlines()) == 1 and printed.out == "", arguments


def test_a_model_that_is_nowhere(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manifests = ("--train", toy / "train.jsonl", "--dev", toy / "dev.jsonl")
    (tmp_path / "empty").mkdir()
    for model, message in (
        (tmp_path / "nowhere", "nowhere: neither a folder here nor a hub checkpoint within reach"),
        (tmp_path / "empty", "empty: has no config.json; expected a checkpoint folder as transformers writes it"),
    ):
        assert exit_code("train", "--out", tmp_path / "x", "--model", model, *manifests) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1


def test_an_unknown_verb_or_none_exits_2(capsys):
    assert exit_code("trian") == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err
    assert exit_code() == 2
    assert exit_code("train") == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (["wer <= 0.25"], 0),
        (["wer <= 0.25", "wer <= baseline * 0.9"], 0),
        (["wer <= 0.2"], 1),
        (["wer <= 0.2", "wer <= 0.3"], 1),
        (["wer <= 0.3", "wer <= baseline * 0.1"], 1),
        (["wer <= 0.3", "wer <= baseline * 0.5"], 2),
        (["wer[accent=*] <= 0.5"], 0),
        (["wer[accent=south] <= 0.4"], 1),
        (["wer[accent=east] <= 0.4"], 2),
        (["retain.wer <= 0.2"], 2),
        (["wer <= 0.2", "retain.wer <= 0.2"], 1),
        ([], 2),
    ],
)
def test_the_gates_exit_code_from_files_and_from_a_run(scored, rules, code, capsys):
    require = [word for rule in rules for word in ("--require", rule)]
    after, before = (scored / stage / "test.scores.json" for stage in ("after", "before"))
    files = ("--scores", after, "--baseline", f"test={before}", "--out", scored / "verdict")
    assert exit_code("gate", *files, *require) == code
    from_files = capsys.readouterr().out
    assert from_files.splitlines()[-1].endswith(f"exit {code})")
    assert json.loads((scored / "verdict" / "verdict.json").read_text())["exit_code"] == code
    assert exit_code("gate", "--out", scored, *require) == code
    assert capsys.readouterr().out == from_files
    assert (scored / "verdict.json").read_bytes() == (scored / "verdict" / "verdict.json").read_bytes()


def test_a_baseline_that_is_not_given_cannot_judge(scored, capsys):
    after = scored / "after" / "test.scores.json"
    assert exit_code("gate", "--scores", after, "--require", "wer <= baseline") == 2
    assert "the scores of the model before are needed" in capsys.readouterr().out


def test_named_scores(scored, capsys):
    after, before = (scored / stage / "test.scores.json" for stage in ("after", "before"))
    both = ("--scores", after, f"retain={before}")
    assert exit_code("gate", *both, "--require", "wer <= 0.25", "--require", "retain.wer <= 0.5") == 0
    assert exit_code("gate", *both, "--require", "retain.wer <= 0.4") == 1
    assert not (scored / "verdict.json").exists()


def test_score_prints_a_table_and_writes_what_the_gate_reads(scored, capsys):
    predictions = scored / "after" / "test.predictions.jsonl"
    assert exit_code("score", predictions, "--metrics", "wer", "--out", scored / "wer.json") == 0
    assert "WER in %" in capsys.readouterr().out
    assert list(json.loads((scored / "wer.json").read_text())) == ["wer"]
    assert exit_code("gate", "--scores", scored / "wer.json", "--require", "wer <= 0.25") == 0


def test_two_plain_texts_are_scored_and_compared(tmp_path, capsys):
    texts = {"ref": "a b\nc d\n", "old": "a x\nc\n", "new": "a b\nc x\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    ref, old, new = (tmp_path / f"{name}.txt" for name in texts)
    assert exit_code("score", "--ref", ref, "--hyp", new, "--metrics", "wer", "chrf", "--out", tmp_path / "n.json") == 0
    printed = capsys.readouterr().out
    assert "WER in %" in printed and "chrf" in printed and "d -> x" in printed.replace("→", "->")
    assert exit_code("score", "--ref", ref, "--hyp", old, "--metrics", "wer", "chrf", "--out", tmp_path / "o.json") == 0
    capsys.readouterr()
    assert exit_code("compare", old, new, "--ref", ref, "--metrics", "wer", "chrf") == 0
    from_texts = capsys.readouterr().out
    assert exit_code("compare", tmp_path / "o.json", tmp_path / "n.json") == 0
    assert capsys.readouterr().out == from_texts and "-25.00" in from_texts


def test_what_two_plain_texts_are_compared_by_follows_from_their_sources(tmp_path, capsys):
    for name, text in {"ref": "a b\nc d\n", "old": "a x\nc\n", "new": "a b\nc x\n"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    ref, old, new = (tmp_path / f"{name}.txt" for name in ("ref", "old", "new"))
    for sources, metrics in (((), ("wer", "cer")), (("--src", ref), ("bleu", "chrf++"))):
        assert exit_code("compare", old, new, "--ref", ref, *sources) == 0
        by_default = capsys.readouterr().out
        assert exit_code("compare", old, new, "--ref", ref, *sources, "--metrics", *metrics) == 0
        assert capsys.readouterr().out == by_default


@pytest.mark.parametrize("metrics", [("wer", "cer"), ("chrf",)])
def test_predictions_are_compared_with_scores_by_what_these_hold(scored, capsys, metrics):
    before, after = (scored / stage / "test.predictions.jsonl" for stage in ("before", "after"))
    for path in (before, after):
        assert exit_code("score", path, "--metrics", *metrics, "--out", path.with_name("s.json")) == 0
    counted = [path.with_name("s.json") for path in (before, after)]
    capsys.readouterr()
    assert exit_code("compare", *counted) == 0
    expected = capsys.readouterr().out
    for sides in ((before, counted[1]), (counted[0], after), (before, after, "--metrics", *metrics)):
        assert exit_code("compare", *sides) == 0
        assert capsys.readouterr().out == expected, sides
    assert exit_code("compare", before, counted[1], "--metrics", "wil") == 2
    assert f"no metric {metrics[0]!r}; found wil" in capsys.readouterr().err


def test_rules_come_from_a_file_and_small_sets_may_be_allowed(scored, tmp_path, capsys):
    rules = tmp_path / "gate.rules"
    rules.write_text("# of this test\nwer <= 0.5\nwer <= baseline * 0.5  # 80 items do not tell\n")
    before, after = (scored / stage / "test.scores.json" for stage in ("before", "after"))
    files = ("--scores", after, "--baseline", before, "--rules", rules)
    assert exit_code("gate", *files) == 2
    assert "wer <= baseline * 0.5" in capsys.readouterr().out
    assert exit_code("gate", *files, "--allow-small") == 0
    assert exit_code("gate", *files, "--allow-small", "--require", "wer <= 0.1") == 1


@pytest.mark.parametrize("own", [{"wer": "<= 0.1"}, ("wer <= 0.1",)], ids=["mapping", "lines"])
def test_rules_of_a_file_stand_beside_those_of_the_task_module(scored, tmp_path, own, capsys):
    task = Task(name="own", model="m", require=own)
    rules = tmp_path / "gate.rules"
    rules.write_text("cer <= 0.9\n")
    gate = ("gate", "--scores", scored / "after" / "test.scores.json", "--rules", rules)
    assert exit_code(*gate, "--out", tmp_path / "verdict", task=task) == 1
    verdict = json.loads((tmp_path / "verdict" / "verdict.json").read_text())
    assert [(one["rule"], one["status"]) for one in verdict["findings"]] == [
        ("cer <= 0.9", "pass"),
        ("wer <= 0.1", "fail"),
    ]
    assert exit_code(*gate, "--require", "wer <= 0.5", task=task) == 0, "--require takes the place of the task's own"


def test_show_prints_every_field(capsys):
    assert exit_code("show", "--model", "m", "--set", "optim.lr=2e-5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "model = 'm'" in lines and "optim.lr = 2e-05" in lines and "data.perturb.speed = []" in lines


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*_):
        return 1 // 0

    monkeypatch.setattr(acts, "show", broken)
    with pytest.raises(ZeroDivisionError):
        main(argv=["show"])


def test_interrupted_by_hand(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(acts, "show", interrupted)
    assert exit_code("show") == 130
    assert capsys.readouterr().err == "speechxfer: interrupted; what was saved is kept\n"


def test_a_reader_that_has_seen_enough():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "show"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    line = f"{sys.executable} -m speechxfer.cli show | head -1"
    piped = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == ("name = 'command line'\n", "")


def test_one_rank_talks_for_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # to be put back
    monkeypatch.setenv("RANK", "1")
    assert exit_code("show") == 0
    assert capsys.readouterr().out == ""


def test_help_at_every_width(monkeypatch):
    for width in range(30, 200, 5):
        monkeypatch.setenv("COLUMNS", str(width))
        for verb in VERBS:
            with pytest.raises(SystemExit) as exit:
                parser().parse_args([verb, "--help"])
            assert exit.value.code == 0


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_how_to_call(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert exit_code(verb, "--help") == 0
    help = capsys.readouterr().out
    assert help.startswith(f"usage: speechxfer {verb} [-h]")
    assert "%%" not in help and all(len(line) <= 80 for line in help.splitlines())


TOY_TASK = """
from pathlib import Path

from speechxfer import Optim, Task, main

TASK = Task(name="toy 100 %", model="m", train="a.jsonl", optim=Optim(lr=1e-3))


def prepare():
    Path("prepared").touch()


if __name__ == "__main__":
    main(TASK, prepare)
"""


def test_a_task_module_is_a_command(tmp_path):
    (tmp_path / "toy.py").write_text(TOY_TASK)

    def call(*arguments):
        command = [sys.executable, "toy.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    helped = call("--help")
    assert helped.stdout.startswith("usage: toy.py [-h] VERB") and "Task toy 100 %: from m." in helped.stdout
    shown = call("show", "--set", "run.seed=3")
    assert "optim.lr = 0.001\n" in shown.stdout and "run.seed = 3\n" in shown.stdout
    wrong = call("show", "--set", "lr=3")
    assert (wrong.returncode, wrong.stderr) == (2, "speechxfer: no field lr; did you mean optim.lr?\n")
    assert not (tmp_path / "prepared").exists()  # nothing that only looks prepares


def test_what_works_prepares_first(tmp_path, capsys):
    prepared = []
    task = Task(name="toy", model="m", train=str(tmp_path / "a.jsonl"), dev="d.jsonl", test="t.jsonl")

    def prepare():
        prepared.append(1)

    for verb in ("run", "train"):
        assert exit_code(verb, "--out", tmp_path / "x", task=task, prepare=prepare) == 2
        assert "no such file" in capsys.readouterr().err
    assert prepared == [1, 1]
    assert exit_code("train", "--out", tmp_path / "x", "--model", "", task=task, prepare=prepare) == 2
    assert prepared == [1, 1]  # a mistake is told before the work
