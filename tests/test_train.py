"""The loop on the toy language: what it learns, writes, skips, says and refuses; schedules and precision."""

import dataclasses
import json
import math
import multiprocessing
import pickle
import shutil
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
from conftest import write_tiny, write_toy
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

import speechxfer
from speechxfer import checkpoint
from speechxfer.adapt import Adaptation
from speechxfer.adapt.freeze import Freeze
from speechxfer.data import Share
from speechxfer.errors import AudioError, ConfigError, ManifestError, TrainingError
from speechxfer.evaluate import Dev, collapse_advice
from speechxfer.manifest import read_manifest
from speechxfer.models import complete, load_checkpoint
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.optim import SCHEDULES, depths, learning_rate, make_optimiser, set_learning_rates
from speechxfer.parallel import Ranks
from speechxfer.precision import Precision, choose_attention, choose_precision
from speechxfer.progress import TrainingLog
from speechxfer.task import Data, Optim, Run, Task
from speechxfer.train import Result, _Training, train

NOISE = ("layerdrop", "mask_time_prob", "hidden_dropout", "attention_dropout", "feat_proj_dropout")
QUIET = dict.fromkeys((*NOISE, "activation_dropout", "final_dropout"), 0.0)


def toy_task(toy: Path, *, batch_seconds: float = 12, workers: int = 0, lr: float = 5e-3, adapt=(), **run) -> Task:
    settings = {"precision": "fp32", "device": "cpu", "save_every": 1000, "eval_every": 1000, "log_every": 1} | run
    return Task(
        name="toy",
        model=str(toy / "tiny"),
        train=str(toy / "train.jsonl"),
        dev=str(toy / "dev.jsonl"),
        data=Data(batch_seconds=batch_seconds, workers=workers),
        optim=Optim(lr=lr),
        run=Run(**settings),
        adapt=adapt,
    )


def log_rows(out: Path, event: str) -> list[dict]:
    lines = (out / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) for line in lines]
    return [row for row in rows if row["event"] == event]


# --- a run from start to end ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory) -> tuple[Task, Path, Result]:
    """The toy language, learnt."""
    task = toy_task(toy, steps=210, eval_every=70, save_every=100, log_every=10)
    out = tmp_path_factory.mktemp("trained") / "run"
    return task, out, train(task, out)


def test_it_learns(trained):
    _, _, result = trained
    assert result.steps == 210 and result.reason == "finished"
    assert result.best <= 0.05


def test_log_has_train_and_dev_lines_in_order(trained):
    _, out, result = trained
    assert [row["step"] for row in log_rows(out, "train")] == list(range(10, 211, 10))
    dev = log_rows(out, "dev")
    assert [row["step"] for row in dev] == [70, 140, 210]
    assert result.best == min(row["wer"] for row in dev)
    assert result.best_step == next(row["step"] for row in dev if row["wer"] == result.best)
    losses = [row["loss"] for row in log_rows(out, "train")]
    assert losses[-1] < 0.1 * losses[0]


def test_best_holds_the_weights_of_the_best_score(trained):
    """best/ is loaded from disk, transcribes dev one file at a time, and jiwer agrees with the score in the log."""
    task, out, result = trained
    dev = list(read_manifest(task.dev))
    written = [t.text for t in speechxfer.load(out / "best").transcribe([e.audio for e in dev])]
    assert jiwer.wer([e.text for e in dev], written) == pytest.approx(result.best)


def test_last_holds_the_final_weights(trained):
    _, out, _ = trained
    last, state = load_file(out / "last/model.safetensors"), load_file(out / "step_000210/model.safetensors")
    assert {f"net.{name}" for name in last} == set(state)
    assert all(torch.equal(tensor, state[f"net.{name}"]) for name, tensor in last.items())
    assert [path.name for path in checkpoint.states(out)] == ["step_000200", "step_000210"]


