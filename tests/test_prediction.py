import csv
import dataclasses
import json
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.columns import ids
from speechxfer.errors import ScoreError
from speechxfer.prediction import Prediction, iterate, read_predictions, write_predictions
from speechxfer.scoring import prediction_table
from speechxfer.scoring.items import extract

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # line separators and controls included
seconds = st.floats(0, 1e5)
rows = st.builds(
    Prediction,
    id=texts,
    ref=texts,
    hyp=texts,
    group=st.dictionaries(texts, texts, max_size=3),
    seconds=st.none() | seconds,
    confidence=st.none() | st.floats(0, 1),
    words=st.lists(st.tuples(texts, seconds, seconds), max_size=3).map(tuple),
    alternatives=st.lists(texts, max_size=2).map(tuple),
    scores=st.dictionaries(texts, st.floats(-1e3, 1e3), max_size=2),
    source=st.none() | texts,
    n_best=st.lists(st.tuples(texts, st.floats(-1e3, 0)), max_size=3).map(tuple),
    segments=st.lists(st.tuples(texts, seconds, seconds), max_size=3).map(tuple),
)


@given(row=rows)
def test_a_prediction_is_one_line_and_comes_back_as_it_was(row):
    line = row.to_json()
    assert "\n" not in line and "\r" not in line
    assert Prediction.from_json(line) == row


def test_what_is_absent_is_not_written_and_empty_texts_are():
    assert json.loads(Prediction("u", "", "").to_json()) == {"id": "u", "ref": "", "hyp": ""}
    assert json.loads(Prediction("u", "a", "a", seconds=0.0).to_json())["seconds"] == 0.0


def test_a_file_comes_back_as_it_was(tmp_path):
    written = [Prediction("u\u2028 1", "क्षमा\r\nb", ""), Prediction("u2", "", "x", {"accent": "scottish"}, 1.5, 0.9)]
    path = tmp_path / "new" / "predictions.jsonl"
    write_predictions(path, iter(written))
    assert read_predictions(path) == written == list(iterate(path)) == list(iterate(written))
    assert [one.name for one in path.parent.iterdir()] == ["predictions.jsonl"]


def test_a_file_from_elsewhere_may_have_a_byte_order_mark_blank_lines_and_other_line_ends(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "1", "ref": "a", "hyp": "b"}\r\n\r\n{"id": "2", "ref": "a", "hyp": "b"}')
    assert [row.id for row in read_predictions(path)] == ["1", "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "1", "ref": "a"}', "hyp is None; expected a string"),
        (b'{"id": 1, "ref": "a", "hyp": "b"}', "id is 1; expected a string"),
        (b'{"id": "1", "ref": "a", "hyp": "b', "not JSON: Unterminated string starting at (column 32"),
        (b'["1", "a", "b"]', "expected an object, found list"),
        (b'{"id": "1", "ref": "\xff", "hyp": "b"}', "'utf-8' codec can't decode"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "text": "c"}', "unknown fields ['text']"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "group": ["scottish"]}', "group is ['scottish']"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "group": {"age": 30}}', "group is {'age': 30}"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "seconds": -1}', "seconds is -1; expected a number from 0"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "seconds": 1e999}', "seconds is inf"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "confidence": NaN}', "found NaN, which is not JSON"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "confidence": 97}', "confidence is 97; expected a number from 0 to 1"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "words": [["a", 0.1]]}', "expected a list of [word, start, end]"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "words": null}', "words is None"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "segments": [["a", 0.1]]}', "segments is [['a', 0.1]]; expected a list"),
        (
            b'{"id": "1", "ref": "a", "hyp": "b", "alternatives": "c"}',
            "alternatives is 'c'; expected a list of strings",
        ),
        (b'{"id": "1", "ref": "a", "hyp": "b", "alternatives": [null]}', "alternatives is [None]"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "scores": {"comet": "0.8"}}', "scores is {'comet': '0.8'}"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "scores": [0.8]}', "scores is [0.8]; expected names and finite"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "source": ["c"]}', "source is ['c']; expected a string"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "n_best": ["c"]}', "n_best is ['c']; expected a list of [text, score]"),
        (b'{"id": "1", "ref": "a", "hyp": "b", "n_best": [["c", "-1"]]}', "expected a list of [text, score]"),
        (b'{"id": "1", "ref": "\\ud83d", "hyp": "b"}', "expected no half of a surrogate pair"),
        (b'{"id": "0", "ref": "a", "hyp": "b"}', "id '0' is that of line 1; ids must be unique"),
    ],
)
def test_every_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b'{"id": "0", "ref": "a", "hyp": "b"}\n\n' + line + b"\nnot JSON either\n")
    with pytest.raises(ScoreError) as error:
        read_predictions(path)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{path}:3: ") and message in first
    assert second.startswith(f"{path}:4: ")


