"""Asking rules, what comes of their answers, the command, and `--fix`; at the end every rule with a planted fault."""

import io
import json
import shlex
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from conftest import write_tiny_whisper, write_toy
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer import verbs
from speechxfer.cli import main, parser, resolved
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.lint import lint, page, start
from speechxfer.lint.asking import Stage
from speechxfer.lint.fix import check, choose, fix, told
from speechxfer.lint.reading import MANIFEST
from speechxfer.lint.result import KEPT, LINES, text, write_result
from speechxfer.lint.rules import Found, Rule
from speechxfer.lint.table import STAGES
from speechxfer.manifest import read_good_rows, read_manifest
from speechxfer.scoring.terminal import columns
from speechxfer.task import Source, Task

ROOT = Path(__file__).parents[1]

# --- rules of our own, which say what they are told to in the texts --------------------------------------------------


def rows_with(word):
    def find(subject):
        texts = subject.manifest.column("text").to_pylist()
        rows = np.array([i for i, text in enumerate(texts) if word in (text or "")], np.int64)
        yield Found(subject, rows, lambda place: f"{word} is in {texts[rows[place]]!r}; expected none")

    return find


def twice(subjects):
    """Texts of train that stand in another set, and sets that are one file."""
    train, *others = subjects
    for other in others:
        texts = set(other.manifest.column("text").to_pylist())
        rows = np.array([i for i, t in enumerate(train.manifest.column("text").to_pylist()) if t in texts], np.int64)
        yield Found(train, rows, lambda place, other=other: f"stands in {other.name} too")
        if other.manifest.name == train.manifest.name:
            yield Found(other, None, lambda place: "is the train manifest; expected another file")


BAD = Rule("bad", "error", "a bad word", "take it out", rows_with("bad"))
ODD = Rule("odd", "warning", "an odd word", "look at it", rows_with("odd"))
RARE = Rule("rare", "note", "a rare word", "know it", rows_with("rare"))
TWICE = Rule("twice", "error", "a sentence of two sets", "leave it out of train", twice)
OWN = (Stage("Manifest", (MANIFEST,)), Stage("Words", (RARE, ODD, BAD)), Stage("Sets", (TWICE,), between=True))