def test_real_share_is_the_occupancy_of_the_batches(trained):
    task, out, _ = trained
    seconds = read_manifest(task.train).seconds
    training = _Training(task, out, Ranks())
    batches = [b for step in range(10) for b in training.plan.step(step)]
    real, padded = (sum(f(seconds[b]) for b in batches) for f in (np.sum, lambda s: s.max() * len(s)))
    first = log_rows(out, "train")[0]
    assert first["audio_seconds"] == pytest.approx(real, rel=1e-3)
    assert first["real_share"] == pytest.approx(real / padded, rel=1e-3)


def test_tensorboard_has_the_figures_of_the_log(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, out, _ = trained
    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    for event, names in (("train", ("loss", "lr", "grad_norm", "audio_per_second")), ("dev", ("loss", "wer", "cer"))):
        for name in names:
            shown = {scalar.step: scalar.value for scalar in board.Scalars(f"{event}/{name}")}
            assert shown == pytest.approx({row["step"]: row[name] for row in log_rows(out, event)})


def test_the_resolved_task_is_written_down(trained):
    _, out, _ = trained
    written = json.loads((out / "task.json").read_text())
    assert written["optim.lr"] == 5e-3 and written["run.steps"] == 210


def test_dev_is_scored_as_jiwer_does(toy):
    """Whatever the batches: the score adds over them. The model is a random one, that writes gibberish."""
    task = complete(toy_task(toy), Path(toy_task(toy).model))
    model, dev = load_checkpoint(task.model), read_manifest(task.dev)
    small, large = (
        Dev(dev, model.frontend, dataclasses.replace(task, data=Data(batch_seconds=budget, workers=0)), Ranks())
        for budget in (1.0, 80.0)
    )
    one, other = (d.score(model, Precision("fp32", "")) for d in (small, large))
    assert model.training, "the model is left as the loop needs it"
    assert one.empty == other.empty and one.figures == pytest.approx(other.figures, rel=1e-4)
    refs = [e.text for e in dev]
    hyps = [t.text for t in speechxfer.load(task.model).transcribe([e.audio for e in dev])]
    assert one.figures["wer"] == pytest.approx(jiwer.wer(refs, hyps))
    assert one.figures["cer"] == pytest.approx(jiwer.cer(refs, hyps)) and one.figures["cer"] not in (0.0, 1.0)
    assert one.empty == sum(not hyp for hyp in hyps) / len(hyps)


# --- sums with counts -------------------------------------------------------------------------------------------------


def gradients(task: Task, out: Path, batches: list[list[int]], monkeypatch) -> dict[str, torch.Tensor]:
    """Of one step that consists of these batches."""
    training = _Training(task, out, Ranks())
    manifest, frontend = read_manifest(task.train), training.model.frontend
    found = {}

    def keep(self: _Training, *_: object) -> float:
        found.update((name, p.grad.clone()) for name, p in self.model.named_parameters() if p.grad is not None)
        return 1.0

    monkeypatch.setattr(_Training, "_update", keep)
    items = [[frontend.load(manifest[i]) for i in batch] for batch in batches]
    share = Share(0, tuple(range(len(batches))), tuple(frontend.collate(i) for i in items), weight=1.0)
    figures = training._step(share, TrainingLog(out, Ranks(1), 0, 1))
    return found | {"loss": torch.tensor(figures["loss"] / figures["tokens"])}


def test_one_batch_of_eight_equals_eight_batches_of_one(toy, tmp_path, monkeypatch):
    """On ragged lengths: the loss is a sum over target tokens, whatever the padding and the grouping."""
    task = dataclasses.replace(toy_task(toy), model=str(write_tiny(tmp_path / "quiet", **QUIET)))
    (tmp_path / "run").mkdir()
    ids = [int(i) for i in np.argsort(read_manifest(task.train).seconds)[::6]]
    together = gradients(task, tmp_path / "run", [ids], monkeypatch)
    for grouping in ([[i] for i in ids], [ids[:1], ids[1:4], ids[4:]]):
        apart = gradients(task, tmp_path / "run", grouping, monkeypatch)
        assert together.keys() == apart.keys() and len(apart) > 50
        for name, gradient in together.items():
            same = torch.allclose(apart[name], gradient, rtol=1e-4, atol=1e-5)
            assert same, f"{name} differs by {float((apart[name] - gradient).abs().max())}"


def test_an_extra_loss_weighs_once_per_step(toy, tmp_path, monkeypatch):
    """However many batches a step has."""

    @dataclasses.dataclass(frozen=True)
    class Decay(Adaptation):
        weight: float

        def extra_loss(self, model, batch, output, step):
            return self.weight * model.net.lm_head.weight.square().sum()

    model = str(write_tiny(tmp_path / "quiet", **QUIET))
    (tmp_path / "run").mkdir()
    plain, with_decay = (dataclasses.replace(toy_task(toy, adapt=a), model=model) for a in ((), (Decay(0.5),)))
    ids = list(range(6))
    base = gradients(plain, tmp_path / "run", [ids], monkeypatch)["net.lm_head.weight"]
    weights = load_file(Path(model) / "model.safetensors")["lm_head.weight"]
    for grouping in ([ids], [ids[:1], ids[1:]]):
        found = gradients(with_decay, tmp_path / "run", grouping, monkeypatch)["net.lm_head.weight"]
        torch.testing.assert_close(found - base, weights, rtol=1e-3, atol=1e-5)


# --- freezing ---------------------------------------------------------------------------------------------------------


def test_frozen_layers_keep_every_bit_until_they_thaw(toy, tmp_path):
    task = toy_task(toy, steps=6, save_every=1, keep=9, adapt=(Freeze(1), Freeze(4, until=3)))
    task = dataclasses.replace(task, model=str(write_tiny(tmp_path / "tiny", layerdrop=0.0)))
    train(task, tmp_path / "run")
    depth = depths(load_checkpoint(task.model))
    start = {f"net.{name}": tensor for name, tensor in load_file(tmp_path / "tiny/model.safetensors").items()}
    states = [start] + [load_file(path / "model.safetensors") for path in checkpoint.states(tmp_path / "run")]
    assert len(states) == 7
    moves = {d: [0] * 6 for d in range(max(depth.values()) + 1)}  # parameters that changed, by depth and step
    for step in range(6):
        for name in start:
            moves[depth[name]][step] += not torch.equal(states[step][name], states[step + 1][name])
    assert moves.pop(0) == [0] * 6, "the feature encoder is frozen for good"
    for d, moved in moves.items():
        assert all(moved[3:5]), f"depth {d} should learn from step 3 on"  # the last step's learning rate is 0
        assert all(moved[:3]) if d >= 4 else moved[:3] == [0, 0, 0], f"depth {d} before step 3"


def test_freezing_everything_is_refused(toy, tmp_path):
    with pytest.raises(ConfigError, match="nothing is trainable at step 0"):
        train(toy_task(toy, steps=2, adapt=(Freeze(99),)), tmp_path / "run")


# --- losses that are not finite ---------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(monkeypatch):
    """train-007 makes the network overflow."""
    features = CtcFrontend.features

    def spoil(self: CtcFrontend, example, samples):
        item = features(self, example, samples)
        return dataclasses.replace(item, samples=item.samples * math.inf) if example.id == "train-007" else item

    monkeypatch.setattr(CtcFrontend, "features", spoil)


def first_spoilt_step(task: Task, out: Path) -> int:
    """The first step that trains on train-007."""
    training, ids = _Training(task, out, Ranks()), [e.id for e in read_manifest(task.train)]
    return next(s for s in range(99) if any(ids[i] == "train-007" for batch in training.plan.step(s) for i in batch))


def test_a_step_that_is_not_finite_is_skipped_and_named(toy, tmp_path, spoilt, capsys):
    out = tmp_path / "run"
    task = toy_task(toy, save_every=1, keep=99)
    bad = first_spoilt_step(task, out)
    task = dataclasses.replace(task, run=dataclasses.replace(task.run, steps=bad + 3))
    train(task, out)
    said = capsys.readouterr().err
    assert f"step {bad + 1}: the loss of train-007 is not finite: step skipped (1 of 10)" in said
    assert said.count("step skipped") == 1
    saved = {int(p.name.removeprefix("step_")): p for p in checkpoint.states(out)}
    before, after, later = (load_file(saved[step] / "model.safetensors") for step in (bad, bad + 1, bad + 2))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(after[name], later[name]) for name in after)
    assert all(tensor.isfinite().all() for tensor in later.values())
    row = log_rows(out, "train")[bad]
    assert row["step"] == bad + 1 and row["loss"] is None and row["grad_norm"] is None
    assert [other["step"] for other in log_rows(out, "train") if other["loss"] is None] == [bad + 1]