def test_a_number_that_json_lacks_is_not_written(tmp_path):
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(ValueError):
        write_predictions(path, [Prediction("u", "a", "a", confidence=float("nan"))])
    assert not path.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScoreError, match="no such file; write it with `speechxfer predict`"):
        read_predictions(tmp_path / "predictions.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hyp.txt", "the cat sat\nna na\n", "no JSON in its first line; expected .jsonl, .csv or .tsv"),
        ("semicolons.csv", "id;ref;hyp\n1;a;b\n", "found one column, 'id;ref;hyp'; expected commas"),
        ("tabs.csv", "id\tref\thyp\n1\ta\tb\n", "found one column, .*; expected commas"),
    ],
)
def test_another_kind_of_file_than_its_name_says_gets_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ScoreError, match=message) as error:
        read_predictions(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_predictions_file(tmp_path):
    with pytest.raises(ScoreError, match="is a folder; expected a file of predictions"):
        read_predictions(tmp_path)


def test_a_file_with_many_bad_lines_shows_the_first_twenty_and_counts_the_rest(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "1", "ref": "a", "hyp": "b"}\n' + "bad\n" * 23 + '{"id": "2", "ref": "a", "hyp": "b"}\n')
    rows = iterate(path)
    assert next(rows).id == "1"  # read as it goes
    with pytest.raises(ScoreError) as error:
        next(rows)  # not line 25
    lines = str(error.value).splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == [str(n) for n in range(2, 22)]
    assert lines[-1] == f"{path}: ... and 3 more"


def test_two_lines_of_every_repeated_id_are_named(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(f'{{"id": "{i % 100}", "ref": "", "hyp": ""}}\n' for i in range(125)))
    with pytest.raises(ScoreError) as error:
        list(iterate(path))
    lines = str(error.value).splitlines()
    assert lines[:2] == [
        f"{path}:101: id '0' is that of line 1; ids must be unique",
        f"{path}:102: id '1' is that of line 2; ids must be unique",
    ]
    assert len(lines) == 21 and lines[-1] == f"{path}: ... and 5 more"


def test_ids_whose_digests_agree_are_no_repeats(tmp_path, monkeypatch):
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, [Prediction(name, "a", "a") for name in "abc"])
    monkeypatch.setattr("speechxfer.prediction.hash", len, raising=False)
    assert [row.id for row in iterate(path)] == ["a", "b", "c"]
    write_predictions(path, [Prediction(name, "a", "a") for name in "abcb"])
    with pytest.raises(ScoreError, match=":4: id 'b' is that of line 2"):
        list(iterate(path))


def test_a_long_file_takes_no_more_memory_than_its_ids(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(f'{{"id": "{i}", "ref": "{"a " * 2000}", "hyp": ""}}\n' for i in range(1000)))  # 4 MB
    tracemalloc.start()
    assert sum(1 for _ in iterate(path)) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e5  # a digest for each line, and the texts of one


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "id,ref,hyp\n"])
def test_an_empty_file_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    told = {"a.jsonl": "not JSON", "a.csv": "found no rows", "a.tsv": "found one column, .*expected tabs"}
    with pytest.raises(ScoreError, match=told[name] if "ref" in content else "found no rows"):
        list(iterate(path))


TABLE = """utt_id;Reference;pred_text;duration;confidence;speaker_id;accents;comet;topic;level;empty;src
u1;नमस्ते दुनिया;नमस्ते;1.5;0.9;007;scottish;0.83;travel;1;;x
u2;;你好 🙂;2;;008;;-1e-2;sport;A2;;y
"""
EXPECTED = [
    Prediction(
        "u1",
        "नमस्ते दुनिया",
        "नमस्ते",
        {"speaker": "007", "accent": "scottish", "topic": "travel", "level": "1"},
        1.5,
        0.9,
        scores={"comet": 0.83},
        source="x",
    ),
    Prediction(
        "u2",
        "",
        "你好 🙂",
        {"speaker": "008", "topic": "sport", "level": "A2"},
        2.0,
        scores={"comet": -0.01},
        source="y",
    ),
]


