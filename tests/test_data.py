"""Batches by length, and what the length limits make of a manifest."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechxfer.data import length_sorted, read_limited
from speechxfer.errors import ManifestError
from speechxfer.task import Data


def costs(width: int):
    shape = st.integers(1, 60).map(lambda n: (n, width))
    return arrays.arrays(np.float64, shape, elements=st.floats(0.1, 200))


@given(lengths=st.integers(1, 2).flatmap(costs), budget=st.floats(1, 300))
def test_every_example_is_in_one_batch_and_only_one_alone_is_over_the_budget(lengths, budget):
    given = lengths[:, 0] if lengths.shape[1] == 1 else lengths
    batches = length_sorted(given, budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max(axis=0).sum() <= budget
    if lengths.shape[1] == 1:
        longest = [float(lengths[batch].max()) for batch in batches]
        assert longest == sorted(longest, reverse=True)


def test_an_hour_of_audio_leaves_the_other_batches_as_they_are():
    batches = length_sorted(np.array([30.0] * 120 + [3600.0] + [30.0] * 120), 80)
    assert batches[0].tolist() == [120]
    assert [len(batch) for batch in batches] == [1] + [2] * 120


def write(folder: Path, *rows: dict) -> Path:
    (folder / "a.wav").touch()
    path = folder / "dev.jsonl"
    path.write_text("".join(json.dumps({"audio": "a.wav"} | row) + "\n" for row in rows))
    return path


CUT = {"id": "cut", "seconds": 50, "segments": [["x", 0, 20], ["y", 21, 40]]}


def test_long_recordings_are_cut_between_segments_and_left_out_aloud_without(tmp_path):
    path = write(tmp_path, CUT, {"id": "short", "seconds": 5, "text": "z"}, {"id": "long", "seconds": 40, "text": "w"})
    manifest, said = read_limited(path, "audio", Data(max_seconds=30))
    assert [(e.id, e.text, e.seconds) for e in manifest] == [("cut@0", "x", 20), ("cut@21", "y", 19), ("short", "z", 5)]
    cut, left = said
    assert "between their segments: 3 rows became 4 examples" in cut
    assert left.startswith(f"{path}: left out 1 of 4 examples") and "`segments` with times, or start/end" in left


def test_what_is_too_short_is_not_helped_by_segments(tmp_path):
    path = write(tmp_path, {"seconds": 0.05, "text": "z"}, {"seconds": 5, "text": "w", "id": "b"})
    (left,) = read_limited(path, "audio", Data())[1]
    assert "left out 1 of 2" in left and "segments" not in left


def test_a_manifest_of_long_recordings_alone_is_refused_unless_they_have_segments(tmp_path):
    assert len(read_limited(write(tmp_path, CUT), "audio", Data())[0]) == 2
    with pytest.raises(ManifestError, match="no example lasts between .* with `segments` or start/end"):
        read_limited(write(tmp_path, {"seconds": 50, "text": "z"}), "audio", Data(max_seconds=30))


def test_recordings_with_one_text_that_are_too_long_are_refused_by_name_unless_a_limit_leaves_them_out(tmp_path):
    rows = [{"seconds": 30.05, "text": "w", "id": "short"}]
    rows += [{"seconds": 31 + i, "text": "z", "id": f"long-{i}"} for i in range(25)]
    path = write(tmp_path, *rows)
    with pytest.raises(ManifestError) as refused:
        read_limited(path, "audio", Data())
    first, *_, last = str(refused.value).splitlines()
    assert first.startswith(f"{path}:2: long-0 lasts 31.00 s with one text; expected at most 30 s: give `segments`")
    assert "data.max_seconds=30 leaves out what is longer" in first and last.endswith("... and 5 more of this kind")
    manifest, (said,) = read_limited(path, "audio", Data(max_seconds=30.5))
    assert [e.id for e in manifest] == ["short"] and "left out 25 of 26" in said
    assert len(read_limited(path, "audio", Data(max_seconds=60))[0]) == 26


def test_sentence_pairs_are_not_cut(tmp_path):
    pair = {"source": "x y", "text": "z", "segments": CUT["segments"], "seconds": 50}
    manifest, said = read_limited(write(tmp_path, pair), "source", Data())
    assert [e.source for e in manifest] == ["x y"] and not said
