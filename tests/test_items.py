import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction
from speechxfer.score import summarise
from speechxfer.scoring import items as items_module
from speechxfer.scoring.comparison import compare
from speechxfer.scoring.items import expect_same, extract
from speechxfer.scoring.items_file import items_path, read_items, write_items
from speechxfer.text import normalise

ROWS = [
    Prediction("u2", "a b c", "a c", {"speaker": "s1", "accent": "x"}, seconds=1.5),
    Prediction("u1", "a", "a", {"speaker": "s2"}, seconds=0.5),
    Prediction("u3", "b b b b b b", "b", {"speaker": "s1", "accent": "y"}, seconds=12.0),
]


def test_items_stand_in_the_order_of_their_ids():
    items = extract(ROWS, ["wer"], "basic")
    assert items.ids == ("u1", "u2", "u3")
    assert items.columns["wer"].statistics.tolist() == [[0, 0, 0, 1], [0, 1, 0, 2], [0, 5, 0, 1]]
    for rows in (ROWS[::-1], ROWS[1:] + ROWS[:1]):
        other = extract(rows, ["wer"], "basic")
        assert other.columns["wer"].signature(np.arange(3)) == items.columns["wer"].signature(np.arange(3))
        assert summarise(other) == summarise(items)


def test_groups_add_up_and_bands_join_them():
    items = extract(ROWS, ["wer"], "basic")
    assert items.groups["accent"].values == ("(none)", "x", "y")
    assert items.groups["length"].values == ("1-4 words", "5-9 words")
    assert items.groups["duration"].values == ("0-1 s", "1-3 s", "10-15 s")
    for key, labels in items.groups.items():
        found = [index for value in labels.values for index in items.members(f"{key}={value}")]
        assert sorted(found) == [0, 1, 2]
    assert items.members("accent=x").tolist() == [1]
    with pytest.raises(ScoreError, match="no group 'accent=z'; did you mean 'accent=y'"):
        items.members("accent=z")


def test_a_key_that_begins_late_or_ends_early_leaves_the_others_ungrouped(monkeypatch):
    monkeypatch.setattr(items_module, "CHUNK", 2)
    keys = [{}, {}, {"late": "1"}, {"early": "2"}, {"late": "3"}, {}, {}]
    items = extract([Prediction(f"{i}", "a", "a", group) for i, group in enumerate(keys)], ["wer"], "basic")
    for key in ("late", "early"):
        labels = items.groups[key]
        assert [labels.values[code] for code in labels.codes] == [group.get(key, "(none)") for group in keys]


def test_a_group_of_the_data_goes_before_a_band_of_the_same_name():
    rows = [replace(row, group={"length": "mine"}) for row in ROWS]
    assert extract(rows, ["wer"], "basic").groups["length"].values == ("mine",)


def test_clusters_are_speakers_then_recordings_then_utterances():
    items = extract(ROWS, ["wer"], "basic")
    assert items.clusters(items.members(None))[0] == "speaker"
    assert items.totals("wer", *_all(items)).tolist() == [[0, 6, 0, 3], [0, 0, 0, 1]]
    assert items.clusters(items.members("speaker=s1"))[0] == "utterance"
    by_recording = extract([replace(row, group={"recording": row.id}) for row in ROWS], ["wer"], "basic")
    assert by_recording.clusters(np.arange(3))[0] == "recording"
    lacking = extract([*ROWS, Prediction("u4", "a", "a")], ["wer"], "basic")
    assert lacking.clusters(np.arange(4))[0] == "utterance"


def _all(items):
    index = items.members(None)
    return index, items.clusters(index)[1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from("pqr"), min_size=1, max_size=30), st.integers(1, 7))
def test_chunks_and_clusters_lose_nothing(speakers, chunk):
    rows = [Prediction(f"{i:02}", "a b", "a", {"speaker": name}) for i, name in enumerate(speakers)]
    old, items_module.CHUNK = items_module.CHUNK, chunk
    try:
        items = extract(rows, ["wer", "chrf"], "basic")
    finally:
        items_module.CHUNK = old
    for name in ("wer", "chrf"):
        total = items.totals(name, *_all(items)).sum(axis=0)
        assert total.tolist() == items.columns[name].statistics.sum(axis=0).tolist()
    assert items.columns["wer"].statistics.tolist() == [[0, 1, 0, 1]] * len(rows)


def test_translation_is_scored_as_it_is_written_and_error_rates_normalised():
    items = extract([Prediction("1", "Hello, World!", "hello world")], ["wer", "bleu"], "basic")
    assert items.columns["wer"].statistics.tolist() == [[0, 0, 0, 2]]
    scores = summarise(items)
    assert scores["bleu"].value < 50 and scores["wer"].value == 0
    assert "norm:nfc.v" in scores["bleu"].signature and "norm:basic.v" in scores["wer"].signature


def test_further_references_count():
    one, two = (
        extract([Prediction("1", "a b", "c d", alternatives=more)], ["wer", "chrf"], "basic") for more in ((), ("c d",))
    )
    assert summarise(one)["wer"].value == 1 and summarise(two)["wer"].value == 0
    assert summarise(two)["chrf"].value > summarise(one)["chrf"].value
    assert one.columns["wer"].signature(np.arange(1)) != two.columns["wer"].signature(np.arange(1))


