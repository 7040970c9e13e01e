import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ConfigError
from speechxfer.gate.rules import COMPARE, RATES, Rule, parse_rules, read_rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("wer <= 0.16", Rule("test", "wer", None, None, None, "<=", None, 0.16)),
        ("wer[accent=scottish] <= .25", Rule("test", "wer", "accent", "scottish", None, "<=", None, 0.25)),
        ("wer[ accent = * ]<=0.25", Rule("test", "wer", "accent", "*", None, "<=", None, 0.25)),
        ("wer[accent].worst <= 0.3", Rule("test", "wer", "accent", None, "worst", "<=", None, 0.3)),
        ("retain.cer[accent] .gap < 0.1", Rule("retain", "cer", "accent", None, "gap", "<", None, 0.1)),
        ("wer <= baseline + 5e-3", Rule("test", "wer", None, None, None, "<=", "+", 0.005)),
        ("retain.wer <= baseline", Rule("retain", "wer", None, None, None, "<=", "+", 0.0)),
        ("wer<baseline*0.9", Rule("test", "wer", None, None, None, "<", "*", 0.9)),
        ("bleu >= baseline - 0.5", Rule("test", "bleu", None, None, None, ">=", "-", 0.5)),
        ("bleu:13a > baseline", Rule("test", "bleu:13a", None, None, None, ">", "+", 0.0)),
        ("news-2024.chrf++ >= 54", Rule("news-2024", "chrf++", None, None, None, ">=", None, 54.0)),
        ("comet-22[accent=*] >= -0.1", Rule("test", "comet-22", "accent", "*", None, ">=", None, -0.1)),
        ("wer[टोन=मराठी] <= 0.2", Rule("test", "wer", "टोन", "मराठी", None, "<=", None, 0.2)),
        ("wer[k=a].gap] <= 0.2", Rule("test", "wer", "k", "a].gap", None, "<=", None, 0.2)),
    ],
)
def test_each_form_of_rule_is_read(text, rule):
    assert Rule.parse(text) == rule


names = st.from_regex(r"[a-z]\w{0,5}", fullmatch=True)
metrics = st.sampled_from(["wer", "gcer", "bleu:13a", "chrf++", "comet-22"]) | names
values = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9)
odd = st.sampled_from(["*", "a]", "x<=y", "a=b", "a].worst", "#3"])
groups = st.one_of(
    st.just((None, None, None)),
    st.tuples(names, values | odd, st.none()),
    st.tuples(names, st.none(), st.sampled_from(["gap", "worst"])),
)
changed = st.tuples(st.sampled_from("+-*"), st.floats(0, 0.99))
limits = st.tuples(st.none(), st.floats(1, 2) | st.just(0.0)) | changed


@given(names, metrics, groups, st.sampled_from(list(COMPARE)), limits)
def test_a_rule_written_out_reads_back_as_itself(scores, metric, group, compare, limit):
    rule = Rule(scores, metric, *group, compare, *limit)
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("wer =< 0.2", "did you mean 'wer <= 0.2'?"),
        ("wer < = 0.2", "did you mean 'wer <= 0.2'?"),
        ("wer ≥ 0.2", "did you mean 'wer >= 0.2'?"),
        ("wer <= 20%", "did you mean 'wer <= 0.2'?"),
        ("wer <= baseline + 0.5 %", "did you mean 'wer <= baseline + 0.005'?"),
        ("wer <= 20", "error rates are fractions; did you mean 'wer <= 0.2'?"),
        ("gcer[accent].gap <= 10", "error rates are fractions; did you mean 'gcer[accent].gap <= 0.1'?"),
        ("wer <= baseline + 1", "error rates are fractions; did you mean 'wer <= baseline + 0.01'?"),
        ("bleu:13a >= 0.25", "bleu:13a runs from 0 to 100; did you mean 'bleu:13a >= 25.0'?"),
        ("wer <= Basline * 0.5", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer <= baseline x 0.5", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer <= 0.5 * baseline", "did you mean 'wer <= baseline * 0.5'?"),
        ("wer.gap[accent] <= 0.1", "expected 'wer[accent].gap <= 0.1'"),
        ("wer.worst <= 0.1", "expected 'wer[accent].worst <= 0.1'"),
        ("wer[accent=welsh].gap <= 0.1", "expected 'wer[accent].gap <= 0.1'"),
        ("wer[accent] <= 0.2", "did you mean 'wer[accent=*] <= 0.2' or 'wer[accent].worst <= 0.2'?"),
        ("wer <= 1e999", "expected a finite number"),
        ("wer == 0.2", "expected a score, <= < >= or >, and a limit"),
        ("wer 0.2", "expected a score"),
        ("wer <=", "expected a score"),
        ("wer <= nan", "expected a score"),
        ("<= 0.2", "expected a score"),
        ("wer[accent=scottish <= 0.2", "expected a score"),
        ("wer[accent].best <= 0.2", "expected a score"),
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


