"""Each fault is planted in one row of a clean set: its rule must find that row, and no other rule anything."""

import io
import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechxfer import audio
from speechxfer.errors import ConfigError
from speechxfer.lint import sound as measuring
from speechxfer.lint.audio_rules import RULES
from speechxfer.lint.cache import Cache
from speechxfer.lint.limits import Limits
from speechxfer.lint.rules import Subject
from speechxfer.lint.sound import Sound, measure, peak_of, speech_seconds
from speechxfer.manifest import Manifest, read_manifest

RATE, ROWS, PLANTED = 16_000, 36, 35  # the fault is in the last row
MODEL = Limits("a-model", "whisper", labels=lambda texts: np.array([len(text) for text in texts]), rate=RATE, seconds=5)
NOISE = np.random.default_rng(7)


def say(text: str, seed: int, rate: int = RATE) -> np.ndarray:
    """float32 [n]: 0.1 s of a buzz and a hiss for each letter, and a pause at each space: as wide as speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate // 10) / rate
    pieces = [np.zeros(rate // 20)]
    for letter in text:
        pitch, loud = rng.uniform(100, 200), 0.0 if letter == " " else rng.uniform(0.3, 1)
        buzz = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 12))
        pieces.append(loud * np.hanning(len(time)) * (buzz + 0.3 * rng.standard_normal(len(time))))
    samples = np.concatenate([*pieces, np.zeros(rate // 20)])
    return (0.12 * samples + 2e-4 * rng.standard_normal(len(samples))).astype(np.float32)


def coded(samples: np.ndarray, container: str, subtype: str, rate: int = RATE) -> np.ndarray:
    """What is left of samples after a coder."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


TEXTS = [["bada du", "lomi gaba do", "ragu", "ti lamo badu", "mola gamidu ba", "sori"][i % 6] for i in range(ROWS)]
LAST = TEXTS[PLANTED]
VOICE = say(LAST, 1000)


class Folder:
    """A clean set, measured once: what is planted is all that a test has to decode."""

    def __init__(self, path: Path):
        self.path = path
        self.rows = []
        for i, text in enumerate(TEXTS):
            soundfile.write(path / f"{i}.wav", samples := say(text, i), RATE)
            self.rows.append({"id": str(i), "audio": f"{i}.wav", "text": text, "seconds": len(samples) / RATE})

    def manifest(self, **changes) -> Manifest:
        """The set with changes to its last row; None takes a field away."""
        last = {name: value for name, value in (self.rows[-1] | changes).items() if value is not None}
        path = self.path / "set.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in [*self.rows[:-1], last]))
        return read_manifest(path)

    def write(
        self, samples: np.ndarray, name: str = "planted.wav", rate: int = RATE, subtype: str | None = None
    ) -> str:
        soundfile.write(self.path / name, samples, rate, subtype=subtype)
        return name

    def found(self, **changes) -> dict[str, list[int]]:
        """The rows that each rule names; [] for the set as a whole."""
        manifest = self.manifest(**changes)
        subject = Subject("train", manifest, MODEL, measure(manifest, cache=self.path / "cache.sqlite", workers=1))
        rules = {}
        for rule in RULES:
            for found in rule.check(subject):
                rules[rule.name] = [] if found.rows is None else found.rows.tolist()
                words = [found.message(place) for place in range(len(rules[rule.name]) or 1)]
                assert all(one and "\n" not in one for one in words)
        return rules


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Folder:
    return Folder(tmp_path_factory.mktemp("clean"))


def test_a_clean_set_gives_nothing(clean):
    assert clean.found() == {}


def only(*rules: str) -> dict[str, list[int]]:
    return dict.fromkeys(rules, [PLANTED])


def test_missing_files_are_found_with_and_without_decoding(clean):
    assert clean.found(audio="absent.wav") == only("audio-missing")
    (rule,) = (rule for rule in RULES if rule.name == "audio-missing")
    (found,) = rule.check(Subject("train", clean.manifest(audio="absent.wav"), MODEL))
    assert found.rows.tolist() == [PLANTED] and "absent.wav" in found.message(0)


