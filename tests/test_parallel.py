"""Two gloo processes and one process end in the same weights, up to the order of sums."""

import dataclasses
import functools
import gc
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_resume import CONTEXT, rows, terminate_at
from torch import nn

from speechxfer import checkpoint
from speechxfer.adapt.freeze import Freeze
from speechxfer.errors import ConfigError
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.parallel import Ranks, choose_device, ranks
from speechxfer.perturb import Perturb
from speechxfer.task import Data, Optim, Run, Task
from speechxfer.train import _Training, train

STEPS = 12
CLOSE = 1e-5


def thawing(toy: Path, batches_per_step: int) -> Task:
    """LayerDrop 0.2, dropout, time masking and perturbation; the lower layers thaw after a third of the steps.

    Adam divides a gradient by its own size: where it is nothing but rounding (a key's bias, which softmax does not
    see) that would become a step of either sign. So eps is well above the rounding.
    """
    return Task(
        name="thawing",
        model=str(toy / "tiny"),
        train=str(toy / "train.jsonl"),
        dev=str(toy / "dev.jsonl"),
        data=Data(batch_seconds=8, workers=0, perturb=Perturb(speed=(0.9, 1.0, 1.1), gain_db=(-6.0, 6.0))),
        optim=Optim(lr=5e-3, eps=1e-5),
        run=Run(
            steps=STEPS,
            batches_per_step=batches_per_step,
            eval_every=4,
            save_every=6,
            log_every=2,
            best_by="loss",
            precision="fp32",
            device="cpu",
        ),
        adapt=(Freeze(1), Freeze(4, until=4)),
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def on_two_ranks(task: Task, out: Path, alter=None, exits: Sequence[int] = (0, 0)) -> str:
    """Train with two processes as torchrun starts them; returns what they said. `alter` runs first in each."""
    port = free_port()
    processes = [CONTEXT.Process(target=_rank, args=(task, out, rank, port, alter)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    said = out.with_suffix(".stderr").read_text()
    assert [process.exitcode for process in processes] == list(exits), said
    return said


def _rank(task: Task, out: Path, rank: int, port: int, alter) -> None:
    multiprocessing.set_start_method("fork", force=True)
    with out.with_suffix(".stderr").open("a") as file:
        os.dup2(file.fileno(), 2)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if alter:
        alter(rank)
    with ranks("cpu") as here:
        training = _Training(task, out, here)
        training.run()
        save_file(checkpoint.unshared(training.model.state_dict()), out.with_suffix(f".rank{rank}"))


def wrap_only_once(rank: int) -> None:
    """What a loop would do that forgets to wrap again."""
    Ranks.wrap = functools.cache(Ranks.wrap)


def final_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.states(out)[-1] / "model.safetensors")


def of_rank(out: Path, rank: int) -> dict[str, torch.Tensor]:
    return load_file(out.with_suffix(f".rank{rank}"))


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def alone(toy, tmp_path_factory) -> dict[int, Path]:
    """Runs of one process, by batches per step."""
    found = {}
    for batches in (2, 3):
        found[batches] = tmp_path_factory.mktemp("alone") / "run"
        train(thawing(toy, batches), found[batches])
    return found


@pytest.mark.parametrize("batches", [2, 3])
def test_two_ranks_equal_one(toy, tmp_path, alone, batches):
    """With 3 batches a step the ranks have two and one; the last step of an epoch leaves one of them idle."""
    out = tmp_path / "run"
    said = on_two_ranks(thawing(toy, batches), out)
    assert ("1 of them work in vain" in said and "batches_per_step=4" in said) == (batches == 3)
    first, second = of_rank(out, 0), of_rank(out, 1)
    assert all(torch.equal(first[name], second[name]) for name in first), "the ranks have drifted apart"
    assert furthest(first, final_weights(alone[batches])) < CLOSE
    start = load_file(toy / "tiny/model.safetensors")
    moved = {name: float((first[f"net.{name}"] - start[name]).abs().max()) for name in start}
    assert moved["wav2vec2.encoder.layers.0.attention.q_proj.weight"] > 1e-3, "what thaws should have moved"
    assert moved["wav2vec2.feature_extractor.conv_layers.0.conv.weight"] == 0
    for two, one in zip(rows(out), rows(alone[batches]), strict=True):
        assert two.pop("event") == one.pop("event")
        assert two == pytest.approx(one, rel=1e-3)
        assert (two.get("wer"), two.get("cer")) == (one.get("wer"), one.get("cer"))
    best = [load_file(run / "best/model.safetensors") for run in (out, alone[batches])]
    assert furthest(*best) < CLOSE


def test_without_wrapping_again_the_ranks_drift_apart(toy, tmp_path, alone):
    """This is what the test above would see if the loop did not wrap again when layers thaw."""
    out = tmp_path / "run"
    on_two_ranks(thawing(toy, 2), out, wrap_only_once)
    assert furthest(of_rank(out, 0), of_rank(out, 1)) > 10 * CLOSE
    assert furthest(of_rank(out, 0), final_weights(alone[2])) > 10 * CLOSE


def test_a_job_goes_on_with_fewer_ranks(toy, tmp_path, alone, capfd):
    out, task = tmp_path / "run", thawing(toy, 2)
    said = on_two_ranks(task, out, _terminate_second_rank_at_5)
    assert "terminated at step 5" in said
    assert [path.name for path in checkpoint.states(out)] == ["step_000005"]
    capfd.readouterr()
    assert train(task, out).reason == "finished"
    said = capfd.readouterr().err
    assert "ranks was 2, now 1" in said and "going on from step 5 of 12" in said
    assert furthest(final_weights(out), final_weights(alone[2])) < CLOSE


def _terminate_second_rank_at_5(rank: int) -> None:
    if rank == 1:
        terminate_at(5)


def test_every_rank_skips_what_one_cannot_compute(toy, tmp_path):
    """The utterance may be in the share of either rank; the first names it all the same."""
    out, task = tmp_path / "run", thawing(toy, 2)
    said = on_two_ranks(task, out, _spoil_train_007)
    named = [line for line in said.splitlines() if "step skipped" in line]
    assert named and all("the loss of train-007 is not finite" in line for line in named)
    first, second = of_rank(out, 0), of_rank(out, 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(tensor.isfinite().all() for tensor in first.values())
    states = json.loads((checkpoint.states(out)[-1] / "state.json").read_text())["state"]
    assert states["skips"] == len(named)


def _spoil_train_007(rank: int) -> None:
    features = CtcFrontend.features

    def spoil(self, example, samples):
        item = features(self, example, samples)
        return dataclasses.replace(item, samples=item.samples * float("nan")) if example.id == "train-007" else item

    CtcFrontend.features = spoil


@pytest.mark.parametrize("name", ["train-011", "dev-003"])
def test_what_one_rank_runs_into_is_raised_on_all(toy, tmp_path, name):
    """Not a lost connection on the others, nor a wait for ever."""
    shutil.copytree(toy, tmp_path / "toy")
    audio = tmp_path / f"toy/audio/{name}.wav"
    audio.write_bytes(audio.read_bytes()[:3000])
    said = on_two_ranks(thawing(tmp_path / "toy", 2), tmp_path / "run", exits=[1, 1])
    assert said.count(f"\nspeechxfer.errors.AudioError: {audio}: truncated") == 2
    assert "Connection" not in said


def test_torchrun(toy, tmp_path, alone):
    """The command as people type it."""
    task, out = thawing(toy, 2), tmp_path / "run"
    here = ["--local-addr=127.0.0.1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]  # no name look-ups
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *here]
    command += ["-m", "speechxfer.cli", "train", "--out", str(out), "--model", task.model]
    command += ["--train", task.train, "--dev", task.dev, "--freeze=1", "--freeze=4:4"]
    settings = {"data.batch_seconds": 8, "data.workers": 1, "optim.lr": 5e-3, "optim.eps": 1e-5}
    settings |= {"data.perturb.speed": "0.9,1.0,1.1", "data.perturb.gain_db": "-6,6"}
    of_run = ("steps", "batches_per_step", "eval_every", "best_by", "precision", "device")
    settings |= {f"run.{name}": getattr(task.run, name) for name in of_run}
    command += [f"--set={name}={value}" for name, value in settings.items()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        try:
            printed, said = job.communicate(timeout=120)
        finally:
            job.terminate()  # torchrun ends its ranks, should they hang
    assert job.returncode == 0, said
    assert furthest(final_weights(out), final_weights(alone[2])) < CLOSE
    assert said.count("training 12 steps") == 1, "only the first rank talks"
    assert printed.count("finished at step 12") == 1, printed


def test_sums_of_a_process_alone():
    here = Ranks()
    assert here.first and here.sum(1.5, 2) == [1.5, 2] and here.gather("x") == ["x"]
    assert here.any(True) and not here.any(False)
    model = nn.Linear(2, 2)
    assert here.wrap(model) is model


def test_wrapping_again_frees_the_buckets_of_before():
    """DDP holds a copy of all gradients: a second one must not come on top."""
    store = torch.distributed.TCPStore("127.0.0.1", free_port(), 1, is_master=True)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model, here = nn.Linear(2, 2), Ranks(0, 2)  # a world of one that wraps as if there were two
        wrapped = here.wrap(model)
        wrapped(torch.ones(1, 2)).sum().backward()
        before = weakref.ref(wrapped)
        gc.disable()
        wrapped = here.wrap(model)
        assert before() is None
    finally:
        gc.enable()
        torch.distributed.destroy_process_group()


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device is 'gpu'; expected auto, cpu, cuda"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(ConfigError, match="no CUDA GPU is visible"):
            choose_device("cuda:1")
