import subprocess
import sys

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.scoring.edits import count
from speechxfer.scoring.glossary import Form, Glossary, Term
from speechxfer.scoring.metrics import METRICS, column, find, terms

ERROR_RATES = {"wer": jiwer.wer, "cer": jiwer.cer, "mer": jiwer.mer, "wil": jiwer.wil}

words = st.sampled_from(["a", "b", "the", "cat", "क्षमा", "ß", "I'm"])
sentences = st.lists(words, max_size=9).map(" ".join)


def score(name: str, references: list[list[str]], hypotheses: list[str]) -> float:
    metric = find(name, [])
    return float(metric.value(metric.statistics(references, hypotheses).sum(axis=0)))


# Error rates


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=8))
def test_error_rates_of_a_corpus_are_jiwers(pairs):
    refs, hyps = (list(texts) for texts in zip(*pairs, strict=True))
    for name, oracle in ERROR_RATES.items():
        ours = score(name, [[ref] for ref in refs], hyps)
        if any(refs):
            assert ours == oracle(refs, hyps)
        else:
            assert np.isnan(ours)


def test_an_empty_hypothesis_loses_all_and_an_empty_reference_adds_insertions():
    assert score("wil", [["a b"]], [""]) == 1 and score("mer", [["a b"]], [""]) == 1
    assert score("wer", [["a b"], [""]], ["a b", "c"]) == 0.5
    assert score("mer", [["a b"], [""]], ["a b", "c"]) == pytest.approx(1 / 3)
    assert score("wil", [["a b"], [""]], ["a b", "c"]) == pytest.approx(1 - 2 / 3)


def test_graphemes_weigh_a_conjunct_as_one():
    assert score("gcer", [["क्षमा"]], ["क्षमी"]) == 1 / 2 and score("cer", [["क्षमा"]], ["क्षमी"]) == 1 / 5


def test_values_are_of_any_shape_and_nan_only_where_there_is_no_reference():
    sums = np.array([[[1, 2, 3, 4], [5, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 7]]], dtype=np.float64)
    for name, first in (("wer", 6 / 9), ("mer", 6 / 10), ("wil", 1 - 4 / 9 * 4 / 8)):
        values = find(name, []).value(sums)
        assert values.shape == (2, 2) and values.dtype == np.float64
        assert values[0, 0] == pytest.approx(first) and values[1, 1] == 0
        assert np.isnan(values[0, 1]) and np.isnan(values[1, 0])
        assert np.array_equal(find(name, []).value(sums.astype(np.int64)), values, equal_nan=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.lists(sentences, min_size=1, max_size=3), sentences), min_size=1, max_size=5))
def test_of_several_references_the_one_with_the_lowest_rate_counts(items):
    references, hypotheses = (list(part) for part in zip(*items, strict=True))
    for name in ("wer", "cer", "gcer"):
        expected = []
        for refs, hyp in items:
            best = min((count(name, ref, hyp) for ref in refs), key=lambda one: (one.rate, -one.length))
            hits = best.length - best.deletions - best.substitutions
            expected.append([best.insertions, best.deletions, best.substitutions, hits])
        assert find(name, []).statistics(references, hypotheses).tolist() == expected


def test_of_equal_references_the_longer_counts():
    # one error in two words and two in four: the same rate
    assert find("wer", []).statistics([["a x", "a b x y"]], ["a b"]).tolist() == [[0, 2, 0, 2]]
    assert find("wer", []).statistics([["a b x y", "a x"]], ["a b"]).tolist() == [[0, 2, 0, 2]]


def test_an_item_without_a_reference_or_a_hypothesis_is_never_left_out():
    with pytest.raises(ValueError, match="an item without a reference"):
        find("wer", []).statistics([["a"], []], ["a", "b"])
    with pytest.raises(ValueError):
        find("wer", []).statistics([["a"], ["b"]], ["a"])


def test_words_are_counted_once_for_three_scores():
    assert find("wer", []).statistics is find("mer", []).statistics is find("wil", []).statistics


def test_nothing_to_score_gives_no_rows():
    assert find("wer", []).statistics([], []).shape == (0, 4)


# Names


def test_every_metric_says_what_it_is():
    for name in METRICS:
        metric = find(name, ["some text"])
        texts = {
            "references": [["a line of 3 texts"], ["one more of 2"]],
            "hypotheses": ["a line of 3 texts", "more"],
            "sources": ["line 3", "one 2"],
        }
        if name == "glossary":
            line, one = Form(("line",), prefix=False), Form(("one",), prefix=False)
            metric = terms(Glossary("words", (Term("line", line, (line,)), Term("one", one, (one,)))))
        statistics = metric.statistics(*(texts[one] for one in metric.reads))
        assert metric.name == name and statistics.dtype == np.float64
        assert statistics.shape == (2, len(metric.columns)) == (2, len(set(metric.columns)))
        perfect, worse = metric.value(statistics)
        assert (perfect > worse) == metric.higher_is_better
        assert metric.verbatim == (metric.counter == "sacrebleu" or "sources" in metric.reads)
        assert (metric.unit == "points") == (metric.counter == "sacrebleu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("we", "no metric 'we'; did you mean 'wer'"),
        ("chrf+", "no metric 'chrf+'; did you mean 'chrf"),
        ("accuracy", "no metric 'accuracy'; expected one of wer, cer, gcer, mer, wil, bleu, chrf"),
        ("bleu:13b", "bleu:13b: no tokeniser '13b'; expected one of 13a, intl, zh, char, none"),
        ("bleu:", "no tokeniser ''; expected one of 13a"),
        ("bleu:flores200", "flores200 is not used here: it downloads a SentencePiece model"),
        ("bleu:ja-mecab", "ja-mecab is not used here: it needs MeCab"),
        ("wer:13a", "wer:13a: wer takes no tokeniser; expected 'wer'"),
        ("", "no metric ''; expected one of"),
    ],
)
def test_an_unknown_name_gets_one_clear_line(name, message):
    with pytest.raises(ConfigError) as error:
        find(name, [])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_columns_of_scores_that_there_are_may_have_been_meant():
    for name, message in (("commet", "did you mean 'comet'"), ("xyz", "glossary, comet")):
        with pytest.raises(ConfigError, match=message):
            find(name, [], ["comet"])


def test_a_tokeniser_may_be_named():
    assert find("bleu:13a", ["घर।"]).tokens == "13a" and find("bleu:13a", ["घर।"]).name == "bleu:13a"
    assert find("ter:char", ["home."]).tokens == "char+tercom"


# Scores made elsewhere


def test_a_column_is_the_mean_of_its_scores():
    comet = column("comet")
    statistics = np.array([[0.5, 1], [0.7, 1], [0.9, 1]])
    assert comet.value(statistics.sum(axis=0)) == pytest.approx(0.7)
    assert np.isnan(comet.value(np.zeros((4, 2)))).all()
    assert comet.columns == ("sum", "items") and comet.name == "comet" and comet.unit == "points"
    with pytest.raises(ScoreError, match="comet is a column of scores made elsewhere"):
        comet.statistics([["a"]], ["a"])


def test_asking_for_a_metric_loads_nothing_heavy():
    code = (
        "import sys; from speechxfer.scoring.metrics import METRICS, find; [find(name, ['text']) for name in METRICS];"
        "heavy = {'torch', 'sacrebleu', 'jiwer', 'scipy', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
