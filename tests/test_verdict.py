import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ScoreError
from speechxfer.gate.verdict import Finding, Verdict, junit, markdown, number, read_verdict, table
from speechxfer.scoring.terminal import columns

LONG = "retain.wer[accent=a very long name, longer than a line] > 0.0"
FINDINGS = (
    Finding("wer <= 0.2", "pass", "", 0.2, 0.2, 0.1, 0.4, n=40, cluster="utterance", clusters=40),
    Finding("wer[accent=welsh] <= 0.3", "fail", "the interval contains the limit", 0.4, 0.3, 0.2, 0.8),
    Finding(
        *("bleu > baseline", "fail", "not shown: p = 0.31", 27.314, 27.0, 25.0, 29.5),
        *(0.314, -0.3, 0.928, 0.31, 0.88, 412, "document", 17, "points"),
    ),
    Finding("chrf >= 20.0", "cannot judge", "the scores of 'test' have no metric 'chrf'; found wer, bleu"),
    Finding(LONG, "cannot judge", "one speaker is too few to judge by", -0.1, 0.0, -0.2345, -0.0345),
)
MIXED = Verdict(FINDINGS)


def test_a_known_failure_decides_and_what_cannot_be_judged_does_not_pass():
    passed, failed, _, unknown, _ = FINDINGS
    assert [Verdict(x).exit_code for x in ((), (passed,), (passed, unknown), (unknown, failed))] == [2, 0, 2, 1]


def test_the_table_fits_and_has_it_all():
    shown = table(MIXED).splitlines()
    assert max(map(len, shown)) <= 80
    assert "pass         wer <= 0.2                          0.2000  0.2000    0.1000-0.4000" in shown
    assert "fail         bleu > baseline                      27.31   27.00      25.00-29.50" in shown
    assert "             value less limit: +0.3140 [-0.3000, +0.9280], p = 0.31" in shown
    assert "             412 items, 17 documents: would show 0.8800 past the limit" in shown
    assert any(line.endswith(" -0.2345, -0.0345") for line in shown)
    assert shown[-1] == "gate: FAIL (1 pass, 2 fail, 2 cannot judge; exit 1)"
    rules = "".join(line[13:48].strip() for line in shown).replace(" ", "")
    assert all(one.rule.replace(" ", "") in rules for one in FINDINGS)  # wrapped, and nothing cut off
    assert all(one.reason in " ".join("\n".join(shown).split()) for one in FINDINGS)
    assert table(Verdict(())).endswith("gate: CANNOT JUDGE (no findings; exit 2)")


@pytest.mark.parametrize(
    ("value", "unit", "signed", "shown"),
    [
        (0.12345, "rate", False, "0.1235"),
        (12.5, "rate", False, "12.50"),
        (27.314, "points", False, "27.31"),
        (0.8432, "points", False, "0.8432"),  # COMET
        (0.3, "points", True, "+0.3000"),
        (-0.01, "rate", True, "-0.0100"),
        (None, "rate", False, "-"),
        (float("inf"), "rate", False, "inf"),
    ],
)
def test_figures_are_in_the_units_of_the_scores(value, unit, signed, shown):
    assert number(value, unit, signed=signed) == shown


def test_the_table_fits_in_any_script():
    name = "南方口音北京大学普通话水平测试二级甲等"
    lines = table(Verdict((Finding(f"wer[accent={name}] <= 0.2", "fail", f"{name} is worst " * 5, 0.3, 0.2),)))
    assert max(map(columns, lines.splitlines())) == 80


def test_both_ends_of_an_interval_have_the_same_decimals():
    one = Finding("bleu >= 20.0", "pass", "", 75.0, 20.0, 0.0, 96.72, unit="points")
    assert table(Verdict((one,))).splitlines()[1].endswith(" 0.00-96.72")


def test_the_verdict_as_json_reads_back(tmp_path):
    row = json.loads(MIXED.to_json())
    assert (row["status"], row["exit_code"], len(row["findings"])) == ("fail", 1, 5)
    path = tmp_path / "verdict.json"
    path.write_text(MIXED.to_json(), encoding="utf-8")
    assert read_verdict(path) == MIXED


figures = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(st.characters(exclude_categories=["Cs"])), figures, figures, st.none() | st.integers(0))
def test_any_finding_survives_json(text, value, limit, n):
    verdict = Verdict((Finding(text, "fail", text, value, limit, n=n, cluster=text),))
    assert Verdict.from_json(verdict.to_json()) == verdict


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "passed"}, "findings[1]: status is 'passed'; expected one of pass, fail, cannot judge"),
        ({"value": "0.2"}, "findings[1]: value is '0.2'; expected a number"),
        ({"n": True}, "findings[1]: n is True; expected a number"),
        ({"rule": None}, "findings[1]: rule is None; expected a string"),
        ({"verdict": 1}, "findings[1]: found other fields than expected (['verdict']); judge again"),
    ],
)
def test_a_broken_verdict_names_the_field(tmp_path, change, told):
    row = json.loads(MIXED.to_json())
    row["findings"][1] |= change
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(row))
    with pytest.raises(ScoreError) as error:
        read_verdict(path)
    assert str(error.value) == f"{path}: {told}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": 3}', "\ud83d", '{"findings": [3]}'])
def test_what_is_no_verdict_says_so(tmp_path, text):
    path = tmp_path / "verdict.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ScoreError, match="expected"):
        read_verdict(path)
    with pytest.raises(ScoreError, match="no such file"):
        read_verdict(tmp_path / "other.json")


def test_the_verdict_as_junit():
    suite = ElementTree.fromstring(junit(MIXED))
    assert suite.attrib | {"name": ""} == {"name": "", "tests": "5", "failures": "2", "errors": "2"}
    assert [case.get("name") for case in suite] == [one.rule for one in FINDINGS]
    assert [case[0].tag for case in suite] == ["system-out", "failure", "failure", "error", "error"]
    assert suite[2][0].get("message") == "not shown: p = 0.31" and "[-0.3000, +0.9280]" in suite[2][0].text
    odd = Verdict((Finding("wer[a=\x00<&>क] <= 0.2", "cannot judge", "\x1b"),))
    assert ElementTree.fromstring(junit(odd))[0].get("name") == "wer[a=\ufffd<&>क] <= 0.2"


def test_the_verdict_as_markdown():
    lines = markdown(MIXED).splitlines()
    assert lines[2] == "| pass | `wer <= 0.2` | 0.2000 | 0.2000 | 0.1000-0.4000 | - |  |"
    assert lines[4].split(" | ")[5] == "+0.3140 [-0.3000, +0.9280], p = 0.31"
    assert lines[-1] == "**gate: FAIL (1 pass, 2 fail, 2 cannot judge; exit 1)**"


def test_text_from_data_makes_no_markup():
    odd = replace(FINDINGS[0], rule="wer[a=`b|c`] <= 0.2", reason="no group '<img src=x>' | \n| x |")
    row = markdown(Verdict((odd,))).splitlines()[2]
    assert row.count("|") - row.count("\\|") == 8
    assert row.startswith("| pass | `` wer[a=`b\\|c`] <= 0.2 `` |") and "&lt;img" in row and "<img" not in row