def test_a_skipped_step_does_not_spoil_the_figures_of_its_window(toy, tmp_path, spoilt):
    task = toy_task(toy, steps=20, log_every=10)
    train(task, tmp_path / "run")
    assert all(0 < row["loss"] < 100 for row in log_rows(tmp_path / "run", "train"))


def test_too_many_skips_stop_the_run_and_the_count_survives_a_restart(toy, tmp_path, spoilt):
    task, out = toy_task(toy, steps=40, save_every=1, max_skips=2), tmp_path / "run"
    for _ in range(2):  # the second run counts on from the skip that the first one saved
        with pytest.raises(TrainingError) as stop:
            train(task, out)
        for words in ("2 steps had a loss or gradient", "train-007", "lower optim.lr (0.005)", "run.precision=fp32"):
            assert words in str(stop.value)
        state = json.loads((checkpoint.states(out)[-1] / "state.json").read_text())
        assert state["state"]["skips"] == 1
    more = dataclasses.replace(task, run=dataclasses.replace(task.run, max_skips=99))
    assert train(more, out).reason == "finished"


def test_a_gradient_without_a_bad_loss_is_skipped_too(toy, tmp_path, capsys):
    @dataclasses.dataclass(frozen=True)
    class Explode(Adaptation):
        changed: list = dataclasses.field(default_factory=list, compare=False)

        def extra_loss(self, model, batch, output, step):
            return model.net.lm_head.weight.sum() * math.inf if step == 1 else None

        def after_step(self, model, step):
            self.changed.append(step)

    explode = Explode()
    train(toy_task(toy, steps=3, adapt=(explode,)), tmp_path / "run")
    assert "step 2: the gradient, though no loss, is not finite: step skipped (1 of 10)" in capsys.readouterr().err
    assert explode.changed == [0, 2], "after_step is for steps that changed the weights"


