"""predict: whole, in order, resumable to the byte, the same on several ranks."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_tiny, write_toy

from speechxfer import load, read_manifest
from speechxfer.cli import main
from speechxfer.errors import AudioError, ConfigError
from speechxfer.models.ctc import Ctc
from speechxfer.predict import _read_partials, predict
from speechxfer.prediction import read_predictions
from speechxfer.score import score
from speechxfer.task import Data

DATA = Data(batch_seconds=4.0, workers=0)
# Slow enough to be killed, and telling what it did; run alone, or by torch.distributed.run.
SLOWLY = """
import os, sys, time
from speechxfer.models.ctc import Ctc
from speechxfer.predict import predict
from speechxfer.task import Data

generate, pause = Ctc.generate, float(sys.argv[4])
told = open(sys.argv[3] + ".asked-" + os.environ.get("RANK", "0"), "w")
Ctc.generate = lambda self, batch, decode: (
    time.sleep(pause), print(*batch.ids, file=told), generate(self, batch, decode)
)[-1]
predict(*sys.argv[1:4], data=Data(batch_seconds=4.0, workers=0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`set.jsonl`, 24 utterances in no order of length, and a checkpoint that takes no mask: padding shows in it."""
    folder = tmp_path_factory.mktemp("predict")
    write_toy(folder, "set", 24, seed=5, group={"accent": "toy"})
    rows = [json.loads(line) for line in (folder / "set.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["text"] += f" é{number}"  # a character of two bytes, and a text that names its row
    (folder / "set.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_tiny(folder / "tiny")
    write_tiny(folder / "group", feat_extract_norm="group", do_stable_layer_norm=False, conv_bias=False)
    return folder


@pytest.fixture(scope="module")
def whole(folder) -> bytes:
    """What one undisturbed call writes."""
    return predict(folder / "group", folder / "set.jsonl", folder / "whole.jsonl", data=DATA).read_bytes()


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The ids that the model was asked for, as they come."""
    ids, generate = [], Ctc.generate
    monkeypatch.setattr(Ctc, "generate", lambda self, *given: ids.extend(given[0].ids) or generate(self, *given))
    return ids


def partials(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if ".partial" in path.name)


def stop_after(monkeypatch, batches: int) -> None:
    """Let the model do so many batches, then interrupt."""
    done, generate = [], Ctc.generate

    def stopping(self, batch, decode):
        if len(done) == batches:
            raise KeyboardInterrupt
        done.append(batch)
        return generate(self, batch, decode)

    monkeypatch.setattr(Ctc, "generate", stopping)


def test_every_example_in_the_manifests_order(folder, tmp_path):
    out = predict(folder / "tiny", folder / "set.jsonl", tmp_path / "deep" / "out.jsonl", data=DATA)
    predictions, examples = read_predictions(out), list(read_manifest(folder / "set.jsonl"))
    assert [p.id for p in predictions] == [e.id for e in examples]
    assert [p.ref for p in predictions] == [e.text for e in examples]  # as it stands: scoring normalises
    assert [p.group for p in predictions] == [e.group for e in examples]
    assert predictions[5].group == {"speaker": "set-1", "accent": "toy"}
    assert [p.seconds for p in predictions] == [round(e.seconds, 3) for e in examples]
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.jsonl", "out.receipt.json"]


def test_the_text_is_that_of_the_recording_alone(folder, tmp_path):
    out = predict(folder / "tiny", folder / "set.jsonl", tmp_path / "out.jsonl", data=DATA)
    alone = load(folder / "tiny").transcribe([str(folder / "audio" / f"set-{i:03d}.wav") for i in range(24)])
    assert [p.hyp for p in read_predictions(out)] == [t.text for t in alone]
    assert len({t.text for t in alone}) > 12  # or the order was not tested


def test_workers_change_nothing(folder, whole, tmp_path):
    data = Data(batch_seconds=4.0, workers=1)
    out = predict(folder / "group", folder / "set.jsonl", tmp_path / "out.jsonl", data=data)
    assert out.read_bytes() == whole


def test_a_manifest_without_text_is_transcribed_too(folder, tmp_path):
    rows = [json.loads(line) for line in (folder / "set.jsonl").read_text().splitlines()[:2]]
    manifest = folder / "no-text.jsonl"
    manifest.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "text"}) + "\n" for row in rows))
    predictions = read_predictions(predict(folder / "tiny", manifest, tmp_path / "out.jsonl", data=DATA))
    assert [p.ref for p in predictions] == ["", ""] and all(p.hyp for p in predictions)