def test_every_suggested_rule_can_be_read():
    for metric in RATES:
        with pytest.raises(ConfigError) as error:
            Rule.parse(f"{metric} <= 12.5")
        assert Rule.parse(str(error.value).split("'")[-2]).number == 0.125


def test_malformed_rules_come_all_at_once():
    with pytest.raises(ConfigError) as error:
        parse_rules(["wer = 0.2", "cer <= 0.1", "retain.wer small"])
    assert len(str(error.value).splitlines()) == 2


def test_how_far_a_value_lies_past_the_limit():
    assert Rule.parse("wer <= baseline + 0.1").past(0.5, 0.2) == pytest.approx(0.2)
    assert Rule.parse("wer <= baseline - 0.1").past(0.5, 0.2) == pytest.approx(0.4)
    assert Rule.parse("wer <= baseline * 0.5").past(0.5, 0.2) == pytest.approx(0.4)
    assert Rule.parse("wer <= baseline + 0.1").past(0.3, 0.3) == -0.1  # alike: the margin, to the last bit


@given(st.sampled_from(list(COMPARE)), st.integers(0, 99), st.integers(-2, 2), st.integers(0, 99))
def test_the_comparison_is_that_of_whole_numbers(compare, before, offset, change):
    """In binary 0.1 + 0.2 is more than 0.3: what is equal on paper has to count as equal."""
    rule = Rule.parse(f"wer {compare} baseline + {change / 100}")
    after = max(0, before + change + offset)
    assert rule.keeps(after / 100, rule.limit(before / 100)) == COMPARE[compare](after, before + change)


def test_a_file_of_rules(tmp_path):
    path = tmp_path / "rules.txt"
    path.write_text(
        "# what ships\n\nwer <= 0.16  # of 100 words\n  wer[room=#3] <= 0.3\nwer[अ=#क] <= 0.3 # see [2] <= 3\n# end",
        encoding="utf-8",
    )
    assert read_rules(path) == ["wer <= 0.16", "wer[room=#3] <= 0.3", "wer[अ=#क] <= 0.3"]


def test_the_problems_of_a_file_come_by_line_and_together(tmp_path):
    path = tmp_path / "rules.txt"
    path.write_text("wer <= 20\ncer <= 0.1\ncer = 0.1  # or so\n")
    with pytest.raises(ConfigError) as error:
        read_rules(path)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{path}:1: the rule 'wer <= 20'") and "did you mean 'wer <= 0.2'?" in first
    assert second.startswith(f"{path}:3: the rule 'cer = 0.1' cannot be read")


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), (b"# nothing\n\n", "no rules; expected one a line"), (b"wer <= 0.2 # \xff", "UTF-8")],
)
def test_a_file_without_rules_says_so(tmp_path, content, told):
    path = tmp_path / "rules.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        read_rules(path)
