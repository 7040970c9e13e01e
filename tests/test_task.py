"""A task as a value: overriding its fields, printing them, and what the mistakes say."""

import dataclasses
import json
from pathlib import Path

import pytest

from speechxfer.adapt.freeze import Freeze
from speechxfer.errors import ConfigError
from speechxfer.perturb import Perturb
from speechxfer.task import Data, Optim, Run, Source, Task, fields, override, plain

TASK = Task(name="toy", model="m")
OPTIM = [f.name for f in dataclasses.fields(Optim)]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("optim.lr=2e-5", 2e-5),
        ("optim.lr=1", 1.0),
        (" optim.lr = 0.5 ", 0.5),
        ("run.steps=1_000", 1000),
        ("run.steps=3", 3),
        ("optim.schedule=cosine", "cosine"),
        ("name=2e-5", "2e-5"),
        ("name=a=b", "a=b"),
        ("dev=", ""),
        ("train=a.jsonl", "a.jsonl"),
        ("optim.betas=0.9,0.95", (0.9, 0.95)),
        ("optim.betas=(0.9, 1)", (0.9, 1.0)),
        ("metrics=wer", ("wer",)),
        ("metrics=wer, cer", ("wer", "cer")),
        ("metrics=('wer', 'cer')", ("wer", "cer")),
        ("metrics=", ()),
        ("data.perturb.speed=0.9,1.0,1.1", (0.9, 1.0, 1.1)),
        ("data.perturb.gain_db=-6,6", (-6.0, 6.0)),
        ("data.perturb.gain_db=none", None),
        ("data.perturb.noise=None", None),
        ("data.perturb.noise=noises/", "noises/"),
        ("require={'wer': '<= 0.2'}", {"wer": "<= 0.2"}),
        ("require=wer <= 0.2,wer <= baseline", ("wer <= 0.2", "wer <= baseline")),
        ("require.wer=<= 0.2", {"wer": "<= 0.2"}),
        ("require.retain.wer=<= 0.2", {"retain.wer": "<= 0.2"}),
        ("config.layerdrop=0.05", {"layerdrop": 0.05}),
        ("config.hidden_act=relu", {"hidden_act": "relu"}),
    ],
)
def test_override_types_the_value_as_the_field(setting, expected):
    path = setting.partition("=")[0].strip()
    value = override(TASK, [setting])
    for name in path.split("."):
        value = value if isinstance(value, dict) else getattr(value, name)
    assert value == expected and type(value) is type(expected)
    if isinstance(expected, tuple):
        assert [type(v) for v in value] == [type(v) for v in expected]


def test_override_changes_what_it_names_and_nothing_else():
    changed = override(TASK, ["optim.lr=2e-5", "run.seed=1", "run.seed=7"])
    assert changed == Task(name="toy", model="m", optim=Optim(lr=2e-5), run=Run(seed=7))
    assert TASK == Task(name="toy", model="m")  # which stays as it was
    assert override(TASK, []) is TASK


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.lrr=1", "no field optim.lrr; did you mean optim.lr?"),
        ("lr=1", "no field lr; did you mean optim.lr?"),
        ("optm.lr=1", "no field optm.lr; did you mean optim.lr?"),
        ("optim.steps=1", "no field optim.steps; did you mean run.steps?"),
        ("steps=5", "no field steps; did you mean run.steps?"),
        ("data.perturb.sped=1", "no field data.perturb.sped; did you mean data.perturb.speed?"),
        ("modl=x", "no field modl; did you mean model?"),
        ("optim.qqqq=1", "no field optim.qqqq; expected one of " + ", ".join(OPTIM)),
        ("qqqq=1", "no field qqqq; expected one of " + ", ".join(f.name for f in dataclasses.fields(Task))),
        ("model.x=1", "no field model.x; model has no fields of its own"),
        ("optim=1", "optim is a section; set one of " + ", ".join(f"optim.{name}" for name in OPTIM)),
        ("optim.lr", "--set optim.lr: expected field=value, such as optim.lr=2e-5"),
        ("optim.lr=fast", "optim.lr is 'fast'; expected float"),
        ("optim.lr=True", "optim.lr is 'True'; expected float"),
        ("run.steps=1.5", "run.steps is '1.5'; expected int"),
        ("run.steps=", "run.steps is ''; expected int"),
        ("run.steps={[]: 1}", "run.steps is '{[]: 1}'; expected int"),
        ("optim.betas=0.9", "optim.betas is '0.9'; expected 2 values with a comma between them"),
        ("optim.betas=0.9,x", "optim.betas is 'x'; expected float"),
        ("adapt=x", "adapt cannot be set from the command line; write a task module, or see --help"),
        ("data.min_seconds=31", "data.min_seconds 31.0 and max_seconds 30.0: expected 0 <= min < max"),
    ],
)
def test_what_a_wrong_setting_says(setting, message):
    with pytest.raises(ConfigError) as caught:
        override(TASK, [setting])
    assert str(caught.value) == message


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        override(TASK, ["optim.lrr=1", "run.seed=3", "run.steps=x", "nothing"])
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["no", "run.steps", "--set"]


