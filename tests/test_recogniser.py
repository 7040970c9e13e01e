"""`load(...).transcribe(...)` on a model that has learned the toy language."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import RATE, tones, write_tiny

import speechxfer
from speechxfer.errors import AudioError, CheckpointError, ConfigError
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Hypothesis
from speechxfer.prediction import Prediction
from speechxfer.recogniser import Recogniser

SENTENCES = ("ab c", "d", "abd dcb", "cab a", "bad cab dab", "bc", "da ba", "bcd")


@pytest.fixture(scope="module")
def best(speech_run) -> Path:
    return speech_run / "best"


@pytest.fixture(scope="module")
def recogniser(best) -> Recogniser:
    return speechxfer.load(best, device="cpu")


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [tones(sentence, rng) for sentence in SENTENCES]


@pytest.fixture(scope="module")
def files(recordings, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    for i, samples in enumerate(recordings):
        soundfile.write(folder / f"{i}.wav", samples, RATE, subtype="FLOAT")
    return [folder / f"{i}.wav" for i in range(len(recordings))]


def assert_alike(found: Hypothesis, expected: Hypothesis) -> None:
    assert found.text == expected.text
    assert found.words == expected.words
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-4)


# --- what goes in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path(recogniser, files, kind):
    transcript = recogniser.transcribe(kind(files[0]))
    assert isinstance(transcript, Hypothesis)
    assert transcript.text == SENTENCES[0]
    assert 0.5 < transcript.confidence <= 1


@pytest.mark.parametrize("kind", [list, tuple])
def test_paths_come_back_in_their_order_whatever_their_lengths(recogniser, files, kind):
    transcripts = recogniser.transcribe(kind(files), batch_seconds=4)
    assert [t.text for t in transcripts] == list(SENTENCES)
    assert [t.text for t in recogniser.transcribe(kind(files[::-1]))] == list(SENTENCES[::-1])


def test_two_paths_are_no_array_with_a_rate(recogniser, files):
    assert [t.text for t in recogniser.transcribe((files[0], str(files[1])))] == list(SENTENCES[:2])


def test_nothing_gives_nothing(recogniser):
    assert recogniser.transcribe([]) == []


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, RATE])
def test_an_array_at_any_rate(recogniser, recordings, rate):
    samples = soxr.resample(recordings[2], RATE, rate)
    assert recogniser.transcribe((samples, rate)).text == SENTENCES[2]


@pytest.mark.parametrize("change", [torch.from_numpy, lambda s: s.astype(np.float64), lambda s: s[::-1].copy()[::-1]])
def test_other_arrays_of_the_same_samples(recogniser, recordings, change):
    assert_alike(recogniser.transcribe((change(recordings[2]), RATE)), recogniser.transcribe((recordings[2], RATE)))


def test_a_list_of_both(recogniser, files, recordings):
    mixed = [files[4], (recordings[1], RATE), str(files[3])]
    assert [t.text for t in recogniser.transcribe(mixed)] == [SENTENCES[i] for i in (4, 1, 3)]


# --- what comes out --------------------------------------------------------------------------------------------------


def test_a_recording_says_the_same_in_any_batch(recogniser, recordings):
    sounds = [(samples, RATE) for samples in recordings]
    alone = [recogniser.transcribe(sound) for sound in sounds]
    for batch_seconds in (0.5, 4, 80):
        for found, expected in zip(recogniser.transcribe(sounds, batch_seconds=batch_seconds), alone, strict=True):
            assert_alike(found, expected)


def test_words_stand_where_their_tones_do(recogniser, recordings):
    """A letter fills 0.16 s, after 0.025 s of silence; a model of 20 ms frames may place its peak anywhere in it."""
    for sentence, samples in zip(SENTENCES, recordings, strict=True):
        transcript = recogniser.transcribe((samples, RATE))
        assert [word for word, *_ in transcript.words] == sentence.split()
        place = 0
        for word, start, end in transcript.words:
            first, last = 0.025 + 0.16 * place, 0.025 + 0.16 * (place + len(word))
            assert first - 0.06 <= start < end <= last + 0.06, (sentence, word, start, end)
            assert end <= len(samples) / RATE
            place += len(word) + 1


def test_a_transcript_fits_into_predictions(recogniser, recordings):
    heard = recogniser.transcribe((recordings[0], RATE))
    prediction = Prediction("x", SENTENCES[0], heard.text, confidence=heard.confidence, words=heard.words)
    assert Prediction.from_json(prediction.to_json()) == prediction


def test_noise_is_believed_less_than_speech(recogniser, recordings):
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    heard = recogniser.transcribe((noise, RATE))
    assert 0 <= heard.confidence < recogniser.transcribe((recordings[2], RATE)).confidence


def test_recordings_shorter_than_a_frame(recogniser):
    (short, shorter) = recogniser.transcribe([(np.full(100, 0.1, np.float32), RATE), (np.ones(1, np.float32), RATE)])
    assert (short.text, short.confidence, short.words) == ("", None, ())
    assert (shorter.text, shorter.confidence, shorter.words) == ("", None, ())


def test_bf16_hears_the_same(best, files):
    recogniser = speechxfer.load(best, device="cpu", precision="bf16")
    assert [t.text for t in recogniser.transcribe(files)] == list(SENTENCES)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_any_attention_hears_the_same(best, files, attention):
    recogniser = speechxfer.load(best, device="cpu", attention=attention)
    assert recogniser.model.net.config._attn_implementation == attention
    assert [t.text for t in recogniser.transcribe(files[:3])] == list(SENTENCES[:3])


def test_transcribing_draws_no_noise_and_leaves_no_gradients(recogniser, files):
    assert not recogniser.model.training
    assert recogniser.transcribe(files) == recogniser.transcribe(files)
    assert all(p.grad is None for p in recogniser.model.parameters())


# --- what is refused -------------------------------------------------------------------------------------------------

GOOD = np.zeros(1600, np.float32)
REFUSED = {
    "samples have shape (2, 1600) and type float32; expected (n,)": (np.zeros((2, 1600), np.float32), RATE),
    "samples have shape (1600,) and type int16; expected (n,) floating point": (np.zeros(1600, np.int16), RATE),
    "samples have shape (0,)": (GOOD[:0], RATE),
    "1 of 1600 samples are NaN or infinite": (np.append(GOOD[1:], np.nan), RATE),
    "2 of 1600 samples are NaN or infinite": (np.append(GOOD[2:], [np.inf, -np.inf]), RATE),
    "rate is 0; expected samples per second": (GOOD, 0),
    "rate is -16000; expected samples per second": (GOOD, -RATE),
    "1 samples at 48000 Hz are not one sample at 16000 Hz": (GOOD[:1], 48_000),
    "found a float32; expected a path to an audio file, or (samples, rate)": GOOD,
    "found a list; expected a path to an audio file, or (samples, rate)": ([0.0, 0.1], RATE),
    "found a dict; expected a path": [{"array": GOOD}],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_recording_is_refused(recogniser, message):
    with pytest.raises(AudioError) as error:
        recogniser.transcribe(REFUSED[message])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unreadable_file_is_named(recogniser, files, tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all")
    for bad, found in ((tmp_path / "absent.wav", "no such file"), (tmp_path / "text.wav", "")):
        with pytest.raises(AudioError) as error:
            recogniser.transcribe([files[0], bad])
        assert str(error.value).startswith(f"{bad}: ") and found in str(error.value)


def test_load_refuses_what_it_cannot_use(best, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="neither a folder here nor a hub checkpoint"):
        speechxfer.load(tmp_path / "absent")
    with pytest.raises(ConfigError, match="device is 'gpu'"):
        speechxfer.load(best, device="gpu")
    with pytest.raises(ConfigError, match="run.precision is 'int8'; expected auto, bf16, fp16, fp32"):
        speechxfer.load(best, device="cpu", precision="int8")
    with pytest.raises(ConfigError, match="run.attention is 'flash'"):
        speechxfer.load(best, device="cpu", attention="flash")


def test_a_checkpoint_of_another_rate_is_fed_at_that_rate(tmp_path, recordings):
    folder = write_tiny(tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"sampling_rate": 8000}))
    recogniser = speechxfer.load(folder, device="cpu")
    half = soxr.resample(recordings[0], RATE, 8000, quality="HQ")
    assert recogniser.transcribe((recordings[0], RATE)) == recogniser.transcribe((half, 8000))
    assert load_checkpoint(folder).frontend.hop == 0.04
