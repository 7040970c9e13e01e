from dataclasses import replace

import numpy as np
import pytest

from speechxfer import gate
from speechxfer.errors import ConfigError
from speechxfer.gate import judge
from speechxfer.gate.verdict import Verdict, seen
from speechxfer.score import Gap, Score, summarise
from speechxfer.scoring.items import Column, Items, Labels
from speechxfer.scoring.metrics import column, find

WORDS = 10  # of every item, unless told


def rate(errors: int, length: int = 100, metric: str = "wer", refs: str = "abc", **parts) -> Score:
    """A score of which only the value, the interval and the signature matter here."""
    value = errors / length if length else None
    return Score(
        metric=metric,
        value=value,
        low=value and value * 0.9,
        high=value and value * 1.1,
        confidence=0.95,
        n=40,
        cluster="speaker",
        clusters=20,
        sums={},
        unit="rate",
        higher_is_better=False,
        signature=f"metric:{metric}|norm:basic.v1|tok:words|refs:{refs}",
        origin="",
        note="" if length else "the references are empty: no score",
        groups=parts,
        gaps={"accent": Gap(0.15, 0.12, 0.18, "welsh", "scottish")} if parts else {},
    )


ACCENTS = {"accent=scottish": rate(25), "accent=welsh": rate(40), "speaker=f1": rate(90)}
SCORES = {
    "test": {"wer": rate(20, **ACCENTS), "cer": rate(5, metric="cer")},
    "retain": {"wer": replace(rate(11, refs="retain", **{"accent=welsh": rate(11)}), gaps={})},
}


def items(errors, speakers=None, accents=None, words=WORDS, refs=0, prefix="u") -> Items:
    """Items with these numbers of substituted words [n]; each is its own speaker unless told."""
    errors = np.asarray(errors)
    words = np.broadcast_to(words, errors.shape)
    statistics = np.stack([0 * errors, 0 * errors, errors, words - errors], axis=1)
    groups = {"speaker": np.arange(len(errors)) if speakers is None else speakers}
    groups |= {} if accents is None else {"accent": accents}
    digests = np.arange(refs, refs + len(errors), dtype=np.uint64)
    wer = Column(find("wer", ["a word"]), statistics, digests, "metric:wer|norm:basic.v1|tok:words")
    return Items(tuple(f"{prefix}{i:05}" for i in range(len(errors))), {"wer": wer}, labels(groups), "")


def segments(scores) -> Items:
    """Items with per-segment scores made elsewhere, of which higher is better."""
    scores = np.asarray(scores, dtype=float)
    statistics = np.stack([scores, np.ones(len(scores))], axis=1)
    comet = Column(column("comet"), statistics, np.arange(len(scores), dtype=np.uint64), "metric:comet")
    return Items(tuple(f"u{i:05}" for i in range(len(scores))), {"comet": comet}, {}, "")


def labels(groups: dict) -> dict[str, Labels]:
    found = {}
    for key, names in groups.items():
        values, codes = np.unique(names, return_inverse=True)
        found[key] = Labels(tuple(map(str, values)), codes)
    return found


def against(before: Items, after: Items, rules, **settings) -> Verdict:
    """The verdict on `after`, with everything at hand that a run has."""
    keys = [key for key in after.groups if key != "speaker"]
    now, then = ({"test": summarise(one, groups=keys, resamples=200)} for one in (after, before))
    rules = [rules] if isinstance(rules, str) else rules
    return judge(now, rules, then, items={"test": after}, baseline_items={"test": before}, **settings)