def write(path, texts, **fields):
    rows = [{"id": f"{i}", "source": "x", "text": one} | fields for i, one in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def task(tmp_path):
    """bad in lines 2 and 4 of train, odd in line 3, one sentence of test in line 5, rare in dev; retain is clean."""
    return Task(
        name="t",
        model="",
        train=write(tmp_path / "train.jsonl", ["a", "b bad", "c odd", "d bad", "e of test", "f"]),
        dev=write(tmp_path / "dev.jsonl", ["g", "h rare"]),
        test=write(tmp_path / "test.jsonl", ["i", "e of test"]),
        retain=write(tmp_path / "retain.jsonl", ["j"]),
    )


def found(result):
    return [(f.rule, f.severity, f.set, f.count, f.lines) for f in result.findings]


def exit_code(*arguments):
    with pytest.raises(SystemExit) as exit:
        main(argv=["lint", *map(str, arguments)])
    return exit.value.code


# --- what is found ---------------------------------------------------------------------------------------------------


def test_findings_are_counted_and_come_worst_first(task):
    result = lint(task, stages=OWN)
    assert found(result) == [
        ("bad", "error", "train", 2, (2, 4)),
        ("twice", "error", "train", 1, (5,)),
        ("odd", "warning", "train", 1, (3,)),
        ("rare", "note", "dev", 1, (2,)),
    ]
    assert result.findings[0].shown[1] == (f"{task.train}:4", "bad is in 'd bad'; expected none")
    assert result.exit_code == 1
    assert result.counts() == {"error": 2, "warning": 1, "note": 1}
    assert [(one.name, one.rows) for one in result.sets] == [("train", 6), ("dev", 2), ("test", 2), ("retain", 1)]
    assert {"reading", "bad", "odd", "rare", "twice"} <= set(result.took)


def test_a_severity_can_be_changed_and_a_rule_turned_off(task):
    changed = replace(task, lint={"bad": "note", "twice": "off", "rare": "warning"})
    result = lint(changed, stages=OWN)
    assert [(f.rule, f.severity) for f in result.findings] == [("odd", "warning"), ("rare", "warning"), ("bad", "note")]
    assert result.exit_code == 0 and "twice" not in result.took


def test_all_severities_that_make_no_sense_are_told_at_once(task):
    wrong = replace(task, lint={"badd": "off", "odd": "fatal", "quite-other": "off"})
    with pytest.raises(ConfigError) as caught:
        lint(wrong, stages=OWN)
    assert str(caught.value).splitlines() == [
        "lint has no rule 'badd'; did you mean 'bad'?",
        "lint.odd is 'fatal'; expected one of error, warning, note, off",
        "lint has no rule 'quite-other'; expected one of manifest, rare, odd, bad, twice",
    ]


def test_several_training_manifests_are_each_a_set(tmp_path, task):
    more = write(tmp_path / "more.jsonl", ["z bad"])
    result = lint(replace(task, train=(Source(task.train), Source(more, 0.5)), test="", retain=""), stages=OWN[:2])
    bad = [(f.manifest, f.count) for f in result.findings if f.rule == "bad"]
    assert bad == [(task.train, 2), (more, 1)]
    assert "error bad: 3 rows of train\n" in text(result)


def test_one_file_for_two_sets_is_read_once(task, monkeypatch):
    import speechxfer.lint.reading as reading

    read = []
    monkeypatch.setattr(reading, "read_good_rows", lambda path: read.append(path) or read_good_rows(path))
    result = lint(replace(task, test=task.train, retain=""), stages=OWN)
    assert sorted(read) == sorted([task.train, task.dev])
    whole = [f for f in result.findings if f.count is None]
    assert [(f.rule, f.set) for f in whole] == [("twice", "test")]
    assert "test as a whole" in text(result)


def test_after_the_time_is_up_no_other_rule_begins(task):
    def slow(subject):
        time.sleep(0.02)
        return ()

    stages = (Stage("Slow", (Rule("slow", "error", "x", "y", slow),)), *OWN)
    result = lint(task, stages=stages, within=0.01)
    assert result.findings == ()
    assert "rare, odd, bad, twice (after 0.01 s no other rule begins)" in result.skipped[-1]


def test_a_rule_with_two_answers_shows_some_of_each(task):
    def two(subject):
        yield Found(subject, np.arange(0, 5), lambda place: f"one {place}")
        yield Found(subject, np.arange(3, 6), lambda place: f"two {place}")
        yield Found(subject, np.array([], np.int64), lambda place: "never")

    result = lint(
        replace(task, dev="", test="", retain=""), stages=[Stage("Two", (Rule("two", "error", "x", "y", two),))]
    )
    (finding,) = result.findings
    assert finding.count == 6  # rows that both name are counted once
    assert {message for _, message in finding.shown} == {
        *(f"one {i}" for i in range(5)),
        *(f"two {i}" for i in range(3)),
    }


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_text_has_80_columns_and_says_how_many_more(tmp_path):
    path = write(tmp_path / "train.jsonl", ["गाड़ी bad " + "भाषा" * 40] * 30 + ["bad"] * 2)
    shown = text(lint(Task(name="t", model="", train=path), stages=OWN))
    assert all(columns(line) <= 80 for line in shown.splitlines()), shown
    assert "... and 29 more of train" in shown
    assert shown.splitlines()[-1] == "lint: 1 error in 32 rows (exit 1)"
    assert "mend: take it out" in shown and "no model was named" in shown


def test_the_text_says_what_the_sets_are_made_of(tmp_path):
    rows = [{"id": f"{i}", "source": "x", "text": f"t{i // 2}", "group": {"accent": "ab"[i > 6]}} for i in range(10)]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row | {"seconds": 360}) + "\n" for row in rows) + "broken\n")
    result = lint(Task(name="t", model="", train=str(path)), stages=OWN)
    table = [line.split() for line in text(result).splitlines()[:7]]
    assert table[1] == ["train", "10", "5", "1.00", "-"]
    assert ["accent=a", "7", "4", "0.70", "-"] in table and ["accent=b", "3", "2", "0.30", "-"] in table
    assert "and 1 rows that cannot be read" in text(result)
    shares = json.loads(result.to_json())["sets"][0]["balance"]
    assert [(share["value"], share["rows"]) for share in shares] == [("", 10), ("a", 7), ("b", 3)]


def test_nothing_found_says_so(task):
    clean = lint(Task(name="t", model="", retain=task.retain), stages=OWN)
    assert clean.findings == () and clean.exit_code == 0
    assert text(clean).splitlines()[-1] == "lint: nothing found in 1 rows (exit 0)"


def test_json_says_the_same_and_stays_small(tmp_path):
    path = write(tmp_path / "train.jsonl", ["bad"] * (LINES + 500))
    result = lint(Task(name="t", model="", train=path), stages=OWN)
    write_result(tmp_path / "findings.json", result)
    row = json.loads((tmp_path / "findings.json").read_text())
    (finding,) = row["findings"]
    assert (finding["rule"], finding["severity"], finding["set"]) == ("bad", "error", "train")
    assert (finding["count"], len(finding["lines"]), len(finding["shown"])) == (LINES + 500, LINES, KEPT)
    assert finding["shown"][1] == {"where": f"{path}:2", "message": "bad is in 'bad'; expected none"}
    assert row["rules"]["odd"]["severity"] == "warning" and row["exit_code"] == 1
    assert (tmp_path / "findings.json").stat().st_size < 30_000


