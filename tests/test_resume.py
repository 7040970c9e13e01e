"""A run that is killed and started again ends in the weights of a run never killed.

Runs live in processes forked from a server that has torch loaded, so that a kill -9 is a real one and costs no import.
A kill is placed exactly: at the n-th file operation of some kind, seen through Python's audit events.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from conftest import write_toy

from speechxfer import checkpoint
from speechxfer import task as tasks
from speechxfer.adapt.freeze import Freeze
from speechxfer.data import _loader
from speechxfer.errors import CheckpointError
from speechxfer.perturb import Perturb
from speechxfer.progress import TrainingLog
from speechxfer.resume import FREE
from speechxfer.task import Data, Optim, Run, Source, Task
from speechxfer.train import train

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["speechxfer.train", "conftest"])


def everything_on(toy: Path, precision: str = "fp32") -> Task:
    """Mixture, perturbation, dropout, LayerDrop, time masking, unfreezing and early stopping, at unaligned steps.

    Dev is scored every 3rd step and the state saved every 4th; the run stops early, with better dev scores on the way.
    """
    return Task(
        name="everything on",
        model=str(toy / "tiny"),  # dropout 0.1, LayerDrop 0.2, time masking 0.05
        train=(Source(str(toy / "train.jsonl")), Source(str(toy / "old.jsonl"), 0.5)),
        dev=str(toy / "dev.jsonl"),
        data=Data(batch_seconds=8, workers=0, perturb=Perturb(speed=(0.9, 1.0, 1.1), gain_db=(-6.0, 6.0))),
        optim=Optim(lr=1e-2, schedule="constant"),
        run=Run(
            steps=60,
            batches_per_step=2,
            eval_every=3,
            save_every=4,
            log_every=2,
            patience=2,
            best_by="loss",
            precision=precision,
            device="cpu",
        ),
        adapt=(Freeze(1), Freeze(3, until=10)),
    )


@dataclass(frozen=True)
class Kill:
    """kill -9 just before the `count`-th file operation `event` that names `part` of a path ("": of the run)."""

    event: str
    part: str
    count: int = 1


def run_in_process(task: Task, out: Path, kill: Kill | None = None, term_at: int = 0) -> int:
    """Train in a process of its own; returns its exit code, -9 where it was killed."""
    process = CONTEXT.Process(target=_child, args=(task, out, kill, term_at))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def _child(task: Task, out: Path, kill: Kill | None, term_at: int) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of loader workers, as in a process started by hand
    with out.with_suffix(".stderr").open("a") as file:
        os.dup2(file.fileno(), 2)
    if kill:
        seen = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal seen
            if event.startswith(kill.event) and any(
                str(out) in str(path) and kill.part in str(path) for path in arguments if isinstance(path, (str, Path))
            ):
                seen += 1
                if seen == kill.count:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
    if term_at:
        terminate_at(term_at)
    train(task, out)


def terminate_at(step: int, setattr=setattr) -> None:
    """Let this process send itself SIGTERM at a step."""
    take_step = TrainingLog.step

    def step_and_signal(self: TrainingLog, done: int) -> None:
        take_step(self, done)
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    setattr(TrainingLog, "step", step_and_signal)


def rows(out: Path) -> list[dict]:
    """log.jsonl without what is measured with a clock."""
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.endswith("_per_second")} for row in found]


def outcome(out: Path) -> dict:
    """All that must be equal: SHA-256 of best, last and the final state, its named values, and the log."""
    state = checkpoint.states(out)[-1]
    files = (out / "best/model.safetensors", out / "last/model.safetensors", state / "model.safetensors")
    optimiser = torch.load(state / "optimiser.pt", weights_only=True)["state"]
    moments = [optimiser[group][name].numpy().tobytes() for group in optimiser for name in sorted(optimiser[group])]
    return {
        "weights": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        "optimiser": hashlib.sha256(b"".join(moments)).hexdigest(),
        "state": (state.name, json.loads((state / "state.json").read_text())["state"]),
        "log": rows(out),
        "folders": sorted(p.name for p in out.iterdir() if p.name != "tensorboard"),
    }


@pytest.fixture(scope="session")
def never_killed(toy, tmp_path_factory) -> dict[str, dict]:
    """The outcome of `everything_on`, by precision."""
    found = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path_factory.mktemp("never-killed") / precision
        assert run_in_process(everything_on(toy, precision), out) == 0
        found[precision] = outcome(out)
    return found


def test_the_run_of_these_tests_has_something_to_lose(never_killed):
    for end in never_killed.values():
        evaluations = [row for row in end["log"] if row["event"] == "dev"]
        name, state = end["state"]
        assert evaluations[-1]["step"] < 60 and state["bad_evaluations"] == 2, "it should stop early"
        assert 3 < state["best_step"] < evaluations[-1]["step"], "best should be neither the first nor the last"
        assert name == f"step_{evaluations[-1]['step']:06d}"
        assert end["weights"][0] != end["weights"][1], "best and last should differ"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_three_kills_change_nothing(toy, tmp_path, never_killed, precision):
    task, out = everything_on(toy, precision), tmp_path / "run"
    # A better best/ is written and the old one set aside, but not yet replaced; step 8 is not saved yet.
    assert run_in_process(task, out, Kill("os.rename", "best.tmp", 3)) == -9
    assert (out / "best.old").is_dir() and not (out / "best").exists()
    # A state is written but not yet named.
    assert run_in_process(task, out, Kill("os.rename", "step_000012.tmp")) == -9
    assert (out / "step_000012.tmp/model.safetensors").is_file() and not (out / "step_000012").exists()
    # Whenever: another process kills it at some step.
    process = CONTEXT.Process(target=_child, args=(task, out, None, 0))
    process.start()
    deadline = time.monotonic() + 60
    while max((row["step"] for row in rows(out)), default=0) < 18:
        assert time.monotonic() < deadline and process.is_alive()
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9
    assert run_in_process(task, out) == 0
    assert outcome(out) == never_killed[precision]


@pytest.mark.parametrize(
    "kill",
    [
        Kill("open", "log.jsonl.tmp", 1),  # while the log is cut back
        Kill("os.mkdir", "step_000027.tmp"),  # stopped early, but not saved: patience counts on from step 24
        Kill("os.mkdir", "last.tmp"),  # stopped early and saved, but last/ is missing
        Kill("os.rename", "last.tmp"),
        Kill("shutil.rmtree", "step_000004.tmp", 2),  # while an old state is removed: the first time it is a new one
        Kill("os.rename", "step_000020", 2),  # before it is
    ],
    ids=lambda kill: f"{kill.event} {kill.part}",
)
def test_kills_at_the_seams(toy, tmp_path, never_killed, kill):
    task, out = everything_on(toy), tmp_path / "run"
    if kill.part == "log.jsonl.tmp":  # only a resume cuts the log back
        assert run_in_process(task, out, Kill("os.rename", "step_000016.tmp")) == -9
    assert run_in_process(task, out, kill) == -9
    # Other workers load the same batches.
    assert run_in_process(dataclasses.replace(task, data=dataclasses.replace(task.data, workers=2)), out) == 0
    assert outcome(out) == never_killed["fp32"]


def test_sigterm_to_the_whole_job_saves_and_leaves(toy, tmp_path, never_killed):
    out = tmp_path / "run"
    flags = {
        "data.batch_seconds": 8,
        "data.workers": 2,
        "data.perturb.speed": "0.9,1.0,1.1",
        "data.perturb.gain_db": "-6,6",
        "optim.lr": 1e-2,
        "optim.schedule": "constant",
        "run.steps": 60,
        "run.batches_per_step": 2,
        "run.eval_every": 3,
        "run.save_every": 4,
        "run.log_every": 2,
        "run.patience": 2,
        "run.best_by": "loss",
        "run.precision": "fp32",
        "run.device": "cpu",
    }
    command = [sys.executable, "-m", "speechxfer.cli", "train", "--out", str(out), "--model", str(toy / "tiny")]
    command += ["--train", str(toy / "train.jsonl"), f"{toy / 'old.jsonl'}=0.5", "--dev", str(toy / "dev.jsonl")]
    command += ["--freeze", "1", "--freeze", "3:10", *(f"--set={name}={value}" for name, value in flags.items())]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (out / "log.jsonl").is_file() or max((row["step"] for row in rows(out)), default=0) < 6:
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGTERM)  # the loader's workers too, as torchrun and schedulers do
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "the same command goes on from here" in said and "Traceback" not in said
    saved = int(checkpoint.states(out)[-1].name.removeprefix("step_"))
    assert 6 <= saved < len(never_killed["fp32"]["log"]) * 2
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert f"going on from step {saved} of 60" in again.stderr
    assert "stopped early at step" in again.stdout
    end = outcome(out)
    for part in ("weights", "optimiser", "state"):
        assert end[part] == never_killed["fp32"][part]
    assert [row for row in end["log"] if row["event"] == "dev"] == [
        row for row in never_killed["fp32"]["log"] if row["event"] == "dev"
    ]


def test_loader_workers_heed_their_parent_alone():
    items = iter(_loader(list(range(9)), iter(range(9)), workers=1))
    assert next(items) == 0
    (worker,) = multiprocessing.active_children()
    for name in ("TERM", "INT"):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    worker.join(0.3)
    assert worker.is_alive() and list(items) == list(range(1, 9))
    items = iter(_loader(list(range(9)), iter(range(9)), workers=1))
    assert next(items) == 0
    (worker,) = multiprocessing.active_children()
    worker.terminate()  # as Python does at its end, should a traceback hold the loader
    worker.join(10)
    assert worker.exitcode == 0


def short(toy: Path) -> Task:
    run = Run(steps=4, eval_every=4, save_every=2, log_every=1, precision="fp32", device="cpu")
    return Task("short", str(toy / "tiny"), train=str(toy / "train.jsonl"), dev=str(toy / "dev.jsonl"), run=run)


@pytest.fixture
def half_done(toy, tmp_path, monkeypatch) -> tuple[Task, Path]:
    """A task with a manifest of its own, terminated at step 2 of 4, and its run."""
    write_toy(tmp_path, "mine", 6, seed=4)
    task = dataclasses.replace(short(toy), train=str(tmp_path / "mine.jsonl"))
    task = dataclasses.replace(task, data=Data(batch_seconds=12, workers=0))
    with monkeypatch.context() as patch:
        terminate_at(2, patch.setattr)
        assert train(task, tmp_path / "run").reason == "terminated"
    return task, tmp_path / "run"


def changed(task: Task, **sections: dict) -> Task:
    return dataclasses.replace(
        task, **{name: dataclasses.replace(getattr(task, name), **values) for name, values in sections.items()}
    )


def test_resume_refuses_another_run_and_names_both_values(half_done):
    task, out = half_done
    other = changed(task, run={"seed": 7}, optim={"lr": 0.25}, data={"batch_seconds": 13.0})
    with pytest.raises(CheckpointError) as refusal:
        train(other, out)
    for line in ("run.seed was 0, now 7", "optim.lr was 0.0001, now 0.25", "data.batch_seconds was 12, now 13.0"):
        assert line in str(refusal.value)
    assert "another --out" in str(refusal.value)
    assert train(task, out).reason == "finished", "a refusal must leave the run as it was"


def test_resume_refuses_a_changed_manifest(half_done):
    task, out = half_done
    manifest = Path(task.train)
    first, *others = manifest.read_text().splitlines(keepends=True)
    row = json.loads(first)
    manifest.write_text(json.dumps(row | {"text": row["text"][::-1] + "a"}) + "\n" + "".join(others))
    both = r"the content of .*mine.jsonl has SHA-256 [0-9a-f]{12} then, [0-9a-f]{12} now"
    with pytest.raises(CheckpointError, match=both):
        train(task, out)


def test_free_fields_may_change_and_another_machine_is_said(half_done, capsys):
    task, out = half_done
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        free = changed(task, run={"log_every": 3, "save_every": 9, "keep": 5, "max_skips": 3}, data={"workers": 1})
        assert train(dataclasses.replace(free, name="renamed", require={"wer": "<= 1"}), out).reason == "finished"
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().err
    assert f"threads was {threads}, now {threads + 1}" in said
    assert "going on from step 2 of 4" in said


def test_the_same_machine_is_not_talked_about(half_done, capsys):
    task, out = half_done
    train(task, out)
    assert " was " not in capsys.readouterr().err


def test_a_state_from_before_a_field_existed_goes_on(half_done):
    task, out = half_done
    file = checkpoint.states(out)[-1] / "state.json"
    saved = json.loads(file.read_text())
    del saved["fingerprint"]["task"]["data.perturb.telephone_prob"], saved["machine"]["precision"]
    file.write_text(json.dumps(saved))
    with pytest.raises(CheckpointError, match="data.perturb.telephone_prob was 0.0, now 0.5"):
        train(changed(task, data={"perturb": Perturb(telephone_prob=0.5)}), out)
    assert train(task, out).reason == "finished"


def test_a_finished_run_does_nothing_and_says_so(half_done, capsys):
    task, out = half_done
    first = train(task, out)
    files = {p: p.stat().st_mtime_ns for name in ("best", "last", "step_000004") for p in (out / name).iterdir()}
    log = rows(out)
    capsys.readouterr()
    assert train(task, out) == first
    assert "finished at step 4: nothing is left to do" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in files} == files
    assert rows(out) == log


def test_the_scale_of_fp16_survives_a_restart(toy, tmp_path, monkeypatch):
    task = changed(short(toy), run={"steps": 10, "precision": "fp16"}, data={"batch_seconds": 12.0, "workers": 0})
    train(task, tmp_path / "whole")
    with monkeypatch.context() as patch:
        terminate_at(5, patch.setattr)
        assert train(task, tmp_path / "cut").reason == "terminated"
    train(task, tmp_path / "cut")
    assert outcome(tmp_path / "cut")["weights"] == outcome(tmp_path / "whole")["weights"]


def test_missing_part_of_a_state_is_named(half_done):
    task, out = half_done
    (checkpoint.states(out)[-1] / "optimiser.pt").unlink()
    with pytest.raises(CheckpointError, match=r"step_000002: optimiser.pt is missing; remove the folder"):
        train(task, out)
    (checkpoint.states(out)[-1] / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors and optimiser.pt are missing; remove the folder"):
        train(task, out)


def test_of_every_field_it_is_said_whether_it_touches_the_weights():
    """A new one belongs here, or in FREE."""
    touch = {"model", "train", "dev", "config", "adapt", "normaliser", "score_normaliser"}  # the last: which is best
    touch |= {f"data.{name}" for name in ("batch_seconds", "batch_tokens", "min_seconds", "max_seconds", "vocabulary")}
    touch |= {"data.temperature", "data.sampling", "data.stitch"}
    touch |= {f"data.perturb.{one.name}" for one in dataclasses.fields(Perturb)}
    touch |= {f"speech.{name}" for name in ("language", "task", "proxy", "context", "timestamps")}
    touch |= {f"optim.{one.name}" for one in dataclasses.fields(Optim)}
    touch |= {f"run.{name}" for name in ("steps", "epochs", "seed", "batches_per_step", "eval_every", "patience")}
    touch |= {f"run.{name}" for name in ("best_by", "precision", "attention", "checkpointing", "compile")}
    assert not touch & FREE
    assert touch | FREE == tasks.fields(Task(name="", model="")).keys()


# --- folders on disk --------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def put(text: str):
    return lambda folder: (folder / "file").write_text(text)


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_at_either_rename_leaves_a_usable_folder(tmp_path, monkeypatch, at):
    folder = tmp_path / "best"
    checkpoint.write_folder(folder, put("old"))
    renames, rename = 0, Path.rename

    def killing(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == at:
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killing)
    with pytest.raises(Killed):
        checkpoint.write_folder(folder, put("new"))
    monkeypatch.undo()
    checkpoint.restore_folder(folder)
    assert (folder / "file").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["best"]
    checkpoint.write_folder(folder, put("newer"))
    assert (folder / "file").read_text() == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_kill_after_the_renames_keeps_the_new_folder(tmp_path):
    checkpoint.write_folder(tmp_path / "best", put("new"))
    checkpoint.write_folder(tmp_path / "best.old", put("old"))
    checkpoint.restore_folder(tmp_path / "best")
    assert (tmp_path / "best/file").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_half_written_states_are_ignored_and_removed(tmp_path):
    saved = [
        checkpoint.save_state(tmp_path, step, {"w": torch.full((2,), float(step))}, {}, {"x": step}, keep=2)
        for step in (5, 10, 999_995, 1_000_000)  # by number, not by name
    ]
    (tmp_path / "step_1000005.tmp").mkdir()
    assert checkpoint.states(tmp_path) == saved[2:]
    checkpoint.clean(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_1000000", "step_999995"]
    weights, _, state = checkpoint.load_state(saved[-1])
    assert weights["w"].tolist() == [1e6, 1e6] and state == {"step": 1_000_000, "x": 1_000_000}