@pytest.mark.parametrize(
    ("rule", "limit", "status"),
    [
        ("wer <= 0.2", 0.2, "pass"),
        ("wer < 0.2", 0.2, "fail"),
        ("wer >= 0.2", 0.2, "pass"),
        ("wer > .2", 0.2, "fail"),
        ("test.wer <= 1.9e-1", 0.19, "fail"),
        ("cer<=0.05", 0.05, "pass"),
        ("wer[accent=scottish] <= 0.25", 0.25, "pass"),
        ("wer[accent=welsh] <= 0.25", 0.25, "fail"),
        ("wer[accent].worst <= 0.4", 0.4, "pass"),
        ("wer[accent].worst <= 0.39", 0.39, "fail"),
        ("wer[accent].gap <= 0.15", 0.15, "pass"),
        ("wer[accent].gap < 0.15", 0.15, "fail"),
        ("retain.wer <= 0.1", 0.1, "fail"),
    ],
)
def test_each_form_of_absolute_rule(rule, limit, status):
    (finding,) = judge(SCORES, [rule]).findings
    assert (finding.status, finding.limit) == (status, limit)
    assert finding.low < finding.value < finding.high and finding.difference is None
    left, op, right = rule.replace("<=", " <= ").partition(" ")
    assert judge(SCORES, {left: f"{op}{right}"}) == judge(SCORES, [rule])


def test_an_interval_that_contains_the_limit_is_told():
    assert judge(SCORES, ["wer <= 0.21"]).findings[0].reason == "the interval contains the limit"
    assert judge(SCORES, ["wer <= 0.19"]).findings[0].reason == "the interval contains the limit"
    assert [judge(SCORES, [rule]).findings[0].reason for rule in ("wer <= 0.25", "wer <= 0.1")] == ["", ""]


def test_the_groups_of_a_gap_are_named():
    verdict = judge(SCORES, ["wer[accent].gap <= 0.3", "wer[accent].worst <= 0.6"])
    assert [one.reason for one in verdict.findings] == ["welsh is worst, scottish is best", "accent=welsh is worst"]


def test_a_set_that_is_too_small_cannot_be_judged_unless_that_is_allowed():
    wide = {"test": {"wer": replace(rate(15), low=0.01, high=0.6, clusters=5)}}
    (finding,) = judge(wide, ["wer <= 0.2"]).findings
    # half the width is t(0.975, 4) = 2.776 standard errors, and 2.776 + t(0.8, 4) = 0.941 of them are seen
    assert finding.detectable == pytest.approx(0.295 / 2.776 * (2.776 + 0.941), rel=1e-3)
    assert finding.status == "cannot judge" and "too few items to judge by" in finding.reason
    (allowed,) = judge(wide, ["wer <= 0.2"], allow_small=True).findings
    assert allowed == replace(finding, status="pass")
    assert judge(wide, ["wer <= 0.14"], allow_small=True).exit_code == 1
    assert judge(wide, ["wer <= 0.5"]).exit_code == 0  # a doubled error rate of 1.0 would have been seen


def test_what_an_interval_shows_is_not_less_for_being_cut_off_at_a_bound():
    """93 [0, 100] of a few items that are all or nothing: the 7 points above the value are not the spread."""
    points = {"metric": "bleu", "clusters": 10}
    bleu = replace(rate(0, **points), value=93.0, low=0.0, high=100.0, unit="points", higher_is_better=True)
    (finding,) = judge({"test": {"bleu": bleu}}, ["bleu >= 40"]).findings
    assert finding.detectable > 93 and finding.status == "cannot judge"
    mer = replace(rate(0, metric="mer"), value=0.9, low=0.5, high=1.0)
    below, above = (judge({"test": {"mer": one}}, ["mer <= 0.8"]).findings[0] for one in (mer, replace(mer, high=1.3)))
    assert below.detectable == pytest.approx(above.detectable)


def test_what_is_known_to_be_broken_fails_on_any_set():
    hopeless = {"test": {"wer": replace(rate(90), low=0.5, high=1.3, clusters=4)}}
    assert judge(hopeless, ["wer <= 0.2"]).exit_code == 1
    alone = {"test": {"wer": replace(rate(90), low=None, high=None, clusters=1)}}
    assert judge(alone, ["wer <= 0.2"]).findings[0].reason == "one speaker is too few to judge by"
    assert [judge(alone, ["wer <= 0.2"], allow_small=small).exit_code for small in (False, True)] == [2, 1]