# --- collapse and early stopping --------------------------------------------------------------------------------------


def test_collapse_advice_names_the_likely_cause(toy):
    task = toy_task(toy)
    early, late, before = (
        collapse_advice(task, "all blank", done, 100, ever_spoke)
        for done, ever_spoke in ((5, False), (60, False), (60, True))
    )
    assert "step 5: every dev hypothesis is empty" in early and "usual for a new head" in early
    assert "never gave anything but all blank" in late and "raise optim.lr (0.005)" in late
    assert "has collapsed: lower optim.lr (0.005)" in before and "optim.warmup (0.1)" in before


def test_a_model_that_says_nothing_but_blanks_is_noticed(toy, tmp_path, capsys):
    write_tiny(tmp_path / "mute")
    file = tmp_path / "mute/model.safetensors"
    weights = load_file(file)
    weights["lm_head.bias"][json.loads((tmp_path / "mute/config.json").read_text())["pad_token_id"]] = 50.0
    save_file(weights, file, metadata={"format": "pt"})
    task = dataclasses.replace(toy_task(toy, steps=10, eval_every=1, lr=1e-9), model=str(tmp_path / "mute"))
    train(task, tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if "every dev hypothesis is empty" in line]
    assert len(said) == 10
    assert all("usual for a new head" in line for line in said[:2])
    assert all("never gave anything but all blank" in line for line in said[2:])


