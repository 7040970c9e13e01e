"""Files are made on the fly; the oracle is the signal that went in, and the full decode for pieces."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.audio import Info, info, load, resample
from speechxfer.errors import AudioError

SPEECH = Path(__file__).parents[2] / "shared" / "data" / "speech"
RATE, SECONDS = 24000, 8
SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
AV = {"m4a": "aac", "aac": "aac", "webm": "libopus"}


def sweep(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """A rising tone in noise: no piece of it resembles another, so a wrong position shows."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    return (0.3 * np.sin(2 * np.pi * (200 * t + 100 * t**2)) + noise).astype(np.float32)


def encode(path: Path, samples: np.ndarray, codec: str, options: dict | None = None) -> None:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        for at in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    for suffix, (container, subtype) in SOUNDFILE.items():
        soundfile.write(folder / f"x.{suffix}", sweep(), RATE, format=container, subtype=subtype)
    for suffix, codec in AV.items():
        encode(folder / f"x.{suffix}", sweep(), codec)
    encode(folder / "cbr.mp3", sweep(), "libmp3lame", {"write_xing": "0"})
    return folder


def lag(found: np.ndarray, expected: np.ndarray, reach: int = 200) -> int:
    """Samples by which `found` comes later than `expected`, from the peak of their correlation in the middle."""
    middle = len(expected) // 2
    window = expected[middle : middle + 8000]
    lags = range(-reach, reach + 1)
    return max(lags, key=lambda k: float(np.dot(found[middle + k : middle + k + len(window)], window)))


@pytest.mark.parametrize("suffix", [*SOUNDFILE, "m4a", "webm"])
def test_every_format_gives_the_signal_that_went_in(files, suffix):
    found, expected = load(files / f"x.{suffix}", 16000), sweep(16000)
    assert found.dtype == np.float32 and found.ndim == 1
    assert abs(len(found) - len(expected)) <= 1
    late = lag(found, expected)
    assert abs(late) <= 1
    inner = slice(8000, 7 * 16000)
    aligned = np.roll(found, -late)[inner]
    assert np.corrcoef(aligned, expected[inner])[0, 1] > 0.95


def test_bare_aac_is_read_with_its_encoder_delay(files):
    # No header says how many samples the encoder put in front, so the whole is 1024 samples late.
    found = load(files / "x.aac", RATE)
    assert lag(found, sweep(), 1200) == 1024


@pytest.mark.parametrize("suffix", [*SOUNDFILE, *AV])
def test_info_agrees_with_the_decode(files, suffix):
    told = info(files / f"x.{suffix}")
    assert told.channels == 1 and told.rate in (RATE, 48000)  # Opus in WebM always says 48 kHz
    assert told.seconds == pytest.approx(len(load(files / f"x.{suffix}", told.rate)) / told.rate, abs=0.01)


@pytest.mark.parametrize("start", [0.0, 0.3, 2.5, 6.1234])
@pytest.mark.parametrize("name", [*(f"x.{suffix}" for suffix in (*SOUNDFILE, *AV)), "cbr.mp3"])
def test_a_piece_is_the_piece_of_the_full_decode(files, name, start):
    rate = info(files / name).rate
    whole, piece = load(files / name, rate), load(files / name, rate, start=start, end=start + 1.5)
    assert len(piece) == round((start + 1.5) * rate) - round(start * rate)
    first = round(start * rate)
    if name == "x.webm":  # its clock ticks in milliseconds
        late = lag(piece, whole[first : first + len(piece)])
        assert abs(late) <= rate / 1000
        first -= late
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(piece[inner], whole[first : first + len(piece)][inner], atol=2e-3)


@pytest.mark.parametrize("suffix", ["wav", "m4a"])
def test_a_piece_is_read_without_what_lies_before_it(files, tmp_path, suffix):
    whole = bytearray((files / f"x.{suffix}").read_bytes())
    first, last = len(whole) // 10, len(whole) // 2
    whole[first:last] = np.random.default_rng(0).bytes(last - first)
    spoilt = tmp_path / f"spoilt.{suffix}"
    spoilt.write_bytes(whole)
    expected = load(files / f"x.{suffix}", RATE, start=6.0, end=7.0)
    np.testing.assert_array_equal(load(spoilt, RATE, start=6.0, end=7.0), expected)


# --- channels --------------------------------------------------------------------------------------------------------


