"""The features against transformers' extractor, which pads every example to 30 s."""

import copy
import time

import numpy as np
import pytest
import torch
from conftest import REAL_DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from speechxfer import audio
from speechxfer.models.log_mel import HOP, LONGEST, RATE, LogMel, slaney_filters

WHISPER = REAL_DATA / "whisper"
MOST = LONGEST * HOP
LOG_MEL = {mels: LogMel(mels) for mels in (80, 128)}
EXTRACTOR = {mels: WhisperFeatureExtractor(feature_size=mels) for mels in (80, 128)}


def voice(count: int, seed: int) -> np.ndarray:
    """(count,) float32: tones that come and go in noise, so that no two frames are alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) / RATE
    tones = sum(np.sin(2 * np.pi * rng.uniform(80, 5000) * time) * np.sin(rng.uniform(1, 9) * time) for _ in range(4))
    return (0.1 * tones + 10 ** rng.uniform(-5, -2) * rng.standard_normal(count)).astype(np.float32)


def padded(examples: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(samples) for samples in examples])
    batch = torch.zeros(len(examples), int(lengths.max()))
    for row, samples in zip(batch, examples, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    return batch, lengths


def expected(examples: list[np.ndarray], mels: int) -> torch.Tensor:
    """(batch, mels, LONGEST)"""
    found = EXTRACTOR[mels](examples, sampling_rate=RATE, return_tensors="pt").input_features
    assert found.shape == (len(examples), mels, LONGEST)
    return found


def assert_as_expected(examples: list[np.ndarray], mels: int) -> None:
    oracle = expected(examples, mels)
    samples, lengths = padded(examples)
    features, frames = LOG_MEL[mels](samples, lengths)
    assert features.dtype == torch.float32
    assert frames.tolist() == [-(-len(samples) // HOP) for samples in examples]
    assert features.shape == (len(examples), mels, max(frames))
    for found, whole, count in zip(features, oracle, frames, strict=True):
        torch.testing.assert_close(found[:, :count], whole[:, :count], rtol=0, atol=1e-4)
        assert not found[:, count:].any()
    torch.testing.assert_close(LOG_MEL[mels].full(samples, lengths), oracle, rtol=0, atol=1e-4)


lengths = st.one_of(st.integers(1, 1200), st.integers(1, 7 * RATE))


@settings(max_examples=12, deadline=None)
@given(st.lists(lengths, min_size=1, max_size=4), st.integers(0, 1000), st.sampled_from((80, 128)))
def test_batches_of_any_lengths_are_as_the_extractor_has_them(counts, seed, mels):
    assert_as_expected([voice(count, seed + i) for i, count in enumerate(counts)], mels)


def test_audio_that_ends_near_30_seconds_is_as_the_extractor_has_it():
    for missing in (0, 1, 39, 40, 41, 159, 160, 200, 320, 321):  # exact 30 s is reflected at its end
        assert_as_expected([voice(MOST - missing, missing)], 80)


@pytest.mark.parametrize("count", [8000, 8001, 8041, 8080, 8159])
def test_a_loud_end_counts_though_it_is_loudest_behind_the_last_frame(count):
    samples = 1e-3 * voice(count, seed=count)
    samples[-1] = 1
    assert_as_expected([samples], 80)


def test_digital_silence_is_as_the_extractor_has_it():
    assert_as_expected([np.zeros(5000, np.float32), voice(9000, 0)], 80)


def test_neighbours_and_what_stands_in_the_padding_change_nothing():
    mine, others = voice(3 * RATE + 77, 0), [100 * voice(7 * RATE, 1), 1e-4 * voice(300, 2)]
    samples, lengths = padded([mine, *others])
    alone, frames = LOG_MEL[80](*padded([mine]))
    whole = LOG_MEL[80].full(*padded([mine]))
    behind = samples.clone()
    behind[0, len(mine) :] = float("nan")
    for batch in (samples, behind):
        found, counts = LOG_MEL[80](batch, lengths)
        assert counts[0] == frames[0]
        torch.testing.assert_close(found[0, :, : frames[0]], alone[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(LOG_MEL[80].full(batch, lengths)[0], whole[0], rtol=0, atol=1e-6)


def test_autocast_does_not_round_the_features():
    samples, lengths = padded([voice(RATE, 0), voice(20_000, 1)])
    plain, _ = LOG_MEL[80](samples, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = LOG_MEL[80](samples, lengths)
    assert found.dtype == torch.float32 and torch.equal(found, plain)


def test_the_samples_are_left_as_they_are():
    samples = torch.ones(1, MOST)  # needs no padding
    LOG_MEL[80](samples, torch.tensor([100]))
    assert (samples == 1).all()


def test_a_model_that_holds_it_neither_saves_nor_rounds_it():
    model = torch.nn.Linear(2, 2)
    model.log_mel = LogMel(80)
    batch = padded([voice(RATE, 0)])
    before, _ = model.log_mel(*batch)
    assert model.state_dict().keys() == {"weight", "bias"} and not list(model.buffers())
    assert torch.equal(model.bfloat16().log_mel(*batch)[0], before)
    assert torch.equal(copy.deepcopy(model).log_mel(*batch)[0], before)


def test_made_while_another_default_device_is_set_it_still_works():
    with torch.device("meta"):  # as checkpoints are loaded
        log_mel = LogMel(80)
    batch = padded([voice(RATE, 0)])
    assert torch.equal(log_mel(*batch)[0], LOG_MEL[80](*batch)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_features():
    samples, lengths = padded([voice(5 * RATE, 0), voice(20_001, 1), np.zeros(400, np.float32)])
    found, frames = LOG_MEL[80](samples.cuda(), lengths.cuda())
    assert found.is_cuda and frames.is_cuda
    torch.testing.assert_close(found.cpu(), LOG_MEL[80](samples, lengths)[0], rtol=0, atol=1e-4)
    whole = LOG_MEL[80].full(samples.cuda(), lengths.cuda()).cpu()
    torch.testing.assert_close(whole, LOG_MEL[80].full(samples, lengths), rtol=0, atol=1e-4)


@pytest.mark.skipif(not WHISPER.exists(), reason="../shared/data/whisper is missing")
@pytest.mark.parametrize("mels", [80, 128])
def test_the_filters_are_those_that_openai_published(mels):
    published = np.load(WHISPER / "assets" / "mel_filters.npz")[f"mel_{mels}"]
    np.testing.assert_allclose(slaney_filters(mels), published, rtol=0, atol=1e-7)


@pytest.mark.skipif(not WHISPER.exists(), reason="../shared/data/whisper is missing")
def test_real_speech_is_as_the_extractor_has_it():
    samples = audio.load(WHISPER / "jfk.flac", RATE, channel=0)
    assert_as_expected([samples, samples[:30_001]], 128)


def test_audio_that_is_longer_than_the_positions_is_refused():
    with pytest.raises(ValueError, match="30.00 s of audio; expected at most 30 s"):
        LOG_MEL[80](torch.zeros(1, MOST + 1), torch.tensor([5]))
    short = LogMel(80, longest=200)
    assert short.full(torch.zeros(1, RATE), torch.tensor([RATE])).shape == (1, 80, 200)
    with pytest.raises(ValueError, match="expected at most 2 s"):
        short(torch.zeros(1, 3 * RATE), torch.tensor([5]))


def test_short_audio_costs_far_less_than_with_the_extractor():
    """Five times less where nothing else runs (benchmarks/log_mel.py); a busy machine blurs even processor time."""
    examples = [voice(count, count) for count in (48_000, 64_000, 80_000, 96_000, 112_000)]  # 5 s on average
    taken = {"ours": [], "extractor": []}
    for _ in range(6):
        began = time.process_time()
        LOG_MEL[80](*padded(examples))
        taken["ours"].append(time.process_time() - began)
        began = time.process_time()
        expected(examples, 80)
        taken["extractor"].append(time.process_time() - began)
    assert min(taken["extractor"]) > 2.5 * min(taken["ours"])