def test_a_score_without_an_error_is_held_to_the_rule_of_three():
    perfect = {"test": {"wer": replace(rate(0), low=None, high=None)}}  # of 40 items: up to 3 / 40
    assert judge(perfect, ["wer <= 0.075"]).exit_code == 0
    (finding,) = judge(perfect, ["wer <= 0.07"]).findings
    assert finding.status == "cannot judge" and "up to 0.0750 (rule of three)" in finding.reason
    assert judge(perfect, ["wer <= 0.07"], allow_small=True).exit_code == 0
    assert judge(perfect, ["wer <= 0"]).exit_code == 0  # asks for no error on these items, and nothing more
    translated = replace(rate(0, metric="bleu"), value=100.0, low=None, high=None, unit="points", higher_is_better=True)
    verdict = judge({"test": {"bleu": translated}}, ["bleu >= 92.5", "bleu >= 93"])
    assert [one.status for one in verdict.findings] == ["pass", "cannot judge"]


def test_groups_too_many_for_intervals_get_theirs_from_the_items():
    few = items([1, 2, 3, 2] * 50, accents=["scottish"] * 200)
    scores = {"test": summarise(few, groups=["accent"], resamples=200)}
    told = scores["test"]["wer"].groups["accent=scottish"]
    bare = replace(told, low=None, high=None, note="more than 50 groups: no intervals")
    scores["test"]["wer"] = replace(scores["test"]["wer"], groups={"accent=scottish": bare})
    rules = ["wer[accent=*] <= 0.3", "wer[accent].worst <= 0.3"]
    for without in (judge(scores, rules), judge(scores, rules, items={"test": items([1] * 200)})):  # or with others'
        assert {one.status for one in without.findings} == {"cannot judge"}
        assert all("more than 50 groups: no intervals" in one.reason for one in without.findings)
    for finding in judge(scores, rules, items={"test": few}).findings:
        assert finding.status == "pass" and finding.low == pytest.approx(told.low, abs=0.005)


# Of 100 items with 10 words each and 2 errors, 30 have an error more (or less) than before.
BEFORE = items([2] * 100)
WORSE = items([3] * 30 + [2] * 70)
BETTER = items([1] * 30 + [2] * 70)


@pytest.mark.parametrize(
    ("after", "rule", "limit", "status"),
    [
        (WORSE, "wer <= baseline + 0.005", 0.205, "fail"),
        (WORSE, "wer <= baseline + 0.03", 0.23, "cannot judge"),
        (WORSE, "wer <= baseline + 0.05", 0.25, "pass"),
        (WORSE, "wer <= baseline * 1.05", 0.21, "fail"),
        (WORSE, "wer <= baseline * 1.5", 0.3, "pass"),
        (WORSE, "wer <= baseline", 0.2, "fail"),
        (WORSE, "wer < baseline", 0.2, "fail"),
        (WORSE, "wer >= baseline", 0.2, "pass"),
        (BETTER, "wer <= baseline", 0.2, "pass"),
        (BETTER, "wer < baseline", 0.2, "pass"),
        (BETTER, "wer < baseline - 0.01", 0.19, "pass"),
        (BETTER, "wer < baseline - 0.025", 0.175, "fail"),  # so it is, but by chance as well as not
        (BETTER, "wer <= baseline - 0.025", 0.175, "cannot judge"),
        (BETTER, "wer < baseline * 0.9", 0.18, "pass"),
        (BETTER, "wer < baseline * 0.8", 0.16, "fail"),
        (BETTER, "wer <= baseline * 0.5", 0.1, "fail"),
    ],
)
def test_each_form_of_rule_against_a_baseline(after, rule, limit, status):
    (finding,) = against(BEFORE, after, rule).findings
    assert (finding.status, finding.limit) == (status, pytest.approx(limit))
    assert finding.difference == pytest.approx(finding.value - limit)
    assert finding.difference_low < finding.difference < finding.difference_high
    assert (finding.n, finding.cluster, finding.clusters) == (100, "speaker", 100)


def test_the_difference_is_told_with_what_could_have_been_seen():
    (finding,) = against(BEFORE, WORSE, "wer <= baseline + 0.005").findings
    error = 0.1 * np.sqrt(0.3 * 0.7 / 100)  # standard error of the share of items with an error more
    assert finding.difference == pytest.approx(0.025)
    assert finding.difference_high - finding.difference_low == pytest.approx(2 * 2.045 * error, rel=0.1)
    assert finding.detectable == pytest.approx((2.045 + 0.854) * error, rel=0.05)  # t of 29: 30 clusters differ
    assert 1e-9 < finding.p < 0.001


