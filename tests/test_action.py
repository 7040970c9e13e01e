"""The GitHub action: its steps are run as they stand, with what GitHub would give them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from speechxfer.gate.rules import read_rules
from speechxfer.prediction import Prediction, write_predictions

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "name" in step}


@pytest.fixture
def shell(tmp_path):
    """Runs the script of the judging step in a folder with predictions; returns exit code, summary and outputs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/speechxfer").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m speechxfer.cli "$@"\n')
    (tmp_path / "bin/speechxfer").chmod(0o755)
    (tmp_path / "bin/python").symlink_to(sys.executable)
    rows = [Prediction(f"u{i:02}", "a b c", "a b" if i % 2 else "a b c", {"accent": "nord"}) for i in range(40)]
    write_predictions(tmp_path / "p.jsonl", rows)

    def run(**inputs: str) -> tuple[int, str, str]:
        given = {"NORMALISER": "basic", "METRICS": "wer cer", "BASELINE": "", "RETAIN": "", "OUT": "out dir"} | inputs
        files = {"GITHUB_STEP_SUMMARY": tmp_path / "summary", "GITHUB_OUTPUT": tmp_path / "outputs"}
        env = os.environ | given | {name: str(path) for name, path in files.items()}
        env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"
        script = STEPS["Score and judge"]["run"]
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True)
        summary, outputs = (path.read_text("utf-8") if path.is_file() else "" for path in files.values())
        return done.returncode, summary, outputs

    return run


def test_a_broken_rule_fails_the_build_and_is_in_the_summary(shell, tmp_path):
    (tmp_path / "gate.rules").write_text("wer <= 0.1\nwer[accent=*] <= 0.3\n")
    code, summary, outputs = shell(PREDICTIONS="p.jsonl", RULES="gate.rules")
    assert code == 1 and outputs == "status=fail\n"
    assert "wer <= 0.1" in summary and "wer[accent=nord] <= 0.3" in summary
    assert json.loads((tmp_path / "out dir/verdict.json").read_text())["status"] == "fail"


def test_a_baseline_is_compared_with(shell, tmp_path):
    (tmp_path / "gate.rules").write_text("wer <= baseline + 0.01\n")
    assert shell(PREDICTIONS="p.jsonl", RULES="gate.rules")[0] == 2  # there is none
    assert shell(PREDICTIONS="p.jsonl", RULES="gate.rules", BASELINE="out dir/scores.json")[0] == 0


def test_the_source_domain_is_judged_too(shell, tmp_path):
    (tmp_path / "gate.rules").write_text("retain.wer <= baseline + 0.01\n")
    given = {"PREDICTIONS": "p.jsonl", "RULES": "gate.rules", "RETAIN": "p.jsonl"}
    assert shell(**given)[0] == 2
    before = "out dir/scores.json\nretain=out dir/retain.scores.json\n"
    assert shell(**given, BASELINE=before)[0] == 0
    worse = [Prediction(f"u{i:02}", "a b c", "a", {"accent": "nord"}) for i in range(40)]
    write_predictions(tmp_path / "worse.jsonl", worse)
    assert shell(**given | {"RETAIN": "worse.jsonl", "OUT": "new"}, BASELINE=before)[0] == 1


def test_what_cannot_be_read_fails_the_build(shell, tmp_path):
    assert shell(PREDICTIONS="nowhere.jsonl", RULES="gate.rules")[0] == 2


def test_every_input_reaches_a_step_and_no_script_holds_one():
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text().split("runs:")[1]))
    assert used == set(ACTION["inputs"])
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_nothing_is_looked_for_in_the_callers_repository_that_is_the_actions_own():
    """setup-python's cache takes its key from files of the caller's repository alone, and fails without any."""
    (python,) = [step["with"] for step in ACTION["runs"]["steps"] if "setup-python@" in step.get("uses", "")]
    assert python.keys() == {"python-version"}


def test_the_example_gives_inputs_that_there_are_and_rules_that_can_be_read():
    workflow = yaml.safe_load((ROOT / "docs/examples/gate.yml").read_text(encoding="utf-8"))
    given = next(step["with"] for step in workflow["jobs"]["gate"]["steps"] if "speechxfer@" in step.get("uses", ""))
    assert given.keys() <= ACTION["inputs"].keys()
    assert len(read_rules(ROOT / "docs/examples/gate.rules")) == 5