def test_a_table_of_another_tool_is_understood_in_every_format(tmp_path, capfd):
    prediction_table._say.cache_clear()
    (tmp_path / "a.csv").write_text("\ufeff" + TABLE.replace(";", ","), "utf-8")
    (tmp_path / "a.tsv").write_text(TABLE.replace(";", "\t").replace("\n", "\r\n"), "utf-8")
    header, *lines = (line.split(";") for line in TABLE.splitlines())
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    for row in rows:
        row |= {key: json.loads(row[key] or "null") for key in ("duration", "confidence", "comet")}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        assert list(iterate(tmp_path / name)) == EXPECTED, name
        assert list(iterate(str(tmp_path / name))) == EXPECTED
        said = capfd.readouterr().err.splitlines()  # once
        assert said == [
            f"{tmp_path / name}: reads Reference as ref, pred_text as hyp, utt_id as id, duration as seconds, src as "
            "source, comet as a score, speaker_id as the group speaker, accents as the group accent, topic as the "
            "group topic, level as the group level"
        ]


def test_labels_that_are_numbers_stay_labels_where_they_name_people_and_the_like(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ref,hyp,speaker,age,document_id,my_id,lang,recording,comet\na,b,1,30,2,3,4,5,6\n")
    [row] = iterate(path)
    assert row.group == {"speaker": "1", "age": "30", "document": "2", "my_id": "3", "lang": "4", "recording": "5"}
    assert row.scores == {"comet": 6.0}


def test_several_columns_of_references_are_alternatives_and_an_empty_cell_is_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("hyp,ref_2,ref1,ref10\nh,b,a,c\nh,,a,c\nh,b,,\nh,,,\nh,a,a,\n")
    found = [(row.id, row.ref, row.alternatives) for row in iterate(path)]
    assert found == [
        ("000001", "a", ("b", "c")),
        ("000002", "a", ("c",)),
        ("000003", "b", ()),
        ("000004", "", ()),
        ("000005", "a", ()),
    ]
    path.write_text("hyp,text,reference_2\nh,a,b\n")
    assert [(row.ref, row.alternatives) for row in iterate(path)] == [("a", ("b",))]


def test_the_sentence_that_was_translated_and_the_beam_come_along(tmp_path):
    expected = Prediction("1", "a", "b", source="c d")
    for header in ("id,ref,hyp,source,n_best", "segment_id,reference,translation,src,n_best"):
        (tmp_path / "a.csv").write_text(f"{header}\n1,a,b,c d,x\n")
        assert list(iterate(tmp_path / "a.csv")) == [expected], header
    row = {"id": "1", "target": "a", "mt": "b", "src": "c d", "n_best": [["b", -0.5], ["x", -2]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert list(iterate(tmp_path / "a.jsonl")) == [dataclasses.replace(expected, n_best=(("b", -0.5), ("x", -2.0)))]
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": "2", "src": 5}))
    with pytest.raises(ScoreError, match="a.jsonl:2: src is 5; expected a string"):
        list(iterate(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("value", [5, 0.5, True, ["c", "d"], {"corpus": 3}])
def test_a_source_that_is_no_text_is_ignored_and_said_to_be(tmp_path, capfd, value):
    prediction_table._say.cache_clear()
    row = {"utt_id": "1", "text": "a", "mt": "b", "source": value}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert list(iterate(tmp_path / "a.jsonl")) == [Prediction("1", "a", "b")]
    assert "ignores source" in capfd.readouterr().err
    with pytest.raises(ScoreError, match="1 items have no source, which 'kept' needs"):
        extract(tmp_path / "a.jsonl", ["kept"], "basic")
    (tmp_path / "a.jsonl").write_text(json.dumps(row | {"src": "c d"}))
    assert list(iterate(tmp_path / "a.jsonl")) == [Prediction("1", "a", "b", source="c d")]
    (tmp_path / "a.csv").write_text("id,ref,hyp,source\n1,a,b,5\n")
    assert list(iterate(tmp_path / "a.csv")) == [Prediction("1", "a", "b", source="5")]


def test_of_two_columns_for_the_same_thing_the_better_name_wins_and_the_other_is_no_group(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("hyp,Ref,ref,text,REFERENCE,prediction\nh,a,b,c,d,e\n")
    assert list(iterate(path)) == [Prediction("000001", "a", "h")]


def test_quotation_marks_are_csv_and_in_tsv_a_part_of_the_sentence(tmp_path):
    (tmp_path / "a.csv").write_text('ref,hyp\n"a, ""b""\nc",d\n\ne,f\n')
    (tmp_path / "a.tsv").write_text('ref\thyp\n"a\tb"\n')
    assert [(row.ref, row.hyp) for row in iterate(tmp_path / "a.csv")] == [('a, "b"\nc', "d"), ("e", "f")]
    assert [(row.ref, row.hyp) for row in iterate(tmp_path / "a.tsv")] == [('"a', 'b"')]


def test_without_an_id_a_row_is_named_by_its_audio_as_in_a_manifest(tmp_path):
    rows = [
        {"audio_filepath": "x/1.wav", "text": "a", "pred_text": "b", "offset": 0, "duration": 2.5},
        {"audio_filepath": "x/1.wav", "text": "a", "pred_text": "b", "offset": 12.5, "channel": 0},
        {"audio_filepath": "x.y/2", "text": "a", "pred_text": "b"},
        {"id": 7, "audio_filepath": "x/3.wav", "text": "a", "pred_text": "b"},
    ]
    path = tmp_path / "nemo.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import pyarrow as pa

    wanted = pa.table(
        {
            "id": pa.array([None, None, None, "7"]),
            "line": [1, 2, 3, 4],
            "audio": [row["audio_filepath"] for row in rows],
            "channel": pa.array([None, 0, None, None], pa.int32()),
            "start": pa.array([0.0, 12.5, None, None]),
        }
    )
    assert [row.id for row in iterate(path)] == ids(wanted).to_pylist()


def test_objects_of_a_manifest_or_of_our_own_come_along(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"text": "a", "hyp": "b", "group": {"age": 30, "accent": None}, "sex": "f", "scores": {"comet": 1}}
    path.write_text(json.dumps(row | {"alternatives": ["c"], "logits": [1, 2], "note": {"x": 1}, "fine": True}))
    expected = Prediction("000001", "a", "b", {"age": "30", "gender": "f", "fine": "true"}, scores={"comet": 1.0})
    assert list(iterate(path)) == [dataclasses.replace(expected, alternatives=("c",))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,foo\n1,2\n", "a.csv: no column of references in id, foo; expected ref, reference, text, "),
        ("a.csv", b"id,foo\n1,2\n", "a.csv: no column of hypotheses in id, foo; expected hyp, hypothesis, "),
        ("a.jsonl", b'{"id": "1", "text": "a"}\n', "a.jsonl: no column of hypotheses in id, text; expected hyp, "),
        ("a.csv", b"ref,hyp\na,b\na\na,b,c\n", "a.csv:3: found 1 cells; expected 2 as in the header\n"),
        ("a.csv", b"ref,hyp\na,b\na\na,b,c\n", "a.csv:4: found 3 cells; expected 2 as in the header"),
        ("a.csv", b"ref,hyp\na,b\n\xff,b\n", "a.csv:3: not UTF-8"),
        ("a.csv", "ref,hyp\na,b\n".encode("utf-16"), "a.csv:1: not UTF-8"),
        ("a.csv", b'ref,hyp\na,"b\na,b\n', "a.csv:2: unexpected end of data; is a quotation mark never closed"),
        ("a.csv", b"ref,hyp,ref\na,b,c\n", "a.csv:1: columns ['ref'] occur twice"),
        ("a.csv", b"id,ref,hyp\n1,a,b\n2,a,b\n1,a,b\n", "a.csv:4: id '1' is that of line 2"),
        ("a.csv", b"ref,hyp,duration\na,b,long\n", "a.csv:2: duration is 'long'; expected a finite number"),
        ("a.csv", b"ref,hyp,seconds\na,b,-1\n", "a.csv:2: seconds is -1.0; expected a number from 0"),
        ("a.csv", b"ref,hyp,comet\na,b,1\na,b,nan\n", "a.csv:3: comet is 'nan'; expected a finite number"),
        ("a.jsonl", b'{"text": "a", "pred": "b"}\n{"text": null, "pred": "b"}\n', "a.jsonl:2: text is None"),
        ("a.jsonl", b'{"text": "a", "pred": "b"}\n{"text": "a", "pred": 5}\n', "a.jsonl:2: pred is 5; expected a str"),
        ("a.jsonl", b'{"text": "a", "pred": "b"}\nbad\n', "a.jsonl:2: not JSON"),
    ],
)
def test_a_table_that_makes_no_sense_is_one_clear_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScoreError) as error:
        list(iterate(tmp_path / name))
    assert f"{tmp_path}/{message}" in str(error.value)


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_what_csv_can_hold_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / f"{random.random()}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("ref", "hyp"), *rows])
    found = [(row.ref, row.hyp) for row in iterate(path)]
    path.unlink()
    assert found == rows
