import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechxfer.errors import ConfigError
from speechxfer.gate import COMPARE, Finding, Rule, Verdict, judge, junit, markdown, table
from speechxfer.score import Counts, Score


def rate(errors: int, length: int = 100, metric: str = "wer", refs: str = "abc", **groups: Score) -> Score:
    """A score of which only the value, the interval and the signature matter here."""
    value = errors / length if length else None
    return Score(
        metric=metric,
        value=value,
        low=value and value / 2,
        high=value and value * 2,
        confidence=0.95,
        n=10,
        cluster="speaker",
        clusters=5,
        counts=Counts(errors, 0, 0, length),
        signature=f"metric:{metric}|norm:basic.v1|tok:words|refs:{refs}",
        origin="",
        note="" if length else "the references are empty: no rate",
        groups=groups,
    )


ACCENTS = {"accent=scottish": rate(25), "accent=welsh": rate(40), "speaker=f1": rate(90)}
SCORES = {
    "test": {"wer": rate(20, **ACCENTS), "cer": rate(5, metric="cer")},
    "retain": {"wer": rate(11, refs="retain")},
}
BEFORE = {
    "test": {"wer": rate(50, **{"accent=scottish": rate(60), "accent=welsh": rate(50)})},
    "retain": {"wer": rate(10, refs="retain")},
}


def statuses(rules, scores=SCORES, baseline=BEFORE):
    return [finding.status for finding in judge(scores, rules, baseline).findings]


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
        ("retain.wer <= 0.1", 0.1, "fail"),
        ("retain.wer <= baseline + 0.01", 0.11, "pass"),
        ("retain.wer <= baseline", 0.1, "fail"),
        ("wer <= baseline * 0.5", 0.25, "pass"),
        ("wer[accent=scottish] <= baseline*0.4", 0.24, "fail"),
        ("wer < baseline - 0.3", 0.2, "fail"),
    ],
)
def test_each_form_of_rule(rule, limit, status):
    (finding,) = judge(SCORES, [rule], BEFORE).findings
    assert finding.status == status
    assert finding.limit == pytest.approx(limit)
    assert finding.low < finding.value < finding.high
    left, op, right = rule.replace("<=", " <= ").partition(" ")
    assert judge(SCORES, {left: f"{op}{right}"}, BEFORE) == judge(SCORES, [rule], BEFORE)


@example(offset=0, compare="<", before=10, change=20)
@given(st.integers(-2, 2), st.sampled_from(list(COMPARE)), st.integers(0, 99), st.integers(0, 99))
def test_the_comparison_is_that_of_whole_numbers(offset, compare, before, change):
    """In binary 0.1 + 0.2 is more than 0.3: what is equal on paper has to count as equal."""
    errors = max(0, before + change + offset)
    expected = "pass" if COMPARE[compare](errors, before + change) else "fail"
    now, baseline = {"test": {"wer": rate(errors)}}, {"test": {"wer": rate(before)}}
    assert statuses([f"wer {compare} baseline + {change / 100}"], now, baseline) == [expected]
    assert statuses([f"wer {compare} {(before + change) / 100}"], now) == [expected]


names = st.from_regex(r"[a-z]\w{0,5}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9)
groups = st.one_of(st.just((None, None)), st.tuples(names, values | st.sampled_from(["*", "a]", "x<=y", "a=b"])))


@given(names, names, groups, st.sampled_from(list(COMPARE)), st.sampled_from([None, *"+-*"]), st.floats(0, 2))
def test_a_rule_written_out_reads_back_as_itself(scores, metric, group, compare, change, number):
    rule = Rule(scores, metric, *group, compare, change, number)
    assert Rule.parse(str(rule)) == rule


def test_a_star_judges_every_group_alone():
    verdict = judge(SCORES, ["wer[accent=*] <= 0.3"])
    assert [(one.rule, one.status) for one in verdict.findings] == [
        ("wer[accent=scottish] <= 0.3", "pass"),
        ("wer[accent=welsh] <= 0.3", "fail"),
    ]
    assert judge(SCORES, ["wer[acent=*] <= 0.3"]).exit_code == 2


def test_a_group_that_only_the_baseline_has_is_noticed():
    now = {"test": {"wer": rate(20, **{"accent=scottish": rate(25)})}}
    verdict = judge(now, ["wer[accent=*] <= baseline"], BEFORE)
    assert [one.status for one in verdict.findings] == ["pass", "cannot judge"]
    assert "no group 'accent=welsh'" in verdict.findings[1].reason


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("wer =< 0.2", "did you mean 'wer <= 0.2'?"),
        ("wer < = 0.2", "did you mean 'wer <= 0.2'?"),
        ("wer ≥ 0.2", "did you mean 'wer >= 0.2'?"),
        ("wer <= 20%", "did you mean 'wer <= 0.2'?"),
        ("wer <= 20", "error rates are fractions; did you mean 'wer <= 0.2'?"),
        ("wer <= Basline * 0.5", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer <= baseline x 0.5", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer <= 0.5 * baseline", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer <= 1e999", "expected a finite number"),
        ("wer == 0.2", "expected a score, <= < >= or >, and a limit"),
        ("wer 0.2", "expected a score"),
        ("wer <=", "expected a score"),
        ("wer <= nan", "expected a score"),
        ("<= 0.2", "expected a score"),
        ("wer[scottish] <= 0.2", "expected a score"),
        ("wer[accent=scottish <= 0.2", "expected a score"),
        ("wer <= baseline 0.5", "expected a score"),
        ("wer <= baseline +", "expected a score"),
        ("wer <= 0.2 and cer <= 0.1", "expected a score"),
        ("", "expected a score"),
    ],
)
def test_a_malformed_rule_is_quoted_and_mended(text, suggestion):
    with pytest.raises(ConfigError) as error:
        Rule.parse(text)
    assert repr(text) in str(error.value) and suggestion in str(error.value)