def test_points_of_which_higher_is_better_are_judged_the_other_way_round():
    rng = np.random.default_rng(0)
    before = rng.uniform(0.6, 0.9, 200)
    better = segments(before + rng.normal(0.02, 0.03, 200))
    worse = segments(before - rng.normal(0.02, 0.03, 200))
    rules = ["comet > baseline", "comet >= baseline", "comet >= baseline - 0.005", "comet >= baseline + 0.01"]
    statuses = [[one.status for one in against(segments(before), x, rules).findings] for x in (better, worse)]
    assert statuses == [["pass"] * 4, ["fail"] * 4]
    (finding,) = against(segments(before), worse, "comet >= baseline - 0.005").findings
    assert finding.difference == pytest.approx(finding.value - before.mean() + 0.005)
    assert finding.difference_low < finding.difference < finding.difference_high < 0 and finding.unit == "points"


def test_an_improvement_that_is_not_shown_says_what_would_have_been():
    (finding,) = against(BEFORE, items([1] * 3 + [2] * 97), "wer < baseline").findings
    assert finding.status == "fail" and 0.05 < finding.p < 1
    assert finding.reason == f"not shown: p = {finding.p:.2g}, where less than 0.05 was needed"
    assert 0.001 < finding.detectable < 0.02
    (finding,) = against(BEFORE, WORSE, "wer < baseline").findings
    assert (finding.status, finding.reason) == ("fail", "worse than the limit, beyond chance")


def test_a_rule_without_a_margin_passes_what_is_no_shown_regression_and_says_so():
    (finding,) = against(BEFORE, items([3] * 4 + [2] * 96), "wer <= baseline").findings
    assert finding.status == "pass" and finding.value > finding.limit
    assert finding.reason == "no regression shown" and seen(finding).startswith(
        "100 items, 100 speakers: would show 0.0"
    )


@pytest.mark.parametrize(("differ", "status"), [(1, "pass"), (4, "pass"), (5, "pass"), (10, "fail")])
def test_a_handful_of_items_that_differ_is_no_regression_however_many_are_alike(differ, status):
    """Of four coins, all show heads once in 16 throws: the 996 that were not thrown are no evidence."""
    after = items([3] * differ + [2] * (1000 - differ))
    assert against(items([2] * 1000), after, "wer <= baseline").status == status


def test_two_systems_that_are_alike_are_judged_on_the_value():
    rules = ["wer <= baseline", "wer <= baseline + 0.005", "wer < baseline", "wer <= baseline - 0.01"]
    verdict = against(BEFORE, BEFORE, rules)
    assert [one.status for one in verdict.findings] == ["pass", "pass", "fail", "fail"]
    assert {one.reason for one in verdict.findings} == {"both score the same on every item"}
    assert against(BEFORE, BEFORE, "wer <= baseline * 0.9").status == "fail"
    (finding,) = against(BEFORE, items([3] * 100), "wer <= baseline + 0.05").findings
    assert finding.reason == "the difference has no spread"


def test_utterances_of_one_speaker_are_no_independent_evidence():
    speakers = np.repeat(np.arange(8), 25)
    one_is_worse = items(np.where(speakers == 3, 4, 2), speakers)
    assert against(items([2] * 200, speakers), one_is_worse, "wer <= baseline").status == "pass"
    assert against(items([2] * 200), items([2] * 75 + [4] * 25 + [2] * 100), "wer <= baseline").status == "fail"


def test_small_sets_that_are_allowed_pass_what_is_not_shown_to_be_broken():
    before, after = items([2, 3, 2, 1]), items([3, 3, 3, 1])
    rules = ["wer <= baseline + 0.01", "wer <= baseline * 0.9", "wer < baseline"]
    statuses = [one.status for one in against(before, after, rules).findings]
    assert statuses == ["cannot judge", "cannot judge", "fail"]
    allowed = against(before, after, rules, allow_small=True).findings
    assert [one.status for one in allowed] == ["pass", "fail", "fail"]  # what asks for an improvement needs one
    assert "small sets are allowed" in allowed[0].reason
    single = [against(items([2]), items([1]), "wer < baseline", allow_small=small) for small in (False, True)]
    assert [one.status for one in single] == ["cannot judge", "pass"]


