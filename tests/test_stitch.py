"""Recordings cut at their segments, utterances joined to their neighbours: nothing lost, nothing twice, no state."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.data import TrainingBatches, check_noise, read_mixture
from speechxfer.demo import CHECKPOINT, TRANSLATOR, WHISPER
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models import complete
from speechxfer.models.base import Noise
from speechxfer.perturb import Perturb
from speechxfer.pieces import load_pieces, write_stitched
from speechxfer.resume import fingerprint
from speechxfer.stitch import WAYS, Stitched, stitch, windows
from speechxfer.task import Data, Run, Source, Task, override

RATE = 8_000


def written(folder: Path, rows: list[dict], name: str = "m") -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def manifest_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifests")
    return lambda rows: read_manifest(written(folder, rows))


def utterances(count: int, seed: int = 0, **more) -> list[dict]:
    """Of lengths as Common Voice has them."""
    lengths = np.random.default_rng(seed).lognormal(np.log(4.7), 0.35, count).clip(1.5, 10.0)
    return [
        {"id": f"u{i}", "audio": f"{i}.wav", "text": f"t{i}", "seconds": round(float(s), 2)} | more
        for i, s in enumerate(lengths)
    ]


def groups(stitched: Stitched) -> list[list[list[int]]]:
    """Of each way, the rows of each of its examples."""
    every = iter([stitched.rows(i).tolist() for i in range(len(stitched))])
    return [[next(every) for _ in range(count)] for count in stitched.ways]


# --- windows ---------------------------------------------------------------------------------------------------------


SPANS = st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 12)), min_size=1, max_size=15)  # pause before, length


@settings(deadline=None, max_examples=40)
@given(SPANS, st.none() | st.floats(0, 1e4))
def test_windows_hold_every_segment_once_and_cut_only_between_them(manifest_of, spans, start):
    segments, now = [], 0.0
    for i, (pause, length) in enumerate(spans):
        segments.append((f"s{i}", now + pause, now + pause + length))
        now += pause + length
    row = {"id": "talk", "audio": "a.wav", "seconds": now + 1, "segments": segments}
    row |= {} if start is None else {"start": start}
    manifest = manifest_of(
        [{"id": "x", "audio": "x.wav", "text": "x"}, row, {"id": "y", "audio": "y.wav", "text": "y"}]
    )
    manifest.__dict__["seconds"] = np.array([1.0, now + 1, 1.0])  # there is no audio to measure
    x, *cut, y = windows(manifest, 12.5)
    assert (x.id, y.id) == ("x", "y")
    if now + 1 <= 12.5:
        assert cut == [manifest[1]]
        return
    assert all(window.seconds <= 12.5 and window.end - window.start <= 12.5 + 1e-6 for window in cut)
    assert [text for window in cut for text, *_ in window.segments] == [text for text, *_ in segments]
    assert [window.text for window in cut] == [" ".join(text for text, *_ in w.segments) for w in cut]
    times = [(w.start + a - (start or 0), w.start + b - (start or 0)) for w in cut for _, a, b in w.segments]
    np.testing.assert_allclose(times, [ends for _, *ends in segments], atol=1e-6)
    for window, after in zip(cut, cut[1:], strict=False):  # one more would not have fitted
        assert after.start + after.segments[0][2] - window.start > 12.5 - 1e-6
    assert len({window.id for window in cut}) == len(cut)


def test_a_window_is_an_example_like_any_other(manifest_of):
    said = [["One.", 0.5, 4], ["Two.", 5, 9.5], ["Three.", 10, 16]]
    row = {"id": "talk", "audio": "a.wav", "start": 100, "end": 118, "channel": 1, "lang": "en", "task": "transcribe"}
    row |= {"prompt": "Zero.", "group": {"accent": "irish"}, "segments": said}
    row |= {"words": [["One", 0.5, 1], ["um", 9.6, 9.8], ["Three", 10.25, 16.5]]}
    manifest = manifest_of([{"audio": "b.wav", "text": "b", "seconds": 3}, row])
    cut = windows(manifest, 10)
    same = {"audio": manifest.folder / "a.wav", "channel": 1, "lang": "en", "task": "transcribe"}
    same |= {"group": {"accent": "irish"}}
    assert list(cut) == [
        manifest[0],
        Example(
            **same,
            id="talk@100.5",
            text="One. Two.",
            start=100.5,
            end=109.5,
            seconds=9,
            segments=(("One.", 0, 3.5), ("Two.", 4.5, 9)),
            words=(("One", 0, 0.5),),
            prompt="Zero.",
        ),
        Example(
            **same,
            id="talk@110",
            text="Three.",
            start=110,
            end=116,
            seconds=6,
            segments=(("Three.", 0, 6),),
            words=(("Three", 0.25, 6),),
            prompt="One. Two.",
        ),
    ]
    assert [cut.where(i).rpartition(":")[2] for i in range(3)] == ["1", "2", "2"]
    np.testing.assert_array_equal(cut.seconds, [3, 9, 6])
    assert cut.sha256 != manifest.sha256 and cut.sha256 == windows(manifest, 10).sha256
    assert windows(manifest, 18) is manifest
    assert list(windows(manifest.select([1, 0]), 10)) == [cut[1], cut[2], cut[0]]


def test_segments_that_no_window_holds_are_all_named(tmp_path):
    path = written(
        tmp_path,
        [
            {"audio": "a.wav", "seconds": 50, "segments": [["x", 0, 11], ["y", 12, 13], ["z", 14, 30]]},
            {"audio": "b.wav", "seconds": 9, "segments": [["x", 0, 9]]},
            {"audio": "c.wav", "seconds": 50, "segments": [["x", 0, 10.5]]},
        ],
    )
    with pytest.raises(ManifestError) as caught:
        windows(read_manifest(path), 10)
    tail = "expected at most 10 s: cut it in two where the speaker pauses"
    assert str(caught.value).splitlines() == [
        f"{path}:1: a segment lasts 11 s, from 0 to 11 s; {tail}",
        f"{path}:1: a segment lasts 16 s, from 14 to 30 s; {tail}",
        f"{path}:3: a segment lasts 10.5 s, from 0 to 10.5 s; {tail}",
    ]


def test_times_beyond_a_measured_file_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(2 * RATE), RATE)
    path = written(tmp_path, [{"audio": "a.wav", "segments": [["x", 0, 1], ["y", 1, 2.3]]}])
    with pytest.raises(ManifestError, match=r"m.jsonl:1: segments end at 2.3 s; expected at most the 2 s of the audio"):
        windows(read_manifest(path), 1.5)


# --- which utterances are joined -------------------------------------------------------------------------------------


ROW = st.tuples(
    st.integers(1, 300),  # tenths of a second
    st.sampled_from([None, "ann", "bob"]),
    st.sampled_from([None, "long.wav", "other.wav"]),
    st.sampled_from([None, "hi", "en"]),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(ROW, min_size=1, max_size=60))
def test_each_way_has_every_utterance_once_in_order_and_within_the_seconds(manifest_of, drawn):
    rows, at = [], 1000.0
    for i, (tenths, speaker, file, lang) in enumerate(drawn):
        row = {"id": f"u{i}", "audio": file or f"{i}.wav", "text": f"t{i}", "seconds": tenths / 10}
        if file:  # from the last to the first
            at -= tenths / 10
            row |= {"start": at, "end": at + tenths / 10}
        rows.append(row | ({"speaker": speaker} if speaker else {}) | ({"lang": lang} if lang else {}))
    stitched = stitch(manifest_of(rows), 30.0)
    lengths = stitched.manifest.seconds
    assert len(stitched.ways) == WAYS
    for way in groups(stitched):
        assert sorted(row for group in way for row in group) == list(range(len(rows)))
        for group in way:
            assert lengths[group].sum() <= 30 + 1e-6
            assert len({rows[row].get("lang") for row in group}) == 1
            starts = [rows[row].get("start") for row in group]
            recording = len({rows[row]["audio"] for row in group}) == 1 and None not in starts
            assert group == sorted(group) or (recording and starts == sorted(starts))
    np.testing.assert_allclose(stitched.seconds, [lengths[g].sum() for way in groups(stitched) for g in way])


def test_neighbours_are_of_one_recording_else_of_one_speaker_else_any(manifest_of):
    def row(seconds, **more):
        return {"text": "x", "seconds": seconds} | more

    rows = [
        row(9, audio="a.wav", speaker="ann"),
        row(9, audio="talk.wav", start=20, speaker="ann"),
        row(9, audio="b.wav", speaker="bob"),
        row(9, audio="talk.wav", start=0, speaker="bob"),
        row(9, audio="c.wav", speaker="ann"),
        row(9, audio="talk.wav", start=0, channel=1),
        row(9, audio="d.wav", speaker="bob"),
        row(4, audio="e.wav", speaker="eve"),  # too little of her for an example
        row(9, audio="f.wav"),
        row(9, audio="talk.wav", start=9, channel=1),
        row(9, audio="g.wav"),
        row(9, audio="h.wav", lang="hi"),
        row(9, audio="i.wav", task="translate"),
    ]
    first, *_ = groups(stitch(manifest_of(rows), 30))
    assert {tuple(group) for group in first} == {(0, 4), (3, 1), (2, 6), (5, 9), (7, 8, 10), (11,), (12,)}


def test_ways_differ_and_are_nearly_full(manifest_of):
    stitched = stitch(manifest_of(utterances(3000)), 30.0)
    ways = [set(map(tuple, way)) for way in groups(stitched)]
    for i, one in enumerate(ways):
        assert all(len(one & other) < len(one) / 100 for other in ways[:i])
    assert stitched.seconds.mean() > 25, "an example of 30 s should have no room for one more of 5 s"
    assert np.median(stitched.seconds) > 25


def test_a_stitched_example_says_what_its_pieces_say(manifest_of):
    rows = utterances(3, lang="hi", task="transcribe", prompt="before", speaker="ann")
    rows[1]["group"], rows[2]["group"] = {"accent": "x"}, {"accent": "x"}
    manifest = manifest_of(rows)
    stitched = stitch(manifest, 30.0)
    assert stitched[0] == Example(
        "u0..u2",
        "t0 t1 t2",
        seconds=pytest.approx(manifest.seconds.sum()),
        lang="hi",
        task="transcribe",
        prompt="before",
        group={"speaker": "ann"},
        pieces=tuple(manifest),
    )
    assert list(stitched.texts()) == stitched.column("text").to_pylist() == [one.text for one in stitched]
    assert stitched.column("lang").to_pylist() == ["hi"] * len(stitched)
    assert stitched.column("seconds").to_pylist() == stitched.seconds.tolist()
    assert stitched.where(0) == f"{manifest.name}:1 (and 2 stitched to it)"
    single = stitch(manifest, 1.0)
    assert [one.id for one in single][:3] == ["u0", "u1", "u2"] and single.where(1) == manifest.where(1)
    assert len({stitched.sha256, single.sha256, manifest.sha256}) == 3


# --- in a mixture ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Source]:
    """A large source of short utterances and a small one of longer ones, weighted; their files are empty."""
    folder = tmp_path_factory.mktemp("two")
    rows = utterances(600, 1), [row | {"seconds": row["seconds"] * 2.5} for row in utterances(150, 2, lang="hi")]
    for i in range(600):
        (folder / f"{i}.wav").touch()
    names = ("short", "long")
    return [Source(str(written(folder, *some)), w) for *some, w in zip(rows, names, (1.0, 0.4), strict=True)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("temperature", [np.inf, 2.0])
def test_the_share_of_the_audio_is_what_was_asked_for_in_every_source(two, share, temperature):
    mixture = read_mixture(two, "audio", Data(stitch=share, temperature=temperature))
    seconds = np.concatenate([m.seconds for m in mixture.manifests])
    source = np.repeat(np.arange(4), [len(m) for m in mixture.manifests])
    drawn = np.concatenate([mixture.draw(0, epoch) for epoch in range(8)])
    heard = np.bincount(source[drawn], seconds[drawn])
    for plain, stitched in ((0, 2), (1, 3)):
        assert abs(heard[stitched] / (heard[plain] + heard[stitched]) - share) < 0.02
    without = read_mixture(two, "audio", Data(temperature=temperature))
    for epoch in range(8):  # the others are drawn as they would be alone
        some = mixture.draw(0, epoch)
        assert some[source[some] < 2].tolist() == without.draw(0, epoch).tolist()


def test_a_pass_hears_every_utterance_once_and_the_next_has_other_neighbours(two):
    mixture = read_mixture(two[:1], "audio", Data(stitch=0.5))
    _, stitched = mixture.manifests
    drawn = np.concatenate([mixture.draw(3, epoch) for epoch in range(6)])
    mine = (drawn[drawn >= 600] - 600).tolist()
    place, seen = 0, []
    for lap in range(5):
        count = stitched.ways[lap % WAYS]
        some = [stitched.rows(i).tolist() for i in mine[place : place + count]]
        assert set(Counter(row for group in some for row in group).values()) == {1}
        assert sum(map(len, some)) == 600
        seen.append(set(map(tuple, some)))
        place += count
    assert all(len(seen[i] & seen[i + 1]) < 6 for i in range(4)) and seen[0] == seen[WAYS]


def test_what_was_joined_and_cut_is_said(tmp_path):
    (tmp_path / "a.wav").touch()
    rows = [{"audio": "a.wav", "seconds": 50, "segments": [["x", 0, 20], ["y", 21, 40]]}]
    path = written(tmp_path, rows)
    mixture = read_mixture([Source(str(path))], "audio", Data(stitch=0.25))
    cut, joined = mixture.left_out
    assert cut == (
        f"{path}: cut recordings longer than 30 s (data.max_seconds) between their segments: 1 rows became 2 examples"
    )
    assert joined == f"{path}: joined 2 utterances in 4 ways to 19.5 s on average, for 25 % of the audio (data.stitch)"
    assert [example.text for example in mixture.manifests[0]] == ["x", "y"]


@dataclass(frozen=True)
class Frontend:
    """The least that a plan and its batches ask for."""

    unit: str = "s"

    def lengths(self, manifest: Manifest) -> np.ndarray:
        return manifest.seconds

    def budget(self, data: Data) -> float:
        return data.batch_seconds

    def load(self, example, noise=None):
        samples, times = load_pieces(example, RATE, noise)
        return example.id, hashlib.sha256(samples.tobytes()).hexdigest(), times

    def collate(self, items):
        return items


def batches_of(path: str) -> TrainingBatches:
    data = Data(stitch=0.6, max_seconds=4.0, batch_seconds=9.0, perturb=Perturb(speed=(0.9, 1.0, 1.1), gain_db=(-6, 6)))
    mixture = read_mixture([Source(path)], "audio", data)
    lengths = np.concatenate([m.seconds for m in mixture.manifests])
    plan = mixture.plan(lengths, Frontend(), data, Run(seed=5, batches_per_step=2))
    return TrainingBatches(mixture, plan, Frontend(), data, 5)


def loaded(path: str) -> dict:
    """The plan of steps and some batches of it, as they come from the file alone."""
    batches = batches_of(path)
    steps = [[batch.tolist() for batch in batches.plan.step(step)] for step in range(40)]
    return {"steps": steps, "sha": batches.mixture.manifests[1].sha256, "heard": [batches[step, 0] for step in (0, 31)]}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """Forty noises of half a second to a second and a half, at two rates."""
    folder, rng, rows = tmp_path_factory.mktemp("spoken"), np.random.default_rng(0), []
    for i in range(40):
        rate = (RATE, 11_025)[i % 2]
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(rng.integers(rate // 2, 3 * rate // 2)), rate)
        rows.append({"id": f"u{i}", "audio": f"{i}.wav", "text": f"t{i}", "lang": "en"})
    return written(folder, rows)


def test_a_fresh_process_makes_the_same_plan_and_the_same_sounds(spoken):
    code = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_stitch"
    code += f"; print(json.dumps(test_stitch.loaded({str(spoken)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(loaded(str(spoken))))


def test_going_on_in_the_middle_hears_what_the_whole_run_would_have_heard(spoken):
    whole, later = batches_of(str(spoken)), batches_of(str(spoken))
    heard = [whole[step, 0] for step in range(30)]
    assert [later[step, 0] for step in range(20, 30)] == heard[20:]
    assert any(".." in name for batch in heard for name, *_ in batch), "no stitched example among them"


def test_the_plan_knows_how_long_a_stitched_example_is_at_its_speed(spoken):
    batches = batches_of(str(spoken))
    for step in range(12):
        epoch, _ = batches.plan.locate(step)
        for batch in batches.plan.step(step):
            planned = batches.plan.costs_of(epoch, batch)
            for index, seconds in zip(batch, planned, strict=True):
                speed = batches.plan.costs[index] / seconds
                noise = Noise(Data(), float(speed), np.random.default_rng(0))
                samples, _ = load_pieces(batches.mixture[index], RATE, noise)
                assert len(samples) / RATE == pytest.approx(seconds, abs=0.002)


def test_a_state_knows_whether_and_how_it_was_stitched(spoken):
    dev = read_manifest(spoken)
    found = []
    for data in (Data(), Data(stitch=0.5), Data(stitch=0.5, max_seconds=3.0)):
        mixture = read_mixture([Source(str(spoken))], "audio", data)
        found.append(fingerprint(Task("t", "m", data=data), mixture, dev, 10)["manifests"])
    assert [len(one) for one in found] == [1, 2, 2]
    assert found[1] != found[2] and found[1] == {**found[0], f"{spoken} (stitched)": found[1][f"{spoken} (stitched)"]}


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_that_make_no_sense(share):
    with pytest.raises(ConfigError, match="data.stitch is .*; expected a share, 0 <= share < 1"):
        Data(stitch=share)


def test_a_task_that_does_not_say_stitches_for_whisper_alone():
    shares = {model: complete(Task("t", str(model)), model).data.stitch for model in (CHECKPOINT, TRANSLATOR, WHISPER)}
    assert shares[WHISPER] > 0 and shares[CHECKPOINT] == shares[TRANSLATOR] == 0
    assert complete(Task("t", str(WHISPER), data=Data(stitch=0.0)), WHISPER).data.stitch == 0


def test_what_is_joined_has_room_in_a_batch(two):
    _, stitched = read_mixture(two[:1], "audio", Data(stitch=0.5, batch_seconds=12)).manifests
    assert 10 < stitched.seconds.max() <= 12


def test_stitching_is_refused_where_it_would_do_nothing():
    data = override(Task("t", "m"), ["data.stitch=0.5"]).data
    with pytest.raises(ConfigError, match="data.stitch is for audio"):
        check_noise(data, "source")
    check_noise(data, "audio")


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pieces(tmp_path) -> tuple[Example, ...]:
    """Half a second, one of two channels, a second out of the middle of a file, each at another rate and level."""
    soundfile.write(tmp_path / "a.wav", np.full(4_000, 0.1), 8_000)
    soundfile.write(tmp_path / "b.wav", np.tile([[0.2, 0.5]], (8_000, 1)), 16_000)
    soundfile.write(tmp_path / "c.wav", np.repeat([0.9, 0.3, 0.9], 8_000), 8_000)
    return (
        Example("a", "one", tmp_path / "a.wav", seconds=0.52),  # as manifests round
        Example("b", "", tmp_path / "b.wav", channel=1, seconds=0.5),
        Example(
            "c",
            "x y",
            tmp_path / "c.wav",
            start=1,
            end=2,
            segments=(("x", 0.25, 0.5), ("", 0.5, 0.6), ("y", 0.6, 1.05)),
        ),
    )


def test_pieces_come_one_after_the_other_with_their_times(pieces):
    samples, times = load_pieces(Example("abc", "one x y", pieces=pieces), RATE)
    assert samples.dtype == np.float32 and samples.shape == (16_000,)
    levels = [samples[1000:3000], samples[5000:7000], samples[9000:15_000]]
    for level, expected in zip(levels, (0.1, 0.5, 0.3), strict=True):
        np.testing.assert_allclose(level, expected, atol=2e-3)
    assert times == [("one", 0.0, 0.5), ("x", 1.25, 1.5), ("y", 1.6, 2.0)]


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_times_follow_the_speed(pieces, speed):
    stitched = Example("abc", "one x y", pieces=pieces)
    samples, times = load_pieces(stitched, RATE, Noise(Data(), speed, np.random.default_rng(0)))
    assert len(samples) == pytest.approx(16_000 / speed, abs=1)
    border = np.flatnonzero(samples > 0.4)[0] / RATE  # where the loud second piece begins
    assert times[0] == ("one", 0.0, pytest.approx(border, abs=0.002))
    np.testing.assert_allclose([time[1:] for time in times[1:]], np.array([[1.25, 1.5], [1.6, 2.0]]) / speed, atol=1e-3)


def test_an_example_of_its_own_has_the_times_that_are_known(pieces):
    assert load_pieces(pieces[0], RATE)[1] == []
    assert load_pieces(pieces[2], RATE)[1] == [("x", 0.25, 0.5), ("y", 0.6, 1.0)]


def test_noise_is_of_the_whole_and_drawn_from_its_generator(pieces):
    noise = [Noise(Data(perturb=Perturb(gain_db=(-9, 9))), 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    stitched = Example("abc", "one x y", pieces=pieces)
    plain, _ = load_pieces(stitched, RATE)
    one, same, other = (load_pieces(stitched, RATE, some)[0] for some in noise)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose((one / plain)[10:-10], one[2000] / plain[2000], rtol=1e-4)


def test_a_set_written_as_longer_recordings_has_every_utterance_once_and_its_time(tmp_path):
    rng, rows, sounds = np.random.default_rng(0), [], {}
    for number, length in enumerate(rng.uniform(0.4, 0.9, 12)):
        tone = np.sin(2 * np.pi * (200 + 50 * number) * np.arange(round(length * RATE)) / RATE) / 2
        sounds[f"w{number}"] = np.pad(tone, round(0.1 * RATE)).astype(np.float32)
        soundfile.write(tmp_path / f"{number}.wav", sounds[f"w{number}"], RATE)
        rows.append({"id": f"u{number}", "audio": f"{number}.wav", "text": f"w{number}", "lang": "en"})
    rows = [row | {"group": {"speaker": "a" if i < 8 else "b"}} for i, row in enumerate(rows)]
    out = write_stitched(written(tmp_path, rows), tmp_path / "long.jsonl", seconds=3.0, rate=RATE)
    read = read_manifest(out, require=("audio", "text"))
    assert len(read) < 8 and all(e.seconds <= 3.0 and {"speaker"} == e.group.keys() for e in read)
    assert sorted(word for e in read for word in e.text.split()) == sorted(sounds)
    for example in read:
        samples, _ = soundfile.read(example.audio, dtype="float32")
        assert [text for text, *_ in example.segments] == example.text.split()
        for text, start, end in example.segments:
            said = samples[round(start * RATE) : round(end * RATE)]
            assert len(said) == pytest.approx(len(sounds[text]) - 0.2 * RATE, abs=0.05 * RATE)
            strongest = np.abs(np.fft.rfft(said)).argmax() * RATE / len(said)
            assert strongest == pytest.approx(200 + 50 * int(text[1:]), abs=5), "another tone is another utterance"