@pytest.mark.parametrize("header", [False, True])
def test_empty_files_are_found(clean, header):
    clean.write(np.zeros(0))
    if not header:
        (clean.path / "planted.wav").write_bytes(b"")
    assert clean.found(audio="planted.wav") == only("audio-empty")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_truncated_files_are_found(clean, suffix):
    name = clean.write(np.tile(VOICE, 4), f"planted.{suffix}")
    content = (clean.path / name).read_bytes()
    (clean.path / name).write_bytes(content[: len(content) * 2 // 3])
    assert clean.found(audio=name, text=" ".join([LAST] * 4), seconds=None) == only("audio-truncated")


@pytest.mark.parametrize("name", ["page.wav", "samples.raw", "folder.wav", "nan.wav", "truncated.mp3"])
def test_what_is_not_audio_is_found(clean, name):
    if name == "folder.wav":
        (clean.path / name).mkdir(exist_ok=True)
    elif name == "nan.wav":
        clean.write(np.where(np.arange(len(VOICE)) == 100, np.nan, VOICE), name, subtype="FLOAT")
    else:
        (clean.path / name).write_bytes(b"<html>404 Not Found</html>" * 20)
    assert clean.found(audio=name) == only("audio-undecodable")


@pytest.mark.parametrize("piece", [{"start": 0.1, "end": 90.0}, {"start": 80.0, "end": 90.0}])
def test_pieces_outside_their_file_are_found(clean, piece):
    assert clean.found(**piece, seconds=None) == only("audio-piece")


@pytest.mark.parametrize("channel", [None, 2])
def test_channels_that_nobody_chose_or_that_are_not_there_are_found(clean, channel):
    name = clean.write(np.stack([VOICE, np.roll(VOICE, 3000)], 1))
    assert clean.found(audio=name, channel=channel) == only("audio-channels")
    assert clean.found(audio=name, channel=1) == {}


def test_silence_is_found(clean):
    name = clean.write(np.zeros(len(VOICE)))
    assert clean.found(audio=name) == only("audio-silent")
    assert clean.found(audio=name, text="", group={"speech": "no"}) == {}


@pytest.mark.parametrize("kind", ["hiss", "hum", "a word in 4 s"])
def test_recordings_with_next_to_no_speech_are_found(clean, kind):
    time = np.arange(4 * RATE) / RATE
    samples = {
        "hiss": 0.02 * NOISE.standard_normal(len(time)),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * time) + 0.001 * NOISE.standard_normal(len(time)),
        "a word in 4 s": np.pad(VOICE[:2000], (40_000, len(time) - 42_000)) + 1e-4 * NOISE.standard_normal(len(time)),
    }[kind]
    name = clean.write(samples)
    assert clean.found(audio=name, seconds=4.0) == only("audio-no-speech")
    assert clean.found(audio=name, seconds=4.0, group={"speech": "no"}) == {}


def test_recordings_longer_than_the_model_takes_are_found_with_and_without_decoding(clean):
    samples = say(text := " ".join(["mola gamidu ba"] * 4), 50)
    row = {"audio": clean.write(samples), "text": text, "seconds": len(samples) / RATE}
    assert clean.found(**row) == only("audio-too-long")
    (rule,) = (rule for rule in RULES if rule.name == "audio-too-long")
    assert [found.rows.tolist() for found in rule.check(Subject("train", clean.manifest(**row), MODEL))] == [[PLANTED]]


@pytest.mark.parametrize("error, wrong", [(1.0, True), (-0.3, True), (0.09, False), (-0.09, False)])
def test_seconds_other_than_the_decoded_are_found(clean, error, wrong):
    name = clean.write(VOICE)
    found = clean.found(audio=name, seconds=len(VOICE) / RATE + error)
    assert found == (only("audio-seconds") if wrong else {})


@pytest.mark.parametrize("gain, level", [(4.0, 1.0), (10.0, 0.3)])
def test_clipping_is_found_even_after_the_level_was_turned_down(clean, gain, level):
    clipped = level * np.clip(gain * VOICE / np.abs(VOICE).max(), -1, 1)
    assert clean.found(audio=clean.write(clipped)) == only("audio-clipped")


def test_clipping_of_one_side_alone_is_found(clean):
    assert clean.found(audio=clean.write(np.minimum(VOICE, 0.4 * VOICE.max()))) == only("audio-clipped")


def test_an_offset_is_found(clean):
    assert clean.found(audio=clean.write(VOICE + 0.05)) == only("audio-offset")


def telephone(samples: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(samples, RATE, 8000), 8000, RATE)


@pytest.mark.parametrize("coder", [None, ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_telephone_speech_in_a_wide_file_is_found_whatever_coded_it(clean, coder):
    voice = say(text := "mola gamidu ba", 60)
    narrow = telephone(voice) if coder is None else coded(telephone(voice), *coder)
    row = {"audio": clean.write(narrow), "text": text, "seconds": len(narrow) / RATE}
    assert clean.found(**row) == only("audio-narrow")


def test_a_low_rate_is_found_and_not_told_twice(clean):
    assert clean.found(audio=clean.write(soxr.resample(VOICE, RATE, 8000), rate=8000)) == only("audio-rate")


def test_a_mixture_of_rates_is_noted_of_the_set(clean):
    assert clean.found(audio=clean.write(say(LAST, 1000, 24_000), rate=24_000)) == {"audio-rates": []}


def test_texts_that_cannot_belong_to_their_seconds_are_found(clean):
    assert clean.found(text=" ".join(TEXTS[:6])) == only("audio-text-long")
    samples = say(" ".join(TEXTS[:5])[:42], 70)
    short = {"audio": clean.write(samples), "text": "ba", "seconds": len(samples) / RATE}
    assert clean.found(**short) == only("audio-text-short")
    assert clean.found(**short, group={"speech": "no"}) == {}


def test_a_language_of_few_rows_has_no_rate_of_speech(clean):
    assert clean.found(text=" ".join(TEXTS[:6]), lang="xx") == {}


@pytest.mark.parametrize("copy", ["file", "container", "piece"])
def test_the_same_samples_are_found_wherever_they_stand(clean, copy):
    first = clean.rows[5] | {"id": "copy"}
    samples, _ = soundfile.read(clean.path / "5.wav", dtype="float32")
    if copy == "container":
        first["audio"] = clean.write(samples, "planted.flac")
    elif copy == "piece":
        first |= {"audio": clean.write(np.concatenate([VOICE, samples, VOICE])), "start": len(VOICE) / RATE}
    assert clean.found(**first) == only("audio-repeated")


def test_the_same_samples_with_another_text_are_told_apart(clean):
    manifest = clean.manifest(audio="5.wav", text="sore")
    subject = Subject("train", manifest, MODEL, measure(manifest, cache=clean.path / "cache.sqlite"))
    (found,) = next(rule for rule in RULES if rule.name == "audio-repeated").check(subject)
    assert found.message(0) == f"the same samples as {manifest.name}:6, whose text is another: 'sori'"


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 0.003 * x / np.abs(x).max(),
        lambda x: 0.9999 * x / np.abs(x).max(),
        lambda x: x + 0.02 * np.random.default_rng(1).standard_normal(len(x)),
        lambda x: coded(x, "WAV", "ULAW"),
        lambda x: coded(x, "WAV", "PCM_U8"),
        lambda x: coded(x, "OGG", "OPUS"),
        lambda x: coded(x, "MP3", "MPEG_LAYER_III"),
        lambda x: np.pad(x, (8000, 8000)),
    ],
    ids="quiet loud noisy mu-law 8-bit opus mp3 padded".split(),
)
def test_what_is_merely_quiet_loud_noisy_or_compressed_is_not_reported(clean, change):
    samples = change(VOICE)
    assert clean.found(audio=clean.write(samples), seconds=len(samples) / RATE) == {}


def test_a_coder_that_cuts_above_the_models_band_is_not_reported(clean):
    voice = say(LAST, 1000, 44_100)
    name = clean.write(soxr.resample(soxr.resample(voice, 44_100, 32_000), 32_000, 44_100), rate=44_100)
    manifest = clean.manifest(audio=name)
    assert measure(manifest, cache=clean.path / "cache.sqlite").bandwidth[PLANTED] == pytest.approx(16_000, abs=500)
    assert clean.found(audio=name) == {"audio-rates": []}


# --- measuring -------------------------------------------------------------------------------------------------------


def one(samples: np.ndarray, folder: Path, name: str = "one.wav", **row) -> Sound:
    soundfile.write(folder / name, samples, RATE)
    (folder / "one.jsonl").write_text(json.dumps({"audio": name, "text": "a"} | row) + "\n")
    return measure(read_manifest(folder / "one.jsonl"), cache=":memory:", workers=1)


def same(a: Sound, b: Sound) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name != "problem") for f in fields(a))


