"""The loop on the toy pair: what it learns, keeps, says and refuses; resume to the bit, and two processes."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch
from conftest import translated, write_toy_pairs
from safetensors.torch import load_file
from test_parallel import furthest, of_rank, on_two_ranks
from test_resume import outcome, rows, terminate_at

import speechxfer
from speechxfer import checkpoint
from speechxfer.adapt.freeze import Freeze
from speechxfer.adapt.label_smoothing import LabelSmoothing
from speechxfer.cli import main
from speechxfer.data import TrainingBatches, read_mixture
from speechxfer.errors import CheckpointError, ConfigError, ManifestError
from speechxfer.evaluate import Dev, DevScore
from speechxfer.manifest import read_manifest
from speechxfer.models import complete, load_checkpoint
from speechxfer.optim import depths
from speechxfer.parallel import Ranks
from speechxfer.perturb import Perturb
from speechxfer.precision import Precision
from speechxfer.prediction import read_predictions
from speechxfer.score import read_scores
from speechxfer.task import Data, Decode, Optim, Run, Source, Task
from speechxfer.train import train


def pair_task(toy_pair: Path, *, form: str = "joint", sampling: float = 0.0, adapt=(), metrics=(), **run) -> Task:
    settings = {"precision": "fp32", "device": "cpu", "eval_every": 1000, "save_every": 1000, "log_every": 1} | run
    return Task(
        name="pair",
        model=str(toy_pair / form),  # dropout 0.1
        train=str(toy_pair / "train.jsonl"),
        dev=str(toy_pair / "dev.jsonl"),
        data=Data(batch_tokens=300, workers=0, sampling=sampling),
        optim=Optim(lr=3e-3, schedule="constant"),
        run=Run(**settings),
        adapt=adapt,
        metrics=metrics,
    )


def log_rows(out: Path, event: str) -> list[dict]:
    return [row for row in rows(out) if row["event"] == event]


# --- the whole line ---------------------------------------------------------------------------------------------------


def test_one_command_learns_the_pair_and_says_so(pair_run):
    out, code, said = pair_run
    assert code == 0, said
    before, after = (read_scores(out / stage / "test.scores.json") for stage in ("before", "after"))
    assert before.keys() == after.keys() == {"bleu", "chrf++"}
    assert before["chrf++"].value < 30 and after["chrf++"].value > 90 and after["bleu"].value > 90
    assert json.loads((out / "verdict.json").read_text())["status"] == "pass"
    assert "gate: PASS" in said and f"speechxfer.load({str(out / 'best')!r}).translate('...')" in said
    assert (out / "report.html").stat().st_size > 10_000


def test_predictions_carry_source_reference_and_confidence_in_the_manifests_order(pair_run, toy_pair):
    examples = list(read_manifest(toy_pair / "test.jsonl"))
    predictions = read_predictions(pair_run[0] / "after/test.predictions.jsonl")
    assert [(p.id, p.source, p.ref) for p in predictions] == [(e.id, e.source, e.text) for e in examples]
    assert all(0 < p.confidence <= 1 and p.seconds is None for p in predictions)
    written = [h.text for h in speechxfer.load(pair_run[0] / "best").hypotheses([e.source for e in examples])]
    assert [p.hyp for p in predictions] == written


def test_the_scores_are_sacrebleus_of_the_predictions(pair_run):
    for stage in ("before", "after"):
        predictions = read_predictions(pair_run[0] / stage / "test.predictions.jsonl")
        refs, hyps = [[p.ref for p in predictions]], [p.hyp for p in predictions]
        scores = read_scores(pair_run[0] / stage / "test.scores.json")
        assert scores["bleu"].value == pytest.approx(sacrebleu.BLEU(tokenize="intl").corpus_score(hyps, refs).score)
        assert scores["chrf++"].value == pytest.approx(sacrebleu.CHRF(word_order=2).corpus_score(hyps, refs).score)


def test_the_task_is_completed_by_the_family(pair_run):
    written = json.loads((pair_run[0] / "task.json").read_text())
    assert (written["run.best_by"], written["metrics"], written["normaliser"]) == ("bleu", ["bleu", "chrf++"], "nfc")
    assert json.loads((pair_run[0] / "best/speechxfer.json").read_text()) == {"normaliser": "nfc"}


def test_the_log_counts_tokens(pair_run, toy_pair):
    rows = log_rows(pair_run[0], "train")
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert all(0.5 < row["real_share"] <= 1 for row in rows)
    lengths = load_checkpoint(toy_pair / "separate").frontend.lengths(read_manifest(toy_pair / "train.jsonl"))
    of_a_batch = lengths.sum() / 800 * (600 / lengths.sum(1).mean())
    assert rows[0]["text_tokens"] == pytest.approx(20 * of_a_batch, rel=0.2), "20 steps of 600 tokens at most"
    assert all(math.isfinite(row["loss"]) and row["bleu"] >= 0 for row in log_rows(pair_run[0], "dev"))


# --- dev and the best weights ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flawed(toy_pair, tmp_path_factory) -> Path:
    """Dev with references that a perfect model does not quite write, and things that must survive."""
    file = tmp_path_factory.mktemp("flawed") / "dev.jsonl"
    rows = [json.loads(line) for line in (toy_pair / "dev.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["text"] += (" घर", "", ", 7")[number % 3]
        row["source"] += ("", "", " 7")[number % 3]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def test_dev_is_scored_as_sacrebleu_does_whatever_the_batches(pair_run, toy_pair, flawed):
    task = pair_task(toy_pair, metrics=("bleu", "bleu:13a", "chrf++", "chrf", "ter", "wer", "kept"))
    model, dev = load_checkpoint(pair_run[0] / "best"), read_manifest(flawed)
    task = complete(task, Path(task.model))
    tasks = [dataclasses.replace(task, data=Data(batch_tokens=budget, workers=0)) for budget in (30, 4096)]
    one, other = (Dev(dev, model.frontend, t, Ranks()).score(model, Precision("fp32", "")) for t in tasks)
    assert model.training, "the model is left as the loop needs it"
    assert one.figures == pytest.approx(other.figures, rel=1e-4) and one.spoke and one.empty == other.empty == 0
    found = speechxfer.load(pair_run[0] / "best").hypotheses([e.source for e in dev], decode=Decode(beams=1))
    hyps, refs = [h.text for h in found], [[e.text for e in dev]]
    oracles = {
        "bleu": sacrebleu.BLEU(tokenize="intl"),
        "bleu:13a": sacrebleu.BLEU(tokenize="13a"),
        "chrf++": sacrebleu.CHRF(word_order=2),
        "chrf": sacrebleu.CHRF(),
    }
    for name, oracle in oracles.items():
        assert one.figures[name] == pytest.approx(oracle.corpus_score(hyps, refs).score)
        assert 20 < one.figures[name] < 99, "the comparison is of something"
    kept = sum("7" in hyp for hyp in hyps) / 8
    assert one.figures["kept"] == pytest.approx(kept)
    assert 0 < one.figures["wer"] < 1


def test_glossary_is_left_to_the_score(toy_pair):
    """Its terms are in a file that dev does not read: no reason to fall at the first evaluation."""
    task = complete(pair_task(toy_pair, metrics=("chrf++", "glossary")), toy_pair / "joint")
    model, dev = load_checkpoint(task.model), read_manifest(task.dev)
    found = Dev(dev, model.frontend, task, Ranks())
    assert found.score(model, Precision("fp32", "")).figures.keys() == {"loss", "chrf++"}
    with pytest.raises(ConfigError, match="run.best_by is 'glossary'; expected one of loss, chrf"):
        best_by = dataclasses.replace(task, run=dataclasses.replace(task.run, best_by="glossary"))
        Dev(dev, model.frontend, best_by, Ranks()).better(0.0, None)


SEEN = [(5.0, 1.0), (30.0, 3.0), (20.0, 0.5), (30.0, 0.5), (math.nan, math.nan), (10.0, 0.7)]  # bleu, loss


@pytest.mark.parametrize(("best_by", "step", "best"), [("", 2, 30.0), ("bleu", 2, 30.0), ("loss", 3, 0.5)])
def test_a_later_worse_score_does_not_overwrite_the_best(toy_pair, tmp_path, monkeypatch, best_by, step, best):
    given = iter(SEEN)

    def score(self, model, precision):
        bleu, loss = next(given)
        return DevScore({"loss": loss, "bleu": bleu, "chrf++": 0.0}, 0.0, True)

    monkeypatch.setattr(Dev, "score", score)
    task = pair_task(toy_pair, steps=len(SEEN), eval_every=1, save_every=1, keep=9, best_by=best_by)
    result = train(task, tmp_path / "run")
    assert (result.best_step, result.best) == (step, best)
    kept = load_file(tmp_path / "run/best/model.safetensors")
    state = load_file(tmp_path / f"run/step_{step:06d}/model.safetensors")
    other = load_file(tmp_path / f"run/step_{step + 1:06d}/model.safetensors")
    name = "model.decoder.layers.0.fc1.weight"
    assert torch.equal(kept[name], state[f"net.{name}"]) and not torch.equal(kept[name], other[f"net.{name}"])
    last = load_file(tmp_path / "run/last/model.safetensors")
    assert torch.equal(last[name], load_file(tmp_path / "run/step_000006/model.safetensors")[f"net.{name}"])


def test_a_first_score_that_is_no_number_is_no_best(toy_pair, tmp_path, monkeypatch):
    given = iter([math.nan, 2.0, 3.0])
    monkeypatch.setattr(Dev, "score", lambda *_: DevScore({"loss": next(given)}, 0.0, True))
    task = pair_task(toy_pair, steps=3, eval_every=1, best_by="loss")
    assert train(task, tmp_path / "run").best == 2.0


def test_a_best_by_that_there_is_not_is_refused_before_the_first_step(toy_pair, tmp_path):
    with pytest.raises(ConfigError, match=r"run.best_by is 'wer'; expected one of loss, bleu, chrf\+\+"):
        train(pair_task(toy_pair, steps=2, best_by="wer"), tmp_path / "run")


# --- resume ----------------------------------------------------------------------------------------------------------


def everything_on(toy_pair: Path, **run) -> Task:
    """Mixture, SentencePiece sampling, label smoothing, dropout, unfreezing, accumulation, at unaligned steps."""
    settings = dict(steps=12, batches_per_step=2, eval_every=5, save_every=4) | run
    adapt = (Freeze(1), Freeze(3, until=6), LabelSmoothing(0.1))
    task = pair_task(toy_pair, form="separate", sampling=0.2, adapt=adapt, **settings)
    sources = (Source(str(toy_pair / "train.jsonl")), Source(str(toy_pair / "old.jsonl"), 0.3))
    return dataclasses.replace(task, train=sources)


def plain(toy_pair: Path) -> Task:
    return pair_task(toy_pair, steps=10, eval_every=3, save_every=4, best_by="loss")


@pytest.mark.parametrize("make", [plain, everything_on])
def test_a_run_that_is_stopped_in_the_middle_ends_in_the_same_weights(toy_pair, tmp_path, monkeypatch, make):
    task = make(toy_pair)
    whole = train(task, tmp_path / "whole")
    with monkeypatch.context() as patch:
        terminate_at(5, patch.setattr)
        assert train(task, tmp_path / "cut").reason == "terminated"
    with monkeypatch.context() as patch:
        terminate_at(7, patch.setattr)
        workers = dataclasses.replace(task, data=dataclasses.replace(task.data, workers=1))
        assert train(workers, tmp_path / "cut").reason == "terminated"
    assert train(task, tmp_path / "cut") == whole
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")


def test_sampling_and_smoothing_were_on(toy_pair, tmp_path):
    """What the test above would not notice: noise that does nothing."""
    task = everything_on(toy_pair, steps=2, eval_every=2, save_every=2)
    weights = []
    for number, one in enumerate(
        (
            task,
            dataclasses.replace(task, data=dataclasses.replace(task.data, sampling=0.0)),
            dataclasses.replace(task, adapt=task.adapt[:2]),
            dataclasses.replace(task, train=task.train[:1]),
        )
    ):
        train(one, tmp_path / str(number))
        weights.append(load_file(tmp_path / str(number) / "last/model.safetensors"))
    for other in weights[1:]:
        assert furthest(weights[0], other) > 1e-4


@pytest.mark.parametrize("sampling", [0.1, 0.2])
def test_batches_of_drawn_pieces_are_about_of_the_budget(toy_pair, sampling):
    """Drawn pieces are more than the best ones: batches cut by the latter would be far over it."""
    data, run = Data(batch_tokens=600, workers=0), Run()
    drawing = dataclasses.replace(data, sampling=sampling)
    frontend = load_checkpoint(toy_pair / "joint").frontend
    mixture = read_mixture([Source(str(toy_pair / "train.jsonl"))], "source", data)
    lengths = frontend.lengths(mixture.manifests[0])

    def padded(planned_for: Data) -> np.ndarray:
        plan = mixture.plan(lengths, frontend, planned_for, run)
        batches = TrainingBatches(mixture, plan, frontend, drawing, run.seed)
        return np.array([batches[step, 0].padded for step in range(plan.steps_before(1))]) / data.batch_tokens

    best, drawn = padded(data), padded(drawing)
    assert best.mean() > 1.4, "nothing to mend"
    assert 0.9 < drawn.mean() < 1.1 and drawn.max() < best.max()
    plans = [mixture.plan(lengths, frontend, drawing, run).epoch(1) for _ in range(2)]
    assert [batch.tolist() for batch in plans[0]] == [batch.tolist() for batch in plans[1]], "what is measured is fixed"


def test_a_pair_that_sampling_may_lift_over_the_budget_is_a_batch_of_its_own(toy_pair):
    frontend = load_checkpoint(toy_pair / "joint").frontend
    mixture = read_mixture([Source(str(toy_pair / "train.jsonl"))], "source", Data())
    lengths = frontend.lengths(mixture.manifests[0])
    tight = Data(batch_tokens=2 * int(lengths.sum(axis=1).max()), sampling=0.1)
    batches = mixture.plan(lengths, frontend, tight, Run()).epoch(0)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    greatest = np.array([lengths[batch].sum(axis=1).max() for batch in batches]) / tight.batch_tokens
    assert {len(batch) for batch, one in zip(batches, greatest, strict=True) if one > 0.4} == {1}
    assert max(map(len, batches)) > 1


def test_another_sampling_is_another_run(toy_pair, tmp_path, monkeypatch):
    task = plain(toy_pair)
    with monkeypatch.context() as patch:
        terminate_at(2, patch.setattr)
        train(task, tmp_path / "run")
    other = dataclasses.replace(task, data=dataclasses.replace(task.data, sampling=0.1))
    with pytest.raises(CheckpointError, match="data.sampling was 0.0, now 0.1"):
        train(other, tmp_path / "run")
    beams = dataclasses.replace(task, decode=Decode(beams=2), test="x", metrics=("bleu", "ter"))
    assert train(beams, tmp_path / "run").reason == "finished", "what does not touch the weights may change"


# --- freezing and tied weights ---------------------------------------------------------------------------------------


def test_frozen_layers_and_positions_keep_every_bit(toy_pair, tmp_path):
    adapt = (Freeze(2), Freeze(4, until=3))
    train(pair_task(toy_pair, form="separate", adapt=adapt, steps=4, save_every=1, keep=9), tmp_path / "run")
    start = load_file(toy_pair / "separate/model.safetensors")
    states = [load_file(path / "model.safetensors") for path in checkpoint.states(tmp_path / "run")]
    frozen = ("encoder.embed_tokens", "encoder.layers.0", "encoder.embed_positions", "decoder.embed_positions")
    until_3 = ("encoder.layers.1", "decoder.embed_tokens")
    for name, tensor in start.items():
        moved = [not torch.equal(state.get(f"net.{name}", tensor), tensor) for state in states]
        if any(part in name for part in frozen) or name == "final_logits_bias":
            assert moved == [False] * 4, name
        elif any(part in name for part in until_3):
            assert moved == [False] * 3 + [True], name
        else:
            assert all(moved), name


def test_a_joint_embedding_counts_as_the_targets(toy_pair):
    """So depth 1 would keep nothing: it is refused, with the least depth that keeps something."""
    model = load_checkpoint(toy_pair / "joint")
    for depth in (0, 1):
        with pytest.raises(ConfigError, match=rf"^freeze: depth {depth} keeps nothing \(source embedding has the wei"):
            Freeze(depth, until=3).setup(model)
    Freeze(2).setup(model)
    kept = {name for name, depth in depths(model).items() if not Freeze(2).trainable(name, depth, step=0)}
    assert kept and all("encoder.layers.0." in name or "embed_positions" in name for name in kept)
    Freeze(1).setup(load_checkpoint(toy_pair / "separate"))
    with pytest.raises(ConfigError, match="depth 0 keeps nothing; expected 1 or more: source embedding$"):
        Freeze(0).setup(load_checkpoint(toy_pair / "separate"))


def test_a_freeze_that_keeps_nothing_is_refused_before_the_first_step(toy_pair, tmp_path):
    with pytest.raises(ConfigError, match="expected 2 or more: encoder 0$"):
        train(pair_task(toy_pair, form="joint", adapt=(Freeze(1),), steps=2), tmp_path / "run")
    assert not checkpoint.states(tmp_path / "run")


def test_the_state_holds_tied_weights_once_and_they_stay_tied(toy_pair, tmp_path, monkeypatch):
    task = plain(toy_pair)
    with monkeypatch.context() as patch:
        terminate_at(2, patch.setattr)
        train(task, tmp_path / "run")
    state = load_file(tmp_path / "run/step_000002/model.safetensors")
    assert [n for n in state if "embed_tokens" in n or "shared" in n or "lm_head" in n] == ["net.model.shared.weight"]
    train(task, tmp_path / "run")
    net = load_checkpoint(tmp_path / "run/last").net
    tied = {net.model.encoder.embed_tokens.weight, net.model.decoder.embed_tokens.weight, net.lm_head.weight}
    assert len({weight.data_ptr() for weight in tied}) == 1


# --- two processes ---------------------------------------------------------------------------------------------------


def test_two_ranks_equal_one(toy_pair, tmp_path):
    """With 3 batches a step the ranks have two and one. Eps as in test_parallel: Adam magnifies what rounds."""
    task = everything_on(toy_pair, steps=6, batches_per_step=3, eval_every=6, save_every=6)
    task = dataclasses.replace(task, optim=Optim(lr=3e-3, eps=1e-4), adapt=(Freeze(3, until=3), LabelSmoothing(0.1)))
    alone, out = tmp_path / "alone", tmp_path / "run"
    train(task, alone)
    on_two_ranks(task, out)
    first, second = of_rank(out, 0), of_rank(out, 1)
    assert all(torch.equal(first[name], second[name]) for name in first), "the ranks have drifted apart"
    assert furthest(first, load_file(alone / "step_000006/model.safetensors")) < 1e-5
    start = load_file(toy_pair / "separate/model.safetensors")
    assert furthest({n: first[f"net.{n}"] for n in start if f"net.{n}" in first}, start) > 1e-3
    for two, one in zip(log_rows(out, "train"), log_rows(alone, "train"), strict=True):
        assert two.pop("event") == one.pop("event")
        assert two == pytest.approx(one, rel=1e-3)
    for two, one in zip(log_rows(out, "dev"), log_rows(alone, "dev"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert (two["bleu"], two["chrf++"]) == pytest.approx((one["bleu"], one["chrf++"]))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_noise_of_the_other_kind_of_input_is_refused(toy, toy_pair, tmp_path):
    task = pair_task(toy_pair, steps=1)
    speed = dataclasses.replace(task, data=Data(perturb=Perturb(speed=(0.9, 1.0))))
    with pytest.raises(ConfigError, match="data.perturb is for audio; expected data.sampling"):
        train(speed, tmp_path / "run")
    speech = Task("speech", str(toy / "tiny"), train=str(toy / "train.jsonl"), dev=str(toy / "dev.jsonl"))
    with pytest.raises(ConfigError, match="data.sampling is for the source of a translation model"):
        train(dataclasses.replace(speech, data=Data(sampling=0.1)), tmp_path / "run")
    with pytest.raises(ConfigError, match="label smoothing is for models that write token by token; CTC has no such"):
        train(dataclasses.replace(speech, adapt=(LabelSmoothing(),)), tmp_path / "run")
    with pytest.raises(ConfigError, match="data.sampling is -0.1; expected >= 0"):
        Data(sampling=-0.1)


def test_all_that_is_wrong_with_the_pairs_is_told_before_training(toy_pair, tmp_path):
    long = "ab " * 60
    rows = [{"source": "ab", "text": "पानी"}, {"source": long, "text": "घर"}, {"source": "ab", "text": "पानी " * 60}]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = pair_task(toy_pair, steps=1)
    task = dataclasses.replace(task, train=str(tmp_path / "train.jsonl"), dev=str(tmp_path / "dev.jsonl"))
    with pytest.raises(ManifestError) as error:
        train(task, tmp_path / "run")
    lines = [line.split(": ")[0] for line in str(error.value).splitlines()]
    assert lines == [f"{tmp_path}/{name}.jsonl:{line}" for name in ("train", "dev") for line in (2, 3)]


def test_a_pair_over_the_budget_says_which_setting_to_raise(toy_pair, tmp_path):
    task = pair_task(toy_pair, steps=1)
    with pytest.raises(ConfigError, match="longer than a whole batch of 10.*data.batch_tokens"):
        train(dataclasses.replace(task, data=Data(batch_tokens=10)), tmp_path / "run")


@pytest.mark.parametrize("missing", ["source", "text"])
def test_rows_without_one_of_their_sides_are_named(toy_pair, tmp_path, missing, capsys):
    manifest = write_toy_pairs(tmp_path, "train", 5, seed=0)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    del rows[3][missing]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["train", "--model", str(toy_pair / "joint"), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        main(argv=[*command, "--train", str(manifest), "--dev", str(toy_pair / "dev.jsonl")])
    said = capsys.readouterr().err
    assert end.value.code == 2 and f"train.jsonl:4: no {missing}" in said and "Traceback" not in said


def test_a_vocabulary_that_is_to_grow_is_refused(toy_pair, tmp_path):
    with pytest.raises(ConfigError, match="data.vocabulary is 'extend'; of a translation model it stays"):
        train(dataclasses.replace(pair_task(toy_pair, steps=1), data=Data(vocabulary="extend")), tmp_path / "run")


def test_predicting_goes_on_where_it_stopped_and_a_manifest_needs_no_text(pair_run, tmp_path, toy_pair):
    """As for speech; `test_predict` has the rest of it."""
    from speechxfer.models.marian import Marian
    from speechxfer.predict import predict

    rows = [json.loads(line) for line in (toy_pair / "test.jsonl").read_text().splitlines()]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps({"id": r["id"], "source": r["source"]}) + "\n" for r in rows))
    data, best, done = Data(batch_tokens=40, workers=0), pair_run[0] / "best", []
    whole = predict(best, tmp_path / "m.jsonl", tmp_path / "whole.jsonl", data=data).read_bytes()
    generate = Marian.generate

    def stopping(self, batch, decode):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(batch.ids)
        return generate(self, batch, decode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Marian, "generate", stopping)
        with pytest.raises(KeyboardInterrupt):
            predict(best, tmp_path / "m.jsonl", tmp_path / "out.jsonl", data=data)
    assert predict(best, tmp_path / "m.jsonl", tmp_path / "out.jsonl", data=data).read_bytes() == whole
    hyps = {p.id: p.hyp for p in read_predictions(tmp_path / "whole.jsonl")}
    right = [hyps[row["id"]] == translated(row["source"]) for row in rows]
    assert sum(right) > 35 and all(p.ref == "" for p in read_predictions(tmp_path / "whole.jsonl"))