# --- manifests that are broken ---------------------------------------------------------------------------------------

BROKEN = """\
{"id": "a", "source": "x", "text": "good"}
no json
{"id": "a", "source": "x", "text": "twin"}

[1]
{"id": "b", "source": "x", "text": "bad"}
"""


def test_a_broken_manifest_is_a_finding_and_the_others_are_read(tmp_path, task):
    (tmp_path / "broken.jsonl").write_text(BROKEN)
    (tmp_path / "broken.parquet").write_text("none")
    path = str(tmp_path / "broken.jsonl")
    result = lint(replace(task, dev=path, retain=str(tmp_path / "broken.parquet")), stages=OWN)
    broken = [(f.set, f.count, f.lines) for f in result.findings if f.rule == "manifest"]
    assert broken == [("dev", 3, (2, 3, 5)), ("retain", None, ())]
    where = [where for f in result.findings if f.rule == "manifest" for where, _ in f.shown]
    assert sorted(where) == sorted([f"{path}:2", f"{path}:3", f"{path}:5", str(tmp_path / "broken.parquet")])
    assert [(f.set, f.lines) for f in result.findings if f.rule == "bad"] == [("train", (2, 4)), ("dev", (6,))]
    assert result.exit_code == 1
    assert "dev as a whole" not in text(result) and "retain as a whole" in text(result)


def test_a_manifest_without_a_good_row_is_no_subject(tmp_path, task):
    (tmp_path / "broken.jsonl").write_text("no json\n{}\n")
    result = lint(replace(task, dev=str(tmp_path / "broken.jsonl")), stages=OWN)
    assert [(f.rule, f.count) for f in result.findings if f.set == "dev"] == [("manifest", 2)]