def test_a_tone_has_the_level_of_a_tone(tmp_path):
    time = np.arange(2 * RATE) / RATE
    found = one(0.5 * np.sin(2 * np.pi * 440 * time) + 0.1, tmp_path)
    assert (found.rate[0], found.channels[0], found.seconds[0], found.problem[0]) == (RATE, 1, 2.0, "")
    assert found.peak[0] == pytest.approx(0.6, abs=1e-3)
    assert found.rms[0] == pytest.approx(np.sqrt(0.5**2 / 2 + 0.1**2), abs=1e-3)
    assert found.offset[0] == pytest.approx(0.1, abs=1e-3)


def test_a_long_recording_is_measured_in_blocks_as_if_it_were_whole(tmp_path, monkeypatch):
    samples = np.clip(10 * say("mola gamidu ba lomi gaba do", 3), -0.5, 0.5)
    whole = one(samples, tmp_path)
    monkeypatch.setattr(measuring, "BLOCK", 0.5)
    blocks = one(samples, tmp_path)
    assert whole.digest == blocks.digest and whole.clipped[0] > 0.01
    for name in ("seconds", "peak", "rms", "offset", "clipped"):
        assert getattr(blocks, name)[0] == pytest.approx(getattr(whole, name)[0], rel=0.02), name
    assert blocks.speech[0] == pytest.approx(whole.speech[0], abs=0.1)


