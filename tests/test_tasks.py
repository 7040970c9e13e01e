"""Task modules: those of the project, and one of twelve lines that goes the whole way."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from speechxfer import gate
from speechxfer.task import Task

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "tasks").glob("*.py"))

TOY = """\
from speechxfer import Data, Optim, Run, Source, Task, main

TASK = Task(
    name="toy",
    model="tiny",
    train=(Source("train.jsonl"), Source("old.jsonl", weight=0.5)),
    dev="dev.jsonl", test="dev.jsonl", retain="old.jsonl",
    data=Data(batch_seconds=12, workers=0),
    optim=Optim(lr=5e-3), run=Run(steps=250, eval_every=125, save_every=125),
    require={"wer": "<= 0.1", "retain.wer": "<= baseline * 0.2"}, allow_small=True,
)
main(TASK)
"""


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_a_value_with_its_command(path: Path):
    module = load(path)
    assert isinstance(module.TASK, Task)
    assert module.TASK.name == path.stem
    assert f"python tasks/{path.name} " in module.__doc__
    assert module.TASK.sources()
    for finding in gate.judge({}, module.TASK.require).findings:
        assert finding.status == "cannot judge"  # the rules parse, and there are some
    assert len(path.read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_showing_a_task_loads_no_torch_and_writes_nothing(path: Path, tmp_path: Path):
    code = (
        f"import sys, runpy; sys.argv = ['{path.name}', 'show']\n"
        f"try: runpy.run_path({str(path)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert f"name = '{path.stem}'" in shown.stdout
    assert not list(tmp_path.iterdir())


def test_twelve_lines_go_the_whole_way(toy: Path, tmp_path: Path):
    script = tmp_path / "toy.py"
    script.write_text(TOY)
    command = [sys.executable, str(script), "run", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=toy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate: PASS (2 pass; exit 0)" in done.stdout
    assert "retain wer" in done.stdout

    strict = [sys.executable, str(script), "gate", "--out", str(tmp_path / "run"), "--require", "wer < 0"]
    failed = subprocess.run(strict, cwd=toy, capture_output=True, text=True)
    assert failed.returncode == 1, failed.stdout + failed.stderr
