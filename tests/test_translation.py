import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER

from speechxfer.scoring.metrics import find
from speechxfer.scoring.translation import TOKENISERS, bleu_value, chrf_value, ter_value, tokeniser

# name of the metric -> sacrebleu's
ORACLES = {
    "bleu:13a": lambda: BLEU(force=True),
    "bleu:intl": lambda: BLEU(tokenize="intl", force=True),
    "bleu:char": lambda: BLEU(tokenize="char", force=True),
    "bleu:zh": lambda: BLEU(tokenize="zh", force=True),
    "bleu:none": lambda: BLEU(tokenize="none", force=True),
    "chrf": CHRF,
    "chrf++": lambda: CHRF(word_order=2),
    "ter:none": TER,
}
VALUES = {"bleu:13a": bleu_value, "chrf": chrf_value, "chrf++": chrf_value, "ter:none": ter_value}

tokens = st.sampled_from(["The", "the", "cat", "sat,", "mat.", "घर।", "है", "我们", "(x)", "3.5"])
sentences = st.lists(tokens, max_size=12).map(" ".join)


def corpus(seed: int, size: int, most_references: int = 1) -> tuple[list[list[str]], list[str]]:
    rng = random.Random(seed)
    vocabulary = ["The", "cat", "sat,", "on", "a", "mat.", "घर।", "है", "(x)", "3.5"]
    references, hypotheses = [], []
    for _ in range(size):
        base = rng.choices(vocabulary, k=rng.randint(1, 15))
        *refs, hyp = (
            " ".join(rng.choice(vocabulary) if rng.random() < 0.25 else word for word in base if rng.random() > 0.1)
            for _ in range(1 + rng.randint(1, most_references))
        )
        references.append(refs)
        hypotheses.append(hyp)
    return references, hypotheses


def padded(references: list[list[str]]) -> list[list[str | None]]:
    most = max(map(len, references))
    return [[refs[i] if i < len(refs) else None for refs in references] for i in range(most)]


# Against sacrebleu


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("most_references", [1, 3])
def test_the_score_of_a_corpus_is_sacrebleus_to_the_last_bit(name, most_references):
    for seed in range(3):
        references, hypotheses = corpus(seed, 30, most_references)
        metric = find(name, [])
        statistics = metric.statistics(references, hypotheses)
        assert statistics.shape == (30, len(metric.columns)) and statistics.dtype == np.float64
        ours, theirs = metric.value(statistics.sum(axis=0)), ORACLES[name]()
        if name != "ter:none" or most_references == 1:
            assert ours == theirs.corpus_score(hypotheses, padded(references)).score
        else:  # average lengths are no whole numbers: the order of a sum shows
            assert ours == pytest.approx(theirs.corpus_score(hypotheses, padded(references)).score, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_short_and_empty_texts_score_as_in_sacrebleu(pairs):
    refs, hyps = (list(texts) for texts in zip(*pairs, strict=True))
    for name in ("bleu:13a", "chrf", "chrf++", "ter:none"):
        ours = find(name, refs)
        sums = ours.statistics([[ref] for ref in refs], hyps).sum(axis=0)
        if any(refs):
            assert ours.value(sums) == ORACLES[name]().corpus_score(hyps, [refs]).score
        else:
            assert np.isnan(ours.value(sums))


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
@pytest.mark.parametrize("name", VALUES)
def test_many_sums_at_once_score_as_one_by_one_in_sacrebleu(name, kind):
    """In its bootstrap sums are float32, and so are some of its scores."""
    references, hypotheses = corpus(0, 40)
    statistics = find(name, []).statistics(references, hypotheses).astype(kind)
    oracle, rng = ORACLES[name](), np.random.default_rng(0)
    # from one item to all: orders without a match and too short for 4-grams among them
    sums = np.stack([statistics[rng.choice(40, 1 + i % 40)].sum(axis=0, dtype=kind) for i in range(240)])
    expected = np.array([oracle._compute_score_from_stats(row).score for row in sums], dtype=np.float64)
    ours = VALUES[name](sums.reshape(4, 60, -1))
    covered = sums[:, 1] > 0  # without a reference token there is no score
    assert ours.shape == (4, 60) and covered.sum() > 200
    assert np.array_equal(ours.ravel()[covered], expected[covered])
    assert len(set(expected.tolist())) > 150


def test_without_a_reference_token_there_is_no_score():
    for name in VALUES:
        metric = find(name, [])
        empty, full = (metric.statistics([[ref]], ["some words here"])[0] for ref in ("", "some words here"))
        values = metric.value(np.stack([empty, full, empty + full]))
        assert np.isnan(values[0]) and np.isfinite(values[1:]).all()


def test_nothing_to_score_gives_no_rows():
    for name in VALUES:
        metric = find(name, [])
        assert metric.statistics([], []).shape == (0, len(metric.columns))
        assert metric.value(np.zeros((0, len(metric.columns)))).shape == (0,)


def test_uneven_input_is_refused():
    with pytest.raises(ValueError, match="2 items with references and 1 hypotheses"):
        find("chrf", []).statistics([["a"], ["b"]], ["a"])


def test_every_tokeniser_that_is_offered_is_there():
    for name in TOKENISERS:
        metric = find(f"bleu:{name}", [])
        assert metric.value(metric.statistics([["one two three four"]], ["one two three four"])[0]) == pytest.approx(
            100
        )


# The choice of a tokeniser


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat sat on the mat.", "13a"),
        ("Кошка сидела на коврике.", "13a"),
        ("Η γάτα κάθισε.", "13a"),
        ("वह घर गया।", "intl"),
        ("அவன் வீட்டிற்குச் சென்றான்.", "intl"),
        ("ذهب إلى البيت، ثم عاد؟", "intl"),
        ("הוא הלך הביתה.", "intl"),
        ("그는 집에 갔다.", "intl"),
        ("他回家了。", "zh"),
        ("彼は家に帰りました。", "char"),
        ("カタカナ", "char"),
        ("เขากลับบ้าน", "char"),
        ("ລາວກັບບ້ານ", "char"),
        ("គាត់ទៅផ្ទះ", "char"),
        ("သူအိမ်ပြန်တယ်", "char"),
        ("1234 ...", "13a"),
        ("", "13a"),
    ],
)
def test_the_tokeniser_fits_the_script(text, expected):
    assert tokeniser([text]) == expected
    assert find("bleu", [text]).tokens == expected