def test_files_that_are_not_there_are_a_mistake_and_all_are_named(task):
    with pytest.raises(ManifestError) as caught:
        lint(replace(task, dev="no.jsonl", test="nor.csv"), stages=OWN)
    assert str(caught.value).splitlines() == [
        "no.jsonl: no such file; expected a manifest",
        "nor.csv: no such file; expected a manifest",
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                '{"source": "x", "text": "y"}',
                '{"id": "twin", "source": "x", "text": "y"}',
                '{"audio": "a.wav", "seconds": -1}',
                '{"audio": "a.wav", "start": 3, "end": 1, "id": 7}',
                '{"audio": "a.wav", "words": [["a", 2, 1]], "id": "w"}',
                '{"text": 3}',
                "{}",
                "[]",
                "no",
                "",
            ]
        ),
        min_size=1,
        max_size=30,
    )
)
def test_good_rows_are_those_that_no_problem_names(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("good") / "m.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    manifest, problems = read_good_rows(path)
    assert manifest.name == str(path)
    good = [int(manifest.where(i).rpartition(":")[2]) for i in range(len(manifest))]
    named = {int(message.removeprefix(f"{path}:").partition(":")[0]) for message in problems.shown()}
    assert named <= problems.lines
    assert not set(good) & problems.lines
    written = {number for number, line in enumerate(lines, 1) if line}
    assert set(good) | (problems.lines & written) == written
    if good:  # what is left is a manifest that is read without a problem
        path.write_text("".join(lines[number - 1] + "\n" for number in good))
        assert len(read_manifest(path)) == len(good)


# --- --fix -----------------------------------------------------------------------------------------------------------


def test_fix_writes_the_rows_of_train_that_no_error_names(task, tmp_path):
    result = lint(task, stages=OWN)
    fixed = fix(task, result, tmp_path / "sub" / "out.jsonl")
    kept = read_manifest(fixed.path)
    assert kept.column("text").to_pylist() == ["a", "c odd", "f"]
    assert kept.column("id").to_pylist() == ["0", "2", "5"]
    assert (fixed.kept, fixed.dropped, fixed.by_rule) == (3, 3, {"bad": 2, "twice": 1})
    assert "fix: 3 of 6 rows" in told(fixed) and "dropped 3: bad 2, twice 1" in told(fixed)
    assert lint(replace(task, train=str(fixed.path)), stages=OWN).exit_code == 0


def test_fix_follows_the_severities_that_were_asked_for(task, tmp_path):
    chosen = replace(task, lint={"bad": "warning", "odd": "error", "twice": "off"})
    fixed = fix(chosen, lint(chosen, stages=OWN), tmp_path / "out.jsonl")
    assert read_manifest(fixed.path).column("id").to_pylist() == ["0", "1", "3", "4", "5"]


def test_fix_takes_the_only_set_where_there_is_one(task, tmp_path):
    alone = Task(name="t", model="", test=task.train)
    fixed = fix(alone, lint(alone, stages=OWN[:2]), tmp_path / "out.jsonl")
    assert read_manifest(fixed.path).column("id").to_pylist() == ["0", "2", "4", "5"]


def test_rows_that_could_not_be_read_are_dropped_and_counted(tmp_path):
    (tmp_path / "train.jsonl").write_text(BROKEN)
    task = Task(name="t", model="", train=str(tmp_path / "train.jsonl"))
    fixed = fix(task, lint(task, stages=OWN), tmp_path / "out.jsonl")
    assert (fixed.kept, fixed.dropped, fixed.by_rule) == (1, 4, {"manifest": 3, "bad": 1})
    assert read_manifest(fixed.path).column("text").to_pylist() == ["good"]


def test_what_no_dropping_mends_is_said(task, tmp_path):
    def whole(subject):
        yield Found(subject, None, lambda place: "is no good")

    stages = [*OWN, Stage("Whole", (Rule("whole", "error", "x", "y", whole),))]
    assert "not mended by dropping rows: whole" in told(fix(task, lint(task, stages=stages), tmp_path / "out.jsonl"))


def test_audio_is_found_from_the_new_folder(tmp_path):
    train = write_toy(tmp_path / "data", "train", 4, seed=1)
    rows = [json.loads(line) for line in train.read_text().splitlines()]
    rows[1]["text"] = "bad"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task(name="t", model="", train=str(train))
    fixed = fix(task, lint(task, stages=OWN), tmp_path / "elsewhere" / "deep" / "out.jsonl")
    kept = read_manifest(fixed.path)
    kept.check_audio()
    assert [(e.id, e.text, e.group) for e in kept] == [
        (row["id"], row["text"], row["group"]) for row in rows if row["text"] != "bad"
    ]


def test_fix_refuses_what_it_could_not_do(task, tmp_path):
    two = replace(task, train=(Source(task.train), Source(task.dev)))
    with pytest.raises(ConfigError, match="found 2 manifests of train"):
        check(two, tmp_path / "out.jsonl", None)
    with pytest.raises(ConfigError, match="found dev, test, retain"):
        choose(replace(task, train=()))
    for path in (task.train, task.dev, tmp_path / "x" / ".." / "test.jsonl"):
        with pytest.raises(ConfigError, match="expected another file"):
            check(task, tmp_path / path, None)
    with pytest.raises(ConfigError, match="--json .*is the test manifest"):
        check(task, None, tmp_path / "test.jsonl")
    with pytest.raises(ConfigError, match="unknown ending '.csv'; expected .jsonl"):
        check(task, tmp_path / "out.csv", None)
    with pytest.raises(ConfigError, match="expected two files"):
        check(task, tmp_path / "out.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "train.jsonl").write_text('{"id": "a", "source": "x", "text": "bad"}\n')
    with pytest.raises(ConfigError, match="no row of .* is left"):
        fix(task, lint(task, stages=OWN), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def own_rules(monkeypatch):
    """The command with the rules of this file, whatever the real ones find."""
    monkeypatch.setattr("speechxfer.lint.table.STAGES", OWN)


def test_the_command_prints_writes_and_exits_1_on_errors(task, tmp_path, capsys, own_rules):
    sets = ("--train", task.train, "--dev", task.dev, "--test", task.test, "--retain", task.retain)
    assert exit_code(*sets, "--json", tmp_path / "f.json", "--fix", tmp_path / "out.jsonl") == 1
    printed = capsys.readouterr()
    assert "error bad: 2 rows of train" in printed.out and "fix: 3 of 6 rows" in printed.out and printed.err == ""
    assert json.loads((tmp_path / "f.json").read_text())["exit_code"] == 1
    assert len(read_manifest(tmp_path / "out.jsonl")) == 3
    assert exit_code(*sets, "--rule", "bad=warning", "--rule", "twice=off") == 0
    assert "twice" not in capsys.readouterr().out
    assert exit_code("--set", "lint.bad=note", "--train", task.train) == 0


def test_a_task_has_the_verb_and_its_own_severities(task, capsys, own_rules):
    own = replace(task, lint={"bad": "off", "twice": "warning"})
    for arguments, code in (
        (["lint"], 0),
        (["lint", "--rule", "twice=error"], 1),
        (["lint", "--rule", "bad=error"], 1),
    ):
        with pytest.raises(SystemExit) as exit:
            main(own, argv=arguments)
        assert exit.value.code == code
    assert "warning twice" in capsys.readouterr().out


def test_data_is_prepared_before_it_is_looked_at(tmp_path, own_rules, capsys):
    path = tmp_path / "made.jsonl"
    with pytest.raises(SystemExit) as exit:
        main(Task(name="t", model="", train=str(path)), lambda: write(path, ["fine"]), ["lint"])
    assert exit.value.code == 0 and "nothing found in 1 rows" in capsys.readouterr().out


def test_a_mistake_is_one_line_and_exits_2(task, tmp_path, capsys, own_rules, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train = ("--train", task.train)
    for arguments, message in (
        ((), "no set to look at; expected a manifest"),
        (("--train", tmp_path / "no.jsonl"), "no.jsonl: no such file; expected a manifest"),
        ((*train, "--rule", "bad"), "--rule bad: expected NAME=SEVERITY, such as audio-clipped=off"),
        ((*train, "--rule", "bad=loud"), "lint.bad is 'loud'; expected one of"),
        ((*train, "--rule", "bat=off"), "lint has no rule 'bat'; did you mean 'bad'?"),
        ((*train, "--fix", task.train), "is the train manifest; expected another file"),
        ((*train, "--json", task.train), "is the train manifest; expected another file"),
        ((*train, "--model", tmp_path), "has no config.json"),
    ):
        assert exit_code(*arguments) == 2, arguments
        printed = capsys.readouterr()
        assert message in printed.err and len(printed.err.splitlines()) == 1 and printed.out == "", arguments
    assert len(read_manifest(task.train)) == 6


# --- before training -------------------------------------------------------------------------------------------------


def warned(task, capsys):
    start.warn(task)
    return capsys.readouterr().err.splitlines()


def test_training_is_warned_in_a_line_for_each_rule(task, capsys, monkeypatch):
    monkeypatch.setattr(start, "STAGES", (*start.STAGES[:1], *OWN[1:]))
    monkeypatch.setattr(start, "REFUSED", ())
    *lines, last = warned(task, capsys)
    assert lines == [
        "lint: error: bad: 2 rows of train: a bad word",
        "lint: error: twice: 1 row of train: a sentence of two sets",
        "lint: warning: odd: 1 row of train: an odd word",
    ]
    command = shlex.split(last.removeprefix("lint: all of it: "))
    assert command[:2] == ["speechxfer", "lint"]
    same = resolved(parser().parse_args(command[1:]), None)
    assert (same.train[0].manifest, same.dev, same.test, same.retain) == (task.train, task.dev, task.test, task.retain)
    assert warned(replace(task, lint=dict.fromkeys(("bad", "twice", "odd"), "off")), capsys) == []


def test_training_is_not_warned_of_what_it_refuses_itself(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "broken.jsonl").write_text(BROKEN)
    for changes in ({"dev": "no.jsonl"}, {"dev": str(tmp_path / "broken.jsonl")}, {"model": str(tmp_path)}):
        assert warned(replace(task, **changes), capsys) == []
    with pytest.raises(ConfigError, match="lint has no rule 'bat'"):
        start.warn(replace(task, lint={"bat": "off"}))
    monkeypatch.setenv("RANK", "1")
    assert warned(task, capsys) == []


def test_a_run_is_warned_when_it_begins_and_not_when_it_goes_on(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(start, "warn", said.append)
    result = SimpleNamespace(reason="finished", steps=1, best=0.5, best_step=1)
    monkeypatch.setattr("speechxfer.train.train", lambda task, run: result)
    task = Task(name="t", model="m")
    verbs.train_run(task, tmp_path / "run")
    (tmp_path / "run" / "step_000001").mkdir(parents=True)
    verbs.train_run(task, tmp_path / "run")
    assert said == [task]


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "lint.md").read_text(encoding="utf-8") == page.page(), (
        "rules have changed; write it anew: python -m speechxfer.lint.page > docs/lint.md"
    )


def test_every_rule_has_a_name_of_its_own_and_says_what_to_do():
    rules = [rule for stage in STAGES for rule in stage.rules]
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.severity in ("error", "warning", "note") and rule.what and rule.mend, rule.name


# --- planted faults: every rule of the table finds its own, and no other finds anything ------------------------------

RATE = 16_000
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def sentence(rng):
    """Eight made-up words: no two sentences are near each other."""
    return " ".join("".join(rng.choice(SYLLABLES, rng.integers(2, 4))) for _ in range(8))


def voice(text, rng, rate=RATE):
    """A tone in a hiss of its own loudness for each letter, silence for a space: no filter has cut the spectrum."""
    time = np.arange(int(0.04 * rate)) / rate
    level = np.array([0 if letter == " " else 0.1 + 0.1 * rng.random() for letter in text])[:, None]
    pitch = 200 + 40 * np.array([ord(letter) % 64 for letter in text])[:, None]
    spoken = level * (np.sin(2 * np.pi * pitch * time) + 0.3 * rng.standard_normal((len(text), len(time))))
    return (spoken.ravel() + 0.001 * rng.standard_normal(spoken.size)).astype(np.float32)


class World:
    """Sets and audio that are written to a folder when lint looks at them. All is well until faults are planted.

    `rows[set]` are what the manifests will say; `expected` is rule -> set -> lines, or None for the set as a whole.
    """

    def __init__(self, row, **counts):
        self.rng = np.random.default_rng(7)
        self.files = {}
        self.rows = {name: [row(self, name, i) for i in range(count)] for name, count in counts.items()}
        self.expected = {}
        self.model = None  # writes a checkpoint's small files to a folder
        self.broken = ()  # lines behind train's rows

    def plant(self, rule, name, *places, **changes):
        """Change the first of `places` (rows from 0) of a set, and expect `rule` to name them all, or the whole set."""
        if changes:
            self.rows[name][places[0]] |= changes
        self.expected.setdefault(rule, {})[name] = [place + 1 for place in places] or None

    def audio(self, name, samples, rate=RATE):
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="WAV")
        self.files[name] = file.getvalue()
        return name

    def samples(self, row):
        return soundfile.read(io.BytesIO(self.files[row["audio"]]))[0]

    def say(self, row, text):
        """Another text, and audio that says it."""
        row |= {"text": text, "audio": self.audio(f"said-{len(self.files)}.wav", voice(text, self.rng))}

    def lint(self, folder):
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        sets = {name: str(folder / f"{name}.jsonl") for name in self.rows}
        for name, rows in self.rows.items():
            lines = [*map(json.dumps, rows), *(self.broken if name == "train" else ())]
            Path(sets[name]).write_text("".join(line + "\n" for line in lines))
        model = folder / "model"
        if self.model:
            model.mkdir()
            self.model(self, model)
        return lint(
            Task(name="world", model=str(model) if self.model else "", **sets), cache=folder / "measured.sqlite"
        )


def spoken(world, name, i):
    text = sentence(world.rng)
    audio = world.audio(f"{name}-{i}.wav", voice(text, world.rng))
    return {"id": f"{name}-{i}", "audio": audio, "text": text, "lang": "en", "group": {"speaker": f"{name}-{i % 8}"}}


def translated(world, name, i):
    hindi = str.maketrans("bdfgklmnprstvzaeiou", "बदफगकलमनपरसतवजािीोु")
    return {"id": f"{name}-{i}", "source": sentence(world.rng), "text": sentence(world.rng).translate(hindi)}


def latin(world, name, i):
    return {"id": f"{name}-{i}", "source": sentence(world.rng), "text": sentence(world.rng)}


def clean_speech():
    return World(spoken, train=48, dev=12, test=12)


def clean_pairs():
    return World(translated, train=120, dev=20, test=20)


def faults_of_text():
    world = World(spoken, train=48, dev=12, test=12)
    rows = world.rows["train"]
    faults = {
        "text-mojibake": "the door is schÃ¶n and the house is wide",
        "text-mixed-scripts": "the pаper lies on a wide table",  # with a Cyrillic a
        "text-wrong-script": "это совсем другой язык и другие буквы",
        "text-not-nfc": "we sat in the cafe\u0301 until it was dark",
        "text-stray-marks": "the word लिे is not written like this",
        "text-lookalikes": "the word अन्त:करण has a colon in the middle",
        "text-stray-joiners": "they play foot\u200dball on the green",
        "text-invisible": "an un\u00adusual word of some length here",
        "text-markup": "she said <b>never</b> and closed the door",
        "text-unspoken": "the train leaves at 5 from the old station",
        "text-spaces": "two  spaces stand between two words here",
    }
    for place, (rule, words) in enumerate(faults.items()):
        world.say(rows[place], words)
        world.plant(rule, "train", place)
    world.plant("text-empty", "train", 11, text="")
    world.plant("text-nonspeech", "train", 12, group=rows[12]["group"] | {"speech": "no"})
    for row in rows[20:45]:
        world.say(row, "please leave a message after the long tone")
    world.plant("text-repeated", "train", *range(20, 45))
    world.broken = ("this is no json", '{"id": "x"}')
    world.plant("manifest", "train", 48, 49)
    return world


def faults_of_audio():
    world = World(spoken, train=48, dev=12, test=12)
    rows, rng = world.rows["train"], world.rng
    world.files |= {"empty.wav": b"", "text.wav": b"this is no audio " * 100}
    world.files["cut.wav"] = world.files[rows[2]["audio"]][:5000]
    both = np.stack([world.samples(rows[5]), world.samples(rows[5])[::-1]], axis=1)
    telephone = soxr.resample(soxr.resample(world.samples(rows[11]), RATE, 8000), 8000, RATE)
    planted = {
        "audio-missing": {"audio": "gone.wav"},
        "audio-empty": {"audio": "empty.wav"},
        "audio-truncated": {"audio": "cut.wav"},
        "audio-undecodable": {"audio": "text.wav"},
        "audio-piece": {"start": 50.0, "end": 60.0},
        "audio-channels": {"audio": world.audio("both.wav", both)},
        "audio-silent": {"audio": world.audio("silent.wav", np.zeros(2 * RATE))},
        "audio-seconds": {"seconds": 9.0},
        "audio-no-speech": {"audio": world.audio("hiss.wav", 0.1 * rng.standard_normal(2 * RATE))},
        "audio-clipped": {"audio": world.audio("loud.wav", np.clip(12 * world.samples(rows[9]), -0.9, 0.9))},
        "audio-offset": {"audio": world.audio("offset.wav", world.samples(rows[10]) + 0.1)},
        "audio-narrow": {"audio": world.audio("telephone.wav", telephone)},
        "audio-text-long": {"text": " ".join(sentence(rng) for _ in range(6))},
        "audio-text-short": {"audio": world.audio("slow.wav", np.concatenate([*map(world.samples, rows[13:18])]))},
        "audio-repeated": {"audio": world.audio("again.wav", world.samples(rows[12])), "text": rows[12]["text"]},
    }
    for place, (rule, changes) in enumerate(planted.items()):
        world.plant(rule, "train", place, **changes)
    rows[20]["audio"] = world.audio("fine.wav", voice(rows[20]["text"], rng, 24_000), 24_000)
    world.plant("audio-rates", "train")
    return world


def ctc(world, folder):
    letters = sorted({letter for rows in world.rows.values() for row in rows for letter in row["text"]} - set(" ?!é"))
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *letters]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    config = {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "vocab_size": len(tokens)}
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 0}))


