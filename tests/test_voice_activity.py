"""Recordings made of bursts at known places; what must hold of the windows of any recording."""

import json
import tracemalloc

import numpy as np
import pytest
from conftest import REAL_DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer import audio
from speechxfer.voice_activity import levels_of, threshold, windows

RATE, FRAME = 16_000, 320
LJ = REAL_DATA / "speech" / "lj_second_speaker" / "all.jsonl"


def recording(parts: list[tuple[float, float]], seed: int = 0, noise: float = -60.0) -> np.ndarray:
    """float32: stretches of (seconds, level in dB), one after the other, of babble in noise of so many dB."""
    rng = np.random.default_rng(seed)
    pieces = []
    for seconds, level in parts:
        count = round(seconds * RATE)
        swell = 1 + 0.8 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE)  # four syllables a second
        pieces.append(10 ** (level / 20) * swell * rng.standard_normal(count))
    samples = np.concatenate([*pieces, np.zeros(0)])
    return (samples + 10 ** (noise / 20) * rng.standard_normal(len(samples))).astype(np.float32)


QUIET = -200.0
part = st.tuples(st.floats(0.01, 12), st.one_of(st.just(QUIET), st.floats(-90, -3)))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(part, max_size=6),
    st.integers(0, 99),
    st.sampled_from((QUIET, -60.0, -30.0)),
    st.floats(1, 30),
    st.floats(0, 1 / 4),
)
def test_windows_of_any_recording_are_short_in_order_and_hold_all_that_is_loud(parts, seed, noise, most, share):
    samples = recording(parts, seed, noise)
    found = windows(samples, RATE, most, overlap=share * most)
    inside = np.zeros(len(samples), bool)
    behind = 0.0
    for start, end in found:
        assert 0 <= start < end <= len(samples) / RATE
        assert end - start <= most + 1e-9
        overlap = behind - start
        assert overlap <= 0 or share * most / 2 - 0.04 <= overlap <= share * most + 0.02 and end > behind
        inside[round(start * RATE) : round(end * RATE)] = True
        behind = end
    level = levels_of(samples, RATE)
    assert len(level) == -(-len(samples) // FRAME)
    for i in np.flatnonzero(level > threshold(level)):
        assert inside[max(0, i * FRAME - RATE // 5) : (i + 1) * FRAME + RATE // 5].all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(2.6, 20), st.floats(0.3, 8), st.floats(-35, -10)), min_size=1, max_size=3),
    st.integers(0, 99),
)
def test_bursts_of_speech_in_noise_are_found_and_the_silence_between_them_is_left_out(bursts, seed):
    parts, expected, at = [], [], 0.0
    for pause, seconds, level in bursts:
        parts += [(pause, QUIET), (seconds, level)]
        expected.append((at + pause, at + pause + seconds))
        at += pause + seconds
    found = windows(recording([*parts, (5, QUIET)], seed), RATE, 29)
    assert len(found) == len(expected)  # pauses of 2.6 s and more are never bridged
    for (start, end), (first, last) in zip(found, expected, strict=True):
        assert first - 0.25 <= start <= first and last <= end <= last + 0.25


def test_a_word_in_ten_minutes_of_noise_is_found():
    found = windows(recording([(400, QUIET), (0.5, -25), (200, QUIET)]), RATE, 29)
    assert found == [pytest.approx((399.8, 400.7), abs=0.03)]


@pytest.mark.parametrize("seconds", [0, 0.01, 3, 70])
def test_silence_gives_nothing(seconds):
    assert windows(np.zeros(round(seconds * RATE), np.float32), RATE, 29) == []
    assert windows(recording([(seconds, QUIET)], noise=-95), RATE, 29) == []


def test_a_tone_without_end_is_cut_without_a_gap():
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(round(100.01 * RATE)) / RATE).astype(np.float32)
    found = windows(tone, RATE, 29)
    assert found[0][0] == 0 and found[-1][1] == 100.01
    assert all(end == start for (_, end), (start, _) in zip(found, found[1:], strict=False))
    assert all(7 <= end - start <= 29 for start, end in found)
    overlapping = windows(tone, RATE, 29, overlap=5)
    assert all(2.49 <= end - start <= 5 for (_, end), (start, _) in zip(overlapping, overlapping[1:], strict=False))


def test_speech_without_a_pause_is_cut_at_the_quietest_place_of_the_second_half():
    dips = [(6, -20), (0.3, -50), (12, -20), (0.3, -42), (6, -20), (0.3, -35), (15, -20)]  # at 6, 18.3 and 24.6 s
    (first, second) = windows(recording([(1, QUIET), *dips, (1, QUIET)], noise=-70), RATE, 29)
    assert 1 + 18.3 <= first[1] <= 1 + 18.6 and second[0] == first[1]


def test_windows_overlap_where_there_was_no_pause_to_cut_in_and_nowhere_else():
    dips = [(15.5, -20), (0.3, -40), (3, -20), (0.3, -50), (15, -20)]  # at 15.5 and 18.8 s
    parts = [(3, QUIET), *dips, (3, QUIET), (20, -20), (1, QUIET), (9, -20), (3, QUIET)]
    first, second, third, fourth = windows(recording(parts, noise=-70), RATE, 29, overlap=5)
    assert 3 + 18.8 <= first[1] <= 3 + 19.1 and 3 + 15.5 <= second[0] <= 3 + 15.8, "both at the quietest places"
    assert second[1] < third[0] and third[1] < fourth[0]


def test_neighbours_are_joined_as_long_as_they_fit_and_no_pause_is_cut_through():
    parts = [(3, QUIET), *[(6, -20), (1, QUIET)] * 9, (3, QUIET)]
    found = windows(recording(parts), RATE, 29)
    assert [round((end - start) / 7) for start, end in found] == [4, 4, 1]
    for start, end in found:
        assert (start - 3) % 7 > 6.7 and (end - 3) % 7 < 6.3


def test_an_offset_of_the_recorder_is_no_sound():
    samples = recording([(3, QUIET), (2, -30), (3, QUIET)])
    assert windows(samples + np.float32(0.1), RATE, 29) == windows(samples, RATE, 29)


def test_windows_shorter_than_a_second_or_that_overlap_too_far_are_refused():
    with pytest.raises(ValueError, match="at most 0.5 s; expected 1 s or more"):
        windows(np.zeros(RATE, np.float32), RATE, 0.5)
    with pytest.raises(ValueError, match="overlap by 8 s; expected 0 to 7.25 s"):
        windows(np.zeros(RATE, np.float32), RATE, 29, overlap=8)


def test_an_hour_is_read_without_a_copy():
    hour = np.broadcast_to(np.float32(0.1), 3600 * RATE)
    tracemalloc.start()
    try:
        assert windows(hour, RATE, 29) == []
        assert tracemalloc.get_traced_memory()[1] < 30e6  # the samples are 230 MB
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not LJ.exists(), reason="../shared/data is missing")
def test_read_sentences_between_silences_are_found_whole():
    rows = [json.loads(line) for line in LJ.open()][:8]
    sentences = [audio.load(LJ.parent / row["audio"], RATE) for row in rows]
    rng = np.random.default_rng(0)
    pieces, places, at = [np.zeros(4 * RATE)], [], 4 * RATE
    for samples in sentences:
        loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
        places.append(((at + loud[0]) / RATE, (at + loud[-1]) / RATE))
        pieces += [samples, np.zeros(4 * RATE)]
        at += len(samples) + 4 * RATE
    whole = np.concatenate(pieces)
    whole = (whole + 1e-3 * rng.standard_normal(len(whole))).astype(np.float32)
    found = windows(whole, RATE, 29)
    for (start, end), (first, last) in zip(found, places, strict=True):
        assert start <= first and last <= end
    spoken = sum(len(samples) for samples in sentences) / RATE
    assert sum(end - start for start, end in found) < 1.05 * spoken
