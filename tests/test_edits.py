import random

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.scoring.edits import Counts, alignment, characters, count, edit_counts, graphemes, words

vocabulary = st.sampled_from(["a", "b", "the", "cat", "क्षमा", "ß", "I'm", "a\u0301"])
sentences = st.lists(vocabulary, max_size=9).map(" ".join)
messy = st.text(alphabet="ab \t\n\u00a0\u2003\u3000\u200d\x1cé", max_size=12)
texts = st.one_of(sentences, messy)


def columns(output) -> list[int]:
    return [output.insertions, output.deletions, output.substitutions, output.hits]


def noisy(rng: random.Random, vocabulary: list[str], length: int) -> tuple[list[str], list[str]]:
    ref = rng.choices(vocabulary, k=length)
    hyp = []
    for token in ref:
        hyp += rng.choice([[token]] * 7 + [[], [rng.choice(vocabulary)], [token, rng.choice(vocabulary)]])
    return ref, hyp


# Counts


def test_counts_against_a_pair_done_by_hand():
    assert count("wer", "the cat sat down", "a cat sat right down there") == Counts(2, 0, 1, 4)
    assert count("cer", "abc", "") == Counts(0, 3, 0, 3)
    assert count("wer", "", "two words") == Counts(2, 0, 0, 0)
    assert count("gcer", "क्षमा", "क्षमी") == Counts(0, 0, 1, 2)
    assert count("cer", "क्षमा", "क्षमी") == Counts(0, 0, 1, 5)
    assert Counts(2, 0, 0, 0).rate == 2 and Counts.zero().rate == 0
    assert Counts(1, 2, 3, 9) + Counts(1, 0, 0, 0) == Counts(2, 2, 3, 9)


@pytest.mark.parametrize(
    "numbers", [(-1, 0, 0, 3), (0, 2, 2, 3), (0, 0, 0, -1), (0, 1, 0, 0), (0.5, 0, 0, 3), (0, 0, float("nan"), 3)]
)
def test_impossible_counts_raise(numbers):
    with pytest.raises(ScoreError, match="expected"):
        Counts(*numbers)


def test_a_metric_without_edits_has_no_counts():
    with pytest.raises(ConfigError, match="no edits are counted for 'bleu'; expected one of wer, cer"):
        count("bleu", "a", "a")


# Against jiwer


@settings(deadline=None)
@given(texts, texts)
def test_counts_are_those_of_jiwer(ref, hyp):
    for metric, oracle in (("wer", jiwer.process_words), ("cer", jiwer.process_characters)):
        ours, theirs = count(metric, ref, hyp), oracle(ref, hyp)
        assert [
            ours.insertions,
            ours.deletions,
            ours.substitutions,
            ours.length - ours.deletions - ours.substitutions,
        ] == (columns(theirs))
        assert ours.rate == (theirs.wer if metric == "wer" else theirs.cer)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_counts_of_a_batch_are_jiwers_pair_by_pair(pairs):
    refs, hyps = zip(*pairs, strict=True)
    for tokens, oracle in ((words, jiwer.process_words), (characters, jiwer.process_characters)):
        expected = [columns(oracle(*pair)) for pair in pairs]
        assert edit_counts(map(tokens, refs), map(tokens, hyps)).tolist() == expected


def test_of_several_best_alignments_it_is_jiwers():
    # where insertions and deletions could as well be substitutions, from short pairs to ones of several machine words
    rng = random.Random(0)
    pairs = [noisy(rng, list("abcd"), length) for length in [6] * 300 + [70] * 40 + [300] * 4 + [3000]]
    pairs = [(" ".join(ref), " ".join(hyp)) for ref, hyp in pairs]
    refs, hyps = zip(*pairs, strict=True)
    ours = edit_counts(map(words, refs), map(words, hyps))
    assert ours.tolist() == [columns(jiwer.process_words(*pair)) for pair in pairs]
    assert (ours[:, :2].min(axis=1) > 0).sum() > 60  # insertions and deletions in one pair: not fixed by the lengths


def test_words_may_be_told_apart_by_any_letter():
    pairs = [("ab", "ba"), ("a", "aa"), ("नदी", "नदि"), ("x" * 500 + "y", "x" * 500 + "z"), ("é", "e\u0301")]
    refs, hyps = zip(*pairs, strict=True)
    assert edit_counts(map(words, refs), map(words, hyps)).tolist() == [[0, 0, 1, 0]] * len(pairs)


def test_a_batch_may_be_empty_but_not_uneven():
    assert edit_counts([], []).shape == (0, 4)
    with pytest.raises(ValueError):
        edit_counts(["a", "b"], ["a"])


# Tokens


@settings(deadline=None)
@given(texts)
def test_words_and_characters_are_those_of_jiwer(text):
    assert [words(text)] == jiwer.process_words(text, "").references
    assert [list(characters(text))] == jiwer.process_characters(text, "").references


def test_graphemes_are_what_readers_see():
    assert graphemes(" नमस्ते x ") == ["न", "म", "स्ते", " ", "x"]
    assert graphemes("e\u0301👩\u200d👩\u200d👧한") == ["e\u0301", "👩\u200d👩\u200d👧", "한"]
    assert graphemes("") == []


@settings(deadline=None)
@given(texts)
def test_graphemes_cut_the_text_and_leave_nothing_out(text):
    assert "".join(graphemes(text)) == text.strip()


# Alignment


@settings(deadline=None)
@given(texts, texts)
def test_the_alignment_spells_out_the_counts(ref, hyp):
    ref, hyp = words(ref), words(hyp)
    steps = alignment(ref, hyp)
    assert [token for _, token, _ in steps if token is not None] == ref
    assert [token for _, _, token in steps if token is not None] == hyp
    for kind, ref_token, hyp_token in steps:
        expected = "insert" if ref_token is None else "delete" if hyp_token is None else "equal"
        assert kind == ("substitute" if expected == "equal" and ref_token != hyp_token else expected)
    kinds = [kind for kind, _, _ in steps]
    found = [kinds.count(kind) for kind in ("insert", "delete", "substitute", "equal")]
    assert np.array_equal([found], edit_counts([ref], [hyp]))


def test_the_alignment_is_drawn_as_jiwer_draws_it():
    rng = random.Random(1)
    for _ in range(100):
        ref, hyp = noisy(rng, list("abcd"), 8)
        chunks = jiwer.process_words(" ".join(ref), " ".join(hyp)).alignments[0]
        steps = iter(alignment(ref, hyp))
        for chunk in chunks:
            size = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            assert [next(steps)[0] for _ in range(size)] == [chunk.type] * size
        assert next(steps, None) is None


def test_characters_are_aligned_in_a_string_as_in_a_list():
    assert alignment("क्षमा", "क्षमी") == alignment(list("क्षमा"), list("क्षमी"))
    assert alignment("ab", "b") == [("delete", "a", None), ("equal", "b", "b")]