TWENTY = np.repeat([f"a{i:02}" for i in range(20)], 40)


def test_a_star_is_corrected_for_the_number_of_its_groups():
    worse = np.where((TWENTY == "a07") & (np.arange(800) % 40 < 7), 3, 2)  # 7 of the 40 items of one of 20 accents
    before, after = items([2] * 800, accents=TWENTY), items(worse, accents=TWENTY)
    alone = against(before, after, "wer[accent=a07] <= baseline").findings[0]
    assert alone.status == "fail" and 0.0025 < alone.p < 0.05
    corrected = against(before, after, "wer[accent=*] <= baseline").findings[7]
    assert (corrected.rule, corrected.status) == ("wer[accent=a07] <= baseline", "pass")
    assert corrected.p == pytest.approx(min(1, 20 * alone.p)) and corrected.detectable > alone.detectable
    broken = items(np.where(TWENTY == "a07", 3, 2) + (np.arange(800) % 3 == 0), accents=TWENTY)
    shaken = items(2 + (np.arange(800) % 3 == 1), accents=TWENTY)
    statuses = [one.status for one in against(shaken, broken, "wer[accent=*] <= baseline").findings]
    assert statuses == ["fail" if i == 7 else "pass" for i in range(20)]


def test_gaps_and_the_worst_group_against_a_baseline():
    accents = np.repeat(["scottish", "welsh"], 100)
    noise = np.arange(200) % 3
    before = items(1 + noise + (accents == "welsh"), accents=accents)
    swapped = items(1 + noise[::-1] + (accents == "scottish"), accents=accents)
    wider = items(1 + noise[::-1] + 2 * (accents == "welsh"), accents=accents)
    rules = ["wer[accent].worst <= baseline + 0.05", "wer[accent].gap <= baseline + 0.05"]
    assert [one.status for one in against(before, swapped, rules).findings] == ["pass", "pass"]
    findings = against(before, wider, rules).findings
    assert [one.status for one in findings] == ["fail", "fail"]
    assert [one.difference for one in findings] == pytest.approx([0.05, 0.05], abs=0.002)
    assert [(one.n, one.clusters) for one in findings] == [(200, 200)] * 2
    assert against(wider, before, "wer[accent].gap < baseline").status == "pass"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("wre <= 0.2", "have no metric 'wre'; did you mean 'wer'?"),
        ("bleu >= 20", "have no metric 'bleu'; found wer, cer"),
        ("retian.wer <= 0.2", "no scores of a set 'retian'; did you mean 'retain'?"),
        ("wer[accent=scotish] <= 0.2", "no group 'accent=scotish'; did you mean 'accent=scottish'?"),
        ("wer[acent=scottish] <= 0.2", "no group key 'acent'; did you mean 'accent'?"),
        ("wer[acent=*] <= 0.2", "no group key 'acent'; did you mean 'accent'?"),
        ("wer[acent].worst <= 0.2", "no group key 'acent'; did you mean 'accent'?"),
        ("wer[speaker].gap <= 0.2", "no gap of 'speaker': speakers are what is resampled"),
        ("retain.wer[accent].gap <= 0.2", "no gap of 'accent': 'welsh' is the only group"),
        ("cer[accent=scottish] <= 0.2", "found none"),
        ("cer <= baseline", "the baseline scores of 'test' have no metric 'cer'"),
        ("wer[speaker=f1] <= baseline", "the baseline scores of 'test' have no group 'speaker=f1'"),
        ("wer <= baseline", "score again: test.items.npz is missing beside the scores"),
    ],
)
def test_what_is_not_there_cannot_be_judged(rule, reason):
    then = {"test": {"wer": rate(50, **{"speaker=m1": rate(60)})}}
    verdict = judge(SCORES, [rule], then)
    assert (verdict.status, verdict.exit_code) == ("cannot judge", 2)
    assert reason in verdict.findings[0].reason