def faults_for_a_ctc_model():
    world = World(spoken, train=48, dev=12, test=12)
    rows = world.rows["train"]
    world.model = ctc
    world.say(rows[0], "ke fimé sona leku pagimo")
    world.plant("model-characters", "train", 0)
    world.plant("model-text-vanishes", "train", 1, text="?!")
    world.say(rows[2], "dodo di")
    world.plant("model-frames", "train", 2, audio=world.audio("short.wav", voice("dod", world.rng)))
    text = rows[3]["text"]
    world.plant("audio-rate", "train", 3, audio=world.audio("low.wav", voice(text, world.rng, 8000), 8000))
    return world


def whisper(world, folder):
    settings = {"chunk_length": 3, "sampling_rate": RATE}
    for file in write_tiny_whisper(folder / "whisper").iterdir():
        file.rename(folder / file.name)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def faults_for_a_whisper_model():
    world = World(spoken, train=48, dev=12, test=12)
    world.model = whisper
    world.say(world.rows["train"][0], sentence(world.rng) + " " + sentence(world.rng))
    world.plant("audio-too-long", "train", 0)
    return world


def marian(world, folder):
    import sentencepiece

    pieces = {"</s>": 0, "<unk>": 1, "<pad>": 2}
    for side, name in (("source", "source"), ("text", "target")):
        texts = [row[side] for row in world.rows["dev"] + world.rows["test"]]
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_prefix=str(folder / name), vocab_size=100, minloglevel=2
        )
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        for line in (folder / f"{name}.vocab").read_text().splitlines():
            pieces.setdefault(line.split("\t")[0], len(pieces))
    (folder / "vocab.json").write_text(json.dumps(pieces))
    config = {"model_type": "marian", "max_position_embeddings": 120, "eos_token_id": 0, "pad_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(pieces)}))


def faults_for_a_marian_model():
    world = World(translated, train=120, dev=20, test=20)
    world.model, rows = marian, world.rows["train"]
    for side in ("source", "text"):
        rows[0][side] = " ".join(row[side] for row in rows[1:8])
    world.plant("model-labels", "train", 0)
    world.plant("model-mostly-unknown", "train", 8, text="漢 字 漢 字 漢 字 漢 字 漢 字")
    world.plant("model-unknown-pieces", "train", 9, source=rows[9]["source"] + " ☃")
    return world


def faults_of_pairs():
    world = World(translated, train=140, dev=20, test=20)
    rows, test = world.rows["train"], world.rows["test"]
    world.plant("pair-source-empty", "train", 0, source="")
    world.plant("pair-wrong-side", "train", 1, source=rows[1]["text"], text=rows[1]["source"])
    world.plant("pair-length", "train", 2, text="बा")
    rows[4] |= {side: rows[3][side] for side in ("source", "text")}
    world.plant("pair-twice", "train", 4)
    for row in rows[11:22]:
        row["source"] = rows[10]["source"]
    world.plant("pair-many-targets", "train", *range(10, 22))
    world.plant("leak-source", "train", 30, source=test[0]["source"])
    world.plant("leak-target", "train", 31, text=test[1]["text"])
    return world


def faults_of_copies():
    world = World(latin, train=120, dev=20, test=20)
    world.plant("pair-untranslated", "train", 5, text=world.rows["train"][5]["source"])
    return world


def faults_between_sets():
    world = World(spoken, train=48, dev=12, test=24)
    train, dev, test = (world.rows[name] for name in ("train", "dev", "test"))
    for row in (*train, *test[12:]):
        row["group"] |= {"accent": "dutch"}
    same = ("audio", "text")
    world.plant("leak-utterance", "train", 0, **{name: test[0][name] for name in same})
    world.files["copy.wav"] = world.files[test[1]["audio"]]
    world.plant("leak-audio", "train", 1, audio="copy.wav", text=test[1]["text"])
    world.say(train[2], dev[2]["text"])
    world.plant("leak-sentence", "train", 2)
    for row in (train[3], test[3]):
        world.say(row, "thank you")
    world.plant("leak-short", "train", 3)
    long = f"{sentence(world.rng)} {sentence(world.rng)}"
    world.say(test[4], long)
    world.say(train[4], long.replace(long.split()[5], "gozuma"))
    world.plant("leak-near", "train", 4)
    world.plant("leak-speaker", "train", 5, group=train[5]["group"] | {"speaker": "test-0"})
    for row in test[:12]:
        row["group"] |= {"accent": "frisian"}
    world.plant("group-unseen", "test", *range(12))
    world.plant("dev-in-test", "dev", 7, **{name: test[7][name] for name in same})
    return world


def faults_of_balance():
    world = World(latin, train=120, dev=24, test=24, retain=12)
    for name, rows in world.rows.items():
        for i, row in enumerate(rows):
            row["group"] = {"speaker": f"{name}-{i % 8}"}
    for i, row in enumerate(world.rows["train"]):
        row["group"] = {"speaker": f"train-{max(i - 70, 0) % 8}", "topic": "weather" if i else "sport"}
    world.plant("speaker-dominates", "train")
    world.plant("group-uneven", "train")
    for i, row in enumerate(world.rows["dev"]):
        row["group"] = {"speaker": f"dev-{i % 6 if i < 12 else 6}", "style": "read" if i < 12 else "free"}
    world.plant("group-of-one", "dev")
    world.rows["dev"][0]["group"].pop("speaker")
    world.plant("speaker-missing", "dev", 0)
    for i, row in enumerate(world.rows["test"]):
        row["group"] = {"speaker": f"test-{i % 3}", "domain": "news" if i > 3 else "law"}
    world.plant("few-speakers", "test")
    world.plant("group-small", "test")
    for row in world.rows["retain"]:
        row["group"] = {"speaker": "retain-0"}
    world.plant("one-speaker", "retain")
    return world


def faults_of_splitting():
    world = World(latin, train=60, dev=20)
    for rows in world.rows.values():
        for i, row in enumerate(rows):
            row["group"] = {"speaker": f"s{i % 8}"}
    world.plant("split-by-utterance", "dev")
    return world


def faults_of_whole_sets():
    world = World(latin, train=60, dev=20)
    world.rows |= {"test": world.rows["dev"], "retain": world.rows["train"]}
    world.plant("leak-set", "train")
    world.plant("dev-is-test", "dev")
    return world


WORLDS = [
    clean_speech,
    clean_pairs,
    faults_of_text,
    faults_of_audio,
    faults_for_a_ctc_model,
    faults_for_a_whisper_model,
    faults_for_a_marian_model,
    faults_of_pairs,
    faults_of_copies,
    faults_between_sets,
    faults_of_balance,
    faults_of_splitting,
    faults_of_whole_sets,
]


@pytest.mark.parametrize("build", WORLDS, ids=lambda build: build.__name__)
def test_each_rule_finds_its_plant_and_no_other_finds_anything(build, tmp_path):
    world = build()
    result = world.lint(tmp_path)
    found = {}
    for one in result.findings:
        found.setdefault(one.rule, {})[one.set] = None if one.count is None else list(one.lines)
    assert found == world.expected, text(result)
    if not world.expected:
        rows = sum(map(len, world.rows.values()))
        assert text(result).endswith(f"lint: nothing found in {rows} rows (exit 0)")


def test_every_rule_has_a_plant():
    planted = {rule for build in WORLDS for rule in build().expected}
    assert planted == {rule.name for stage in STAGES for rule in stage.rules}