def test_a_model_that_falls_silent_is_told_from_one_that_never_spoke(toy, tmp_path, trained, capsys):
    """From the trained checkpoint, with a learning rate that rises far too high."""
    task = dataclasses.replace(toy_task(toy, steps=40, eval_every=1), model=str(trained[1] / "best"))
    train(dataclasses.replace(task, optim=Optim(lr=0.5, warmup=0.9)), tmp_path / "run")
    said = capsys.readouterr().err
    assert "got words right before and has collapsed: lower optim.lr (0.5)" in said
    assert "usual for a new head" not in said


def test_early_stopping(toy, tmp_path, capsys):
    """With a learning rate of next to nothing, no score is better than the first."""
    result = train(toy_task(toy, steps=20, eval_every=2, lr=1e-12, patience=2), tmp_path / "run")
    assert (result.reason, result.steps, result.best_step) == ("stopped early", 6, 2)
    assert "no better dev wer in 2 evaluations: stopped at step 6" in capsys.readouterr().err
    assert [row["step"] for row in log_rows(tmp_path / "run", "dev")] == [2, 4, 6]


def test_patience_0_never_stops(toy, tmp_path):
    result = train(toy_task(toy, steps=9, eval_every=1, lr=1e-12), tmp_path / "run")
    assert (result.reason, result.steps, result.best_step) == ("finished", 9, 1)


def test_best_by_chooses_the_score(toy, tmp_path):
    result = train(toy_task(toy, steps=12, eval_every=4, best_by="loss"), tmp_path / "run")
    losses = {row["step"]: row["loss"] for row in log_rows(tmp_path / "run", "dev")}
    assert result.best == min(losses.values()) and losses[result.best_step] == result.best


# --- bad and left out data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["train-011", "dev-003"])
def test_a_file_that_turns_bad_is_named(tmp_path, toy, workers, name):
    """Its length stands in the manifest, so nobody has looked into it before it is its turn."""
    shutil.copytree(toy, tmp_path / "toy")
    audio = tmp_path / f"toy/audio/{name}.wav"
    audio.write_bytes(audio.read_bytes()[:3000])
    with pytest.raises(AudioError) as bad:
        train(toy_task(tmp_path / "toy", steps=20, workers=workers), tmp_path / "run")
    assert str(bad.value).startswith(f"{audio}: truncated")
    assert "Traceback" not in str(bad.value)
    assert not multiprocessing.active_children(), "the workers should end at once, though the error is still at hand"


def test_examples_outside_the_limits_are_counted_aloud(toy, tmp_path, capsys):
    task = toy_task(toy, steps=1)
    limit = float(np.median(read_manifest(task.dev).seconds))
    train(dataclasses.replace(task, data=Data(batch_seconds=12, workers=0, max_seconds=limit)), tmp_path / "run")
    said = capsys.readouterr().err
    for path in (task.train, task.dev):
        over = int((read_manifest(path).seconds > limit).sum())
        assert over and f"{path}: left out {over} of {len(read_manifest(path))} examples" in said