def test_scores_made_elsewhere_are_a_metric():
    rows = [Prediction(f"{i}", "a", "a", scores={"comet": value}) for i, value in enumerate((0.5, 0.9, 0.7))]
    one = summarise(extract(rows, ["comet"], "basic"))["comet"]
    assert one.value == pytest.approx(0.7) and one.unit == "points" and one.low < 0.7 < one.high
    with pytest.raises(ScoreError, match=r"1 items have no score 'comet' \('x'\)"):
        extract([*rows, Prediction("x", "a", "a")], ["comet"], "basic")
    with pytest.raises(ConfigError, match="did you mean 'comet'"):
        extract(rows, ["commet"], "basic")


def test_the_file_gives_back_what_was_written(tmp_path):
    rows = [replace(row, scores={"comet": 0.1}, group=row.group | {"name": "कविता"}) for row in ROWS]
    items = extract(rows, ["wer", "bleu", "comet", "gcer"], "indic+drop-joiners")
    path = items_path(tmp_path / "test.scores.json")
    assert path.name == "test.items.npz" and items_path("x.json").name == "x.items.npz"
    write_items(path, items)
    again = read_items(path)
    assert again.ids == items.ids and again.groups.keys() == items.groups.keys()
    assert summarise(again) == summarise(items)
    for name in items.columns:
        expect_same(items, again, name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScoreError, match="expected the file that `speechxfer score` writes"):
        read_items(path)
    with pytest.raises(ScoreError, match="no such file.*score again"):
        read_items(tmp_path / "no.items.npz")


@pytest.mark.parametrize("name", ["chrf", "bleu", "kept", "glossary", "wer", "comet"])
def test_a_score_made_elsewhere_under_any_name_comes_back_from_the_file(tmp_path, name):
    for side, shift in (("before", 0.0), ("after", 0.1)):
        rows = [Prediction(f"{i}", "a", "a", scores={name: i / 10 + shift * (i % 3)}) for i in range(6)]
        write_items(tmp_path / side, extract(rows, [name], "basic"))
    before, after = (read_items(tmp_path / side) for side in ("before", "after"))
    found = compare(before, after)[0]
    assert (found.before, found.after) == (pytest.approx(0.25), pytest.approx(0.35)) and found.unit == "points"


def test_only_what_a_metric_reads_is_normalised(monkeypatch):
    rows = [Prediction("1", "REF 5", "HYP 5", source="SOURCE 5", alternatives=("OTHER",))]
    seen = set()

    def watched(name: str, one: str) -> str:
        seen.add((name, one))
        return normalise(name, one)

    monkeypatch.setattr(items_module.text, "normalise", watched)
    refs = {("basic", "REF 5"), ("basic", "OTHER")}  # by which the bands go
    for metric, style, read in (
        ("wer", "basic", ("REF 5", "OTHER", "HYP 5")),
        ("chrf", "nfc", ("REF 5", "OTHER", "HYP 5")),
        ("kept", "nfc", ("REF 5", "OTHER", "HYP 5", "SOURCE 5")),
    ):
        seen.clear()
        extract(rows, [metric], "basic")
        assert seen == refs | {(style, one) for one in read}, metric


def test_two_systems_must_have_the_same_items_references_and_recipe():
    items = extract(ROWS, ["wer"], "basic")
    with pytest.raises(ScoreError, match=r"1 only before \('u3'\)"):
        expect_same(items, extract(ROWS[:2], ["wer"], "basic"), "wer")
    with pytest.raises(ScoreError, match=r"1 items have other references before than after \('u1'\)"):
        expect_same(items, extract([ROWS[0], replace(ROWS[1], ref="b"), ROWS[2]], ["wer"], "basic"), "wer")
    with pytest.raises(ScoreError, match="counted in two ways: .*norm:basic.* before, .*norm:indic"):
        expect_same(items, extract(ROWS, ["wer"], "indic"), "wer")
    with pytest.raises(ScoreError, match="after: no metric 'wer'; found cer"):
        expect_same(items, extract(ROWS, ["cer"], "basic"), "wer")
    expect_same(items, extract([replace(row, hyp="x") for row in ROWS], ["wer"], "basic"), "wer")


def test_what_cannot_be_scored_is_said():
    with pytest.raises(ConfigError, match="no metrics; expected some of wer, cer"):
        extract(ROWS, [], "basic")
    with pytest.raises(ScoreError, match="no predictions"):
        extract([], ["wer"], "basic")


def test_a_big_file_is_read_a_chunk_at_a_time(monkeypatch):
    """Texts of no more than a chunk are alive at once."""
    alive, most = set(), 0

    class Watched(Prediction):
        def __del__(self):
            alive.discard(id(self))

    def rows():
        nonlocal most
        for i in range(500):
            row = Watched(f"{i:03}", "a b c", random.Random(i).choice(["a", "b c"]))
            alive.add(id(row))
            most = max(most, len(alive))
            yield row

    monkeypatch.setattr(items_module, "CHUNK", 50)
    assert len(extract(rows(), ["wer"], "basic").ids) == 500
    assert most <= 2 * 50 + 2


def test_groups_of_a_few_items_are_neither_best_nor_worst():
    rows = [
        Prediction(f"{i:02}", "a b", "a x" if i % 3 else "a b", {"k": "big" if i < 12 else "two"}) for i in range(24)
    ]
    rows += [Prediction("z", "a", "x", {"k": "one"})]
    items = extract(rows, ["wer"], "basic")
    assert items.sizeable("k") == ["k=big", "k=two"]
    scores = summarise(items)["wer"]
    assert (
        scores.groups["k=one"].value == 1 and scores.worst("k").n == 12 and "one" not in vars(scores.gaps["k"]).values()
    )
    assert extract(ROWS, ["wer"], "basic").sizeable("accent") == ["accent=(none)", "accent=x", "accent=y"]
