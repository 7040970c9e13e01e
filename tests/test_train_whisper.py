"""The loop on a tiny Whisper that learns the toy language: what it learns, writes and keeps; resume, ranks, LoRA."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, tones, write_tiny_whisper, write_toy
from safetensors.torch import load_file
from test_parallel import furthest, of_rank, on_two_ranks
from test_resume import outcome, terminate_at
from transformers import WhisperForConditionalGeneration, WhisperProcessor

import speechxfer
from speechxfer import checkpoint, verbs
from speechxfer.adapt.auxiliary_ctc import AuxiliaryCtc
from speechxfer.adapt.freeze import Freeze
from speechxfer.adapt.lora import Lora
from speechxfer.errors import ManifestError
from speechxfer.models import load_checkpoint
from speechxfer.perturb import Perturb
from speechxfer.prediction import read_predictions
from speechxfer.score import read_scores
from speechxfer.task import Data, Decode, Optim, Run, Source, Speech, Task
from speechxfer.train import train


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """train, dev and test of single words of the toy language, and a random checkpoint `tiny`."""
    folder = tmp_path_factory.mktemp("words")
    for seed, (name, count) in enumerate((("train", 400), ("dev", 12), ("test", 30)), 1):
        write_toy(folder, name, count, seed, words=1)
    write_tiny_whisper(folder / "tiny", d_model=64, ffn=128)
    return folder


def whisper_task(words: Path, **run) -> Task:
    settings = {"precision": "fp32", "device": "cpu", "eval_every": 1000, "save_every": 1000, "log_every": 1} | run
    return Task(
        name="words",
        model=str(words / "tiny"),
        train=str(words / "train.jsonl"),
        dev=str(words / "dev.jsonl"),
        speech=Speech(proxy="en"),  # the toy language is "xx", which no Whisper knows
        data=Data(batch_seconds=20, workers=0, stitch=0.0),  # of single words
        optim=Optim(lr=4e-3),
        run=Run(**settings),
        adapt=(AuxiliaryCtc(),),
    )


@pytest.fixture(scope="module")
def learnt(words, tmp_path_factory) -> Path:
    """A run folder in which the words were learnt; with before and after."""
    task = replace(
        whisper_task(words, steps=200, eval_every=50, log_every=10),
        test=str(words / "test.jsonl"),
        require={"wer": "<= 0.2"},
    )
    out = tmp_path_factory.mktemp("learnt") / "run"
    verbs.train_run(task, out)
    verbs.predict_run(replace(task, decode=Decode(beams=2)), out)
    verbs.score_run(task, out)
    return out


# --- the whole line --------------------------------------------------------------------------------------------------


def test_the_words_are_learnt_and_scored(learnt):
    before, after = (read_scores(learnt / stage / "test.scores.json") for stage in ("before", "after"))
    assert before["wer"].value > 0.9 and after["wer"].value < 0.2
    assert before.keys() == after.keys() == {"wer", "cer"}
    assert "norm:basic" in after["wer"].signature, "case and punctuation do not count, which the model may write"


def test_predictions_have_confidence_and_times(learnt):
    for one in read_predictions(learnt / "after/test.predictions.jsonl"):
        assert 0 < one.confidence <= 1
        assert all(0 <= start <= end <= one.seconds + 1e-3 for _, start, end in one.words)
        assert " ".join(word for word, *_ in one.words) == one.hyp


def test_the_checkpoint_hears_as_it_was_taught_without_being_told(learnt, words):
    saved = json.loads((learnt / "best/speechxfer.json").read_text())
    assert saved == {"normaliser": "nfc", "language": "xx", "task": "transcribe", "proxy": "en", "context": "own"}
    model = speechxfer.load(learnt / "best", device="cpu")
    said = [(tones(text, np.random.default_rng(7)), RATE) for text in ("abc", "d", "cab")]
    assert [one.text for one in model.transcribe(said)] == ["abc", "d", "cab"]


def test_the_ctc_head_is_of_the_training_state_alone(learnt):
    state = load_file(checkpoint.states(learnt)[-1] / "model.safetensors")
    assert "ctc_head.weight" in state
    net = WhisperForConditionalGeneration.from_pretrained(learnt / "best")
    assert not any("ctc" in name for name in net.state_dict())
    assert WhisperProcessor.from_pretrained(learnt / "best").feature_extractor.sampling_rate == RATE
    assert net.generation_config.forced_decoder_ids is None and net.generation_config.language == "<|en|>"


def test_what_training_taught_is_not_suppressed(words, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(words / "tiny", folder)
    before = load_checkpoint(folder)
    tokens, suppressed = before.frontend.tokens, before.net.generation_config.suppress_tokens
    marks = {tokens.spell(i) for i in suppressed if i not in tokens.controls}
    assert "(" in marks and ";" in marks
    taught = load_checkpoint(folder, texts=["so (he said)", "नहीं"]).net.generation_config
    left = {tokens.spell(i) for i in taught.suppress_tokens if i not in tokens.controls}
    assert "(" not in left and ")" not in left and ";" in left
    assert [i for i in taught.begin_suppress_tokens if i not in tokens.controls] == [], "a space may come first"
    controls = {i for i in suppressed if i in tokens.controls}
    assert controls <= set(taught.suppress_tokens)


# --- resume and ranks ------------------------------------------------------------------------------------------------


def everything_on(words: Path, **run) -> Task:
    """Mixture with stitching and times, perturbation, dropout, LayerDrop, masking, CTC head, unfreezing."""
    task = whisper_task(words, steps=12, eval_every=3, save_every=4, batches_per_step=2, best_by="loss", **run)
    changes = {"dropout": 0.1, "encoder_layerdrop": 0.2, "decoder_layerdrop": 0.2}
    changes |= {"apply_spec_augment": True, "mask_time_prob": 0.1, "mask_time_length": 3}
    return replace(
        task,
        train=(Source(str(words / "train.jsonl")), Source(str(words / "test.jsonl"), 0.5)),
        data=replace(task.data, stitch=0.3, max_seconds=5.0, perturb=Perturb(speed=(0.9, 1.0, 1.1))),
        config=changes,
        adapt=(AuxiliaryCtc(), Freeze(2, until=5)),
    )


def test_a_run_that_was_terminated_ends_as_one_that_never_was(words, tmp_path, monkeypatch):
    task = everything_on(words)
    train(task, tmp_path / "whole")
    with monkeypatch.context() as patch:
        terminate_at(7, patch.setattr)
        assert train(task, tmp_path / "cut").reason == "terminated"
    train(task, tmp_path / "cut")
    whole, cut = outcome(tmp_path / "whole"), outcome(tmp_path / "cut")
    folders = cut.pop("folders"), whole.pop("folders")
    assert whole == cut and {"best", "last"} <= set(folders[0])


def test_two_ranks_equal_one(words, tmp_path):
    task = everything_on(words)
    task = replace(task, optim=replace(task.optim, eps=1e-5))
    train(task, tmp_path / "one")
    on_two_ranks(task, tmp_path / "two")
    ranks = [of_rank(tmp_path / "two", rank) for rank in range(2)]
    assert furthest(*ranks) == 0
    assert furthest(ranks[0], load_file(checkpoint.states(tmp_path / "one")[-1] / "model.safetensors")) < 1e-4


# --- adapting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_low_rank_matrices_are_merged_into_a_plain_folder(learnt, words, tmp_path, dora):
    task = replace(
        whisper_task(words, steps=8, eval_every=8, save_every=8),
        model=str(learnt / "best"),
        adapt=(Lora(rank=4, dora=dora),),
    )
    train(task, tmp_path / "run")
    before, after = (load_checkpoint(folder).net.state_dict() for folder in (learnt / "best", tmp_path / "run/last"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.split(".")[-2] in ("q_proj", "k_proj", "v_proj", "out_proj") for name in changed)


def test_the_encoder_can_be_frozen_and_the_decoder_too(learnt, words, tmp_path):
    task = replace(whisper_task(words, steps=3), model=str(learnt / "best"))
    names = [name for name, _ in load_checkpoint(words / "tiny").layers()]
    train(replace(task, adapt=(Freeze(names.index("embedding")),)), tmp_path / "run")
    before, after = (load_checkpoint(folder).net.state_dict() for folder in (learnt / "best", tmp_path / "run/last"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("encoder." in name and "encoder_attn" not in name for name in changed)


def write_timed(folder: Path, count: int, seed: int, told: bool = True) -> Path:
    """Words somewhere in a second or two of near silence, told or not at what time each is said."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir()
    for number in range(count):
        text = "".join(rng.choice(list("abcd"), rng.integers(1, 4)))
        before, after = (0.003 * rng.standard_normal(rng.integers(0, RATE * 7 // 10)) for _ in range(2))
        said = tones(text, rng)[400:]
        soundfile.write(folder / f"{number}.wav", np.concatenate([before, said, after]), RATE)
        start, end = len(before) / RATE, (len(before) + len(said)) / RATE
        row = {"audio": f"{number}.wav", "text": text, "lang": "xx"}
        rows.append(row | ({"segments": [[text, start, end]]} if told else {}))
    manifest = folder / "timed.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def times_of(folder: Path, manifest: Path) -> tuple[bool, float]:
    """Whether a checkpoint's times are in order, and the share of them within 0.2 s of the truth."""
    model, near = speechxfer.load(folder, device="cpu").model, []
    examples = list(speechxfer.read_manifest(manifest))
    batch = model.frontend.collate([model.frontend.load(example) for example in examples])
    for example, found in zip(examples, model.generate(batch, Decode(beams=1, timestamps=True)), strict=True):
        told = [time for _, *ends in found.segments for time in ends]
        if told != sorted(told) or not told:
            return False, 0.0
        _, start, end = example.segments[0]
        near += [abs(told[0] - start) < 0.2, abs(told[-1] - end) < 0.2]
    return True, float(np.mean(near))


def test_times_are_learnt_from_segments_and_kept_by_stitched_examples(learnt, words, tmp_path):
    timed, held_out = write_timed(tmp_path / "timed", 300, seed=5), write_timed(tmp_path / "held-out", 16, seed=6)
    teach = replace(
        whisper_task(words, steps=240, log_every=50),
        model=str(learnt / "best"),
        train=str(timed),
        speech=Speech(proxy="en", timestamps=0.8),
        optim=Optim(lr=3e-3),
    )
    train(teach, tmp_path / "teach")
    in_order, taught = times_of(tmp_path / "teach/last", held_out)
    assert in_order and taught > 0.65, "by chance a quarter"
    keep = replace(
        whisper_task(words, steps=60, log_every=20),
        model=str(tmp_path / "teach/last"),
        train=str(write_timed(tmp_path / "untimed", 100, seed=7, told=False)),
        optim=Optim(lr=5e-4),
        data=Data(batch_seconds=20, workers=0, stitch=0.5, max_seconds=2.5),
    )
    train(keep, tmp_path / "keep")
    in_order, kept = times_of(tmp_path / "keep/last", held_out)
    assert in_order and kept > 0.5


# --- manifests -------------------------------------------------------------------------------------------------------


def write_long(manifest: Path) -> dict:
    """A row of a recording of some minutes' words, with the time of each; returns it."""
    rng, sound, segments = np.random.default_rng(0), [], []
    for text in ["abc", "da", "cb", "a"] * 30:
        start = sum(map(len, sound)) / RATE
        sound.append(tones(text, rng))
        segments.append([text, start, sum(map(len, sound)) / RATE])
    assert segments[-1][2] > 31
    soundfile.write(manifest.with_suffix(".wav"), np.concatenate(sound), RATE)
    row = {"audio": f"{manifest.stem}.wav", "segments": segments, "lang": "xx"}
    manifest.write_text(json.dumps(row) + "\n")
    return row


def test_long_recordings_with_segments_are_cut_in_train_and_dev(words, tmp_path):
    row = write_long(tmp_path / "long.jsonl")
    task = replace(
        whisper_task(words, steps=2),
        train=str(tmp_path / "long.jsonl"),
        dev=str(tmp_path / "long.jsonl"),
        data=Data(batch_seconds=30, workers=0, max_seconds=10.0),
    )
    train(task, tmp_path / "run")
    found = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {one["event"] for one in found} == {"train", "dev"} and all(one["loss"] > 0 for one in found)
    whole = {key: value for key, value in row.items() if key != "segments"} | {"text": "abc"}
    (tmp_path / "long.jsonl").write_text(json.dumps(whole) + "\n")
    with pytest.raises(ManifestError, match="no example lasts between"):
        train(task, tmp_path / "other")


def test_a_language_that_nobody_named_is_refused_before_the_first_step(words, tmp_path):
    task = replace(whisper_task(words, steps=1), speech=Speech())
    with pytest.raises(ManifestError, match="language is 'xx', which the checkpoint does not know"):
        train(task, tmp_path / "run")
