"""Compiled layers: the same training within rounding, exact resume, plain folders; and one line where it cannot be.

torch takes half a minute to write and compile the C++ of a layer. Here it traces the layers all the same, and runs what
came of that operation by operation.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_tiny_whisper
from safetensors.torch import load_file
from test_resume import outcome, rows, terminate_at

from speechxfer.adapt.lora import Lora
from speechxfer.compilation import compile_layers, uncompiled
from speechxfer.errors import ConfigError, TrainingError
from speechxfer.models import load_checkpoint
from speechxfer.task import Data, Optim, Run, Speech, Task
from speechxfer.train import train

DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout")
QUIET = {"ctc": {name: 0.0 for name in (*DROPOUTS, "layerdrop", "mask_time_prob")}, "marian": {"dropout": 0.0}}


@pytest.fixture
def graphs() -> Iterator[list]:
    """What has been compiled so far: of each graph, whether it is to learn."""
    found = []

    def backend(graph, inputs):
        found.append(torch.is_grad_enabled())
        return graph.forward

    torch.compiler.reset()
    with torch.compiler.set_stance(force_backend=backend):
        yield found
    torch.compiler.reset()


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny", encoder_layers=1, decoder_layers=1)


@pytest.fixture
def job(request, toy, whisper):
    """family -> a task of a few steps; those of CTC and Marian have dropout."""

    def make(family: str, **run) -> Task:
        of_pairs = request.getfixturevalue("toy_pair") if family == "marian" else toy
        model = {"ctc": toy / "tiny", "whisper": whisper, "marian": of_pairs / "joint"}[family]
        settings = {"steps": 3, "precision": "fp32", "device": "cpu", "eval_every": 50, "log_every": 1} | run
        return Task(
            name=family,
            model=str(model),
            train=str(of_pairs / "train.jsonl"),
            dev=str(of_pairs / "dev.jsonl"),
            speech=Speech(proxy="en") if family == "whisper" else Speech(),
            data=Data(batch_seconds=6, batch_tokens=200, workers=0),
            optim=Optim(lr=1e-3, schedule="constant"),
            run=Run(**settings),
        )

    return make


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in rows(out) if row["event"] == "train"]


@pytest.mark.parametrize("family", ["ctc", "whisper", "marian"])
def test_compiled_layers_learn_the_same(job, tmp_path, graphs, family):
    task = replace(job(family), config=QUIET.get(family, {}))
    train(task, tmp_path / "eager")
    assert not graphs
    train(replace(task, run=replace(task.run, compile=True, eval_every=1)), tmp_path / "compiled")
    assert 2 <= len(graphs) <= 8, "one for each kind of layer and batch, not for each layer or length"
    assert all(graphs), "scoring dev compiles nothing"
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "eager"), rel=1e-4)
    names = [load_file(tmp_path / way / "best" / "model.safetensors").keys() for way in ("compiled", "eager")]
    assert names[0] == names[1]
    load_checkpoint(tmp_path / "compiled" / "best")


def test_a_killed_run_with_lora_ends_in_the_same_weights(job, tmp_path, graphs, monkeypatch):
    task = replace(job("whisper", steps=2, compile=True), adapt=(Lora(4),))
    train(task, tmp_path / "whole")
    with monkeypatch.context() as patch:
        terminate_at(1, patch.setattr)
        assert train(task, tmp_path / "cut").reason == "terminated"
    torch.compiler.reset()  # as another process begins
    before = len(graphs)
    train(task, tmp_path / "cut")
    assert len(graphs) > before
    assert outcome(tmp_path / "cut")["weights"] == outcome(tmp_path / "whole")["weights"]


def test_uncompiled_layers_run_as_they_were(whisper, graphs):
    layer = load_checkpoint(whisper).net.model.encoder.layers[0]
    hidden = torch.randn(2, 5, 32)
    expected = layer(hidden, None)
    model = load_checkpoint(whisper)
    compile_layers(model)
    with uncompiled():
        assert torch.equal(model.net.model.encoder.layers[0](hidden, None), expected)
    assert not graphs
    model.net.model.encoder.layers[0](hidden, None)
    assert len(graphs) == 1


def test_layers_are_either_compiled_or_computed_again():
    with pytest.raises(ConfigError, match=r"run\.compile and run\.checkpointing are both true"):
        Run(compile=True, checkpointing=True)


def test_without_a_compiler_it_says_so_in_one_line(job, tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch.compiler.reset()
    with pytest.raises(TrainingError, match=r"run\.compile: .*C\+\+ compiler") as error:
        train(job("marian", compile=True), tmp_path / "run")
    assert "\n" not in str(error.value)
    torch.compiler.reset()