def test_killed_in_the_middle_the_same_call_does_the_rest(folder, whole, tmp_path, asked):
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", SLOWLY, folder / "group", folder / "set.jsonl", out, "0.5"]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    partial, deadline = tmp_path / "out.jsonl.partial-0", time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if partial.is_file() and partial.read_bytes().count(b"\n") > 6:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert partials(out) == ["out.jsonl.partial-0"] and not out.exists()
    kept = [json.loads(line)["id"] for line in partial.read_text().splitlines()[1:]]
    assert 6 <= len(kept) < 24

    predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    assert out.read_bytes() == whole
    assert not set(asked) & set(kept) and set(asked) | set(kept) == {f"set-{i:03d}" for i in range(24)}
    assert partials(out) == []


def test_the_kill_test_could_fail(folder, whole, tmp_path):
    """Other batches give other figures with this checkpoint, so the files agree only where the batches do."""
    data = Data(batch_seconds=2.0, workers=0)
    out = predict(folder / "group", folder / "set.jsonl", tmp_path / "out.jsonl", data=data)
    assert out.read_bytes() != whole


@pytest.mark.parametrize("batches", [2, 5])
def test_a_half_written_line_is_done_again(folder, whole, tmp_path, monkeypatch, asked, batches):
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as interrupted:
        stop_after(interrupted, batches)
        with pytest.raises(KeyboardInterrupt):
            predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    partial = tmp_path / "out.jsonl.partial-0"
    written = partial.read_bytes()
    half = written.rindex("é".encode()) + 1  # within the character, in the last line
    partial.write_bytes(written[:half])
    asked.clear()
    predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    assert out.read_bytes() == whole
    assert len(set(asked)) < 24


def test_a_partial_file_cut_anywhere_can_be_read(folder, whole, tmp_path):
    key = {"weights": "w", "manifest": "é"}
    lines = [json.dumps(key).encode(), *whole.splitlines()[:2]]
    written, out = b"".join(line + b"\n" for line in lines), tmp_path / "out.jsonl"
    ends = [sum(len(line) + 1 for line in lines[: n + 1]) for n in range(3)]
    for cut in range(len(written) + 1):
        (tmp_path / "out.jsonl.partial-0").write_bytes(written[:cut])
        assert len(_read_partials(out, key)) == sum(cut >= end for end in ends[1:])


def test_what_another_number_of_ranks_left_is_used(folder, whole, tmp_path, monkeypatch, asked):
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as interrupted:
        stop_after(interrupted, 4)
        with pytest.raises(KeyboardInterrupt):
            predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    key, *lines = (tmp_path / "out.jsonl.partial-0").read_text().splitlines()
    for rank in range(3):
        rows = [key, *lines[rank::3]]
        (tmp_path / f"out.jsonl.partial-{rank}").write_text("".join(row + "\n" for row in rows))
    # What has the name of a partial file but another beginning is none of this call's.
    (tmp_path / "out.jsonl.partial-7").write_text("not a key\n" + lines[0] + "\n")
    asked.clear()
    predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    assert out.read_bytes() == whole
    assert asked and not set(asked) & {json.loads(line)["id"] for line in lines}
    assert partials(out) == []


def test_what_is_there_is_not_predicted_again(folder, tmp_path, asked):
    model, out = shutil.copytree(folder / "tiny", tmp_path / "model"), tmp_path / "test.predictions.jsonl"
    written = predict(model, folder / "set.jsonl", out, data=DATA).read_bytes()
    assert "|checkpoint:" + str(model) in score(out)["wer"].origin
    asked.clear()
    assert predict(model, folder / "set.jsonl", out, data=DATA).read_bytes() == written and not asked

    out.write_bytes(written.replace("é".encode(), b"e"))  # edited by hand: nobody knows what wrote it
    assert "checkpoint" not in score(out)["wer"].origin
    assert predict(model, folder / "set.jsonl", out, data=DATA).read_bytes() == written and len(asked) == 24

    asked.clear()
    vocabulary = (model / "vocab.json").read_text()
    (model / "vocab.json").write_text(vocabulary.replace('"a"', '"z"'))
    assert predict(model, folder / "set.jsonl", out, data=DATA).read_bytes() != written and len(asked) == 24


