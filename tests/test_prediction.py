import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ScoreError
from speechxfer.prediction import Prediction, iterate, read_predictions, write_predictions

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
