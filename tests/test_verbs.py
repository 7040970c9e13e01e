"""The whole line over one run folder, on the toy language."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import write_toy

import speechxfer.predict
import speechxfer.train
from speechxfer import gate, verbs
from speechxfer.cli import main
from speechxfer.errors import CheckpointError, ConfigError, ManifestError, ScoreError
from speechxfer.prediction import read_predictions
from speechxfer.score import Score, read_scores
from speechxfer.task import Data, Optim, Run, Task
from speechxfer.verbs import comparison

STAGES_AND_SETS = [(stage, name) for stage in ("before", "after") for name in ("test", "retain")]


def toy_task(toy: Path, **changes) -> Task:
    task = Task(
        name="toy",
        model=str(toy / "tiny"),
        train=str(toy / "train.jsonl"),
        dev=str(toy / "dev.jsonl"),
        test=str(toy / "dev.jsonl"),
        retain=str(toy / "old.jsonl"),
        data=Data(batch_seconds=12, workers=0),
        optim=Optim(lr=5e-3),
        run=Run(steps=6, eval_every=3, save_every=6, precision="fp32"),
        require={"wer": "<= 1.9", "retain.cer": "<= baseline * 2"},
        allow_small=True,  # 12 sentences
    )
    return dataclasses.replace(task, **changes)


def run(task: Task, *arguments: object) -> tuple[int, str]:
    """The exit code and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as exit:
        main(task, argv=[*map(str, arguments)])
    return exit.value.code, printed.getvalue()


@pytest.fixture(scope="module")
def ran(toy, tmp_path_factory) -> tuple[Path, int, str]:
    """A run folder that `run` has filled, its exit code and what it printed."""
    out = tmp_path_factory.mktemp("verbs") / "run"
    return (out, *run(toy_task(toy), "run", "--out", out))


@pytest.fixture
def copy(ran, tmp_path) -> Path:
    """A copy of that folder to work on."""
    return Path(shutil.copytree(ran[0], tmp_path / "run"))


@pytest.fixture
def no_steps(monkeypatch) -> None:
    def step(*_):
        raise AssertionError("it trains")

    monkeypatch.setattr(speechxfer.train._Training, "_step", step)


def test_files_stand_where_the_module_says(ran):
    out, code, printed = ran
    assert code == 0
    assert (out / "best" / "config.json").is_file()
    for stage, name in STAGES_AND_SETS:
        assert read_predictions(out / stage / f"{name}.predictions.jsonl")
        assert set(read_scores(out / stage / f"{name}.scores.json")) == {"wer", "cer"}
        assert f"{stage}: {name} -> {out}/{stage}/{name}.predictions.jsonl" in printed
    for name in ("verdict.json", "verdict.xml", "verdict.md"):
        assert name in verbs.__doc__ and (out / name).is_file()
    assert not [path for path in out.rglob("*") if ".partial" in path.name or path.suffix == ".tmp"]


def test_before_and_after_are_of_different_weights_on_the_same_examples(ran):
    out = ran[0]
    for name in ("test", "retain"):
        before, after = (read_predictions(out / stage / f"{name}.predictions.jsonl") for stage in ("before", "after"))
        assert [(p.id, p.ref, p.group) for p in before] == [(p.id, p.ref, p.group) for p in after]
        assert [p.confidence for p in before] != [p.confidence for p in after]