def test_a_group_that_only_the_baseline_has_is_noticed():
    now = {"test": {"wer": rate(20, **{"accent=scottish": rate(25)})}}
    then = {"test": {"wer": rate(50, **{"accent=scottish": rate(60), "accent=welsh": rate(50)})}}
    verdict = judge(now, ["wer[accent=*] <= baseline"], then)
    assert "no group 'accent=welsh'" in verdict.findings[1].reason


def test_a_star_judges_every_group_alone():
    verdict = judge(SCORES, ["wer[accent=*] <= 0.3"])
    assert [(one.rule, one.status) for one in verdict.findings] == [
        ("wer[accent=scottish] <= 0.3", "pass"),
        ("wer[accent=welsh] <= 0.3", "fail"),
    ]


def test_a_baseline_of_other_items_cannot_be_judged():
    for other, told in (
        (items([2] * 99), "1 only after ('u00099')"),
        (items([2] * 100, prefix="v"), "'v00000'"),
        (items([2] * 100, refs=7), "other references"),
        (segments([0.5] * 100), "have no metric 'wer'"),
    ):
        (finding,) = against(other, WORSE, "wer <= baseline * 0.5").findings
        assert finding.status == "cannot judge" and told in finding.reason
        assert against(other, WORSE, "wer <= 0.5").status == "pass"  # nothing is asked of the baseline


def test_signatures_that_differ_cannot_be_judged():
    other = {"test": {"wer": rate(50, refs="def")}}
    (finding,) = judge(SCORES, ["wer <= baseline * 0.5"], other).findings
    assert finding.status == "cannot judge" and finding.reason.endswith("refs:def before, refs:abc now")
    assert "none were given" in judge(SCORES, ["wer <= baseline"]).findings[0].reason


def test_items_that_are_not_those_of_the_scores_cannot_be_judged():
    scores = {"test": summarise(WORSE, resamples=50)}
    kept = {"items": {"test": BETTER}, "baseline_items": {"test": BEFORE}}
    (finding,) = judge(scores, ["wer <= baseline"], {"test": summarise(BEFORE, resamples=50)}, **kept).findings
    assert finding.status == "cannot judge"
    assert finding.reason == "test.items.npz is not of its scores (0.17, 0.23); score again"


def test_items_that_change_groups_cannot_be_judged():
    accents = np.repeat(["scottish", "welsh"], 50)
    moved = accents.copy()
    moved[[0, 99]] = moved[[99, 0]]
    before, after = items([2] * 100, accents=accents), items([2] * 100, accents=moved)
    reasons = [one.reason for one in against(before, after, "wer[accent=*] <= baseline").findings]
    assert all("scored on something else" in reason for reason in reasons)
    assert "other items before than now" in against(before, after, "wer[accent].worst <= baseline").findings[0].reason


def test_a_score_without_a_value_cannot_be_judged():
    empty = {"test": {"wer": rate(3, 0)}}
    assert "references are empty" in judge(empty, ["wer <= 0.2"]).findings[0].reason
    assert "in the baseline: the references" in judge(SCORES, ["wer <= baseline"], empty).findings[0].reason
    broken = {"test": {"wer": replace(rate(3), value=float("nan"))}}
    (finding,) = judge(broken, ["wer <= 0.2"]).findings
    assert (finding.status, finding.value) == ("cannot judge", None)


@pytest.mark.parametrize("rules", [{}, [], ()])
def test_a_gate_without_rules_passes_nothing(rules):
    verdict = judge(SCORES, rules)
    assert verdict.exit_code == 2 and "lets nothing pass" in verdict.findings[0].reason


def test_malformed_rules_come_all_at_once():
    with pytest.raises(ConfigError) as error:
        judge(SCORES, {"wer": "= 0.2", "cer": "<= 0.1", "retain.wer": "small"})
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (["wer <= 0.2", "cer <= 0.1"], 0),
        (["wer <= 0.2", "cer <= 0.01"], 1),
        (["wer <= 0.2", "bleu >= 1"], 2),
        (["wer <= 0.1", "bleu >= 1"], 1),  # a rule known to be broken is a failure whatever else is missing
        ("wer <= 0.2", 0),
    ],
)
def test_exit_codes(rules, code):
    assert judge(SCORES, rules).exit_code == code


