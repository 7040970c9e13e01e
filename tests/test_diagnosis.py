import random
import time
from collections import Counter

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ScoreError
from speechxfer.scoring.diagnosis import (
    Diagnosis,
    Outputs,
    diagnose,
    diagnosis_path,
    kinds,
    loops,
    read_diagnosis,
    table,
    words,
    write_diagnosis,
)

EMPTY = dict.fromkeys(("empty", "invented", "looping", "runaway"), Outputs(0, ()))


def kinds_of(ref: str, hyp: str) -> list[str]:
    return kinds(words(ref), words(hyp))


def test_confusions_are_counted_and_the_most_frequent_come_first():
    pairs = [
        ("1", "the cat sat", "a cat sat"),
        ("2", "the dog", "a dog"),
        ("3", "the end", "an end"),
        ("4", "of it all", "it all then"),
        ("5", "same", "same"),
    ]
    assert diagnose(iter(pairs)) == Diagnosis(
        5, (("the", "a", 2), ("the", "an", 1)), (("of", 1),), (("then", 1),), EMPTY
    )


@given(st.lists(st.tuples(*[st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(" ".join)] * 2), min_size=1))
def test_errors_are_those_of_jiwer(pairs):
    found = diagnose((str(i), ref, hyp) for i, (ref, hyp) in enumerate(pairs))
    oracle = jiwer.process_words(*map(list, zip(*pairs, strict=True)))
    substituted, deleted, inserted = Counter(), Counter(), Counter()
    for ref, hyp, chunks in zip(oracle.references, oracle.hypotheses, oracle.alignments, strict=True):
        for chunk in chunks:
            refs = ref[chunk.ref_start_idx : chunk.ref_end_idx]
            hyps = hyp[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "substitute":
                substituted.update(zip(refs, hyps, strict=True))
            deleted.update(refs * (chunk.type == "delete"))
            inserted.update(hyps * (chunk.type == "insert"))
    assert {(ref, hyp): times for ref, hyp, times in found.substitutions} == substituted
    assert dict(found.deletions) == deleted and dict(found.insertions) == inserted


def test_twenty_confusions_are_kept_in_an_order_that_does_not_hang_on_that_of_the_items():
    pairs = [(str(i), f"r{i:02d}", f"h{i:02d}") for i in range(30)]
    found = diagnose(pairs)
    assert found.substitutions == tuple((f"r{i:02d}", f"h{i:02d}", 1) for i in range(20))
    assert diagnose(reversed(pairs)).substitutions == found.substitutions


def test_in_scripts_without_spaces_a_word_is_a_character_with_its_marks():
    assert words("今天 天气ok吧") == ["今", "天", "天", "气", "ok", "吧"]
    assert words("ที่นี่") == ["ที่", "นี่"]
    assert words("क्षमा करें") == ["क्षमा", "करें"]
    assert words("안녕 세상") == ["안녕", "세상"]
    found = diagnose([("1", "今天天气好", "今天天汽好")])
    assert found.substitutions == (("气", "汽", 1),) and not found.deletions + found.insertions


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [
        ("", "", []),
        ("a b", "a b", []),
        ("a b", "", ["empty"]),
        ("", "thank you", ["invented"]),
        ("", "thank you " * 5, ["invented", "looping"]),
        ("no no", "no no no no no no", ["looping"]),
        ("u v w x y z m n o p q r s", "u v w x y z m n o p q r" + " a b c" * 4, ["looping"]),
        ("good morning", "thank you " * 4, ["looping"]),
        ("good morning", "thank you " * 30 + "thank", ["looping", "runaway"]),
        ("it was good to see you all", "it was good " + "to see you " * 5, ["looping"]),
        ("one two three", "thank you for watching and please do not forget to subscribe " * 4, ["looping", "runaway"]),
        ("今天天气", "谢谢观看" * 5, ["looping", "runaway"]),
        ("今天天气", "请不吝点赞订阅转发打赏支持明镜与点点栏目" * 4, ["looping", "runaway"]),
        ("สวัสดีครับ", "ครับ" * 8, ["looping", "runaway"]),
        ("नमस्ते", "जी " * 12, ["looping", "runaway"]),
        ("a", " ".join("abcdefghijk"), ["runaway"]),
        ("one two three four five", " ".join(map(str, range(15))), ["runaway"]),
        # no alarm
        ("no no no no", "no no no no", []),
        ("no no no no no no no no", "know know know know know know know know", []),
        ("no no no", "no no no no no no", []),  # more often than said, but hardly a loop
        ("no", "no no no no", []),  # a stutter
        ("well i think so", "well i i i i think so", []),
        ("ha ha ha ha ha ha ha ha ha", "hah ha hah ha hah ha hah ha", []),
        ("five nine five five", "five five five five", []),
        ("对对对", "对对对对对对", []),
        ("row row row your boat gently", "row row row row your boat", []),
        ("a b c d e f g h i j k l m n", "x x x x x x b c d e f g h i j k l m n", []),  # not most of it
        ("hahahahahaha", "hahahahahahahahaha", []),
        ("1999", "nineteen ninety nine", []),
        ("one two three four five six", " ".join(map(str, range(17))), []),  # not three times as long
        ("a b c", " ".join("abcdefghijkl"), []),  # not ten words more
    ],
)
def test_outputs_are_told_by_kind(ref, hyp, expected):
    assert kinds_of(ref, hyp) == expected


