"""Long recordings: windows, where the text goes over from one to the next, and an hour in bounded memory."""

import json
import os
import re
import subprocess
import sys
import termios
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, TONES, tones, write_tiny_whisper
from hypothesis import given, settings
from hypothesis import strategies as st

import speechxfer
from speechxfer.cli import main
from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint, whisper, whisper_long
from speechxfer.models.base import Hypothesis
from speechxfer.models.whisper_decode import NO_FALLBACK
from speechxfer.models.whisper_long import Window, joined
from speechxfer.prediction import read_predictions
from speechxfer.recogniser import Recogniser
from speechxfer.task import Data, Decode, Speech

GREEDY = Decode(beams=1, guards=NO_FALLBACK)  # random weights fail all guards


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random Whisper that soon comes to an end."""
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny", text_positions=24)


@pytest.fixture(scope="module")
def model(folder):
    return load_checkpoint(folder, texts=(), speech=Speech(context="own")).eval()


def silent(model, *seconds: float, lang: str | None = "en"):
    """A batch of recordings that are named by their places."""
    examples = [Example(str(i), lang=lang) for i in range(len(seconds))]
    silence = [np.zeros(round(n * RATE), np.float32) for n in seconds]
    return model.frontend.collate(list(map(model.frontend.features, examples, silence)))


# --- where the text goes over ----------------------------------------------------------------------------------------


def timed(text: str, since: float) -> list[tuple[str, float, float]]:
    """Words of 0.4 s, one every half a second."""
    return [(word, since + i / 2, since + i / 2 + 0.4) for i, word in enumerate(text.split())]


def heard(since: float, words, phrases=()) -> Hypothesis:
    """What a window from there on says, whose times are its own, of spans in the recording's."""
    own = (tuple((said, start - since, end - since) for said, start, end in spans) for spans in (words, phrases))
    return Hypothesis(" ".join(word for word, *_ in words), 0.5, *own)


def over(left: str, right: str, since: float, late: float = 0.0) -> str:
    """The text of two windows, of 0 to 20 s and 16 to 40 s; their words begin at `since` and at 16 s, or `late`."""
    windows = [Window(0, 20, torch.empty(0)), Window(16, 40, torch.empty(0))]
    found = joined(windows, [heard(0, timed(left, since)), heard(16, timed(right, 16 + late))])
    assert " ".join(word for word, *_ in found.words) == found.text
    assert_monotone(found)
    return found.text


def assert_monotone(found: Hypothesis) -> None:
    for spans in (found.words, found.segments):
        assert all(start <= end for _, start, end in spans)
        assert all(before[2] <= behind[1] for before, behind in pairwise(spans))


@pytest.mark.parametrize("late", [0, 0.3])
def test_every_word_of_an_overlap_is_said_once(late):
    assert over("x y a b c d e f g h", "a b c d e f g h i j", since=15, late=late) == "x y a b c d e f g h i j"


def test_what_an_edge_cuts_through_is_the_other_windows_to_say():
    left, right = "we all went up to the old ma", "ent up to the old market at noon"
    assert over(left, right, since=15) == "we all went up to the old market at noon"


def test_the_longest_agreement_decides_where_two_windows_differ_at_the_seam():
    left, right = "so he said it was a very good ide", "he sat it was a berry good idea I think"
    assert over(left, right, since=15.5) == "so he said it was a berry good idea I think"


@pytest.mark.parametrize("late", [0, 0.2])
def test_repeated_words_are_as_many_as_were_said(late):
    left, right = "it is" + 10 * " very", 10 * "very " + "good"  # from 15 s on, and from 16 s on
    assert over(left, right, since=14, late=late) == "it is" + 12 * " very" + " good"
    left, right = "it is so so so very very very very very", "so so so very very very very very good it is"
    assert over(left, right, since=15, late=late) == "it is so so so very very very very very good it is"


def test_case_and_punctuation_are_no_disagreement():
    left, right = "and so I said hello world.", "I said: Hello, world and more"
    assert over(left, right, since=15) == "and so I said Hello, world and more"


def test_without_agreement_the_times_decide():
    left, right = "a b c d e f g h i j", "q r s t u v w x y z"
    assert over(left, right, since=15) == "a b c d e f u v w x y z", "from 18 s on, the middle, it is the right one's"
    assert over("a b c d e f g h", right, since=15, late=0.2) == "a b c d e f u v w x y z", "none lost, none twice"
    assert over("a b x", "c d x e", since=15, late=2) == "a b x c d x e", "the same word seconds apart is another"