# What the gate promises of chance. Every speaker is a little better with one of the systems or the other, for reasons
# of their own, and on the whole neither is better.
SPEAKERS, EACH = 16, 30
SPOKEN = np.repeat(np.arange(SPEAKERS), EACH)
FOUR = np.array(["irish", "scottish", "welsh", "yorkshire"])[SPOKEN % 4]


def two_systems(rng: np.random.Generator) -> tuple[Items, Items]:
    words = rng.integers(4, 15, len(SPOKEN))
    hard = 0.15 * np.exp(rng.normal(0, 0.3, SPEAKERS))
    shared = rng.binomial(words, np.clip(0.8 * hard, 0, 0.8)[SPOKEN])
    both = []
    for _ in range(2):
        own = 0.2 * hard * np.exp(rng.normal(0, 0.6, SPEAKERS))
        errors = shared + rng.binomial(words - shared, np.clip(own, 0, 0.8)[SPOKEN])
        both.append(items(errors, SPOKEN, FOUR, words))
    return tuple(both)


def plain(one: Items) -> dict:
    """Scores without intervals, which rules against a baseline do not need."""
    wer = one.columns["wer"]

    def score(index, **groups) -> Score:
        value = float(wer.metric.value(wer.statistics[index].sum(axis=0)))
        return replace(rate(0, **groups), value=value, signature=wer.signature(index), n=len(index))

    parts = {f"accent={value}": score(one.members(f"accent={value}")) for value in one.groups["accent"].values}
    return {"test": {"wer": score(one.members(None), **parts)}}


def verdict_on(before: Items, after: Items, rule: str) -> Verdict:
    kept = {"items": {"test": after}, "baseline_items": {"test": before}}
    return judge(plain(after), [rule], plain(before), **kept)


@pytest.mark.parametrize(
    "rule",
    [
        "wer <= baseline + 0.005",
        "wer <= baseline",
        "wer[accent=*] <= baseline + 0.01",
        "wer[accent=*] <= baseline",
        "wer[accent].worst <= baseline",
    ],
)
def test_systems_that_do_not_truly_differ_fail_in_one_case_of_twenty_at_most(rule, monkeypatch):
    monkeypatch.setattr(gate, "RESAMPLES", 500)
    rng = np.random.default_rng(20)
    failed = sum(verdict_on(*two_systems(rng), rule).exit_code == 1 for _ in range(200))
    assert failed <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # two standard errors of 200 cases


def test_an_improvement_that_is_none_is_shown_in_one_case_of_twenty_at_most(monkeypatch):
    monkeypatch.setattr(gate, "RESAMPLES", 500)
    rng = np.random.default_rng(21)
    shown = sum(verdict_on(*two_systems(rng), "wer < baseline").exit_code == 0 for _ in range(200))
    assert shown <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


@pytest.mark.parametrize(("rule", "margin"), [("wer <= baseline", 0.0), ("wer <= baseline + 0.01", 0.01)])
def test_a_regression_of_the_size_that_is_stated_is_caught_in_four_cases_of_five(rule, margin, monkeypatch):
    monkeypatch.setattr(gate, "RESAMPLES", 500)
    rng = np.random.default_rng(22)
    stated, caught, true = [], [], []
    for _ in range(200):
        before, after = two_systems(rng)
        right = after.columns["wer"].statistics[:, 3]
        broken = rng.binomial(right, 0.0295 + 1.2 * margin)
        words, errors = after.columns["wer"].statistics.sum(axis=1), after.columns["wer"].statistics[:, 2]
        (finding,) = verdict_on(before, items(errors + broken, SPOKEN, FOUR, words), rule).findings
        stated.append(finding.detectable)
        caught.append(finding.status == "fail")
        true.append(broken.sum() / words.sum() - margin)
    assert np.mean(true) == pytest.approx(np.mean(stated), rel=0.05)  # the simulated regression is the stated one
    assert 0.7 < np.mean(caught) < 0.9
