import json
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction
from speechxfer.score import Gap, read_scores, score, write_scores
from speechxfer.scoring.table import table
from speechxfer.scoring.terminal import columns

words = st.sampled_from(["a", "b", "the", "cat", "क्षमा", "ß", "I'm"])
sentences = st.lists(words, max_size=9).map(" ".join)
messy = st.text(alphabet="ab \t\u00a0é", max_size=12)
pairs = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=8)


def predictions(texts, **group):
    return [Prediction(f"u{i}", ref, hyp, dict(group)) for i, (ref, hyp) in enumerate(texts)]


def noisy(speakers: int, each: int, spread: float, seed: int, words: int = 8) -> list[Prediction]:
    """Word errors whose rate varies from speaker to speaker by `spread` around 0.3."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(speakers):
        rate = np.clip(0.3 + spread * rng.standard_normal(), 0.01, 0.99)
        for i in range(each):
            hyp = " ".join("x" if wrong else "a" for wrong in rng.random(words) < rate)
            rows.append(Prediction(f"{speaker}-{i}", " ".join("a" * words), hyp, {"speaker": f"s{speaker}"}))
    return rows


@settings(max_examples=30, deadline=None)
@given(pairs, pairs)
def test_the_sums_of_parts_add_up_to_those_of_the_whole_and_to_jiwers(first, second):
    rows = [replace(row, group={"half": "1"}) for row in predictions(first)]
    rows += [replace(row, id=f"v{row.id}", group={"half": "2"}) for row in predictions(second)]
    rows.append(Prediction("last", "one more", "one", {}))  # in neither half, and yet in a group
    for metric, whole in score(rows, normaliser="none", resamples=5).items():
        halves = [group for name, group in whole.groups.items() if name.startswith("half=")]
        assert [name for name in whole.groups if name.startswith("half=")] == ["half=(none)", "half=1", "half=2"]
        assert whole.sums == {name: sum(half.sums[name] for half in halves) for name in whole.sums}
        oracle = {"wer": jiwer.wer, "cer": jiwer.cer}[metric]
        assert whole.value == pytest.approx(oracle([row.ref for row in rows], [row.hyp for row in rows]), abs=1e-12)


def test_rates_are_pooled_and_not_averaged():
    rows = predictions([("a", "x"), ("a a a a a a a a a", "a a a a a a a a a")])
    assert score(rows)["wer"].value == 0.1  # the mean of the utterances' rates is 0.5


def test_texts_are_normalised_on_both_sides_and_the_signature_says_how():
    rows = predictions([("Hello, World!", "hello World.")])
    basic, plain = score(rows, normaliser="basic")["wer"], score(rows, normaliser="none")["wer"]
    assert (basic.value, plain.value) == (0, 1)
    assert basic.signature.startswith("metric:wer|norm:basic.v") and "|tok:words|refs:" in basic.signature
    assert plain.signature != basic.signature


# Signatures


def test_the_signature_depends_on_the_references_alone_and_not_on_their_order():
    rows = predictions([("a b", "a"), ("c", "c"), ("d", "")])
    one = score(rows)["wer"]
    assert score(rows[::-1])["wer"] == one
    assert score([replace(row, hyp="other") for row in rows])["wer"].signature == one.signature
    assert score(rows[:2])["wer"].signature != one.signature
    assert score([replace(rows[0], ref="a c"), *rows[1:]])["wer"].signature != one.signature
    assert score([replace(rows[0], id="other"), *rows[1:]])["wer"].signature != one.signature
    assert one.origin.endswith(f"|speechxfer:{version('speechxfer')}|bootstrap:2000|seed:0")


# Intervals


def test_intervals_are_the_same_under_one_seed_and_differ_under_another():
    rows = noisy(10, 5, 0.1, seed=0)
    first, again, other = (score(rows, ["wer"], seed=seed)["wer"] for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.low < first.value < first.high


def test_speakers_are_resampled_and_that_widens_the_interval():
    rows = noisy(20, 20, 0.15, seed=1)
    clustered = score(rows, ["wer"])["wer"]
    alone = score([replace(row, group={}) for row in rows], ["wer"])["wer"]
    assert (clustered.cluster, clustered.clusters, clustered.n) == ("speaker", 20, 400)
    assert (alone.cluster, alone.clusters) == ("utterance", 400)
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_utterances_are_resampled_where_one_speaker_is_unknown():
    rows = noisy(3, 3, 0.1, seed=1)
    assert score([*rows, Prediction("?", "a", "a")])["wer"].cluster == "utterance"
    assert score([replace(row, group={"recording": row.group["speaker"]}) for row in rows])["wer"].clusters == 3


def test_groups_resample_their_own_clusters():
    rows = noisy(12, 4, 0.1, seed=3)
    rows = [replace(row, group=row.group | {"accent": "ab"[int(row.group["speaker"][1:]) % 3 == 0]}) for row in rows]
    whole = score(rows, ["wer"], groups=["accent"])["wer"]
    inside = score([row for row in rows if row.group["accent"] == "b"], ["wer"], groups=[])["wer"]
    assert whole.groups["accent=b"] == inside
    assert (inside.clusters, whole.groups["accent=a"].clusters) == (4, 8)


def test_a_group_of_one_speaker_resamples_its_utterances():
    whole = score(noisy(6, 8, 0.1, seed=0), ["wer"])["wer"]
    one = whole.groups["speaker=s1"]
    assert (whole.cluster, one.cluster, one.clusters) == ("speaker", "utterance", 8)
    assert one.low < one.value < one.high


def test_the_gap_is_between_the_worst_and_the_best_group():
    rows = noisy(12, 6, 0.02, seed=4)
    bad = ("s1", "s2", "s3")
    wrong = [replace(row, hyp="x " + row.hyp[2:]) if row.group["speaker"] in bad else row for row in rows]
    accent = {"s1": "c", "s2": "c", "s3": "c", "s4": "b", "s5": "b", "s6": "b"}
    wrong = [replace(row, group=row.group | {"accent": accent.get(row.group["speaker"], "a")}) for row in wrong]
    for metric, worst in (("wer", "c"), ("bleu", "c")):
        whole = score(wrong, [metric], "none", groups=["accent", "speaker"])[metric]
        gap = whole.gaps["accent"]
        values = {name[-1]: group.value for name, group in whole.groups.items() if name.startswith("accent")}
        assert gap.worst == worst and whole.worst("accent") == whole.groups[f"accent={worst}"]
        assert gap.value == pytest.approx(max(values.values()) - min(values.values()))
        assert gap.low < gap.value < gap.high
        assert set(whole.gaps) == {"accent"}  # speakers are what is sampled, not what is compared
    assert isinstance(gap, Gap)


def test_a_gap_of_utterances_agrees_with_the_intervals_of_two_groups():
    rows = [replace(row, group={"side": "ab"[i % 2]}) for i, row in enumerate(noisy(1, 400, 0, seed=5))]
    whole = score(rows, ["wer"], groups=["side"])["wer"]
    halves = [(group.high - group.low) / 2 for group in whole.groups.values()]
    gap = whole.gaps["side"]
    assert (gap.high - gap.low) / 2 == pytest.approx(np.hypot(*halves), rel=0.15)  # independent: squares add


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (predictions([("a b", "a")], speaker="only"), "only one utterance"),
        (predictions([("a b", "a b"), ("c", "c")]), "the same whichever utterances"),
    ],
)
def test_no_interval_is_made_up(rows, note):
    one = score(rows)["wer"]
    assert one.low is None and one.high is None and note in one.note
    assert note in table({"wer": one})


# What cannot be scored


def test_a_group_of_empty_references_has_counts_and_no_rate():
    rows = [Prediction("u1", "", "uh huh", {"kind": "silence"}), Prediction("u2", "a b", "a b", {"kind": "speech"})]
    whole = score(rows)["wer"]
    assert whole.value == 1.0 and whole.sums == {"insertions": 2, "deletions": 0, "substitutions": 0, "hits": 2}
    silence = whole.groups["kind=silence"]
    assert silence.value is None and silence.sums["insertions"] == 2 and "empty" in silence.note


def test_nothing_to_score_is_said():
    with pytest.raises(ScoreError, match="no predictions"):
        score([])
    with pytest.raises(ScoreError, match="none of the 2 references has any words"):
        score(predictions([("", "a"), (" ", "b")]))


def test_broken_predictions_are_named_all_at_once():
    rows = [Prediction("u1", None, "a"), Prediction("u2", "a", float("nan")), Prediction("u2", "b", "b", {"age": 3})]
    with pytest.raises(ScoreError) as error:
        score(rows)
    for part in ("prediction 1: ref is None", "prediction 2: hyp is nan", "group is {'age': 3}"):
        assert part in str(error.value)
    with pytest.raises(ScoreError, match=r"1 ids occur more than once \('u2'\)"):
        score([Prediction("u2", "a", "a"), Prediction("u1", "a", "a"), Prediction("u2", "b", "b")])


def test_misspelt_settings_get_a_suggestion():
    rows = predictions([("a", "a")], accent="x")
    with pytest.raises(ConfigError, match="no metric 'were'; did you mean 'wer'"):
        score(rows, ["were"])
    with pytest.raises(ConfigError, match="did you mean 'accent'"):
        score(rows, groups=["acent"])
    with pytest.raises(ConfigError, match="confidence is 95"):
        score(rows, confidence=95)
    with pytest.raises(ConfigError, match="resamples is 0"):
        score(rows, resamples=0)


# The file and the table


def test_scores_come_back_from_the_file_as_they_were(tmp_path):
    rows = noisy(6, 3, 0.1, seed=0) + [Prediction("quiet", "", "", {"speaker": "s9"})]
    scores = score(rows)
    write_scores(tmp_path / "deep" / "scores.json", scores)
    assert read_scores(tmp_path / "deep" / "scores.json") == scores
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["scores.json"]


def _damage(change):
    def damaged(row):
        change(row)
        return json.dumps({"wer": row})

    return damaged


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_damage(lambda row: row.update(value=float("nan"))), "wer: value is nan; expected a finite number"),
        (_damage(lambda row: row.pop("signature")), r"wer: missing fields \['signature'\]"),
        (_damage(lambda row: row["sums"].update(hits=None)), "wer.sums: hits is None; expected a finite number"),
        (_damage(lambda row: row["gaps"].update(k={"value": 1})), r"wer\[k\].gap: missing fields"),
        (_damage(lambda row: row["groups"]["k=v"].update(n="2")), r"wer\[k=v\]: n is '2'; expected int"),
        (lambda row: json.dumps([row]), "expected an object with a score for each metric"),
        (lambda row: json.dumps({"wer": row})[:40], "expected the JSON that"),
    ],
)
def test_a_broken_file_is_named_with_the_field(tmp_path, damage, message):
    path = tmp_path / "scores.json"
    write_scores(path, score(predictions([("a b", "a c"), ("d", "d")], k="v"), ["wer"]))
    path.write_text(damage(json.loads(path.read_text())["wer"]))
    with pytest.raises(ScoreError, match=message) as error:
        read_scores(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScoreError, match="no such file; write it with `speechxfer score`"):
        read_scores(tmp_path / "scores.json")


def test_the_table_fits_and_leaves_many_speakers_to_the_file():
    rows = noisy(60, 2, 0.1, seed=0)
    names = ("a very long name of an accent", "short")
    rows = [replace(row, group=row.group | {"accent": names[i % 2]}) for i, row in enumerate(rows)]
    shown = table(score(rows))
    assert max(map(len, shown.splitlines())) <= 80
    assert "speaker: 60 values" in shown and "speaker=s1" not in shown
    assert "accent=a ...an accent" in shown and "95% interval" in shown
    assert "- accent: " in shown and " is worst, " in shown


def test_names_that_differ_at_their_ends_can_be_told_apart_and_figures_keep_apart():
    rows = [Prediction(f"u{i}", "a b", "a", {"room": f"a-room-with-a-long-name-{i % 2}"}) for i in range(4)]
    rows = [replace(row, scores={"comet": i - 0.5}) for i, row in enumerate(rows)]
    lines = table(score(rows, ["comet"])).splitlines()
    assert sum(line.startswith("room=a-ro...ng-name-") for line in lines) == 2 and len(set(lines)) == len(lines)
    assert re.match(r"all +1\.0000 +-\d\.\d\d, \d\.\d\d +4", lines[2])
    assert "speechxfer" in lines[-1] and lines[-1].count("speechxfer") == 1


def test_notes_and_gaps_are_told_in_full():
    names = ("南方口音北京大学普通话水平测试二级甲等", "हिन्दी-भोजपुरी-मिश्रित-किताबें")
    rows = [Prediction(f"u{i}", "a b", "a" if i % 3 else "a b", {"accent": names[i % 2]}) for i in range(24)]
    shown = table(score(rows, ["wer"]))
    assert max(map(columns, shown.splitlines())) <= 80
    assert all(name in shown for name in names) and "is worst" in shown


def test_the_table_shows_per_cent():
    hyps = ["a b c d e", "a b c x", "a b c d", "a b c x"] + ["a b c d", "a b c x"] * 2
    rows = [Prediction(f"u{i}", "a b c d", hyp, {"speaker": f"s{i // 2}"}) for i, hyp in enumerate(hyps)]
    line = next(line for line in table(score(rows, groups=[])).splitlines() if line.startswith("all"))
    assert line.split()[:2] == ["all", "15.62"] and line.split()[3:] == ["12.5", "0.0", "3.1", "8", "4"]


# Speed


def test_a_hundred_thousand_pairs_take_seconds():
    """A tenth of them, and time for ten: the work is linear."""
    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(2000)]
    rows = []
    for i in range(10_000):
        ref = rng.choices(vocabulary, k=10)
        hyp = [word if rng.random() > 0.1 else rng.choice(vocabulary) for word in ref]
        rows.append(Prediction(f"{i}", " ".join(ref), " ".join(hyp), {"accent": "abc"[i % 3]}))
    start = time.process_time()
    score(rows)
    assert time.process_time() - start < 6


def test_scoring_needs_no_torch_and_starts_at_once():
    code = (
        "import sys, time; start = time.process_time(); import speechxfer.score, speechxfer.gate;"
        "assert 'torch' not in sys.modules and 'jiwer' not in sys.modules;"
        "from speechxfer.scoring.edits import count; count('wer', 'a', 'b'); assert 'torch' not in sys.modules;"
        "print(time.process_time() - start)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.8