@pytest.mark.parametrize("changed", ["checkpoint", "manifest"])
def test_partials_of_something_else_are_not_used(folder, tmp_path, monkeypatch, changed, asked):
    model, manifest, out = folder / "tiny", folder / "set.jsonl", tmp_path / "out.jsonl"
    with monkeypatch.context() as interrupted:
        stop_after(interrupted, 3)
        with pytest.raises(KeyboardInterrupt):
            predict(model, manifest, out, data=DATA)
    if changed == "checkpoint":
        model = folder / "group"
    else:
        manifest = folder / "other.jsonl"
        manifest.write_text((folder / "set.jsonl").read_text().replace("é", "ü"))
    asked.clear()
    predict(model, manifest, out, data=DATA)
    assert len(asked) == 24
    undisturbed = predict(model, manifest, tmp_path / "undisturbed.jsonl", data=DATA)
    assert out.read_bytes() == undisturbed.read_bytes()


def test_two_ranks_write_the_same_file(folder, whole, tmp_path):
    out, script = tmp_path / "out.jsonl", tmp_path / "script.py"
    script.write_text(SLOWLY)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    command = [*launch, script, folder / "group", folder / "set.jsonl", out, "0"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == whole
    assert partials(out) == []
    asked = [Path(f"{out}.asked-{rank}").read_text().split() for rank in range(2)]
    assert all(asked) and sorted(asked[0] + asked[1]) == [f"set-{i:03d}" for i in range(24)]  # each did its share


def test_a_bad_file_is_named_and_what_was_done_is_kept(folder, tmp_path, capsys, asked):
    shutil.copytree(folder / "audio", tmp_path / "audio")
    manifest = Path(shutil.copy(folder / "set.jsonl", tmp_path))
    shortest = min(read_manifest(manifest), key=lambda example: example.seconds)
    good = shortest.audio.read_bytes()
    shortest.audio.write_bytes(good[:100])
    out = tmp_path / "out.jsonl"
    arguments = ["predict", "--checkpoint", str(folder / "group"), "--manifest", str(manifest), "--out", str(out)]
    arguments += ["--set", "data.batch_seconds=4", "--set", "data.workers=0"]
    with pytest.raises(SystemExit) as exit:
        main(argv=arguments)
    error = capsys.readouterr().err
    assert exit.value.code == 2
    assert shortest.audio.name in error and "Traceback" not in error and len(error.splitlines()) == 1
    assert not out.exists()
    kept = len(asked)
    assert 12 < kept < 24
    assert len((tmp_path / "out.jsonl.partial-0").read_text().splitlines()) == 1 + kept

    shortest.audio.write_bytes(good)
    with pytest.raises(SystemExit) as exit:
        main(argv=arguments)
    assert exit.value.code == 0
    assert len(asked) == 24  # the rest alone
    assert capsys.readouterr().out == f"{out}\n"


def test_a_file_that_a_worker_cannot_read_is_named_too(folder, tmp_path):
    shutil.copytree(folder / "audio", tmp_path / "audio")
    manifest = Path(shutil.copy(folder / "set.jsonl", tmp_path))
    (tmp_path / "audio" / "set-003.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"set-003\.wav"):
        predict(folder / "tiny", manifest, tmp_path / "out.jsonl", data=Data(batch_seconds=4.0, workers=1))


def test_a_folder_is_no_file_to_write(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder; expected a file to write, such as .*predictions\.jsonl$"):
        predict(folder / "tiny", folder / "set.jsonl", tmp_path, data=DATA)


def test_a_name_with_brackets(folder, whole, tmp_path, monkeypatch):
    """Which mean something else in a pattern of file names."""
    out = tmp_path / "out[1].jsonl"
    with monkeypatch.context() as interrupted:
        stop_after(interrupted, 2)
        with pytest.raises(KeyboardInterrupt):
            predict(folder / "group", folder / "set.jsonl", out, data=DATA)
    assert len(partials(out)) == 1
    assert predict(folder / "group", folder / "set.jsonl", out, data=DATA).read_bytes() == whole
    assert partials(out) == []
