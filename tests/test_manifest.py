import csv
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechxfer import manifest as manifest_module
from speechxfer.columns import join
from speechxfer.errors import ManifestError
from speechxfer.manifest import Example, read_manifest, unpack_audio, write_manifest
from speechxfer.problems import SHOWN

ROWS = [
    {"id": "a", "audio": "clips/a.wav", "text": "hello", "seconds": 1.5, "group": {"accent": "scottish", "take": "2"}},
    {"id": "b", "audio": "/far/b.wav", "text": "नमस्ते", "start": 2.0, "end": 3.5, "channel": 1, "lang": "hi"},
    {"id": "c", "source": "guten Tag", "text": "", "group": {"speaker": "f03"}},
]


def lines(path, *rows):
    rows = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def problems(path, **kwargs):
    """The messages, without the folder."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, **kwargs)
    return str(caught.value).replace(f"{os.path.dirname(path)}/", "").splitlines()


def refuse(table, taken):
    raise pa.ArrowInvalid("as if Arrow could not cast this")


def test_every_field_arrives(tmp_path):
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *ROWS))
    a, b, c = manifest
    assert a == Example("a", "hello", tmp_path / "clips/a.wav", seconds=1.5, group={"accent": "scottish", "take": "2"})
    assert b == Example("b", "नमस्ते", Path("/far/b.wav"), start=2.0, end=3.5, channel=1, seconds=1.5, lang="hi")
    assert c == Example("c", "", source="guten Tag", group={"speaker": "f03"})
    assert [manifest[i] for i in range(-3, 3)] == [a, b, c, a, b, c]
    assert list(manifest.texts()) == ["hello", "नमस्ते", ""]
    np.testing.assert_array_equal(manifest.seconds, [1.5, 1.5, np.nan])
    with pytest.raises(IndexError):
        manifest[3]


def test_names_of_other_toolkits_are_understood_and_said_once(tmp_path, capsys):
    row = {"audio_filepath": "x/a.wav", "duration": 2, "offset": 1.5, "transcript": "t"}
    path = lines(tmp_path / "nemo.json", row | {"language": "en", "spk": 7, "zz": 1})
    (example,) = read_manifest(path)
    assert (example.start, example.end, example.seconds) == (1.5, 3.5, 2.0)
    assert (example.text, example.lang, example.group) == ("t", "en", {"speaker": "7"})
    assert example.id == "x/a@1.5"
    read_manifest(path)
    (said,) = capsys.readouterr().err.splitlines()
    assert "audio_filepath as audio" in said and "duration as seconds" in said and "offset as start" in said
    assert "spk as group.speaker" in said and said.endswith("ignores zz")
    read_manifest(lines(tmp_path / "plain.jsonl", *ROWS))
    assert capsys.readouterr().err == ""


def test_our_own_name_wins_over_an_alias(tmp_path, capsys):
    (example,) = read_manifest(lines(tmp_path / "m.jsonl", {"audio": "a.wav", "normalized_text": "no", "text": "yes"}))
    assert example.text == "yes"
    assert "ignores normalized_text" in capsys.readouterr().err


def test_ids_are_made_where_there_are_none(tmp_path):
    rows = [
        {"audio": "s1/call.v2.wav", "text": ""},
        {"audio": "s2/call.v2.wav", "text": "", "start": 0.5, "end": 2},
        {"audio": "s2/call.v2.wav", "text": "", "start": 2, "end": 4.25, "channel": 1},
        {"source": "q", "text": "r"},
        {"id": 12, "audio": "s1/call.v2.wav", "text": ""},
    ]
    ids = [example.id for example in read_manifest(lines(tmp_path / "m.jsonl", *rows))]
    assert ids == ["s1/call.v2", "s2/call.v2@0.5", "s2/call.v2.ch1@2", "4", "12"]


def test_common_voice_as_it_comes(tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/cv_1.mp3").touch()
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
    path = lines(
        tmp_path / "validated.tsv",
        header,
        'c0ffee\tcv_1.mp3\t9\t"Stop!" he said, "now\t2\ttwenties\tfemale_feminine\tScottish English\t\ten\t',
        "decaf\tcv_2.mp3\t9\tNA\t2\t\t\t\t\ten\t",
    )
    one, two = manifest = read_manifest(path)
    assert one == Example(
        "cv_1",
        '"Stop!" he said, "now',
        tmp_path / "clips/cv_1.mp3",
        group={"speaker": "c0ffee", "age": "twenties", "gender": "female_feminine", "accent": "Scottish English"},
        lang="en",
    )
    assert (two.text, two.group) == ("NA", {"speaker": "decaf"})
    assert "ignores sentence_id, up_votes, segment" in capsys.readouterr().err
    with pytest.raises(ManifestError, match=r"validated.tsv:3: no such file .*clips/cv_2.mp3") as caught:
        manifest.check_audio()
    assert "cv_1" not in str(caught.value)


def test_csv_with_quotes_newlines_and_numbers(tmp_path):
    path = tmp_path / "m.csv"
    with path.open("w", newline="") as file:
        rows = [["a.wav", 'he said "no",\nthen yes', 2, ""], ["b.wav", "null", "1e0", 1]]
        csv.writer(file).writerows([["path", "text", "seconds", "channel"], *rows])
    a, b = manifest = read_manifest(path)
    assert (a.text, a.seconds, a.channel) == ('he said "no",\nthen yes', 2.0, None)
    assert (b.text, b.seconds, b.channel) == ("null", 1.0, 1)
    assert manifest.where(1) == f"{path}:4"


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_bad_cells(tmp_path, suffix):
    rows = "audio text seconds", "a.wav x soon", "b.wav x", "c.wav  2", "audio text seconds"
    path = lines(tmp_path / f"m.{suffix}", *(row.replace(" ", "," if suffix == "csv" else "\t") for row in rows))
    assert problems(path, require=["text"]) == [
        f'm.{suffix}:2: seconds is "soon"; expected a number',
        f'm.{suffix}:5: seconds is "seconds"; expected a number',  # a header in the middle is not skipped
        f"m.{suffix}:3: found 2 cells; expected 3 as in the header",
        f"m.{suffix}:4: no text; expected one in every row",
    ]


def test_all_problems_come_at_once(tmp_path):
    path = lines(
        tmp_path / "m.jsonl",
        {"audio": "a.wav", "text": "x", "seconds": -1.2},
        {"audio": "b.wav", "text": "x", "seconds": "long"},
        {"audio": "c.wav", "text": "x", "start": 2, "end": 2},
        "",
        "{nope",
        '{"audio": "d.wav", "text": "x", "seconds": NaN}',
        {"text": "x"},
        {"audio": "e.wav", "text": 5},
        ["e.wav"],
        {"audio": "f.wav"},
        {"id": "same", "audio": "g.wav", "text": "x", "channel": -1},
        {"id": "same", "audio": "h.wav", "text": "x", "start": -3},
        {"audio": "i.wav", "text": "x", "group": "scottish"},
        {"audio": "j.wav", "text": "x", "words": [["x", 1]]},
        {"audio": "k.wav", "text": "x", "words": [["x", 2, 1]]},
        {"audio": "l.wav", "text": "x", "start": 1, "end": 2, "seconds": 30},
        {"audio": "m.wav", "text": "x", "channel": 0.5},
        '{"audio": "n.wav", "text": "\\ud800"}',
        {"audio": "o.wav", "text": "fine", "group": {"accent": ["x"]}, "words": [["fine", 0, 0.5]]},
        {"audio": "p.wav", "text": "x", "segments": [["x", 1]]},
        {"audio": "q.wav", "text": "x", "segments": [["x", 0, 1], ["y", 3, 3]]},
        {"audio": "r.wav", "text": "x", "segments": [["x", 0, 2], ["y", 1.5, 3]]},
        {"audio": "s.wav", "text": "x", "segments": [["x", 5, 6], ["y", 1, 3]]},
        {"audio": "t.wav", "text": "x", "segments": [["x", 0, 2], ["y", 2, 3.5]], "seconds": 3},
        {"audio": "u.wav", "text": "x", "segments": [["x", 0, 3.5]], "start": 2, "end": 5},
        {"audio": "v.wav", "text": "x", "segments": [["x", 0, 3.05], ["y", 3.05, 3.09]], "seconds": 3},  # rounded
        {"audio": "w.wav", "text": "x", "task": "transcript"},
        {"audio": "x.wav", "text": "x", "task": 3, "prompt": ["x"]},
        {"audio": "y.wav", "segments": [["said here", 0, 1]], "task": "translate", "prompt": "x"},
    )
    found = problems(path, require=["text"])
    assert sorted(found, key=lambda message: int(message.split(":")[1])) == [
        "m.jsonl:1: seconds is -1.2; expected > 0",
        'm.jsonl:2: seconds is "long"; expected a number',
        "m.jsonl:3: end is 2; expected > start",
        "m.jsonl:5: not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
        "expected one object a line",
        "m.jsonl:6: seconds is nan; expected > 0",
        "m.jsonl:7: neither audio nor source; expected one of them",
        "m.jsonl:8: text is 5; expected a string",
        "m.jsonl:9: found list; expected one object a line",
        "m.jsonl:10: no text; expected one in every row",
        "m.jsonl:11: channel is -1; expected 0 (the first) or above",
        "m.jsonl:12: start is -3; expected >= 0",
        "m.jsonl:12: id 'same' stands in line 11 already; ids must be unique",
        'm.jsonl:13: group is "scottish"; expected an object of strings',
        'm.jsonl:14: words is [["x", 1]]; expected a list of [word, start, end] or {"word", "start", "end"}',
        "m.jsonl:15: words has times that are negative or run backwards; expected 0 <= start <= end",
        "m.jsonl:16: seconds is 30 but end - start is 1; expected the length of the piece, or only one of the two",
        "m.jsonl:17: channel is 0.5; expected a whole number",
        'm.jsonl:18: text is "\\ud800"; expected a string',
        'm.jsonl:19: group.accent is ["x"]; expected a string',
        'm.jsonl:20: segments is [["x", 1]]; expected a list of [text, start, end] or {"text", "start", "end"}',
        "m.jsonl:21: segments has one from 3 to 3 s; expected 0 <= start < end",
        "m.jsonl:22: segments has one that starts at 1.5 s, before the end of the last one at 2 s; "
        "expected them in order, without overlap",
        "m.jsonl:23: segments has one that starts at 1 s, before the end of the last one at 6 s; "
        "expected them in order, without overlap",
        "m.jsonl:24: segments has one that ends at 3.5 s; expected at most the 3 s of the piece",
        "m.jsonl:25: segments has one that ends at 3.5 s; expected at most the 3 s of the piece",
        'm.jsonl:28: prompt is ["x"]; expected a string',
        "m.jsonl:28: task is 3; expected a string",
    ]


def test_many_problems_of_a_kind_are_counted(tmp_path):
    rows = [{"audio": f"{i}.wav", "text": "x", "seconds": -1} for i in range(500)]
    found = problems(lines(tmp_path / "m.jsonl", {"audio": "a.wav", "text": "x", "channel": -5}, *rows))
    assert found[SHOWN - 1 : SHOWN + 2] == [
        f"m.jsonl:{SHOWN + 1}: seconds is -1; expected > 0",
        f"m.jsonl: ... and {500 - SHOWN} more of this kind",
        "m.jsonl:1: channel is -5; expected 0 (the first) or above",
    ]


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("m.jsonl", b"", "m.jsonl:1: no rows; expected at least one"),
        ("m.jsonl", b"\n\n", "m.jsonl:1: no rows; expected at least one"),
        ("m.csv", b"", "m.csv:1: no rows; expected at least one"),
        ("m.tsv", b"path\tsentence\n", "m.tsv:1: no rows; expected at least one"),
        ("m.csv", b"path,path\na,b\n", "m.csv:1: columns ['path'] occur twice; expected every name once"),
        ("m.jsonl", b'{"audio": "\xff.wav"}\n', "m.jsonl:1: invalid start byte at byte 11; expected UTF-8"),
        ("m.csv", b"path,text\na,\xe9t\xe9\n", "m.csv:2: invalid continuation byte at byte 2; expected UTF-8"),
        ("m.txt", b"x", "m.txt: unknown ending '.txt'; expected one of .jsonl, .json, .csv, .tsv, .parquet"),
        ("m.parquet", b"PAR1", "m.parquet: .*; expected Parquet"),
        ("m.jsonl", b'{"wave": "a"}\n', "m.jsonl:1: neither audio nor source here nor in any row; expected audio or "),
    ],
)
def test_files_that_are_no_manifests(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    found = problems(tmp_path / name)
    assert len(found) == 1 and re.match(expected if "*" in expected else re.escape(expected), found[0]), found


def test_a_field_that_no_row_has_is_one_problem(tmp_path):
    (found,) = problems(lines(tmp_path / "m.jsonl", {"audio": "a.wav"}, {"audio": "b.wav"}), require=["audio", "text"])
    assert found == (
        "m.jsonl:1: no text here nor in any row; "
        "expected text or sentence or transcript or transcription or normalized_text or target or target_text"
        " or tgt or tgt_text or trg or translation"
    )


def test_a_missing_file_or_dataset(tmp_path, monkeypatch):
    assert problems(tmp_path / "none.jsonl") == ["none.jsonl: no such file; expected a manifest"]
    assert problems(tmp_path / "none") == ["none: no such file or folder; expected a manifest"]
    assert problems(tmp_path)[0].endswith("expected a manifest, or a folder that Dataset.save_to_disk wrote")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ManifestError, match="nobody/nothing:dev: no such file, and no dataset that can be loaded"):
        read_manifest("nobody/nothing:dev")


def test_require_names_the_rows(tmp_path):
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *ROWS, {"id": "d", "audio": "d.wav"}))
    with pytest.raises(ManifestError, match=r"^\S+m.jsonl:4: no text; expected one in every row$"):
        manifest.require_text()
    with pytest.raises(ManifestError, match=r"^\S+m.jsonl:3: no audio; expected one in every row$"):
        manifest.require_audio()
    with pytest.raises(ManifestError, match="m.jsonl:4: no text"):
        list(manifest.texts())
    chosen = manifest.select([1, 0])
    chosen.require("text", "audio", "id")
    with pytest.raises(ManifestError, match=r"m.jsonl:2: no seconds|m.jsonl:1: no start"):
        chosen.require("start")


def test_select_keeps_order_places_and_lengths(tmp_path):
    rows = [{"id": str(i), "audio": f"{i}.wav", "text": f"t{i}", "seconds": i + 1} for i in range(50)]
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *rows))
    order = np.random.default_rng(0).permutation(50)
    shuffled = manifest.select(order)
    part = shuffled.select([3, 3, -1])
    assert [e.id for e in shuffled] == [str(i) for i in order] == [shuffled[i].id for i in range(50)]
    assert [e.id for e in part] == [str(order[i]) for i in (3, 3, -1)]
    assert list(part.texts()) == [f"t{order[i]}" for i in (3, 3, -1)]
    assert [part.where(i) for i in range(3)] == [f"{manifest.name}:{order[i] + 1}" for i in (3, 3, -1)]
    np.testing.assert_array_equal(part.seconds, order[[3, 3, -1]] + 1)
    assert len({manifest.sha256, shuffled.sha256, part.sha256}) == 3
    assert shuffled.select(np.argsort(order)).sha256 == manifest.sha256
    with pytest.raises(IndexError):
        manifest.select([50])


def test_lengths_come_from_the_headers_where_the_manifest_has_none(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(12_000), 8_000)
    rows = [
        {"audio": "a.wav", "text": ""},
        {"audio": "a.wav", "text": "", "start": 0.5},
        {"audio": "a.wav", "text": "", "start": 0.25, "end": 1},
        {"audio": "gone.wav", "text": "", "seconds": 3},
        {"audio": "gone.wav", "text": "", "end": 0.5, "id": "e"},
    ]
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *rows))
    before = manifest.sha256
    assert manifest[0].seconds is None
    np.testing.assert_array_equal(manifest.seconds, [1.5, 1.0, 0.75, 3.0, 0.5])
    assert [e.seconds for e in manifest] == [manifest[i].seconds for i in range(5)] == [1.5, 1.0, 0.75, 3.0, 0.5]
    assert [e.seconds for e in manifest.select([4, 1])] == [0.5, 1.0]
    assert manifest.sha256 == before
    with pytest.raises(ValueError):
        manifest.seconds[0] = 1

    (tmp_path / "empty.wav").touch()
    bad = lines(tmp_path / "n.jsonl", {"audio": "a.wav", "start": 9}, {"audio": "none.wav"}, {"audio": "empty.wav"})
    with pytest.raises(ManifestError) as caught:
        _ = read_manifest(bad).seconds
    for message in ("n.jsonl:1: start is 9; expected less", "n.jsonl:2: ", "n.jsonl:3: "):
        assert message in str(caught.value)


def test_segments_give_a_row_its_text(tmp_path):
    said = [["Guten ", 0, 1], ["", 1, 2], [" Morgen.", 2, 3]]
    rows = [
        {"audio": "a.wav", "segments": said},
        {"audio": "b.wav", "segments": said, "text": ""},  # a text, too
        {"audio": "c.wav", "segments": [["今日は。", 0, 1], ["いい天気", 1, 2], ["OK", 2, 3]]},
        {"audio": "d.wav", "segments": [], "text": "d"},
    ]
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *rows), require=["text"])
    assert list(manifest.texts()) == ["Guten Morgen.", "", "今日は。いい天気 OK", "d"]
    assert manifest[0].segments == (("Guten ", 0.0, 1.0), ("", 1.0, 2.0), (" Morgen.", 2.0, 3.0))
    assert problems(lines(tmp_path / "n.jsonl", *rows, {"audio": "e.wav", "segments": []}), require=["text"]) == [
        "n.jsonl:5: no text; expected one in every row"
    ]


def test_a_segment_without_text_is_named_in_columns_too(tmp_path):
    spans = [[{"text": "x", "start": 0.0, "end": 1.0}], [{"text": None, "start": 0.0, "end": 1.0}]]
    pa.parquet.write_table(pa.table({"audio": ["a", "b"], "segments": spans}), tmp_path / "m.parquet")
    assert problems(tmp_path / "m.parquet") == [
        'm.parquet:2: segments has one without a text; expected "" where none is said'
    ]


def test_a_stitched_example_is_no_row(tmp_path):
    piece = Example("a", "x", tmp_path / "a.wav")
    with pytest.raises(ManifestError, match="example both is stitched; expected its pieces, a row for each"):
        write_manifest(tmp_path / "m.jsonl", [piece, Example("both", "x x", pieces=(piece, piece))])
    assert not (tmp_path / "m.jsonl").exists()


WORD = st.tuples(st.text(max_size=3), st.floats(0, 1), st.floats(1, 2))
SEGMENTS = st.lists(st.text(min_size=1, max_size=3), max_size=3).map(
    lambda texts: tuple((text, i / 4, i / 4 + 0.2) for i, text in enumerate(texts))
)
EXAMPLE = st.builds(
    dict,
    audio=st.sampled_from(["clips/a.wav", "/abs/b.flac", "c"]),
    text=st.none() | st.text(max_size=6) | st.sampled_from(["2020-01-01", "2020-01-01 10:00:00", "1", "null"]),
    source=st.none() | st.text(max_size=4),
    span=st.none() | st.tuples(st.floats(0, 5), st.floats(6, 9)),
    channel=st.none() | st.integers(0, 3),
    words=st.lists(WORD, max_size=2),
    group=st.dictionaries(st.sampled_from(["accent", "speaker", "mood"]), st.text(max_size=3)),
    lang=st.none() | st.just("hi"),
    segments=SEGMENTS,
    prompt=st.none() | st.text(max_size=4),
    task=st.none() | st.sampled_from(["transcribe", "translate"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(drawn=st.lists(EXAMPLE, min_size=1, max_size=5))
def test_written_manifests_read_back_the_same_on_both_paths_and_in_parquet(tmp_path, drawn):
    examples = []
    for i, values in enumerate(drawn):
        start, end = values.pop("span") or (None, None)
        seconds = None if start is None else end - start
        audio = tmp_path / values.pop("audio")
        words = tuple(values.pop("words"))
        examples.append(Example(id=f"u{i}", audio=audio, start=start, end=end, seconds=seconds, words=words, **values))
    write_manifest(tmp_path / "m.jsonl", examples)
    manifest = read_manifest(tmp_path / "m.jsonl")
    read = [replace(example, audio=Path(os.path.normpath(example.audio))) for example in manifest]
    assert read == [
        replace(example, text=join(text for text, *_ in example.segments))
        if example.text is None and example.segments
        else example
        for example in examples
    ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_module, "cast", refuse)
        row_by_row = read_manifest(tmp_path / "m.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_bytes().splitlines()]
    columns = {key: [row.get(key) for row in rows] for row in rows for key in row}
    pa.parquet.write_table(pa.table(columns), tmp_path / "m.parquet")
    parquet = read_manifest(tmp_path / "m.parquet")
    assert list(row_by_row) == list(parquet) == list(manifest)
    assert row_by_row.sha256 == parquet.sha256 == manifest.sha256


def test_write_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep/m.jsonl"
    write_manifest(path, [Example("a", "x", tmp_path / "clips/a.wav"), Example("b", "x", source="y")])
    assert json.loads(path.read_text().splitlines()[0])["audio"] == "../clips/a.wav"

    def broken():
        yield Example("c", "x", source="y")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_manifest(path, broken())
    assert [example.id for example in read_manifest(path)] == ["a", "b"]


def test_types_that_arrow_guesses_do_not_change_a_text(tmp_path):
    row = {"source": "2020-01-01 10:00:00", "text": "2020-01-01T10:00:00"}
    one, two = read_manifest(lines(tmp_path / "m.jsonl", row | {"id": 1, "age": 7}, row | {"id": 2, "age": "x"}))
    assert (one.id, one.source, one.text) == ("1", "2020-01-01 10:00:00", "2020-01-01T10:00:00")
    assert (one.group, two.group) == ({"age": "7"}, {"age": "x"})


def test_words_as_lists_and_a_column_called_line(tmp_path):
    row = {"audio": "a.wav", "line": 9, "words": [["x", 0, 0.5], {"word": "y", "start": 0.5, "end": 1}]}
    manifest = read_manifest(lines(tmp_path / "m.jsonl", "", row))
    assert manifest[0].words == (("x", 0.0, 0.5), ("y", 0.5, 1.0))
    assert manifest.where(0).endswith("m.jsonl:2")


def test_the_hash_is_of_the_content(tmp_path):
    first = read_manifest(lines(tmp_path / "m.jsonl", *ROWS)).sha256
    (tmp_path / "other").mkdir()
    reordered = [dict(reversed(row.items())) for row in ROWS]
    assert read_manifest(lines(tmp_path / "other/n.jsonl", "", *reordered)).sha256 == first
    code = f"from speechxfer.manifest import read_manifest; print(read_manifest({str(tmp_path / 'm.jsonl')!r}).sha256)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == first
    changes = [(0, "text", "hellp"), (0, "seconds", 1.6), (2, "group", {"speaker": "f04"}), (1, "channel", 0)]
    for i, key, value in changes:
        rows = [row | {key: value} if j == i else row for j, row in enumerate(ROWS)]
        assert read_manifest(lines(tmp_path / "m.jsonl", *rows)).sha256 != first
    # what one row loses the next must not win: "ab" + "c" is not "a" + "bc"
    for i, sources in enumerate([("ab", "c"), ("a", "bc")]):
        lines(tmp_path / f"{i}.jsonl", *({"source": source, "text": "t"} for source in sources))
    assert read_manifest(tmp_path / "0.jsonl").sha256 != read_manifest(tmp_path / "1.jsonl").sha256


@pytest.mark.parametrize("form, blank", [("jsonl", "\n"), ("jsonl", " \r\n"), ("tsv", "\n")])
def test_places_count_blank_lines(tmp_path, form, blank):
    rows = [f'{{"audio": "{i}.wav"}}\n' if form == "jsonl" else f"{i}.wav\tx\n" for i in range(3)]
    header = "" if form == "jsonl" else "path\ttext\n"
    path = tmp_path / f"m.{form}"
    path.write_text(header + rows[0] + blank + rows[1] + blank + blank + rows[2])
    manifest, first = read_manifest(path), 1 + bool(header)
    assert [manifest.where(i) for i in range(3)] == [f"{path}:{first + offset}" for offset in (0, 2, 5)]


def test_a_manifest_crosses_to_worker_processes(tmp_path):
    manifest = read_manifest(lines(tmp_path / "m.jsonl", *ROWS)).select([2, 0])
    assert list(pickle.loads(pickle.dumps(manifest))) == list(manifest)


def test_datasets_as_objects_and_folders(tmp_path):
    columns = {
        "audio": pa.array([{"bytes": None, "path": f"/x/{name}.wav"} for name in "abc"]),
        "sentence": pa.array(["a", "b", "c"], pa.large_string()),
        "gender": pa.array([1, 0, 1]),
        "id": pa.array([1, 2, 3]),
    }
    dataset = datasets.Dataset(pa.table(columns)).cast_column("audio", datasets.Audio(sampling_rate=16_000))
    dataset = dataset.cast_column("gender", datasets.ClassLabel(names=["female", "male"])).select([2, 0])
    expected = [
        Example("3", "c", Path("/x/c.wav"), group={"gender": "male"}),
        Example("1", "a", Path("/x/a.wav"), group={"gender": "male"}),
    ]
    manifest = read_manifest(dataset)
    assert list(manifest) == expected
    assert manifest.where(1) == "dataset:2"
    with pytest.raises(ManifestError, match="found IterableDataset; expected a path or a datasets.Dataset"):
        read_manifest(dataset.to_iterable_dataset())
    with pytest.raises(ManifestError, match="found DatasetDict; expected"):
        read_manifest(datasets.DatasetDict(dev=dataset))

    pairs = datasets.Dataset(pa.table({"src": ["q", "r"], "target": ["s", "t"]}))
    pairs.save_to_disk(tmp_path / "one")
    assert list(read_manifest(tmp_path / "one")) == [Example("1", "s", source="q"), Example("2", "t", source="r")]
    datasets.DatasetDict(dev=pairs, test=pairs.select([1])).save_to_disk(tmp_path / "two")
    assert list(read_manifest(f"{tmp_path}/two:test")) == [Example("1", "t", source="r")]
    assert problems(f"{tmp_path}/two") == ["two: several splits; expected one of two:dev, two:test"]
    assert problems(f"{tmp_path}/two:tset") == ["two:tset: no split 'tset'; expected one of two:dev, two:test"]


def test_audio_held_as_bytes_is_refused_and_can_be_unpacked(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(800), 8_000)
    content = (tmp_path / "a.flac").read_bytes()
    audio = pa.array([{"bytes": content, "path": "x.flac"}, {"bytes": None, "path": str(tmp_path / "a.flac")}])
    table = pa.table({"audio": audio, "text": ["x", "y"]})
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    dataset = datasets.Dataset(table).cast_column("audio", datasets.Audio())
    dataset.save_to_disk(tmp_path / "saved")  # puts the second file's bytes in as well
    sources = [(tmp_path / "m.parquet", "../a.flac"), (dataset, "../a.flac"), (tmp_path / "saved", "00000001.flac")]
    for i, (source, second) in enumerate(sources):
        with pytest.raises(ManifestError, match="column audio holds the audio itself.*\n.*unpack_audio"):
            read_manifest(source)
        folder = tmp_path / str(i)
        manifest = unpack_audio(source, folder)
        assert [example.audio for example in manifest] == [folder / "00000000.flac", folder / second]
        assert [example.text for example in manifest] == ["x", "y"]
        assert {example.audio.read_bytes() for example in manifest} == {content}
        np.testing.assert_allclose(manifest.seconds, 0.1)


def test_importing_and_reading_loads_no_torch_and_no_cache(tmp_path):
    path = lines(tmp_path / "m.jsonl", *ROWS)
    code = f"""