def test_malformed_rules_come_all_at_once():
    with pytest.raises(ConfigError) as error:
        judge(SCORES, {"wer": "= 0.2", "cer": "<= 0.1", "retain.wer": "small"})
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("wre <= 0.2", "have no metric 'wre'; did you mean 'wer'?"),
        ("bleu >= 20", "have no metric 'bleu'; found wer, cer"),
        ("retian.wer <= 0.2", "no scores of a set 'retian'; did you mean 'retain'?"),
        ("wer[accent=scotish] <= 0.2", "no group 'accent=scotish'; did you mean 'accent=scottish'?"),
        ("wer[acent=scottish] <= 0.2", "did you mean 'accent'?"),
        ("cer[accent=scottish] <= 0.2", "found none"),
        ("cer <= baseline", "the baseline scores of 'test' have no metric 'cer'"),
        ("wer[speaker=f1] <= baseline", "the baseline scores of 'test' have no group 'speaker=f1'"),
    ],
)
def test_what_is_not_there_cannot_be_judged(rule, reason):
    verdict = judge(SCORES, [rule], BEFORE)
    assert (verdict.status, verdict.exit_code) == ("cannot judge", 2)
    assert reason in verdict.findings[0].reason


def test_a_baseline_on_other_references_cannot_be_judged():
    other = {"test": {"wer": rate(50, refs="def")}}
    (finding,) = judge(SCORES, ["wer <= baseline * 0.5"], other).findings
    assert finding.status == "cannot judge" and finding.reason.endswith("refs:def before, refs:abc now")
    assert statuses(["wer <= 0.2"], baseline=other) == ["pass"]  # no rule on the baseline: it does not matter
    assert "none were given" in judge(SCORES, ["wer <= baseline"]).findings[0].reason


def test_a_score_without_a_value_cannot_be_judged():
    empty = {"test": {"wer": rate(3, 0)}}
    assert "references are empty" in judge(empty, ["wer <= 0.2"]).findings[0].reason
    assert statuses(["wer <= baseline"], baseline=empty) == ["cannot judge"]
    broken = {"test": {"wer": replace(rate(3), value=float("nan"))}}
    assert statuses(["wer <= 0.2"], broken) == ["cannot judge"]


@pytest.mark.parametrize("rules", [{}, [], ()])
def test_a_gate_without_rules_passes_nothing(rules):
    verdict = judge(SCORES, rules)
    assert verdict.exit_code == 2 and "lets nothing pass" in table(verdict)


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (["wer <= 0.2", "cer <= 0.1"], 0),
        (["wer <= 0.2", "cer <= 0.01"], 1),
        (["wer <= 0.2", "bleu >= 1"], 2),
        (["wer <= 0.1", "bleu >= 1"], 1),  # a rule known to be broken is a failure whatever else is missing
    ],
)
def test_exit_codes(rules, code):
    assert judge(SCORES, rules).exit_code == code
    assert Verdict(()).exit_code == 2


MIXED = judge(
    SCORES,
    ["wer <= 0.2", "wer[accent=*] <= 0.3", "bleu >= 20", "retain.wer[accent=a very long name, longer than a line] > 0"],
)


def test_the_table_fits_and_has_it_all():
    shown = table(MIXED)
    assert max(map(len, shown.splitlines())) <= 80
    assert "pass         wer <= 0.2                             0.2000  0.2000 0.1000-0.4000" in shown.splitlines()
    assert shown.splitlines()[-1] == "gate: FAIL (2 pass, 1 fail, 2 cannot judge; exit 1)"
    rules = "".join(line[13:51].strip() for line in shown.splitlines()).replace(" ", "")
    assert all(one.rule.replace(" ", "") in rules for one in MIXED.findings)  # wrapped, and nothing cut off
    assert "did you mean" not in shown and "have no metric 'bleu'; found wer, cer" in " ".join(shown.split())


def test_the_verdict_as_json():
    row = json.loads(MIXED.to_json())
    assert (row["status"], row["exit_code"], len(row["findings"])) == ("fail", 1, 5)
    assert Finding(**row["findings"][0]) == MIXED.findings[0]


def test_the_verdict_as_junit():
    suite = ElementTree.fromstring(junit(MIXED))
    assert suite.attrib | {"name": ""} == {"name": "", "tests": "5", "failures": "1", "errors": "2"}
    assert [case.get("name") for case in suite] == [one.rule for one in MIXED.findings]
    assert [case[0].tag if len(case) else "" for case in suite] == ["", "", "failure", "error", "error"]
    odd = Verdict((Finding("wer[a=\x00<&>] <= 0.2", None, None, None, None, "cannot judge", "\x1b"),))
    assert ElementTree.fromstring(junit(odd))[0].get("name") == "wer[a=\ufffd<&>] <= 0.2"


def test_the_verdict_as_markdown():
    lines = markdown(judge(SCORES, ["wer[accent=a|b] <= 0.2", "wer <= 0.2"])).splitlines()
    assert lines[2].count("|") - lines[2].count("\\|") == lines[0].count("|") == 7
    assert lines[3] == "| pass | `wer <= 0.2` | 0.2000 | 0.2000 | 0.1000-0.4000 |  |"
