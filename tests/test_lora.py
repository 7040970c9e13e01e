"""Low-rank matrices: what learns and what keeps its bits, what is written, resume and ranks, and what is refused."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from conftest import write_tiny
from safetensors.torch import load_file
from test_ctc import make_batch, write_kind
from test_parallel import final_weights, furthest, of_rank, on_two_ranks
from test_resume import CONTEXT, Kill, outcome, run_in_process
from test_train import log_rows, toy_task
from test_train_marian import pair_task
from transformers import AutoModelForCTC, MarianMTModel, WavLMForCTC

from speechxfer import checkpoint
from speechxfer import task as tasks
from speechxfer.adapt.freeze import Freeze
from speechxfer.adapt.label_smoothing import LabelSmoothing
from speechxfer.adapt.lora import ATTENTION, Lora, adaptable
from speechxfer.cli import main, parser, resolved
from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.manifest import read_manifest
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.labels import IGNORED
from speechxfer.optim import depths
from speechxfer.task import Data, Optim, Task
from speechxfer.train import train

CONTEXT.set_forkserver_preload(["speechxfer.train", "conftest", "peft"])
CTC, JOINT, SEPARATE = "ctc", "joint", "separate"
FORMS = (CTC, JOINT, SEPARATE)
PLAIN = {CTC: AutoModelForCTC, JOINT: MarianMTModel, SEPARATE: MarianMTModel}
NO_LAYERDROP = {CTC: {"layerdrop": 0.0}, JOINT: {}, SEPARATE: {}}  # a layer that is dropped does not learn in that step
FEED_FORWARD = {CTC: ("intermediate_dense", "output_dense"), JOINT: ("fc1", "fc2"), SEPARATE: ("fc1", "fc2")}


@pytest.fixture(scope="module")
def folders(toy, toy_pair) -> dict[str, Path]:
    return {CTC: toy / "tiny", JOINT: toy_pair / "joint", SEPARATE: toy_pair / "separate"}


@pytest.fixture(scope="module")
def make_task(toy, toy_pair):
    """A short task of a form, with the dropout of its checkpoint."""

    def make(form: str, *adapt, lr: float = 1e-2, **run) -> Task:
        task = toy_task(toy, adapt=adapt, **run) if form == CTC else pair_task(toy_pair, form=form, adapt=adapt, **run)
        return dataclasses.replace(task, optim=Optim(lr=lr, schedule="constant", warmup=0.0))

    return make


def moved_parts(task: Task, out: Path) -> tuple[set[str], set[str]]:
    """Names of the final state that learnt, by the names that they have in the checkpoint, and of low-rank matrices.

    Every other tensor was compared and has kept all its bits.
    """
    start, state = load_checkpoint(task.model).net.state_dict(), final_weights(out)
    own = {
        name.replace(".base_layer.", ".").removeprefix("net."): t for name, t in state.items() if "lora_" not in name
    }
    assert start.keys() >= own.keys() and len(own) > 40
    first = next(name for name in state if "lora_B" in name)
    assert state[first].any(), "B begins as zeros: it should have learnt"
    moved = {name for name, tensor in own.items() if not torch.equal(tensor, start[name])}
    return moved, {name for name in state if "lora_" in name}


# --- what learns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_only_the_matrices_learn(make_task, tmp_path, form):
    task = make_task(form, Lora(rank=4), steps=3)
    task = dataclasses.replace(task, config=NO_LAYERDROP[form])
    train(task, tmp_path / "run")
    moved, matrices = moved_parts(task, tmp_path / "run")
    assert moved == set()
    layers = 3 if form == CTC else 2 + 2 * 2  # Marian's decoder has two attentions in each layer
    assert len(matrices) == layers * len(ATTENTION) * 2
    state = final_weights(tmp_path / "run")
    assert all(state[name].any() for name in matrices if "lora_B" in name), "every B should have left its zeros"
    assert {min(state[name].shape) for name in matrices} == {4}


@pytest.mark.parametrize(
    ("form", "also", "learning"),
    [
        (CTC, "lm_head", {"lm_head.weight", "lm_head.bias"}),
        (JOINT, "shared", {"model.shared.weight"}),
        (SEPARATE, "decoder.embed_tokens", {"model.decoder.embed_tokens.weight"}),
        (
            SEPARATE,
            "embed_",
            {"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"},
        ),  # no sinusoids
    ],
)
def test_what_also_names_learns_in_full(make_task, tmp_path, form, also, learning):
    train(task := make_task(form, Lora(rank=2, also=(also,)), steps=2), tmp_path / "run")
    assert moved_parts(task, tmp_path / "run")[0] == learning


def test_magnitudes_of_dora_learn_too(make_task, tmp_path):
    task = make_task(CTC, Lora(rank=2, dora=True), steps=2)
    train(task, tmp_path / "run")
    moved, matrices = moved_parts(task, tmp_path / "run")
    assert moved == set() and sum("magnitude" in name for name in matrices) == 3 * len(ATTENTION)
    start, state = load_checkpoint(task.model).state_dict(), final_weights(tmp_path / "run")
    for name in (n for n in matrices if "magnitude" in n):
        norms = start[name.partition("lora_")[0] + "weight"].norm(dim=1)
        assert not torch.equal(state[name], norms) and torch.allclose(state[name], norms, atol=0.05)


@pytest.mark.parametrize("form", [CTC, SEPARATE])
def test_frozen_layers_keep_their_matrices_as_well(make_task, tmp_path, form):
    """Whatever stands first in `adapt`, the same learns: to the bit."""
    adapt = [Freeze(3, until=2), Lora(rank=2, dropout=0.1)]
    if form == SEPARATE:
        adapt.append(LabelSmoothing(0.1))
    ends = []
    for number, order in enumerate((adapt, adapt[::-1])):
        out = tmp_path / str(number)
        task = make_task(form, *order, steps=3, save_every=1, keep=3)
        task = dataclasses.replace(task, config=NO_LAYERDROP[form])
        train(task, out)
        ends.append([load_file(path / "model.safetensors") for path in checkpoint.states(out)])
    for one, other in zip(*ends, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    model = load_checkpoint(task.model)
    Lora(rank=2).setup(model)
    depth = depths(model)
    for name in (n for n in ends[0][0] if "lora_B" in n):
        left_zero = [bool(state[name].any()) for state in ends[0]]
        assert left_zero == ([True] * 3 if depth[name] >= 3 else [False, False, True]), name


def test_noise_of_the_matrices_is_on(make_task, tmp_path):
    """What a comparison of runs would not notice: a dropout that does nothing."""
    ends = []
    for number, dropout in enumerate((0.0, 0.5)):
        train(make_task(JOINT, Lora(rank=4, dropout=dropout), steps=2), tmp_path / str(number))
        ends.append(final_weights(tmp_path / str(number)))
    assert furthest(*ends) > 1e-4


# --- what is written --------------------------------------------------------------------------------------------------


def adapted(folder: Path, **settings):
    """A model whose matrices have learnt something, in eval mode."""
    model = load_checkpoint(folder)
    torch.manual_seed(3)
    Lora(rank=4, **settings).setup(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model.eval()


def a_batch(model, form: str, toy_pair: Path) -> Batch:
    if form == CTC:
        return make_batch(model.frontend)
    examples = list(read_manifest(toy_pair / "dev.jsonl"))[:6]
    return model.frontend.collate([model.frontend.load(example) for example in examples])


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_is_the_adapted_model_in_plain_form(folders, toy_pair, tmp_path, form, dora):
    targets = (*ATTENTION, *FEED_FORWARD[form])
    model = adapted(folders[form], dora=dora, targets=targets, dropout=0.3)
    batch = a_batch(model, form, toy_pair)
    with torch.no_grad():
        before, logits = load_checkpoint(folders[form]).eval()(batch).logits, model(batch).logits
    state, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    model.save(tmp_path / "saved")
    assert torch.equal(generator, torch.get_rng_state())
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module.merged for module in model.modules() if hasattr(module, "base_layer"))

    written, start = (load_file(f / "model.safetensors") for f in (tmp_path / "saved", folders[form]))
    assert written.keys() == start.keys(), "the names of the class, and none else"
    changed = {name for name in start if not torch.equal(start[name], written[name])}
    assert changed == {name for name in start if name.endswith(tuple(f".{target}.weight" for target in targets))}
    configs = [json.loads((f / "config.json").read_text()) for f in (tmp_path / "saved", folders[form])]
    assert configs[0].keys() == configs[1].keys() and not list((tmp_path / "saved").glob("adapter*"))

    net, found = PLAIN[form].from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"] and not found["mismatched_keys"]
    labels = {} if form == CTC else {"decoder_input_ids": batch.inputs["decoder_input_ids"]}
    names = ("input_values", "input_ids", "attention_mask")
    inputs = {name: batch.inputs[name] for name in names if name in batch.inputs}
    with torch.no_grad():
        again = net.eval()(**inputs, **labels).logits
        again = again if form == CTC else again[batch.labels != IGNORED]
        ours = load_checkpoint(tmp_path / "saved").eval()(batch).logits
    assert torch.allclose(again, logits, atol=1e-4) and torch.allclose(ours, logits, atol=1e-4)
    assert not torch.allclose(before, logits, atol=0.05), "the comparison is of something"


@pytest.mark.parametrize("form", [CTC, JOINT])
def test_best_and_last_of_a_run_are_plain_folders(make_task, tmp_path, form):
    """And the matrices of the state, put on the checkpoint again by hand, are what was written."""
    task = make_task(form, Lora(rank=4, alpha=12.0), steps=3)
    train(task, tmp_path / "run")
    start = load_file(Path(task.model) / "model.safetensors")
    state = final_weights(tmp_path / "run")
    for name in ("best", "last"):
        written = load_file(tmp_path / "run" / name / "model.safetensors")
        assert written.keys() == start.keys()
        for key, tensor in written.items():
            layer = f"net.{key.removesuffix('.weight')}"
            expected = start[key]
            if f"{layer}.lora_A.default.weight" in state:
                a, b = (state[f"{layer}.lora_{part}.default.weight"] for part in "AB")
                expected = expected + 3.0 * b @ a
                assert not torch.equal(tensor, start[key])
            assert torch.allclose(tensor, expected, atol=1e-6), key


def test_matrices_that_have_learnt_nothing_change_nothing(folders, tmp_path):
    """B begins as zeros."""
    model = load_checkpoint(folders[SEPARATE])
    Lora().setup(model)
    model.save(tmp_path)
    written, start = (load_file(f / "model.safetensors") for f in (tmp_path, folders[SEPARATE]))
    assert all(torch.equal(tensor, start[name]) for name, tensor in written.items())


# --- resume and ranks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [CTC, JOINT])
def test_a_killed_run_ends_in_the_weights_of_one_never_killed(make_task, tmp_path, form):
    """With dropout on the matrices and in the model, DoRA, a head that learns in full, and layers that thaw."""
    also = ("lm_head",) if form == CTC else ("shared",)
    adapt = (Lora(rank=4, dropout=0.1, dora=True, also=also), Freeze(2, until=4))
    task = make_task(form, *adapt, steps=7, batches_per_step=2, eval_every=3, save_every=2)
    train(task, tmp_path / "whole")
    assert run_in_process(task, tmp_path / "cut", Kill("os.rename", "step_000004.tmp")) == -9
    assert [path.name for path in checkpoint.states(tmp_path / "cut")] == ["step_000002"]
    train(task, tmp_path / "cut")
    whole, cut = (timeless(outcome(tmp_path / name)) for name in ("whole", "cut"))
    assert cut == whole


def timeless(end: dict) -> dict:
    """An outcome without what is measured with a clock."""
    return end | {"log": [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in end["log"]]}


def test_two_ranks_equal_one(make_task, tmp_path):
    task = make_task(CTC, Lora(rank=4, dropout=0.1, also=("lm_head",)), Freeze(3, until=3), steps=6, batches_per_step=3)
    # eps as in test_parallel: Adam magnifies what rounds
    task = dataclasses.replace(task, data=Data(batch_seconds=8, workers=0), optim=Optim(lr=5e-3, eps=1e-4))
    train(task, tmp_path / "alone")
    on_two_ranks(task, tmp_path / "run")
    first, second = of_rank(tmp_path / "run", 0), of_rank(tmp_path / "run", 1)
    assert all(torch.equal(first[name], second[name]) for name in first), "the ranks have drifted apart"
    assert furthest(first, final_weights(tmp_path / "alone")) < 1e-5
    assert max(float(first[name].abs().max()) for name in first if "lora_B" in name) > 1e-3


def test_two_ranks_equal_one_of_translation(make_task, tmp_path):
    task = make_task(JOINT, LabelSmoothing(0.1), Lora(rank=4, dora=True), steps=4, batches_per_step=3)
    task = dataclasses.replace(task, optim=Optim(lr=5e-3, eps=1e-4))
    train(task, tmp_path / "alone")
    on_two_ranks(task, tmp_path / "run")
    first, second = of_rank(tmp_path / "run", 0), of_rank(tmp_path / "run", 1)
    assert all(torch.equal(first[name], second[name]) for name in first), "the ranks have drifted apart"
    assert furthest(first, final_weights(tmp_path / "alone")) < 1e-5


def test_another_rank_of_the_matrices_is_another_run(make_task, tmp_path):
    task = make_task(JOINT, Lora(rank=4), steps=2)
    train(task, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"adapt was \[\{'kind': 'Lora', 'rank': 4, .*, now .*'rank': 8"):
        train(dataclasses.replace(task, adapt=(Lora(rank=8),)), tmp_path / "run")
    assert train(task, tmp_path / "run").reason == "finished"


# --- task.json --------------------------------------------------------------------------------------------------------


def test_the_task_that_is_written_down_is_json_and_compares_equal(make_task, tmp_path):
    """JSON has no infinity, which the temperature of a mixture is by default."""
    task = make_task(JOINT, Lora(rank=4, also=("shared",)), steps=2)
    train(task, tmp_path / "run")
    (state,) = checkpoint.states(tmp_path / "run")
    for file in (tmp_path / "run/task.json", state / "state.json"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    written = json.loads((tmp_path / "run/task.json").read_text())
    assert written["adapt"] == [tasks.plain(task.adapt[0])]
    assert written["adapt"][0] == {
        "kind": "Lora",
        "rank": 4,
        "alpha": 32.0,
        "dropout": 0.0,
        "targets": list(ATTENTION),
        "dora": False,
        "also": ["shared"],
    }
    assert written["data.temperature"] == "inf"
    assert {name: written[name] for name in ("adapt", "data.temperature")} == {
        name: tasks.fields(task)[name] for name in ("adapt", "data.temperature")
    }
    assert train(task, tmp_path / "run").reason == "finished"
    with pytest.raises(CheckpointError, match="data.temperature was 'inf', now 2.0"):
        train(dataclasses.replace(task, data=dataclasses.replace(task.data, temperature=2.0)), tmp_path / "run")
    assert len(log_rows(tmp_path / "run", "train")) == 2, "nothing was trained anew"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_wrong_names_are_told_all_at_once(folders):
    lora = Lora(targets=("q_proj", "k_prj", "lm_head", "embed_tokens"), also=("lm_hed", "shared"))
    with pytest.raises(ConfigError) as error:
        lora.setup(load_checkpoint(folders[JOINT]))
    targets, also = str(error.value).splitlines()
    assert targets == (
        "lora: no linear layers of their own are called k_prj, lm_head, embed_tokens;"
        " expected of fc1, fc2, k_proj, out_proj, q_proj, v_proj"
    )
    assert also.startswith("lora: no parameter's name contains lm_hed (also); the last is model.decoder")


@pytest.mark.parametrize("form", FORMS)
def test_no_layer_is_adaptable_whose_weight_another_one_has(folders, form):
    net = load_checkpoint(folders[form]).net
    ends = {name.rpartition(".")[2] for name in adaptable(net)}
    assert ends >= {*ATTENTION, *FEED_FORWARD[form]}
    assert ("lm_head" in ends) == (form == CTC), "Marian's is tied to its embeddings"


def test_a_head_that_begins_at_random_must_learn(folders, tmp_path, toy, capsys):
    """The line says how to mend it, and what it says does."""
    new = load_checkpoint(folders[CTC], texts=["abz"], vocabulary="extend")
    with pytest.raises(ConfigError) as error:
        Lora(8, targets=("q_prj",), also=("bias",)).setup(new)
    layers, head = str(error.value).splitlines()
    assert "called q_prj" in layers
    assert head.startswith("lora: lm_head.weight: new, and would stay random beside the matrices")
    Lora(8, also=("lm_head",)).setup(new)
    rows = [json.loads(line) for line in (toy / "train.jsonl").read_text().splitlines()]
    rows = [row | {"audio": str(toy / row["audio"]), "text": row["text"].replace("a", "z")} for row in rows]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["train", "--model", str(folders[CTC]), "--train", str(tmp_path / "new.jsonl"), "--set=run.steps=1"]
    command += ["--dev", str(tmp_path / "new.jsonl"), "--set=data.vocabulary=extend", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        main(argv=[*command, "--lora=4"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "lm_head.weight, lm_head.bias: new" in said and " --lora 4+lm_head, or" in said
    with pytest.raises(SystemExit) as end:
        main(argv=[*command, "--lora=4+lm_head"])
    assert end.value.code == 0


def test_wavlms_attention_is_refused_since_it_never_calls_its_projections(tmp_path):
    """It takes their weights: matrices beside them would get no gradient. Other layers do learn."""
    folder = write_kind(tmp_path / "wavlm", WavLMForCTC)
    with pytest.raises(ConfigError, match="called q_proj, k_proj, v_proj, out_proj; expected of intermediate_dense"):
        Lora().setup(load_checkpoint(folder))
    model = load_checkpoint(folder)
    Lora(targets=FEED_FORWARD[CTC]).setup(model)
    model(make_batch(model.frontend)).loss_sum.backward()
    gradients = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert len(gradients) == 6 and all(gradient is not None and gradient.any() for gradient in gradients)


def test_every_adaptable_layer_of_a_family_is_called(folders, toy_pair):
    """Or its matrices would get no gradient, and nobody would notice."""
    for form, folder in folders.items():
        model = load_checkpoint(folder)
        ends = {name.rpartition(".")[2] for name in adaptable(model.net)}
        Lora(targets=tuple(ends)).setup(model)
        model.eval()(a_batch(model, form, toy_pair)).loss_sum.backward()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                assert parameter.grad is not None and parameter.grad.any(), f"{form} {name}"


@pytest.mark.parametrize(
    "settings",
    [
        {"rank": 0},
        {"alpha": 0.0},
        {"alpha": float("inf")},
        {"alpha": float("nan")},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"targets": ()},
        {"targets": "q_proj"},
        {"also": ("lm_head", "")},  # which every name contains
        {"also": ("lm_head")},  # the comma that is forgotten: every name has one of its letters
    ],
    ids=str,
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match=r"^lora: .*expected"):
        Lora(**settings)


def test_two_of_them_are_refused_before_the_first_step(make_task, tmp_path):
    with pytest.raises(ConfigError, match="has low-rank matrices already; expected one Lora in adapt"):
        train(make_task(JOINT, Lora(4), Lora(8), steps=1), tmp_path / "run")


# --- the command line -------------------------------------------------------------------------------------------------


def shown(*arguments: str, task: Task | None = None) -> Task:
    return resolved(parser(task).parse_args(["show", *arguments]), task)


def test_the_flag_gives_rank_and_alpha():
    assert shown("--lora", "8").adapt == (Lora(8, 16.0),)
    assert shown("--lora", "8:16").adapt == (Lora(8, 16.0),)
    assert shown("--lora", "4:2.5").adapt == (Lora(4, 2.5),)
    assert shown("--lora", "8+lm_head").adapt == (Lora(8, 16.0, also=("lm_head",)),)
    assert shown("--lora", "8:4+embed_tokens+fc1").adapt == (Lora(8, 4.0, also=("embed_tokens", "fc1")),)
    assert shown("--lora", "8", "--freeze", "1").adapt == (Freeze(1), Lora(8, 16.0))


def test_the_flag_takes_the_place_of_the_tasks_own():
    own = Task("own", "m", adapt=(Lora(16, also=("lm_head",)), LabelSmoothing()))
    assert shown(task=own).adapt == own.adapt
    assert shown("--lora", "4", task=own).adapt == (LabelSmoothing(), Lora(4, 8.0))


@pytest.mark.parametrize(
    "value", ["x", "", "8:y", "8.5", "0", "-1", "8:0", "8:inf", "8:nan", "8:16:2", "8+", "+lm_head"]
)
def test_bad_values_of_the_flag_exit_2(toy, tmp_path, value, capsys):
    command = ["train", "--model", str(toy / "tiny"), "--train", str(toy / "train.jsonl"), "--out", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as end:
        main(argv=[*command, "--dev", str(toy / "dev.jsonl"), f"--lora={value}"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "lora" in said and "expected" in said and "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_layers_that_a_model_lacks_exit_2(tmp_path, toy, capsys):
    folder = write_kind(tmp_path / "wavlm", WavLMForCTC)
    command = ["train", "--model", str(folder), "--train", str(toy / "train.jsonl"), "--out", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as end:
        main(argv=[*command, "--dev", str(toy / "dev.jsonl"), "--lora=4", "--set=run.steps=1"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "speechxfer: lora: no linear layers" in said and "Traceback" not in said


def test_one_command_learns_with_matrices_alone(toy, tmp_path):
    """The head learns as well: a checkpoint of random weights has nothing that matrices could bring out."""
    folder = write_tiny(tmp_path / "tiny")
    task = toy_task(toy, adapt=(Lora(8, also=("lm_head",)),), steps=60, eval_every=60)
    task = dataclasses.replace(task, model=str(folder), optim=Optim(lr=1e-2))
    train(task, tmp_path / "run")
    losses = [row["loss"] for row in log_rows(tmp_path / "run", "train")]
    assert losses[-1] < 0.7 * losses[0]
