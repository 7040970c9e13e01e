import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import ScoreError
from speechxfer.manifest import Example, write_manifest
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.scoring.transcripts import pair

lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)


@pytest.fixture
def files(tmp_path):
    """Writes files by name and gives their paths."""

    def write(**contents: str | bytes) -> list[Path]:
        paths = []
        for name, content in contents.items():
            paths.append(tmp_path / name.replace("__", "."))
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return paths

    return write


def problems(refs, hyp) -> list[str]:
    with pytest.raises(ScoreError) as error:
        list(pair(refs, hyp))
    return str(error.value).splitlines()


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(lines, lines), min_size=1), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_plain_files_are_paired_line_by_line(tmp_path_factory, pairs, end, last):
    folder = tmp_path_factory.getbasetemp()
    for name, column in zip(("r.txt", "h.txt"), zip(*pairs, strict=True), strict=True):
        closing = end if last or not column[-1] else ""  # without it an empty last line would be no line
        (folder / name).write_bytes(("\ufeff" + end.join(column) + closing).encode())
    found = list(pair([folder / "r.txt"], folder / "h.txt"))
    assert found == [Prediction(f"{i:06d}", ref, hyp) for i, (ref, hyp) in enumerate(pairs, 1)]


def test_sources_come_line_by_line_beside_several_references(files):
    one, two, hyp, source = files(one__txt="a\n\n", two__txt="b\nc\n", hyp__txt="x\ny\n", src__txt="s\n\n")
    first, second = pair([one, two], hyp, source)
    assert (first.ref, first.alternatives, first.hyp, first.source) == ("a", ("b",), "x", "s")
    assert (second.ref, second.hyp, second.source) == ("c", "y", "")
    (short,) = files(short__txt="s\n")
    with pytest.raises(ScoreError, match="short.txt has 1 lines"):
        list(pair([one], hyp, short))
    table, rows = files(r__jsonl='{"id": "a", "text": "x"}\n', h__jsonl='{"id": "a", "text": "x"}\n')
    with pytest.raises(ScoreError, match="short.txt is plain text|sources in a file of their own are for plain text"):
        list(pair([table], rows, short))


def test_of_several_references_the_empty_ones_are_none(files):
    *refs, hyp = files(a__txt="x\n\n\n", b__txt="y\n\nz\n", c__ref="y\n\n\n", hyp__out="h\nh\nh\n")
    found = [(row.ref, row.alternatives) for row in pair(refs, hyp)]
    assert found == [("x", ("y",)), ("", ()), ("z", ())]


def test_files_of_different_length_are_an_error_with_both_counts(files):
    ref, hyp, blank = files(r__txt="a\nb\nc\nd\n", h__txt="a\nb", blank__txt="a\nb\nc\nd\n\n")
    assert problems([ref], hyp) == [
        f"{ref} has 4 lines and {hyp} has 2 lines; the first line that is missing is {hyp}:3"
    ]
    assert problems([ref], blank) == [
        f"{ref} has 4 lines and {blank} has 5 lines (the last line of {blank} is blank); "
        f"the first line that is missing is {ref}:5"
    ]
    assert problems([ref, hyp], ref)[0].endswith(f"the first line that is missing is {hyp}:3")


def test_nothing_is_yielded_after_the_first_problem_and_all_are_told(files):
    ref, hyp = files(r__txt=b"a\n\xff\nc\n", h__txt=b"a\nb\n\xfe\xfe\nd\n")
    rows = pair([ref], hyp)
    assert next(rows).id == "000001"
    with pytest.raises(ScoreError) as error:
        next(rows)
    first, second, third = str(error.value).splitlines()
    assert first.startswith(f"{ref}:2: not UTF-8") and second.startswith(f"{hyp}:3: not UTF-8")
    assert "has 3 lines and" in third


def test_empty_and_missing_files_are_errors(files):
    ref, hyp = files(r__txt="", h__txt="")
    assert problems([ref], hyp) == [f"{ref} and {hyp} are empty; expected one text a line"]
    assert problems([ref / "no"], hyp)[0].endswith("no such file; expected references or hypotheses")
    assert problems([], hyp)[0].endswith("no file of references to score it against")


def test_plain_files_stream(files):
    ref, hyp = files(r__txt=("a " * 500 + "\n") * 2000, h__txt=("b " * 500 + "\n") * 2000)  # 2 MB each
    tracemalloc.start()
    assert sum(1 for _ in pair([ref], hyp)) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e5


def test_ids_at_the_start_or_end_of_plain_lines_are_not_scored_as_words(files):
    ref, hyp = files(r__txt="u-1 a\nu-2 b\nu-3 c\n", h__txt="u-1 a\nu-2 b\nu-3 x\n")
    first, second = problems([ref], hyp)
    assert first.startswith(f"{ref}: every line begins with an id of its own, such as 'u-1'") and ".kaldi" in first
    assert second.startswith(f"{hyp}: every line begins")
    ref, hyp = files(r__txt="a (u_1)\nb (u_2)\nc (u_3)\n", h__txt="a\nb\nc\n")
    assert [".trn" in line for line in problems([ref], hyp)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "17 men\n18 women\n19 dogs\n",
        "a\nb\nc\n",
        "u1 a\nu1 b\nu1 c\n",
        "u1 a\nu2 b\n",
        "a (b1 c)\nb (b2 c)\nc (b3 c)\n",
    ],
)
def test_ordinary_lines_are_not_taken_for_ids(files, text):
    ref, hyp = files(r__txt=text, h__txt=text)
    assert [row.ref for row in pair([ref], hyp)] == text.splitlines()