def test_every_field_can_be_set_or_says_why_not():
    """What `show` prints of a default task, `--set` takes back."""
    for path, value in fields(TASK).items():
        if path == "adapt":
            continue
        if path == "train":
            value = "a.jsonl"
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        assert fields(override(TASK, [f"{path}={text}"]))[path] == value, path


def test_sections_are_frozen():
    for value in (TASK, TASK.data, TASK.data.perturb, TASK.optim, TASK.run, Source("a")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 1)


def test_fields_are_flat_and_json():
    task = dataclasses.replace(
        TASK,
        train=(Source("a.jsonl"), Source("b.jsonl", 0.3)),
        adapt=(Freeze(1), Freeze(5, until=300)),
        data=Data(perturb=Perturb(speed=(0.9, 1.1))),
        dev=Path("dev.jsonl"),
    )
    flat = fields(task)
    assert flat["train"][1] == {"kind": "Source", "manifest": "b.jsonl", "weight": 0.3}
    assert flat["adapt"][0] == {"kind": "Freeze", "depth": 1, "until": None}
    assert flat["adapt"][1] == {"kind": "Freeze", "depth": 5, "until": 300}
    assert flat["data.perturb.speed"] == [0.9, 1.1]
    assert flat["dev"] == "dev.jsonl"
    assert flat["optim.betas"] == [0.9, 0.98]
    assert json.loads(json.dumps(flat)) == flat
    assert len(flat) == len(fields(TASK))  # every task has the same lines, whatever their values


def test_plain_turns_nested_values_into_json():
    assert plain({"a": (Path("x/y"), [Freeze(2)])}) == {"a": ["x/y", [{"kind": "Freeze", "depth": 2, "until": None}]]}


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("a.jsonl", (Source("a.jsonl"),)),
        (Source("a.jsonl", 2.0), (Source("a.jsonl", 2.0),)),
        ((Source("a.jsonl"), Source("b.jsonl", 0.3)), (Source("a.jsonl"), Source("b.jsonl", 0.3))),
        (("a.jsonl", Source("b.jsonl")), (Source("a.jsonl"), Source("b.jsonl"))),
    ],
)
def test_sources(train, expected):
    assert dataclasses.replace(TASK, train=train).sources() == expected


@pytest.mark.parametrize("train", ["", ()])
def test_no_source(train):
    with pytest.raises(ConfigError, match="^train is not set; expected a manifest: --train FILE"):
        dataclasses.replace(TASK, train=train).sources()


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_mixes_nothing(weight):
    with pytest.raises(ConfigError, match=r"^a\.jsonl: weight is .*; expected a finite number > 0"):
        Source("a.jsonl", weight)


def test_manifest_by_name():
    task = dataclasses.replace(TASK, dev="d.jsonl")
    assert task.manifest("dev") == "d.jsonl"
    with pytest.raises(ConfigError, match=r"^retain is not set; expected a manifest: --retain FILE or Task\("):
        task.manifest("retain")


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (5, 5), (6, 5)])
def test_length_limits_that_let_nothing_through(low, high):
    with pytest.raises(ConfigError, match="expected 0 <= min < max"):
        Data(min_seconds=low, max_seconds=high)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("run.eval_every=0", "run.eval_every is 0; expected >= 1"),
        ("run.steps=-3", "run.steps is -3; expected >= 0"),
        ("run.epochs=0", "run.epochs is 0.0; expected > 0"),
    ],
)
def test_counts_that_make_no_sense(setting, message):
    with pytest.raises(ConfigError, match=message):
        override(TASK, [setting])