@given(
    cycle=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=24),
    times=st.integers(4, 8),
    before=st.lists(st.sampled_from("uvwxyz"), max_size=3),
)
def test_every_long_enough_cycle_is_a_loop_unless_the_reference_has_it_too(cycle, times, before):
    hyp = before + cycle * times
    if len(cycle) * times >= 6:
        assert loops(["other"], hyp)
    assert not loops(hyp, hyp)
    assert not loops(hyp, [word.upper() for word in hyp])


letters = st.lists(st.sampled_from("abc"), max_size=5)
repeating = st.builds(
    lambda before, cycle, times, after: before + cycle * times + after, letters, letters, st.integers(1, 7), letters
)


@given(ref=repeating | letters, hyp=repeating)
def test_the_quick_way_out_changes_nothing(ref, hyp):
    assert loops(ref, hyp) == loops_as_documented(ref, hyp)


def loops_as_documented(ref: list[str], hyp: list[str]) -> bool:
    def longest(words: list[str], period: int) -> int:
        spans = [(i, j) for i in range(len(words)) for j in range(i + period, len(words) + 1)]
        runs = [j - i for i, j in spans if all(words[k] == words[k - period] for k in range(i + period, j))]
        return max(runs, default=len(words))

    return any(
        longest(hyp, p) >= max(4 * p, 6, len(hyp) / 2) and longest(hyp, p) >= 3 * longest(ref, p)
        for p in range(1, min(24, len(hyp)) + 1)
    )


def test_the_first_ten_ids_of_each_kind_are_kept_and_all_are_counted():
    found = diagnose((f"u{i}", "a b" if i % 2 else "", "" if i % 2 else "x") for i in range(50))
    assert found.items == 50
    assert found.outputs["empty"] == Outputs(25, tuple(f"u{i}" for i in range(1, 20, 2)))
    assert found.outputs["invented"] == Outputs(25, tuple(f"u{i}" for i in range(0, 20, 2)))
    assert found.outputs["looping"] == Outputs(0, ())


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(pairs=st.lists(st.tuples(texts, texts, texts)))
def test_a_diagnosis_comes_back_from_json_and_its_table_fits(pairs):
    found = diagnose(pairs)
    assert Diagnosis.from_json(found.to_json()) == found
    for line in table(found).splitlines():
        assert len(line) <= 80 + sum(0x300 <= ord(letter) for letter in line)  # marks and joiners take no column
        assert all(letter >= " " for letter in line)


def test_a_file_comes_back_and_lies_beside_the_scores(tmp_path):
    path = diagnosis_path(tmp_path / "new" / "test.scores.json")
    assert path == tmp_path / "new" / "test.diagnosis.json" and diagnosis_path("x.json").name == "x.diagnosis.json"
    found = diagnose([("उ1", "क्षमा करें", "क्षमा"), ("2", "a", "b"), ("3", "", "you " * 9)])
    write_diagnosis(path, found)
    assert read_diagnosis(path) == found
    assert [one.name for one in path.parent.iterdir()] == ["test.diagnosis.json"]


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff", b'{"items": 1, "substitutions": [["a", 1]]}'])
def test_what_is_no_diagnosis_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "x.diagnosis.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScoreError, match="x.diagnosis.json: .*`speechxfer score`"):
        read_diagnosis(path)


def test_the_table_says_what_is_wrong_in_a_few_lines():
    pairs = [(f"utt-{i:03d}", "the cat", "a cat") for i in range(60)]
    pairs += [(f"loop-{i:03d}", "hello", "thank you " * 9) for i in range(30)] + [("quiet", "hello there", "")]
    assert table(diagnose(pairs)).splitlines() == [
        "substituted the -> a 60, hello -> you 30",
        "deleted     hello 1, there 1",
        "inserted    thank 270, you 240",
        "empty       1 (1.1 %): quiet",
        "looping     30 (33.0 %): loop-000, loop-001, loop-002, loop-003, loop-004, ...",
        "runaway     30 (33.0 %): loop-000, loop-001, loop-002, loop-003, loop-004, ...",
    ]
    assert table(diagnose([("1", "a", "a")])) == "no output is empty, invented, looping or runaway"
    wide = table(diagnose([("1", "a" * 100, "气" * 100)])).splitlines()[0]
    assert wide.startswith("substituted " + "a" * 50) and wide.endswith("...") and len(wide) == 78


def test_a_million_words_take_seconds():
    rng = random.Random(0)
    vocabulary = [f"w{i}" for i in range(5000)]
    refs = [[rng.choice(vocabulary) for _ in range(10)] for _ in range(5000)]
    hyps = [[rng.choice(vocabulary) if rng.random() < 0.1 else word for word in ref] for ref in refs]
    pairs = [(str(i), " ".join(ref), " ".join(hyp)) for i, (ref, hyp) in enumerate(zip(refs, hyps, strict=True))]
    began = time.process_time()
    diagnose(pairs)
    rate = len(pairs) / (time.process_time() - began)
    print(f"{rate:.0f} pairs a second")
    assert rate > 5000  # 300,000 on a machine that does nothing else
