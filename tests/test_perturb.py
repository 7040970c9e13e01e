"""Properties of perturbed audio, measured on signals whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import AudioError, ConfigError
from speechxfer.perturb import (
    Perturb,
    add_noise,
    change_speed,
    check,
    perturb,
    reverberate,
    sound_files,
    speeds,
    telephone,
)

RATE = 16000


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def power(samples: np.ndarray) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2))


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    """Longer than an utterance, shorter than it, at another rate with two channels; and a file that is no audio."""
    draw = rng(5)
    folder = tmp_path / "noises"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "long.wav", draw.normal(0, 0.05, 10 * RATE), RATE)
    soundfile.write(folder / "deep" / "short.flac", draw.normal(0, 0.05, RATE // 3), RATE)
    soundfile.write(folder / "stereo.ogg", draw.normal(0, 0.05, (44100, 2)), 44100, format="OGG", subtype="VORBIS")
    (folder / "README.txt").write_text("no audio")
    return folder


@pytest.fixture
def everything(noises: Path, tmp_path: Path) -> Perturb:
    (tmp_path / "rooms").mkdir()
    response = rng(9).normal(size=4000) * np.exp(-np.arange(4000) / 600) * 0.05
    response[100] = 0.9
    soundfile.write(tmp_path / "rooms" / "room.wav", response, RATE)
    return Perturb(
        speed=(0.9, 1.0, 1.1),
        gain_db=(-6.0, 6.0),
        noise=str(noises),
        telephone_prob=0.5,
        room=str(tmp_path / "rooms"),
    )


def test_off_by_default():
    samples = tone(440)
    assert perturb(samples, RATE, Perturb(), 1.0, rng()) is samples


def test_a_function_of_samples_settings_and_rng(everything):
    samples = tone(440)
    kept = samples.copy()
    factors = [0.9, 1.0, 1.1] * 4
    once = [perturb(samples, RATE, everything, factors[seed], rng(seed)) for seed in range(12)]
    again = [perturb(samples, RATE, everything, factors[seed], rng(seed)) for seed in reversed(range(12))][::-1]
    for first, second in zip(once, again, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.float32 and first.ndim == 1 and np.isfinite(first).all()
    assert len({first.tobytes() for first in once}) == 12  # and another rng gives another result
    assert len({len(first) for first in once}) == 3
    np.testing.assert_array_equal(samples, kept)  # the input is not written to


# --- speed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.37, 0.5, 2.0])
def test_speed_divides_the_duration_and_multiplies_the_pitch(factor):
    found = change_speed(tone(440, 2.0), RATE, factor)
    assert len(found) == pytest.approx(2 * RATE / factor, abs=1)
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert spectrum.argmax() * RATE / len(found) == pytest.approx(440 * factor, abs=1)


def test_every_factor_is_drawn_as_often_for_one_example_as_for_many():
    choices, examples = (0.9, 1.0, 1.1), np.arange(30_000)
    drawn = speeds(choices, 1, 2, examples)
    counts = [np.count_nonzero(drawn == factor) for factor in choices]
    assert sum(counts) == 30_000 and all(abs(count - 10_000) < 400 for count in counts)  # five standard deviations
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0, abs=0.03)
    for example in (0, 7, 29_999):
        assert speeds(choices, 1, 2, np.array([example]))[0] == drawn[example]
    for seed, epoch in ((1, 3), (2, 2)):  # another epoch, another seed
        assert np.mean(speeds(choices, seed, epoch, examples) == drawn) == pytest.approx(1 / 3, abs=0.02)
    assert set(speeds((), 1, 2, examples)) == {1.0}


# --- level and noise -------------------------------------------------------------------------------------------------


def test_gain_stays_in_its_range_and_fills_it():
    samples = tone(440)
    found = [perturb(samples, RATE, Perturb(gain_db=(-6, 3)), 1.0, rng(seed)) for seed in range(200)]
    gains = [decibels(power(f) / power(samples)) for f in found]
    assert -6 - 1e-3 <= min(gains) < -5.5 and 2.5 < max(gains) <= 3 + 1e-3


@settings(max_examples=25, deadline=None)
@given(st.floats(-10, 40), st.integers(2000, 40000), st.floats(0.01, 1))
def test_noise_lies_at_the_snr_asked_for(snr_db, count, level):
    samples, noise = tone(440, count / RATE), rng(1).normal(0, level, count).astype(np.float32)
    noisy = add_noise(samples, noise, snr_db)
    assert decibels(power(samples) / power(noisy - samples)) == pytest.approx(snr_db, abs=0.1)


def test_noise_from_files_lies_at_the_snr_asked_for_and_is_always_there(noises):
    samples, pieces = tone(440), set()
    chosen = Perturb(noise=str(noises), noise_snr_db=(10, 10), noise_prob=1.0)
    for seed in range(20):
        noise = perturb(samples, RATE, chosen, 1.0, rng(seed)) - samples
        assert decibels(power(samples) / power(noise)) == pytest.approx(10, abs=0.5)
        halves = power(noise[: RATE // 2]) / power(noise[RATE // 2 :])
        assert 0.7 < halves < 1.4  # a short file is repeated to the end
        pieces.add(noise[:100].tobytes())
    assert len(pieces) == 20  # places within a file are drawn too


def test_noise_comes_as_often_as_asked(noises):
    samples = tone(440, 0.1)
    chosen = Perturb(noise=str(noises), noise_prob=0.3)
    share = np.mean([perturb(samples, RATE, chosen, 1.0, rng(seed)) is not samples for seed in range(300)])
    assert 0.2 < share < 0.4
    assert perturb(samples, RATE, Perturb(noise=str(noises), noise_prob=0.0), 1.0, rng()) is samples


def test_silent_noise_adds_nothing(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    samples = tone(440)
    np.testing.assert_array_equal(
        perturb(samples, RATE, Perturb(noise=str(tmp_path), noise_prob=1.0), 1.0, rng()), samples
    )


# --- telephone and room ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16000, 22050, 8000])
def test_telephone_keeps_the_voice_band_alone(rate):
    for frequency, kept in ((1000, True), (2500, True), (60, False)):
        found = telephone(tone(frequency, rate=rate), rate)
        assert len(found) == rate
        change = decibels(power(found) / power(tone(frequency, rate=rate)))
        assert abs(change) < 1.5 if kept else change < -20
    white = rng(2).normal(0, 0.1, 16001).astype(np.float32)
    found = telephone(white, 16000)
    assert found.shape == white.shape and found.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(found)) ** 2
    frequencies = np.fft.rfftfreq(len(found), 1 / 16000)
    assert decibels(spectrum[frequencies > 4200].sum() / spectrum.sum()) < -40


def test_telephone_quantises_to_mu_law():
    quiet = telephone(tone(1000) * np.float32(1e-3), RATE)  # 8 bits hold loud and quiet about equally well, not exactly
    loud = telephone(tone(1000), RATE)
    assert 0.01 < np.abs(quiet[1000:-1000] * 1e3 - loud[1000:-1000]).max() < 0.3


def test_telephone_comes_as_often_as_asked():
    samples = tone(440, 0.1)
    share = np.mean(
        [perturb(samples, RATE, Perturb(telephone_prob=0.5), 1.0, rng(s)) is not samples for s in range(100)]
    )
    assert 0.35 < share < 0.65


def test_a_room_without_echo_changes_nothing_and_echoes_come_when_they_should():
    samples = tone(440, 0.5) * np.hanning(RATE // 2).astype(np.float32)
    dry = np.zeros(500, np.float32)
    dry[120] = 0.4  # neither the delay of the direct sound nor its level is kept
    np.testing.assert_allclose(reverberate(samples, dry), samples, atol=1e-5)
    echo = np.zeros(5000, np.float32)
    echo[100], echo[100 + 800] = 1.0, 0.5
    expected = samples.copy()
    expected[800:] += 0.5 * samples[:-800]
    expected *= np.sqrt(power(samples) / power(expected))
    np.testing.assert_allclose(reverberate(samples, echo), expected, atol=1e-5)


# --- settings and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"speed": (0.9, 0.0)}, "speed has 0.0; expected factors from 0.5 to 2"),
        ({"speed": (float("nan"),)}, "speed has nan"),
        ({"gain_db": (3, -3)}, "gain_db is .*lowest, highest"),
        ({"gain_db": (3,)}, "gain_db is"),
        ({"noise_snr_db": (0, float("inf"))}, "noise_snr_db is"),
        ({"noise_prob": 1.5}, "noise_prob is 1.5; expected a share from 0 to 1"),
        ({"telephone_prob": -0.1}, "telephone_prob is -0.1"),
        ({"room_prob": 2}, "room_prob is 2"),
    ],
)
def test_bad_settings_are_refused_at_once(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Perturb(**wrong)


def test_bad_settings_come_together():
    with pytest.raises(ConfigError) as caught:
        Perturb(speed=(9,), noise_prob=2, telephone_prob=3)
    assert len(str(caught.value).splitlines()) == 3


def test_sounds_come_from_a_folder_or_a_manifest(noises, tmp_path):
    assert [path.name for path in sound_files(str(noises))] == ["short.flac", "long.wav", "stereo.ogg"]
    manifest = tmp_path / "noises.jsonl"
    manifest.write_text("".join(json.dumps({"audio": f"noises/{name}"}) + "\n" for name in ("long.wav", "stereo.ogg")))
    assert sound_files(str(manifest)) == (noises / "long.wav", noises / "stereo.ogg")
    check(Perturb(noise=str(manifest), room=str(noises)))


def test_sounds_that_are_not_there_are_named_before_training(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder or manifest"):
        check(Perturb(noise=str(tmp_path / "nowhere")))
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="none: found no audio"):
        check(Perturb(room=str(tmp_path / "none")))
    (tmp_path / "bad.jsonl").write_text('{"audio": "x.wav"}\n{"path": "y.wav"}\n')
    with pytest.raises(ConfigError, match='bad.jsonl:2: expected an object with "audio"'):
        check(Perturb(noise=str(tmp_path / "bad.jsonl")))
    (tmp_path / "none" / "text.wav").write_text("no audio")
    sound_files.cache_clear()
    with pytest.raises(AudioError, match="text.wav: not audio"):
        check(Perturb(room=str(tmp_path / "none")))