def test_the_majority_of_letters_decides():
    hindi = ["वह घर गया और फिर लौट आया।"] * 3
    assert tokeniser([*hindi, "OK"]) == "intl"
    assert tokeniser(["OK, see you at the station tomorrow morning", "गया"]) == "13a"
    assert (
        tokeniser(["他回家了,他们都很高兴地在等他回来"] * 3 + ["日本の"]) == "zh"
    )  # one foreign letter decides nothing


# What the choice is for


def _score(name, ref, hyp):
    metric = find(name, [ref])
    return float(metric.value(metric.statistics([[ref]], [hyp])[0]))


def test_a_space_before_the_danda_costs_hindi_nothing_by_default():
    ref, hyp = "वह कल शाम को घर चला गया।", "वह कल शाम को घर चला गया ।"
    assert _score("bleu", ref, hyp) == pytest.approx(100)
    assert _score("bleu:13a", ref, hyp) < 90
    assert _score("ter", ref, hyp) == 0
    assert _score("ter:none", ref, hyp) > 0


def test_arabic_punctuation_is_split_off_by_default():
    ref, hyp = "هل ذهبت إلى البيت ، أم لا ؟", "هل ذهبت إلى البيت، أم لا؟"
    assert _score("bleu", ref, hyp) == pytest.approx(100) and _score("bleu:13a", ref, hyp) < 60


def test_text_without_spaces_is_compared_by_its_characters():
    for ref, hyp in [
        ("他昨天晚上回家了。", "他昨天晚上回家来。"),
        ("彼は昨日家に帰りました。", "彼は昨日家に帰りません。"),
    ]:
        assert _score("bleu", ref, hyp) > 50 and _score("bleu:13a", ref, hyp) == 0
        assert _score("ter", ref, hyp) < 30 and _score("ter:none", ref, hyp) == 100


def test_ter_of_latin_script_is_sacrebleus_own():
    metric = find("ter", ["The cat sat."])
    assert metric.tokens == "tercom" and find("ter", ["घर।"]).tokens == "intl+tercom"
    refs, hyps = [["The cat sat."], ["a b c d e"]], ["the cat sat .", "c d e a b"]
    assert metric.value(metric.statistics(refs, hyps).sum(axis=0)) == TER().corpus_score(hyps, padded(refs)).score


def test_the_nearest_of_several_references_counts_as_in_sacrebleu():
    refs, hyps = [["a b c d", "x y z w v"], ["b c d e"]], ["x y z w v", "b c d e"]
    for name in ("bleu:13a", "chrf", "ter:none"):
        metric = find(name, [])
        alone = metric.value(metric.statistics([texts[:1] for texts in refs], hyps).sum(axis=0))
        both = metric.value(metric.statistics(refs, hyps).sum(axis=0))
        assert both == pytest.approx(0 if metric.name == "ter:none" else 100) and both != alone