def test_channels_are_chosen_never_averaged(tmp_path):
    left, right = sweep(), sweep()[::-1]
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(load(tmp_path / "call.wav", RATE, channel=0), left)
    np.testing.assert_array_equal(load(tmp_path / "call.wav", RATE, channel=1), right)
    with pytest.raises(AudioError, match=r'call.wav: found 2 channels that differ; expected "channel": 0 to 1'):
        load(tmp_path / "call.wav", RATE)
    for channel in (2, -1):
        with pytest.raises(AudioError, match=f"call.wav: has no channel {channel}; found 2"):
            load(tmp_path / "call.wav", RATE, channel=channel)


def test_channels_that_carry_the_same_are_one(tmp_path):
    soundfile.write(tmp_path / "dual.ogg", np.stack([sweep(), sweep()], 1), RATE, format="OGG", subtype="VORBIS")
    assert info(tmp_path / "dual.ogg").channels == 2
    both = load(tmp_path / "dual.ogg", RATE)
    np.testing.assert_array_equal(both, load(tmp_path / "dual.ogg", RATE, channel=0))
    last_bit = np.random.default_rng(1).integers(-1, 2, len(sweep())) / 2**15  # as dither leaves it
    soundfile.write(tmp_path / "dither.wav", np.stack([sweep(), sweep() + last_bit], 1), RATE)
    np.testing.assert_allclose(load(tmp_path / "dither.wav", RATE), sweep(), atol=1e-4)


def test_resembling_channels_are_still_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([sweep(), 0.95 * sweep()], 1), RATE)
    with pytest.raises(AudioError, match="channels that differ"):
        load(tmp_path / "x.wav", RATE)


# --- what is wrong with a file ---------------------------------------------------------------------------------------


def test_missing_folder_empty_and_not_audio(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no audio\n" * 100)
    (tmp_path / "text.txt").write_text("this is no audio\n" * 100)
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "stub.wav").write_bytes(b"RIFF\x24\x00")
    (tmp_path / "x.raw").write_bytes(b"\x01\x00" * 1000)
    soundfile.write(tmp_path / "header.wav", np.zeros(0, np.float32), RATE)
    cases = {
        "nowhere.wav": "no such file",
        ".": "is a folder",
        "empty.wav": "empty",
        "text.wav": "not audio",
        "text.txt": "no audio|not audio",
        "noise.mp3": "not audio|no audio|damaged|holds no samples",
        "stub.wav": "not audio",
        "x.raw": "without a header",
        "header.wav": "holds no samples",
    }
    for name, message in cases.items():
        for reader in (info, lambda path: load(path, 16000)):
            with pytest.raises(AudioError, match=message) as caught:
                reader(tmp_path / name)
            assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("suffix", [*SOUNDFILE, "m4a", "webm"])
def test_a_truncated_file_is_refused(files, tmp_path, suffix, share):
    whole = (files / f"x.{suffix}").read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(AudioError, match="cut.*(truncated|damaged|lost|holds no samples)"):
        load(cut, 16000)


def test_a_truncated_m4a_with_its_index_in_front_is_refused(tmp_path):
    encode(tmp_path / "x.m4a", sweep(), "aac", {"movflags": "+faststart"})
    whole = (tmp_path / "x.m4a").read_bytes()
    assert len(load(tmp_path / "x.m4a", RATE)) >= SECONDS * RATE
    (tmp_path / "cut.m4a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="cut.m4a: truncated"):
        load(tmp_path / "cut.m4a", RATE)


def test_a_wav_that_lacks_two_bytes_is_truncated(files, tmp_path):
    (tmp_path / "cut.wav").write_bytes((files / "x.wav").read_bytes()[:-2])
    for reader in (info, lambda path: load(path, RATE)):
        with pytest.raises(AudioError, match="cut.wav: truncated, at least 2 bytes"):
            reader(tmp_path / "cut.wav")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(files, tmp_path, size):
    whole = bytearray((files / "x.wav").read_bytes())
    at = whole.index(b"data") + 4
    whole[4:8] = whole[at : at + 4] = struct.pack("<I", size)
    (tmp_path / "piped.wav").write_bytes(whole)
    np.testing.assert_array_equal(load(tmp_path / "piped.wav", RATE), load(files / "x.wav", RATE))


def test_a_flac_without_a_length_is_read_to_its_end(files, tmp_path):
    whole = bytearray((files / "x.flac").read_bytes())
    whole[21] &= 0xF0  # the 36 bits of STREAMINFO that hold the number of samples; 0 stands for unknown
    whole[22:26] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(whole)
    assert info(tmp_path / "piped.flac") == Info(RATE, 1, SECONDS)
    np.testing.assert_array_equal(load(tmp_path / "piped.flac", RATE), load(files / "x.flac", RATE))
    piece = load(tmp_path / "piped.flac", RATE, start=2.0, end=3.0)
    np.testing.assert_array_equal(piece, load(files / "x.flac", RATE, start=2.0, end=3.0))


def test_chunks_around_the_data_do_not_confuse(files, tmp_path):
    whole = (files / "x.wav").read_bytes()
    at = whole.index(b"data")
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # odd length, padded
    (tmp_path / "x.wav").write_bytes(whole[:at] + note + whole[at:] + note)
    np.testing.assert_array_equal(load(tmp_path / "x.wav", RATE), load(files / "x.wav", RATE))
    (tmp_path / "cut.wav").write_bytes(whole[:at] + note + whole[at:-1000])
    with pytest.raises(AudioError, match="at least 1000 bytes"):
        load(tmp_path / "cut.wav", RATE)


def test_silent_and_not_finite(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE, np.float32), RATE)
    with pytest.raises(AudioError, match="silent.wav: silent"):
        load(tmp_path / "silent.wav", RATE)
    half = np.concatenate([sweep(seconds=1), np.zeros(RATE, np.float32)])
    soundfile.write(tmp_path / "half.wav", half, RATE)
    assert load(tmp_path / "half.wav", RATE).any()
    with pytest.raises(AudioError, match=r"half.wav \[1.2 s to 1.8 s\]: silent"):
        load(tmp_path / "half.wav", RATE, start=1.2, end=1.8)
    broken = sweep(seconds=1)
    broken[[100, 200]] = np.nan, np.inf
    soundfile.write(tmp_path / "nan.wav", broken, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=f"nan.wav: 2 of {RATE} samples are NaN or infinite"):
        load(tmp_path / "nan.wav", 16000)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a", "aac"])
