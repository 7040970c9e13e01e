from dataclasses import replace

import numpy as np
import pytest

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction
from speechxfer.scoring.comparison import compare, table
from speechxfer.scoring.items import extract
from speechxfer.scoring.significance import holm


def system(rate: float, seed: int, speakers: int = 12, each: int = 10) -> list[Prediction]:
    """Errors at about `rate`; which speakers and items are hard is the same for every system."""
    noise, hardness = np.random.default_rng(seed), np.random.default_rng(99)
    rows = []
    for speaker in range(speakers):
        hard = rate * hardness.uniform(0.3, 1.7)
        for i in range(each):
            hyp = " ".join("x" if wrong else "a" for wrong in noise.random(8) < hard)
            group = {"speaker": f"s{speaker}", "accent": "abc"[speaker % 3]}
            rows.append(Prediction(f"{speaker}-{i}", " ".join("a" * 8), hyp, group))
    return rows


def items(rows, metrics=("wer", "cer")):
    return extract(rows, metrics, "basic")


def test_a_real_difference_is_found_and_an_imagined_one_is_not():
    before, better, same = items(system(0.3, 1)), items(system(0.2, 2)), items(system(0.3, 3))
    wer = compare(before, better)[0]
    assert wer.value == pytest.approx(wer.after - wer.before) and wer.value < -0.05
    assert wer.low < wer.value < wer.high < 0
    assert wer.p < 0.01 and wer.p_randomisation < 0.01 and wer.p_bootstrap < 0.01 and 0 < wer.detectable < 0.1
    assert (wer.cluster, wer.clusters, wer.n, wer.p_holm) == ("speaker", 12, 120, None)
    wer = compare(before, same)[0]
    assert wer.low < 0 < wer.high and wer.p > 0.05


def test_pairing_narrows_the_interval():
    before, after = items(system(0.3, 1)), items(system(0.28, 2))
    from speechxfer.score import summarise

    alone = [summarise(one)["wer"] for one in (before, after)]
    paired = compare(before, after)[0]
    assert paired.high - paired.low < 0.6 * np.hypot(*(one.high - one.low for one in alone))


def test_groups_are_corrected_for_their_number():
    before, after = items(system(0.3, 1), ["wer"]), items(system(0.27, 2), ["wer"])
    whole, *groups = compare(before, after, groups=["accent"])
    assert [one.group for one in groups] == ["accent=a", "accent=b", "accent=c"] and whole.group == ""
    assert [one.p_holm for one in groups] == holm([one.p for one in groups])
    assert all(one.p_holm >= one.p for one in groups) and sum(one.n for one in groups) == whole.n


def test_the_table_fits_and_says_what_p_is():
    shown = table(compare(items(system(0.3, 1)), items(system(0.2, 2)), groups=["accent"]))
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("WER in %", "accent=b", "p: two-sided paired permutation test", "Holm", "120 items, 12 speakers"):
        assert part in shown


def test_systems_that_cannot_be_paired_are_refused():
    rows = system(0.3, 1)
    with pytest.raises(ScoreError, match="not of the same items"):
        compare(items(rows), items(rows[1:]))
    with pytest.raises(ScoreError, match="other references"):
        compare(items(rows), items([replace(rows[0], ref="b"), *rows[1:]]))
    with pytest.raises(ScoreError, match="no metric 'cer'"):
        compare(items(rows, ["wer"]), items(rows, ["cer"]))
    with pytest.raises(ConfigError, match="no item has the group key 'acent'"):
        compare(items(rows), items(rows), groups=["acent"])


def test_a_system_against_itself_differs_in_nothing():
    one = items(system(0.3, 1))
    same = compare(one, one)[0]
    assert same.value == 0 and same.low is None and same.p == 1