def test_a_piece_is_measured_as_if_it_were_a_file(tmp_path):
    samples = np.round(32768 * say("mola gamidu ba", 4)) / 32768
    piece = one(samples, tmp_path, start=0.25, end=0.75)
    assert same(piece, one(samples[RATE // 4 : 3 * RATE // 4], tmp_path))


def test_speech_is_counted_in_seconds_without_its_pauses():
    quiet, loud = np.full(100, -60.0), np.full(50, -20.0)
    assert speech_seconds(np.concatenate([quiet, loud, quiet])) == 1.0
    assert speech_seconds(quiet) == speech_seconds(loud) == 0.0


@given(arrays.arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([-0.5, -0.49, 0.0, 0.48, 0.49, 0.5])))
def test_runs_at_the_peak_are_counted_as_one_by_one(samples):
    top, flat, run = samples.max(), 0, 0
    for value in [*samples, -1.0]:
        if value == top:
            run += 1
        else:
            flat, run = flat + (run if run >= 3 else 0), 0
    below = samples[samples < top]
    fine = len(below) > 0 and top > 0 and top - below.max() < 0.05 * top
    assert peak_of(samples).flat == (flat if fine else 0)


def test_rows_without_audio_are_left_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", VOICE, RATE)
    rows = [{"id": "a", "audio": "a.wav", "text": "x"}, {"id": "b", "source": "y", "text": "x"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measure(read_manifest(tmp_path / "m.jsonl"), cache=":memory:")
    assert found.rate.tolist() == [RATE, 0] and found.problem.tolist() == ["", ""]
    assert np.isnan(found.peak[1]) and found.peak[0] > 0


# --- the cache -------------------------------------------------------------------------------------------------------


def refuse(*_, **__):
    raise AssertionError("decoded again")


def test_nothing_is_decoded_twice_nor_when_files_are_copied(clean, tmp_path, monkeypatch):
    first = measure(clean.manifest(), cache=tmp_path / "cache.sqlite")
    monkeypatch.setattr(audio, "read", refuse)
    assert same(first, measure(clean.manifest(), cache=tmp_path / "cache.sqlite"))
    shutil.copytree(clean.path, tmp_path / "copy", ignore=shutil.ignore_patterns("cache*", "planted*"))
    for file in (tmp_path / "copy").glob("*.wav"):
        file.touch()
    assert same(first, measure(read_manifest(tmp_path / "copy" / "set.jsonl"), cache=tmp_path / "cache.sqlite"))


def test_another_content_piece_or_version_is_measured_anew(tmp_path, monkeypatch):
    def peak(**row) -> float:
        (tmp_path / "m.jsonl").write_text(json.dumps({"audio": "a.wav", "text": "x"} | row) + "\n")
        return measure(read_manifest(tmp_path / "m.jsonl"), cache=tmp_path / "cache.sqlite").peak[0]

    samples = np.stack([np.linspace(0, 0.5, RATE), np.linspace(0, 0.25, RATE)], 1)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    found = [peak(channel=0), peak(channel=1), peak(channel=0, start=0.2, end=0.5)]
    soundfile.write(tmp_path / "a.wav", samples / 2, RATE)  # of the same size
    found.append(peak(channel=0))
    assert found == pytest.approx([0.5, 0.25, 0.25, 0.25], abs=1e-3)
    monkeypatch.setattr(measuring, "VERSION", measuring.VERSION + 1)
    monkeypatch.setattr(audio, "read", refuse)
    with pytest.raises(AssertionError, match="decoded again"):
        peak(channel=0)


def test_what_was_measured_before_an_interruption_is_kept(clean, tmp_path, monkeypatch):
    decoded, read = [], audio.read

    def interrupted(path, **piece):
        if len(decoded) == 10:
            raise KeyboardInterrupt
        decoded.append(path)
        return read(path, **piece)

    monkeypatch.setattr(audio, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(clean.manifest(), cache=tmp_path / "cache.sqlite", workers=1)
    monkeypatch.setattr(audio, "read", lambda path, **piece: (decoded.append(path), read(path, **piece))[1])
    measure(clean.manifest(), cache=tmp_path / "cache.sqlite", workers=1)
    assert len(decoded) == len(set(decoded)) == ROWS


def test_two_that_share_a_cache_lose_nothing(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr("speechxfer.lint.cache.FLUSH_SECONDS", 0.0)

    def fill(who: int) -> None:
        with Cache(tmp_path / "cache.sqlite") as cache:  # a connection each, as processes have
            for i in range(50):
                cache.put(bytes([who, i]), "", bytes([who, i]))
                assert cache.get(bytes([who, i]), "") == bytes([who, i])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, (0, 1)))
    with Cache(tmp_path / "cache.sqlite") as cache:
        assert all(cache.get(bytes([who, i]), "") == bytes([who, i]) for who in (0, 1) for i in range(50))


def test_a_cache_that_cannot_be_used_is_refused_if_named_and_done_without_if_not(clean, tmp_path, monkeypatch, capfd):
    (tmp_path / "text").write_text("this is no database, and is long enough to be read as a header of one" * 20)
    with pytest.raises(ConfigError, match="no cache can be kept here"):
        measure(clean.manifest(), cache=tmp_path / "text")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "text"))
    assert (measure(clean.manifest()).rate == RATE).all()
    assert "measuring without it" in capfd.readouterr().err


# --- real speech -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, rules",
    [("speechocean762/dev", set()), ("lj_second_speaker/all", set()), ("fsdd/test", {"audio-rate"})],
)
def test_real_speech_raises_no_false_alarm(real_data, name, rules, tmp_path):
    manifest = read_manifest(real_data / "speech" / f"{name}.jsonl")
    manifest = manifest.select(range(0, len(manifest), 1 + len(manifest) // 60))
    subject = Subject("train", manifest, MODEL_OF_30_S, measure(manifest, cache=tmp_path / "cache.sqlite"))
    assert {rule.name for rule in RULES for _ in rule.check(subject)} == rules


MODEL_OF_30_S = Limits("a-model", "whisper", labels=MODEL.labels, rate=RATE, seconds=30)