def test_pieces_outside_the_file(files, suffix):
    path = files / f"x.{suffix}"
    with pytest.raises(AudioError, match="starts beyond the end, the file has 8"):
        load(path, RATE, start=9.0, end=10.0)
    with pytest.raises(AudioError, match="ends beyond the end, the file has 8"):
        load(path, RATE, start=1.0, end=8.4)
    for start, end in ((3.0, 2.0), (-1.0, 2.0), (2.0, 2.0)):
        with pytest.raises(AudioError, match="0 <= start < end"):
            load(path, RATE, start=start, end=end)
    seconds = info(path).seconds
    assert len(load(path, RATE, start=7.0, end=seconds + 0.05)) == pytest.approx((seconds - 7) * RATE, abs=300)
    assert len(load(path, RATE, start=7.0)) == pytest.approx((seconds - 7) * RATE, abs=300)


# --- resampling ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([8000, 11025, 22050, 44100, 48000, 44101]), st.floats(0.05, 0.85), st.integers(4000, 20000))
def test_a_tone_stays_itself_at_any_rate(from_rate, place, count):
    frequency, to_rate = place * min(from_rate, 16000) / 2, 16000
    tone = np.sin(2 * np.pi * frequency * np.arange(count) / from_rate).astype(np.float32)
    found = resample(tone, from_rate, to_rate)
    assert found.dtype == np.float32 and abs(len(found) - count * to_rate / from_rate) <= 1
    inner = slice(300, -300)
    ideal = np.sin(2 * np.pi * frequency * np.arange(len(found)) / to_rate)
    assert np.abs(found - ideal)[inner].max() < 5e-3


def test_tones_above_the_new_nyquist_vanish():
    high = np.sin(2 * np.pi * 9500 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resample(high, 48000, 16000)[300:-300]).max() < 1e-4


def test_equal_rates_change_nothing_and_calls_leave_no_trace():
    samples = sweep()
    assert resample(samples, RATE, RATE) is samples
    first = resample(samples, RATE, 16000)
    resample(samples[::-1].copy(), RATE, 8000)
    np.testing.assert_array_equal(first, resample(samples, RATE, 16000))


# --- real speech -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no real speech at {SPEECH}")
def test_real_speech_is_read_whole_and_in_pieces():
    paths = sorted(SPEECH.glob("speechocean762/audio/**/*.og*"))[:5] + sorted(SPEECH.glob("fsdd/audio/*"))[:5]
    assert paths
    for path in paths:
        told = info(path)
        assert told == Info(told.rate, 1, told.seconds) and told.seconds > 0.1
        whole = load(path, 16000)
        assert len(whole) == pytest.approx(told.seconds * 16000, abs=2)
        native = load(path, told.rate)
        half = round(told.seconds / 2, 2)
        piece = load(path, told.rate, start=half)
        np.testing.assert_allclose(piece, native[round(half * told.rate) :], atol=2e-3)