def test_the_verdict_is_written_for_programs_ci_and_people(ran):
    out, _, printed = ran
    verdict = json.loads((out / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_code"]) == ("pass", 0)
    assert [f["rule"] for f in verdict["findings"]] == ["wer <= 1.9", "retain.cer <= baseline * 2.0"]
    suite = ElementTree.parse(out / "verdict.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "0")
    assert "| pass | `wer <= 1.9` |" in (out / "verdict.md").read_text()
    assert "gate: PASS (2 pass; exit 0)" in printed


def test_the_table_shows_before_and_after_in_80_columns(ran):
    out, _, printed = ran
    lines = printed.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split() == ["before", "after", "change"])
    table = lines[first : first + 5]
    assert [line[:14].strip() for line in table] == ["", "test wer", "test cer", "retain wer", "retain cer"]
    assert all(len(line) <= 80 for line in lines if str(out) not in line)
    for line in table[1:]:
        name, metric = line[:14].split()
        before, after = (read_scores(out / stage / f"{name}.scores.json")[metric] for stage in ("before", "after"))
        assert line[14:38].split()[0] == f"{100 * before.value:.1f}"
        assert line[38:62].split()[0] == f"{100 * after.value:.1f}"
        assert line[62:].split()[0] == f"{100 * (after.value - before.value) / before.value:+.1f}"
        if after.low is not None:
            assert f"[{100 * after.low:.1f}, {100 * after.high:.1f}]" in line[38:62]


def test_the_table_holds_bad_and_missing_scores():
    one = Score("wer", 9.99, 9.012, 10.5, 0.95, 3, "utterance", 3, {"insertions": 30}, "rate", False, "s", "o")
    bleu = dataclasses.replace(one, metric="bleu", value=27.31, low=25.0, high=30.0, unit="points")
    perfect, unknown = dataclasses.replace(one, value=0.0, low=None, high=None), dataclasses.replace(one, value=None)
    scores = {
        "before": {"test": {"wer": perfect}, "retain": {"wer": one, "cer": unknown}},
        "after": {"test": {"wer": one}, "retain": {"wer": one, "cer": one, "bleu": bleu}},
    }
    lines = comparison(scores).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split() == ["test", "wer", "0.0", "%", "999.0", "%", "[901.2,", "1050.0]", "-"]  # no change of zero
    assert lines[2].endswith("+0.0 %")
    assert lines[3].split()[:3] == ["retain", "cer", "-"]
    assert lines[4].split() == ["retain", "bleu", "-", "27.3", "[25.0,", "30.0]", "-"]


def test_the_same_run_goes_on_without_training_again(ran, copy, toy, no_steps):
    weights = hashlib.sha256((copy / "best" / "model.safetensors").read_bytes()).digest()
    predictions = (copy / "after" / "test.predictions.jsonl").read_bytes()
    shutil.rmtree(copy / "after")  # as a kill in the middle may leave it
    (copy / "verdict.json").unlink()
    code, printed = run(toy_task(toy), "run", "--out", copy)
    assert code == 0
    assert hashlib.sha256((copy / "best" / "model.safetensors").read_bytes()).digest() == weights
    assert (copy / "after" / "test.predictions.jsonl").read_bytes() == predictions
    assert (copy / "verdict.json").read_bytes() == (ran[0] / "verdict.json").read_bytes()
    table = slice(-8, -2)  # and the verdict; below them are the names of the files
    assert printed.splitlines()[table] == ran[2].splitlines()[table]


@pytest.mark.parametrize(
    ("require", "code", "status"),
    [
        ({"wer": "<= 0.0001"}, 1, "fail"),
        ({"wer": "<= 1.9", "retain.wer": "<= 0.0001"}, 1, "fail"),
        (("cer <= 1.9", "cer <= 0.0001"), 1, "fail"),
        (("cer <= 1.95", "cer <= 1.9"), 0, "pass"),
        ({"cer[accent=scottish]": "<= 0.2"}, 2, "cannot judge"),
        ({}, 2, "cannot judge"),
    ],
)
def test_the_exit_code_is_the_gates(copy, toy, require, code, status):
    assert run(toy_task(toy, require=require), "gate", "--out", copy)[0] == code
    assert json.loads((copy / "verdict.json").read_text())["status"] == status


def test_score_and_gate_take_what_the_run_folder_has(copy):
    """Of a task that names no sets, as on a bare command line."""
    for path in copy.rglob("*.scores.json"):
        path.unlink()
    code, printed = run(None, "score", "--out", copy)
    assert code == 0 and "test wer" in printed and "retain cer" in printed
    rules = ("--allow-small", "--require", "retain.wer <= 1.9", "--require", "wer <= baseline * 2")
    assert run(None, "gate", "--out", copy, *rules)[0] == 0


def test_a_task_judges_its_own_sets_only(copy, toy):
    assert "retain" not in run(toy_task(toy, retain=""), "score", "--out", copy)[1]


def test_a_self_supervised_source_has_no_before(toy, tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    Wav2Vec2Model(Wav2Vec2Config.from_pretrained(toy / "tiny")).save_pretrained(tmp_path / "pretrained")
    shutil.copy(toy / "tiny" / "preprocessor_config.json", tmp_path / "pretrained")
    task = toy_task(
        toy,
        model=str(tmp_path / "pretrained"),
        retain="",
        run=Run(steps=2, eval_every=2, precision="fp32"),
        require={"wer": "<= baseline * 0.5"},
    )
    out = tmp_path / "run"
    code, printed = run(task, "run", "--out", out)
    assert code == 2
    assert "self-supervised, it cannot transcribe yet; there is no before" in printed
    assert not (out / "before").exists() and (out / "after" / "test.scores.json").is_file()
    row = next(line for line in printed.splitlines() if line.startswith("test wer"))
    assert row[14:38].strip() == "-" and row.split()[-1] == "-"
    (finding,) = json.loads((out / "verdict.json").read_text())["findings"]
    assert finding["status"] == "cannot judge" and "the scores of the model before are needed" in finding["reason"]


def test_mistakes_are_told_before_training(toy, tmp_path):
    broken = write_toy(tmp_path, "broken", 3, seed=9)
    (tmp_path / "audio" / "broken-001.wav").unlink()
    for changes, error, message in (
        ({"test": "", "retain": ""}, ConfigError, "neither test nor retain is set"),
        ({"metrics": ("wer", "werr")}, ConfigError, "no metric 'werr'; did you mean 'wer'"),
        ({"require": {"wer": "=< 0.2"}}, ConfigError, "did you mean 'wer <= 0.2'"),
        ({"test": "nowhere.jsonl"}, ManifestError, "nowhere.jsonl: no such file"),
        ({"retain": str(broken)}, ManifestError, "broken-001.wav"),
    ):
        task = toy_task(toy, **changes)
        with pytest.raises(error, match=message):
            verbs.check(task)
        code, printed = run(task, "run", "--out", tmp_path / "run")
        assert (code, printed, (tmp_path / "run").exists()) == (2, "", False)
    verbs.check(toy_task(toy))


def test_each_step_says_which_one_is_missing(toy, tmp_path):
    task = toy_task(toy)
    with pytest.raises(CheckpointError, match=r"best: no such folder; train first, with the same --out$"):
        verbs.predict_run(task, tmp_path)
    with pytest.raises(ScoreError, match="no predictions; predict first, with the same --out$"):
        verbs.score_run(task, tmp_path)
    with pytest.raises(ScoreError, match="after: no scores; score first, with the same --out$"):
        verbs.gate_run(task, tmp_path)


def test_terminated_training_ends_the_line(toy, tmp_path, monkeypatch):
    terminated = speechxfer.train.Result(steps=3, best_step=0, best=1.0, reason="terminated")
    monkeypatch.setattr(speechxfer.train, "train", lambda task, out: terminated)
    code, printed = run(toy_task(toy), "run", "--out", tmp_path / "run")
    assert code == 143 and "terminated at step 3" in printed
    assert not (tmp_path / "run" / "after").exists()


def test_predictions_are_in_float32_on_the_tasks_device(copy, toy, monkeypatch):
    asked = []
    monkeypatch.setattr(speechxfer.predict, "predict", lambda *_, data, speech, decode, run: asked.append((data, run)))
    task = toy_task(toy, run=Run(steps=6, precision="bf16", device="cpu", attention="eager"))
    verbs.predict_run(task, copy)
    assert asked == [(task.data, dataclasses.replace(task.run, precision="fp32"))] * 4


def test_a_verdict_is_written_in_utf8_with_what_it_says(tmp_path):
    verdict = gate.judge({"test": {}}, {"wer[accent=é]": "<= 0.2"})
    verbs.write_verdict(tmp_path / "deep" / "folder", verdict)
    assert json.loads((tmp_path / "deep" / "folder" / "verdict.json").read_bytes()) == json.loads(verdict.to_json())
    assert "accent=é" in (tmp_path / "deep" / "folder" / "verdict.md").read_bytes().decode()
    assert "accent=é" in ElementTree.parse(tmp_path / "deep" / "folder" / "verdict.xml").find("testcase").get("name")