def test_unfit_texts_are_refused_before_the_first_step(toy, tmp_path):
    write_toy(tmp_path, "odd", 2, seed=5)
    lines = (tmp_path / "odd.jsonl").read_text().replace('"text": "', '"text": "xyz ')
    (tmp_path / "odd.jsonl").write_text(lines)
    with pytest.raises(ManifestError, match="'x' .* is not in the model's vocabulary"):
        train(dataclasses.replace(toy_task(toy), dev=str(tmp_path / "odd.jsonl")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_batches_can_be_sent_to_a_spawned_worker(toy, tmp_path):
    """As macOS and later Pythons start theirs."""
    batches = _Training(toy_task(toy), tmp_path, Ranks()).batches
    sent = pickle.loads(pickle.dumps(batches))[2, 0]
    assert sent.ids == batches[2, 0].ids
    assert torch.equal(sent.inputs["input_values"], batches[2, 0].inputs["input_values"])


@pytest.mark.parametrize("epochs, share", [(2.0, 2.0), (0.5, 0.5), (1.5, 1.5), (1e-6, 0.0)])
def test_epochs_may_be_parts(toy, tmp_path, epochs, share):
    training = _Training(toy_task(toy, steps=0, epochs=epochs, batches_per_step=1), tmp_path, Ranks())
    one = training.plan.steps_before(1)
    assert one >= 5 and training.steps == pytest.approx(max(1, share * one), abs=1)


# --- optimiser --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(deadline=None)
@given(steps=st.integers(10, 300), warmup=st.floats(0, 0.9), final=st.floats(0, 1))
def test_schedules_rise_to_the_peak_and_fall_to_the_end(schedule, steps, warmup, final):
    optim = Optim(lr=2.0, schedule=schedule, warmup=warmup, final=final)
    rates = [learning_rate(step, steps, optim) for step in range(steps)]
    top = int(np.argmax(rates))
    assert 0 <= min(rates) and max(rates) <= 2.0
    assert np.diff(rates[: top + 1]).min(initial=0) >= -1e-12 and np.diff(rates[top:]).max(initial=0) <= 1e-12
    for step in range(steps):
        if step + 1 < warmup * steps:
            assert rates[step] == pytest.approx(2.0 * (step + 1) / (warmup * steps))
    end = {"constant": 1.0, "tristage": 0.05}.get(schedule, 0.0)
    assert rates[-1] == pytest.approx(2.0 * (final + (1 - final) * end))


def test_schedules_at_known_places():
    def rate(schedule: str, step: int) -> float:
        return learning_rate(step - 1, 1000, Optim(lr=1.0, schedule=schedule, warmup=0.1))

    assert rate("linear", 100) == rate("cosine", 100) == rate("tristage", 100) == 1.0
    assert rate("linear", 50) == rate("constant", 50) == 0.5
    assert rate("linear", 550) == pytest.approx(0.5)
    assert rate("cosine", 550) == pytest.approx(0.5)
    assert rate("cosine", 325) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert rate("constant", 1000) == 1.0
    assert rate("tristage", 499) == 1.0 and rate("tristage", 750) == pytest.approx(math.sqrt(0.05))
    with pytest.raises(ConfigError, match="optim.schedule is 'linaer'; expected one of linear, cosine"):
        rate("linaer", 1)


def test_rates_are_multiplied_and_biases_not_decayed(toy):
    @dataclasses.dataclass(frozen=True)
    class Scale(Adaptation):
        factor: float

        def lr_scale(self, name, depth, step):
            return self.factor ** (depth + step)

    model = load_checkpoint(toy / "tiny")
    depth = depths(model)
    optimiser = make_optimiser(model, Optim(weight_decay=0.3))
    set_learning_rates(optimiser, 2.0, (Scale(0.5), Scale(3.0)), depth, step=1)
    assert [g["name"] for g in optimiser.param_groups] == [name for name, _ in model.named_parameters()]
    for group in optimiser.param_groups:
        assert group["lr"] == pytest.approx(2.0 * 1.5 ** (depth[group["name"]] + 1))
        assert group["weight_decay"] == (0.3 if group["params"][0].ndim > 1 else 0.0)
    assert depth["net.wav2vec2.feature_extractor.conv_layers.0.conv.weight"] == 0
    assert depth["net.wav2vec2.masked_spec_embed"] == depth["net.wav2vec2.feature_projection.projection.weight"] == 1
    assert depth["net.wav2vec2.encoder.layers.2.attention.q_proj.weight"] == 4
    assert depth["net.lm_head.weight"] == max(depth.values()) == 6


# --- precision and attention ------------------------------------------------------------------------------------------


def test_precision_is_chosen_for_the_device_with_a_reason(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_precision("fp16", cpu) == Precision("fp16", "as asked")
    for has, name, why in ((True, "bf16", "avx512_bf16"), (False, "fp32", "no bf16 units on this cpu")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        chosen = choose_precision("auto", cpu)
        assert chosen.name == name and why in chosen.reason
    for has, name in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert choose_precision("auto", gpu).name == name
    with pytest.raises(ConfigError, match="run.precision is 'fp8'; expected auto, bf16, fp16, fp32"):
        choose_precision("fp8", cpu)
    assert [choose_precision(n, cpu).scaler(cpu).is_enabled() for n in ("fp32", "bf16", "fp16")] == [False, False, True]


def test_autocast_computes_in_the_precision(toy):
    model = load_checkpoint(toy / "tiny").eval()
    heard = torch.randn(1, 8000)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with torch.no_grad(), Precision(name, "").autocast(torch.device("cpu")):
            assert model.net(heard).logits.dtype == dtype


def test_attention_is_chosen_with_a_reason(toy):
    net = load_checkpoint(toy / "tiny").net
    assert choose_attention("auto", net).startswith("sdpa, which") and net.config._attn_implementation == "sdpa"
    learning = choose_attention("auto", net, torch.device("cpu"))
    assert learning.startswith("eager, since") and net.config._attn_implementation == "eager"
    assert choose_attention("auto", net, torch.device("cuda")).startswith("sdpa, which")
    assert choose_attention("eager", net) == "eager, as asked" and net.config._attn_implementation == "eager"
    with pytest.raises(ConfigError, match="run.attention is 'fast'"):
        choose_attention("fast", net)


def test_fp16_lowers_its_scale_without_blaming_the_examples(toy, tmp_path, capsys):
    """The scale starts at 65536, where gradients of this loss overflow."""
    out = tmp_path / "run"
    result = train(toy_task(toy, steps=12, save_every=6, precision="fp16"), out)
    assert result.reason == "finished"
    assert "step skipped" not in capsys.readouterr().err
    saved = json.loads((checkpoint.states(out)[-1] / "state.json").read_text())
    overflows = sum(row["grad_norm"] is None for row in log_rows(out, "train"))
    assert overflows and saved["scaler"]["scale"] == 65536 / 2**overflows
    assert saved["state"]["skips"] == 0


def test_fp16_blames_the_examples_that_are_at_fault(toy, tmp_path, spoilt, capsys):
    train(toy_task(toy, steps=12, precision="fp16"), tmp_path / "run")
    assert "the loss of train-007 is not finite: step skipped (1 of 10)" in capsys.readouterr().err


def test_the_norm_of_the_gradient_is_clipped(toy, tmp_path, monkeypatch):
    """Plain SGD in place of AdamW shows the gradient that the optimiser was given."""
    task = toy_task(toy, steps=2, lr=1.0)
    task = dataclasses.replace(task, optim=dataclasses.replace(task.optim, clip=0.25, schedule="constant", warmup=0.0))
    groups = lambda model: [{"params": [p], "name": name} for name, p in model.named_parameters()]  # noqa: E731
    monkeypatch.setattr("speechxfer.train.make_optimiser", lambda model, optim: torch.optim.SGD(groups(model), lr=1.0))
    train(dataclasses.replace(task, run=dataclasses.replace(task.run, save_every=1)), tmp_path / "run")
    first, second = (load_file(p / "model.safetensors") for p in checkpoint.states(tmp_path / "run"))
    step = nn.utils.get_total_norm([second[name] - first[name] for name in first])
    assert log_rows(tmp_path / "run", "train")[1]["grad_norm"] > 0.25
    assert float(step) == pytest.approx(0.25, rel=1e-3)