def test_a_window_that_says_nothing_takes_nothing_from_the_other():
    assert over("", "a b c d", since=0) == "a b c d"
    assert over("a b c d e f g h", "", since=16) == "a b c d e f g h"
    assert over("a b", "c d e", since=1) == "a b c d e"
    windows = [Window(0, 20, torch.empty(0)), Window(16, 40, torch.empty(0))]
    assert joined(windows, [Hypothesis("", 0.25), Hypothesis("", 0.75)]) == Hypothesis("", 0.25)
    drawn_out = heard(0, [("a", 3.0, 3.5), ("b", 4.0, 20.0)])
    assert joined(windows, [drawn_out, heard(16, timed("q r s", 16.2))]).text == "a b q r s"


def test_hindi_words_are_compared_with_their_marks():
    left, right = "वह कल बाज़ार गया था और की", "बाज़ार गया था और किताब लाया"
    assert over(left, right, since=15) == "वह कल बाज़ार गया था और किताब लाया"
    assert over("वह का कि", "कि की", since=15.5, late=0.4) == "वह का कि की"


def test_japanese_characters_are_words_and_no_space_comes_between_them():
    def said(since: float, pieces: str) -> Hypothesis:
        text, spans = pieces.replace(" ", ""), timed(pieces, since)
        words = tuple((word, start - since, end - since) for word, start, end in spans)
        return Hypothesis(text, 0.5, words, ((text, 0.0, words[-1][2]),))

    windows = [Window(0, 6, torch.empty(0)), Window(2, 8, torch.empty(0))]
    left, right = "今 日 は い AI 天 気 で す ね え", "AI 天 気 で す ね 散 歩 し よ う"  # the fifth is at 2 s
    found = joined(windows, [said(0, left), said(2, right)])
    assert found.text == "今日はいAI天気ですね散歩しよう" == "".join(word for word, *_ in found.words)
    assert [text for text, *_ in found.segments] == [found.text], "one phrase, of which each heard a part"
    assert_monotone(found)


def test_phrases_are_joined_where_their_words_are():
    windows = [Window(0, 20, torch.empty(0)), Window(16, 40, torch.empty(0))]
    words = timed("a b c d e f g h i j k l m n o p q r s t", 12)  # a at 12 s, i at 16 s, p at 19.5 s

    def phrases(*texts: str) -> list[tuple[str, float, float]]:
        starts = {word: start for word, start, _ in words}
        return [(text, starts[text[0]], starts[text[-1]] + 0.4) for text in texts]

    def of(left: list[str], right: list[str]) -> tuple:
        each = heard(0, words[:16], phrases(*left)), heard(16, words[8:], phrases(*right))
        found = joined(windows, each)
        assert found.text == "a b c d e f g h i j k l m n o p q r s t"
        assert_monotone(found)
        return found.segments

    halves = ["a b c d e f", "g h i j k l", "m n o p"], ["i j k l", "m n o p q", "r s t"]  # the seam is before m
    assert of(*halves) == tuple(phrases("a b c d e f", "g h i j k l", "m n o p q", "r s t"))
    across = ["a b c d e f", "g h i j k l m n o p"], ["i j k l m n o p q", "r s t"]
    assert of(*across) == tuple(phrases("a b c d e f", "g h i j k l m n o p q", "r s t"))
    unlike = ["a b c d e f", "g h i j k l m n o p"], ["i j k l", "m n o p q r s t"]
    first, cut, last = of(*unlike)  # of two phrases of the right one
    assert (first, last) == tuple(phrases("a b c d e f", "m n o p q r s t"))
    assert cut == ("g h i j k l", 15.0, pytest.approx(17.9, abs=0.06))
    unlike = ["a b c d e f", "g h i j k l", "m n o p"], ["i j k l m n o p q", "r s t"]
    *before, cut, last = of(*unlike)
    assert (*before, last) == tuple(phrases("a b c d e f", "g h i j k l", "r s t"))
    assert cut == ("m n o p q", pytest.approx(18.0, abs=0.06), 20.4)


def test_windows_between_pauses_are_joined_as_the_script_has_it():
    windows = [Window(30.0 * i, 30.0 * i + 20, torch.empty(0)) for i in range(3)]
    for texts, expected in (
        (("你好", "世界", "你好"), "你好世界你好"),
        (("नमस्ते", "", "दुनिया"), "नमस्ते दुनिया"),
        (("a b", "a b", ""), "a b a b"),
    ):
        assert joined(windows, [Hypothesis(text, 0.5) for text in texts]).text == expected