import sys, speechxfer.manifest
print(sorted({{"torch", "datasets", "pandas"}} & set(sys.modules)))
m = speechxfer.manifest.read_manifest({str(path)!r})
m.sha256, list(m), m.select([0])[0]
print("torch" in sys.modules, "datasets" in sys.modules)
"""
    env = {"HF_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.splitlines() == ["[]", "False True"], done.stderr
    assert not (tmp_path / "home").exists()


def test_no_row_becomes_a_python_object_while_reading(tmp_path, monkeypatch):
    rows = (json.dumps({"audio": f"{i}.wav", "text": f"t{i}", "duration": 2, "speaker": i % 7}) for i in range(30_000))
    path = lines(tmp_path / "m.jsonl", *rows)

    def slow(*arguments):
        raise AssertionError("read row by row")

    monkeypatch.setattr(manifest_module, "convert_rows", slow)
    manifest = read_manifest(path)
    assert len(manifest) == 30_000 and manifest[29_999].group == {"speaker": str(29_999 % 7)}
    table = "\n".join(["path\tsentence\tduration", *(f"{i}.mp3\tt{i}\t1.5" for i in range(30_000))])
    (tmp_path / "m.tsv").write_text(table)
    assert read_manifest(tmp_path / "m.tsv").seconds.sum() == 45_000
