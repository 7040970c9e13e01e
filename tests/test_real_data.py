"""Real recordings through the same doors; skipped, with the reason, where they are not at hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from speechxfer import audio, load, read_manifest
from speechxfer.demo import CHECKPOINT

ROOT = Path(__file__).parents[1]
SETS = ("speechocean762/train.jsonl", "speechocean762/dev.jsonl", "fsdd/train.jsonl", "lj_second_speaker/all.jsonl")


def task_module(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tasks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SETS)
def test_recordings_last_as_long_as_their_manifest_says(real_data: Path, name: str):
    manifest = read_manifest(real_data / "speech" / name, require=("audio", "text"))
    manifest.check_audio()
    for index in np.linspace(0, len(manifest) - 1, 10).astype(int):
        example = manifest[int(index)]
        samples = audio.load(example.audio, 16_000)
        assert len(samples) / 16_000 == pytest.approx(example.seconds, abs=0.02), example.id
        assert 1e-4 < np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("name", ["digits_ctc", "speechocean762_ctc"])
def test_splits_share_no_speaker(real_data: Path, name: str, tmp_path: Path, monkeypatch):
    module = task_module(name)
    source = real_data / "speech" / module.SOURCE.name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SOURCE", source)
    module.prepare()
    test = module.TASK.test if name == "digits_ctc" else source / "dev.jsonl"
    speakers = [{e.group["speaker"] for e in read_manifest(m)} for m in (module.TASK.train, module.TASK.dev, test)]
    assert all(speakers)
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]


def test_the_shipped_checkpoint_hears_something_in_real_speech(real_data: Path):
    manifest = read_manifest(real_data / "speech/speechocean762/dev.jsonl")
    recognised = load(CHECKPOINT).transcribe([manifest[i].audio for i in range(0, 320, 64)])
    assert all(transcript.text for transcript in recognised)