@st.composite
def recordings(draw) -> tuple[list[tuple[str, float, float]], list[tuple[float, float]]]:
    """Words with times, and windows of 15 to 30 s that overlap by 2.5 to 5 s or not at all; centiseconds below."""
    ticks, words, now = st.integers(4, 120), [], draw(st.sampled_from((0, 1200)))
    vocabulary = draw(st.sampled_from(("a", "ab", "abcdefghijklmnop")))
    for letter in draw(st.lists(st.sampled_from(vocabulary), min_size=draw(st.sampled_from((0, 40))), max_size=200)):
        begin = now + draw(st.sampled_from((0, 0, 4, 30, 600)))
        now = begin + draw(ticks)
        words.append((letter, begin / 100, now / 100))
    windows, start = [], 0
    while not windows or windows[-1][1] <= now / 100:
        end = start + draw(st.integers(1500, 3000))
        windows.append((start / 100, end / 100))
        start = end - draw(st.integers(250, 500))
    return words, windows


@settings(max_examples=100, deadline=None)
@given(recordings(), st.sampled_from(("whole", "left out", "mangled")))
def test_words_that_are_cut_into_windows_come_back_as_they_were(recording, edges):
    words, spans = recording
    found = []
    for start, end in spans:
        inside = []
        for word, *at in words:
            cut = at[0] < start or at[1] > end
            if at[1] <= start or at[0] >= end or (cut and edges == "left out"):
                continue
            inside.append((f"{word}z" if cut and edges == "mangled" else word, max(at[0], start), min(at[1], end)))
        found.append(heard(start, inside))
    whole = joined([Window(*span, torch.empty(0)) for span in spans], found)
    assert whole.text == " ".join(word for word, *_ in words)
    assert [word for word, *_ in whole.words] == [word for word, *_ in words]
    assert_monotone(whole)
    if edges != "whole":
        assert np.allclose([at for _, *at in whole.words], [at for _, *at in words], atol=2e-3)


# --- windows through the model ---------------------------------------------------------------------------------------


def test_a_long_recording_is_heard_in_windows(model):
    rng = np.random.default_rng(0)
    speech = np.concatenate([tones("abcd ab", rng), np.zeros(2 * RATE, np.float32)] * 20)  # some 60 s
    found = Recogniser(model, torch.device("cpu"), "fp32").transcribe((speech, RATE))
    assert found.text and 0 < found.confidence <= 1
    assert found.words[-1][1] > 30 and found.words[-1][2] <= len(speech) / RATE
    assert_monotone(found)
    assert model.generate(silent(model, 40), GREEDY)[0].text == ""