TRN = ";; made by hand\nपानी दो (u1)\n(u2)\nc  d (e) (u3) \n"
KALDI = "u3 c\td (e)\nu1 पानी  दो\n\nu2\n"


def test_nist_and_kaldi_files_are_joined_by_id(files):
    ref, hyp = files(r__trn=TRN, text=KALDI)
    found = [(row.id, row.ref, row.hyp) for row in pair([ref], hyp)]
    assert found == [("u3", "c  d (e)", "c\td (e)"), ("u1", "पानी दो", "पानी  दो"), ("u2", "", "")]
    ref, hyp = files(r__kaldi=KALDI, h__trn=TRN)
    assert [(row.id, row.hyp) for row in pair([ref], hyp)] == [("u1", "पानी दो"), ("u2", ""), ("u3", "c  d (e)")]


def test_a_line_of_trn_without_an_id_or_with_a_choice_of_words_is_named(files):
    ref, hyp = files(r__trn="a (u1)\nb\nc ()\n{ a / b } c (u2)\n", h__trn="a (u1)\n")
    first, second, third = problems([ref], hyp)
    assert first == f"{ref}:2: ends in 'b'; expected `text (utt-id)`" and second.startswith(f"{ref}:3: ")
    assert third.startswith(f"{ref}:4: {{ a / b }} is not read")


def test_a_manifest_is_joined_with_hypotheses_and_its_groups_come_along(tmp_path, files):
    examples = [
        Example(
            "u1", "a", audio=tmp_path / "1.wav", group={"accent": "scottish", "speaker": "1"}, seconds=1.5, lang="en"
        ),
        Example("u2", "b", audio=tmp_path / "2.wav", seconds=2.0, lang="en"),
    ]
    write_manifest(tmp_path / "m.jsonl", examples)
    expected = [
        Prediction("u2", "b", "y", {"lang": "en"}, 2.0, scores={"comet": 0.25}),
        Prediction("u1", "a", "x", {"accent": "scottish", "speaker": "1", "lang": "en"}, 1.5, scores={"comet": 0.5}),
    ]
    [hyp] = files(h__csv="id,text,comet,accent\nu2,y,0.25,\nu1,x,0.5,welsh\n")
    assert list(pair([tmp_path / "m.jsonl"], hyp)) == expected
    [hyp] = files(
        h__jsonl='{"id": "u2", "pred_text": "y", "comet": 0.25}\n{"id": "u1", "pred_text": "x", "comet": 0.5}\n'
    )
    assert list(pair([tmp_path / "m.jsonl"], hyp)) == expected
    write_predictions(
        tmp_path / "p.jsonl", [Prediction("u2", "old", "y", confidence=0.5), Prediction("u1", "old", "x")]
    )
    found = list(pair([tmp_path / "m.jsonl"], tmp_path / "p.jsonl"))
    assert [(row.id, row.ref, row.hyp, row.confidence) for row in found] == [
        ("u2", "b", "y", 0.5),
        ("u1", "a", "x", None),
    ]


def test_rows_of_one_audio_file_are_joined_by_file_and_start(files):
    rows = [{"audio_filepath": "a.wav", "offset": start, "duration": 1.0, "text": f"t{start}"} for start in (0.0, 1.5)]
    ref, hyp = files(r__json="\n".join(map(json.dumps, rows)), h__csv="audio,start,hyp\na.wav,1.50,x\na.wav,0,y\n")
    found = [(row.id, row.ref, row.hyp) for row in pair([ref], hyp)]
    assert found == [("a@1.5", "t1.5", "x"), ("a@0", "t0.0", "y")]


def test_further_references_with_ids_are_alternatives(files):
    *refs, hyp = files(r__csv="id,ref,ref2\n1,a,b\n2,c,\n", s__trn="x (2)\ny (1)\n", h__kaldi="1 h\n2 h\n")
    assert [(row.ref, row.alternatives) for row in pair(refs, hyp)] == [("a", ("b", "y")), ("c", ("x",))]


def test_ids_that_are_missing_extra_or_twice_are_named(files):
    ref, hyp = files(r__csv="id,ref\n" + "".join(f"r{i},a\n" for i in range(8)), h__csv="id,hyp\nr7,a\nx,a\nr6,a\n")
    assert problems([ref], hyp) == [
        f"{hyp}: 6 ids of {ref} missing: 'r0', 'r1', 'r2', 'r3', 'r4' and 1 more",
        f"{hyp}: 1 id that {ref} does not have: 'x'",
    ]
    rows = pair([ref], hyp)
    assert next(rows).id == "r7"
    with pytest.raises(ScoreError):
        next(rows)  # and not r6
    other, twice = files(s__trn="a (r0)\na (s)\n", t__kaldi="r1 a\nr1 b\n")
    assert problems([ref, other], hyp) == [
        f"{other}: 7 ids of {ref} missing: 'r1', 'r2', 'r3', 'r4', 'r5' and 2 more",
        f"{other}: 1 id that {ref} does not have: 's'",
    ]
    assert problems([ref], twice) == [f"{twice}:2: id 'r1' is that of line 1; ids must be unique"]
    assert problems([twice], hyp) == [f"{twice}:2: id 'r1' is that of line 1; ids must be unique"]


def test_plain_text_is_not_mixed_with_ids(files):
    ref, hyp = files(r__txt="a\n", h__csv="id,hyp\n1,a\n")
    assert problems([ref], hyp)[0].startswith(f"{ref} is plain text and {hyp} has ids; expected the same of all")
