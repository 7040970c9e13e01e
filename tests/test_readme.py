"""The README's code is run as it stands, on the shipped checkpoint."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speechxfer.demo import CHECKPOINT

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the README is read: after `make demo`, with a recording at hand."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(CHECKPOINT, folder / "runs/demo/best")
    (folder / "runs/demo/log.jsonl").touch()
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    shutil.copy(next((ROOT / "manifests/audio").glob("*.flac")), folder / "x.wav")
    return folder


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, folder: Path):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "transcribe" in code:
        assert done.stdout.strip()


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(("speechxfer", "printf"))]


def test_commands_run_on_the_sample(folder: Path):
    here = [line for line in commands() if "mine/" not in line]
    assert len(here) == 9
    for line in here:
        line = re.sub("^speechxfer ", f"{shlex.quote(sys.executable)} -m speechxfer.cli ", line)
        done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_command_for_own_data_is_understood():
    from speechxfer.cli import parser, resolved

    (line,) = [line for line in commands() if "mine/" in line]
    task = resolved(parser().parse_args(shlex.split(line)[1:]), None)
    assert task.train[1].weight == 0.3
    assert task.optim.lr == 5e-5


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_tree_names_what_is_there():
    tree = README.split("## What is where")[1]
    for name in re.findall(r"\b(\w+\.py)\b", tree):
        assert (ROOT / "speechxfer" / name).is_file(), name
    listed = set(re.findall(r"\b(\w+\.py)\b", tree))
    missing = {p.name for p in (ROOT / "speechxfer").glob("*.py")} - listed - {"__init__.py", "errors.py"}
    assert not missing