def spell(samples: np.ndarray, start: float) -> list[tuple[str, float, float]]:
    """The words of tones, as an ear would have them that hears 10 ms at a time: half a letter may be none."""
    size = RATE // 100
    spectrum = np.abs(np.fft.rfft(samples[: len(samples) // size * size].reshape(-1, size), 10 * size))
    power = np.stack([spectrum[:, TONES[letter] // 10] for letter in "abcd"])
    letters = [
        " abcd"[1 + best] if peak > 12 else " " for best, peak in zip(power.argmax(0), power.max(0), strict=True)
    ]
    words = []
    for run in re.finditer(r"(\w)\1{5,}", "".join(letters)):
        begin, end = start + run.start() / 100, start + run.end() / 100
        if words and begin - words[-1][2] < 0.08:
            said, begin, _ = words.pop()
            words.append((said + run[1], begin, end))
        else:
            words.append((run[1], begin, end))
    return words


@pytest.fixture
def listening(model, monkeypatch) -> list[list[float]]:
    """The model with an ear for tones in place of its network; the lengths in seconds of what it is given."""
    lengths_of = []

    def hear(samples, lengths, prefixes, ids, settings):
        lengths_of.append([n / RATE for n in lengths.tolist()])
        cuts = [row[:n].numpy() for row, n in zip(samples, lengths.tolist(), strict=True)]
        return [heard(0.0, spell(one, 0.0)) for one in cuts]

    monkeypatch.setattr(model, "_heard", hear)
    return lengths_of


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_who_speaks_on_for_two_minutes_is_understood_to_the_word(model, listening, noise):
    rng = np.random.default_rng(1)
    said = " ".join("".join(rng.choice(list("abcd"), rng.integers(1, 5))) for _ in range(190))
    samples = tones(said, rng)
    samples += (noise * rng.standard_normal(len(samples))).astype(np.float32)  # so loud that no gap is the quietest
    assert len(samples) > 100 * RATE and [word for word, *_ in spell(samples, 0)] == said.split()
    found = Recogniser(model, torch.device("cpu"), "fp32").transcribe((samples, RATE))
    assert found.text == said
    assert sum(map(len, listening)) >= 5 and max(map(max, listening)) <= 30
    assert_monotone(found)


@pytest.fixture
def named(model, monkeypatch) -> list[tuple[list[int], list[list[int]]]]:
    """(lengths, prefixes) of all that is put through the encoder; what is said of it is its name."""
    calls = []

    def instead(samples, lengths, prefixes, ids, settings):
        calls.append((lengths.tolist(), [list(prefix) for prefix in prefixes]))
        assert samples.shape == (len(lengths), max(lengths.tolist()))
        return [Hypothesis(id, 0.5, n_best=((id, 0.5),)) for id in ids]

    monkeypatch.setattr(model, "_heard", instead)
    return calls


def spoken(monkeypatch, *spans: tuple[float, float]) -> None:
    """As if somebody spoke in these windows of every recording."""
    monkeypatch.setattr(whisper_long, "windows", lambda *_, **__: list(spans))


def test_a_long_recording_leaves_its_neighbours_together(model, named, monkeypatch):
    spoken(monkeypatch, (0, 10), (12, 20))
    written = model.generate(silent(model, 2, 31, 1, 3), GREEDY)
    assert [lengths for lengths, _ in named] == [[2 * RATE, RATE, 3 * RATE], [10 * RATE, 8 * RATE]]
    assert [one.text for one in written] == ["0", "1@0 1@12", "2", "3"]
    assert [len(one.n_best) for one in written] == [1, 0, 1, 1], "nothing says which of the windows go together"


def test_beside_a_long_recording_short_ones_say_what_they_say_alone(model):
    rng = np.random.default_rng(3)
    short, long = [tones("abcd ab", rng), tones("dd a", rng)], np.zeros(31 * RATE, np.float32)

    def written(*sounds: np.ndarray) -> list[Hypothesis]:
        items = [model.frontend.features(Example("x", lang="en"), one) for one in sounds]
        return model.generate(model.frontend.collate(items), GREEDY)

    first, _, second = written(short[0], long, short[1])
    for found, sound in zip((first, second), short, strict=True):
        (alone,) = written(sound)
        assert found.text and (found.text, found.words) == (alone.text, alone.words)


def test_windows_alike_in_length_are_heard_together_and_said_in_their_order(model, named, monkeypatch, folder):
    lengths = [30, 4, 28, 11, 30, 10, 3, 12, 30]
    spoken(monkeypatch, *((40.0 * i, 40.0 * i + n) for i, n in enumerate(lengths)))
    (written,) = model.generate(silent(model, 400), GREEDY)
    assert written.text == " ".join(f"0@{40 * i}" for i in range(len(lengths)))
    together = [[n / RATE for n in some] for some, _ in named]
    assert together == [[30, 30], [30, 28], [12, 11, 10, 4, 3]]
    assert all(max(some) * len(some) <= Data().batch_seconds for some in together)
    named.clear()
    full = load_checkpoint(folder, texts=(), speech=Speech(context="full")).eval()
    monkeypatch.setattr(full, "_heard", model._heard)
    assert full.generate(silent(full, 400), GREEDY)[0].text == written.text
    assert [len(some) for some, _ in named] == [2, 2, 2, 2, 1], "each is 30 s to the encoder"


def test_windows_begin_and_end_at_the_nearest_sample_and_fit_the_encoder(model, named, monkeypatch):
    ends = [k * 320 / RATE for k in range(1, 1500) if int(k * 320 / RATE * RATE) != k * 320]
    spoken(monkeypatch, *((0.0, end) for end in ends), (0.0, 30.00004))
    model.generate(silent(model, 31), GREEDY)
    found = [length for lengths, _ in named for length in lengths]
    assert ends and sorted(found) == [round(end * 50) * 320 for end in ends] + [30 * RATE]


def test_the_language_of_a_recording_is_found_once(model, named, monkeypatch):
    spoken(monkeypatch, (0, 10), (12, 20), (21, 30))
    guesses = iter(("hi", "en", "en"))
    monkeypatch.setattr(whisper, "detect_language", lambda *_: [next(guesses)])
    model.generate(silent(model, 31, lang=None), GREEDY)
    told = {model.frontend.tokens.show(prefix) for _, prefixes in named for prefix in prefixes}
    assert told == {"<|startoftranscript|><|hi|><|transcribe|><|notimestamps|>"}
    named.clear()
    spoken(monkeypatch)
    (nothing,) = model.generate(silent(model, 31, lang=None), GREEDY)
    assert (nothing.text, named) == ("", [])


def test_long_rows_of_a_manifest_are_heard_as_from_python(folder, tmp_path):
    rng = np.random.default_rng(0)
    sounds = {"long": tones("abcd ab " * 40, rng), "short": tones("dd a", rng)}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
    rows = [{"id": name, "audio": f"{name}.wav", "text": "", "lang": "en"} for name in sounds]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["predict", "--checkpoint", folder, "--manifest", tmp_path / "set.jsonl", "--out", tmp_path / "p.jsonl"]
    wanted = {"decode.beams": 1, "decode.guards.temperatures": "()", "decode.timestamps": "true"}
    wanted |= {"speech.context": "own", "data.workers": 0, "run.device": "cpu"}
    with pytest.raises(SystemExit) as end:
        main(argv=[*map(str, command), *(f"--set={name}={value}" for name, value in wanted.items())])
    assert end.value.code == 0
    found = {one.id: one for one in read_predictions(tmp_path / "p.jsonl")}
    model = speechxfer.load(folder, device="cpu", speech=Speech(context="own"))
    timed = Decode(beams=1, guards=NO_FALLBACK, timestamps=True)
    for name in sounds:
        alone = model.transcribe(tmp_path / f"{name}.wav", lang="en", decode=timed)
        assert (found[name].hyp, found[name].words) == (alone.text, alone.words) and alone.text
        assert found[name].segments == alone.segments
        assert_monotone(alone)
    assert found["long"].words[-1][1] > 35


# --- an hour ---------------------------------------------------------------------------------------------------------

PEAKS = """
import sys
import speechxfer
from speechxfer.models.whisper_decode import NO_FALLBACK
greedy = speechxfer.Decode(beams=1, guards=NO_FALLBACK)
model = speechxfer.load(sys.argv[1], device="cpu", speech=speechxfer.Speech(context="own"))
for path in sys.argv[2:]:
    found = model.transcribe(path, lang="en", decode=greedy)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(int(status["VmHWM"].split()[0]) * 1024, found.words[-1][2])
"""


def write_minutes(path: Path, minutes: int) -> Path:
    """A recording with 6 s of tones in every minute."""
    minute = np.zeros(60 * RATE, np.int16)
    minute[20 * RATE : 26 * RATE] = tones("abcd ab " * 6, np.random.default_rng(0))[: 6 * RATE] * 32767
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)
    return path


def on_a_terminal(command: list[str]) -> tuple[str, str]:
    """What a command prints, and what it shows on the terminal that is its standard error."""
    terminal, end = os.openpty()
    termios.tcsetwinsize(end, (24, 100))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, text=True) as process:
        os.close(end)
        shown = b""
        try:
            while some := os.read(terminal, 4096):
                shown += some
        except OSError:  # how Linux says that nobody writes any more
            pass
        printed = process.stdout.read()
    os.close(terminal)
    assert process.returncode == 0, shown.decode()
    return printed, shown.decode()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_an_hour_takes_the_memory_of_its_samples_and_shows_how_far_it_is(folder, tmp_path):
    paths = [write_minutes(tmp_path / f"{minutes}.wav", minutes) for minutes in (12, 60)]
    printed, shown = on_a_terminal([sys.executable, "-c", PEAKS, str(folder), *map(str, paths)])
    for path in paths:
        path.unlink()
    (short, _), (long, last) = (map(float, line.split()) for line in printed.splitlines())
    assert last > 59 * 60
    samples = 48 * 60 * RATE * 4  # bytes by which the hour is longer
    assert long - short < 1.4 * samples, "once, as the file has them; no window stays"
    percents = [int(found) for found in re.findall(r"(\d+)%\|", shown)]
    assert percents.count(0) == 2, "a bar for each of the two"
    assert set(percents) - {0, 100}, "it moves while the hour is heard; how often it is drawn hangs on the machine"
    assert re.search(r"\d/38\d ", shown), "of the hour's windows with all that is no silence"
