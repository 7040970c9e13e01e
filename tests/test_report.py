"""The report: a page that says what the run folder says, unharmed, and that a browser shows as it should."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from speechxfer.adapt import trainable
from speechxfer.adapt.freeze import Freeze
from speechxfer.errors import ConfigError, ScoreError
from speechxfer.gate.verdict import Finding, Verdict
from speechxfer.manifest import Example, write_manifest
from speechxfer.prediction import Prediction, write_predictions
from speechxfer.report import clips, page, report
from speechxfer.report.charts import axis_of, group_charts, metric_charts, series_of
from speechxfer.report.curves import plots, thin
from speechxfer.report.run import distinct_names, read_log, read_runs
from speechxfer.report.training import facts, stretches
from speechxfer.report.worst import align, aligned, direction, normaliser_of, worst
from speechxfer.score import score, write_scores
from speechxfer.scoring.diagnosis import diagnose, diagnosis_path, write_diagnosis
from speechxfer.scoring.equivalence import read_equivalences
from speechxfer.scoring.items import extract
from speechxfer.scoring.items_file import items_path, write_items
from speechxfer.task import Source, Task, fields
from speechxfer.verbs import score_file

SECTIONS = ("verdict", "scores", "groups", "curves", "worst", "errors", "training", "task")
SCRIPT = "<script>alert('1')</script>"
HOSTILE = (SCRIPT, '" onload="x', "a & b &amp; c", "</bdi></table>", "{{ 7 * 7 }}")
WORLD = ("मैं स्कूल जा रहा हूँ", "أنا ذاهب إلى المدرسة", "我要去學校", "👩🏽‍🚀 in space", "क़लम क्षमा ज्ञान")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def predictions(stage: str) -> list[Prediction]:
    """Before training every other word is wrong; after it, one word of every third item is."""
    texts = [*HOSTILE, *WORLD, *(f"this is plain sentence number {i}" for i in range(14))]
    rows = []
    for i, ref in enumerate(texts):
        wrong = ref.split()
        if stage == "before":
            wrong[::2] = ["x"] * len(wrong[::2])
        elif i % 3 == 0:
            wrong[0] = f"y {SCRIPT}"
        group = {"accent": "α <b>" if i % 2 else "שלום", "speaker": f"s{i % 6}"}
        rows.append(Prediction(f"item-{i} & <i>", ref, " ".join(wrong), group, seconds=1.0))
    return rows


def write_run(folder: Path, *, audio: bool = False, changed: str = "") -> Path:
    """A finished run."""
    folder.mkdir(parents=True)
    for stage in ("before", "after"):
        rows = predictions(stage)
        if changed and stage == "after":
            rows = [replace(row, hyp=changed) for row in rows]
        path = folder / stage / "test.scores.json"
        write_predictions(folder / stage / "test.predictions.jsonl", rows)
        items = extract(rows, ["wer", "chrf"], "none")
        write_items(items_path(path), items)
        write_scores(path, score(rows, ["wer", "chrf"], "none", resamples=100))
        write_diagnosis(diagnosis_path(path), diagnose((row.id, row.ref, row.hyp) for row in rows))
    manifest = folder / "test.jsonl"
    if audio:
        soundfile.write(folder / "tone.wav", 0.1 * np.sin(np.arange(16_000) / 20), 16_000)
        write_manifest(manifest, [Example(row.id, row.ref, folder / "tone.wav", lang="hi") for row in rows])
    task = Task(SCRIPT, "facebook/wav2vec2", train=(Source("a.jsonl"),), test=str(manifest), adapt=(Freeze(2, 30),))
    (folder / "task.json").write_text(json.dumps(fields(task), ensure_ascii=False))
    log = [
        event
        for step in range(10, 101, 10)
        for event in (
            {"step": step, "event": "train", "loss": 9 / step, "lr": 1e-4 * step, "grad_norm": 1.0}
            | {"audio_seconds": 50.0, "audio_per_second": 25.0, "real_share": 0.9},
            {
                "step": step,
                "event": "dev",
                "loss": None if step == 20 else 8 / step,
                "wer": 1 / step,
                "cer": 0.5 / step,
            },
        )
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in log))
    (folder / "step_000100").mkdir()
    state = {"step": 100, "state": {"best_step": 90, "skips": 0}, "machine": {"device": "cpu <x86>", "torch": "2.11.0"}}
    (folder / "step_000100" / "state.json").write_text(json.dumps(state))
    findings = (
        Finding(f"wer[accent={SCRIPT}] <= 0.5", "fail", f"because {SCRIPT}", 0.6, 0.5, 0.55, 0.65),
        Finding("wer < baseline", "pass", "", 0.2, 0.6, 0.1, 0.3, -0.4, -0.5, -0.3, 0.0001, 0.05, 24, "speaker", 6),
    )
    (folder / "verdict.json").write_text(Verdict(findings).to_json())
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "scots & <b>co</b>", audio=True)


@pytest.fixture(scope="module")
def written(finished, tmp_path_factory) -> Path:
    return report([finished], tmp_path_factory.mktemp("pages") / "new" / "page.html")


@pytest.fixture(scope="module")
def shown(written) -> "Shown":
    return Shown(written.read_text(encoding="utf-8"))


class Shown(HTMLParser):
    """A page as a browser reads it: elements, their attributes, and the text inside of <bdi>."""

    VOID = ("meta", "link", "br", "line", "path", "use", "rect", "input")

    def __init__(self, html: str):
        super().__init__()
        self.html, self.elements, self.data, self.text, self.open, self.unbalanced = html, [], [], "", [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "bdi":
            self.data.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, text):
        self.text += text
        if "bdi" in self.open:
            self.data[-1] += text

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if attributes.get(name) is not None]


# The page


def test_the_page_is_well_formed_and_fetches_nothing(shown):
    assert not shown.unbalanced and not shown.open
    ids = Counter(shown.attributes("id"))
    assert all(times == 1 for times in ids.values()), ids
    assert {name for labels in shown.attributes("aria-labelledby") for name in labels.split()} <= ids.keys()
    assert {link[1:] for link in shown.attributes("href") if link.startswith("#")} >= set(SECTIONS)
    assert set(SECTIONS) <= ids.keys()
    tags = {tag for tag, _ in shown.elements}
    assert not tags & {"script", "iframe", "object", "embed", "img"}
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
    outward = [*shown.attributes("src"), *shown.attributes("href"), *shown.attributes("xlink:href")]
    assert all(link.startswith(("#", "data:")) for link in outward)
    assert "@import" not in shown.html and not re.search(r"url\((?!#|data:)", shown.html)


def test_text_from_data_arrives_unharmed(shown):
    whole = "\n".join(shown.data)
    for text in (SCRIPT, f"because {SCRIPT}", "item-0 & <i>", "α <b>", "שלום", "scots & <b>co</b>"):
        assert text in whole, text
    assert SCRIPT not in shown.html
    aligned_text = re.sub(r"\s+", "", shown.text)
    for text in (HOSTILE[3], WORLD[1], WORLD[4]):  # items 3, 6 and 9 have an error, so all their words are shown
        for word in text.split()[1:]:
            assert word in aligned_text, word
    shown_as = Counter(one["dir"] for _, one in shown.elements if one.get("class") == "aligned" and one["lang"] == "hi")
    assert shown_as["rtl"] == 1 and shown_as["ltr"] > 3


def test_the_page_says_what_the_files_say(shown, finished):
    text = re.sub(r"\s+", " ", shown.text)
    scores = read_runs([finished])[0].scores
    for stage in ("before", "after"):
        one = scores[stage]["test"]["wer"]
        assert f"{100 * one.value:.2f} {page.extent(one.low, one.high, 'rate')}" in text
        assert f"{scores[stage]['test']['chrf'].value:.2f}" in text
    assert "FAIL" in text and "-0.4000" not in text and "−0.4000 −0.5000 to −0.3000" in text
    assert "steps done100" in text and "throughput25 s of audio a second" in text
    assert "layers 2 and above" in text and "from step 30" in text
    assert "cpu <x86>" in shown.data and "facebook/wav2vec2" in shown.data


def test_the_same_runs_give_the_same_bytes(finished, written, tmp_path):
    assert report([finished], tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_a_run_in_training_has_curves_and_says_what_is_not_there_yet(finished, tmp_path):
    run = tmp_path / "young"
    run.mkdir()
    (run / "log.jsonl").write_text((finished / "log.jsonl").read_text()[:-40])  # the last line is being written
    young = Shown(report([run], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert set(SECTIONS) <= set(young.attributes("id"))
    assert "NOT JUDGED" in young.text and "plot-loss-title" in young.attributes("id")
    for missing in ("verdict.json is not there", "No scores yet", "No task.json", "no diagnosis.json"):
        assert missing in young.text


def test_a_run_without_items_says_so_where_they_are_missed(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (run / "after" / "test.items.npz").unlink()
    text = Shown(report([run], tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert text.count("test.items.npz: no such file") == 2  # the worst items, and the paired differences


def test_what_is_no_run_is_named_and_nothing_is_written(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    out = tmp_path / "page.html"
    with pytest.raises(ConfigError) as error:
        report([tmp_path / "gone", tmp_path / "empty", tmp_path / "file"], out)
    gone, empty, file = str(error.value).splitlines()
    assert "gone: no such folder" in gone and "empty: is no run" in empty and "file: is a file" in file
    with pytest.raises(ConfigError, match="no runs"):
        report([], out)
    with pytest.raises(ConfigError, match="is a folder"):
        report([tmp_path], tmp_path)
    assert not out.exists()


@pytest.mark.parametrize("name", ["verdict.json", "task.json", "after/test.scores.json", "after/test.diagnosis.json"])
def test_a_broken_file_is_named(finished, tmp_path, name):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (run / name).write_text("[1")
    with pytest.raises(ScoreError, match=re.escape(str(run / name))):
        read_runs([run])


def test_a_broken_line_of_the_log_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "event": "dev"}\n{"step": 2\n[3]\n{"step": 4, "event": "dev"}\n{"st')
    with pytest.raises(ScoreError) as error:
        read_log(path)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [f"{path}:2", f"{path}:3"]


def test_nothing_loads_torch_and_nothing_heavy_is_loaded_early(finished, tmp_path):
    code = (
        "import sys, speechxfer.report, speechxfer.report.page as page\n"
        "early = {'matplotlib', 'jinja2', 'datasets', 'soundfile', 'av'} & sys.modules.keys()\n"
        f"speechxfer.report.report([{str(finished)!r}], {str(tmp_path / 'page.html')!r})\n"
        "print(sorted(early), 'torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False False"


# Several runs


def test_runs_side_by_side_share_what_they_started_from(finished, tmp_path):
    other = write_run(tmp_path / "other", changed="nothing is right")
    runs = read_runs([finished, other])
    assert [one.label for one in series_of(runs)] == ["before", finished.name, "other"]
    (chart, _) = metric_charts(runs, "test")
    assert [round(one.value, 6) for one in chart.rows[0].scores] == [
        round(runs[i].scores[stage]["test"]["wer"].value, 6) for i, stage in ((0, "before"), (0, "after"), (1, "after"))
    ]
    assert chart.rows[0].comparable and not chart.pair
    assert {len(plot.curves) for plot in plots(runs)} == {2, 4}
    differ = {name for name, _, differs in page.settings(runs) if differs}
    assert differ == {"test"}
    html = report([finished, other], tmp_path / "page.html").read_text(encoding="utf-8")
    assert not Shown(html).unbalanced


def test_scores_of_other_references_are_not_to_be_compared(finished, tmp_path):
    other = write_run(tmp_path / "other")
    rows = [replace(row, ref=row.ref + " more") for row in predictions("after")]
    write_scores(other / "after" / "test.scores.json", score(rows, ["wer"], "none", resamples=20))
    (chart, *_) = metric_charts(read_runs([other]), "test")
    assert chart.pair and chart.rows[0].change is None
    assert any("do not compare" in note for note in chart.notes)


def test_names_tell_runs_apart(tmp_path):
    assert distinct_names([Path("a/run"), Path("b/run")]) == ["a/run", "b/run"]
    assert distinct_names([Path("x/a"), Path("x/b")]) == ["a", "b"]
    with pytest.raises(ConfigError, match="given twice"):
        (tmp_path / "log.jsonl").write_text("")
        read_runs([tmp_path, tmp_path / "."])


# Parts


def test_the_worst_items_come_first_and_their_errors_can_be_counted(finished):
    (run,) = read_runs([finished])
    found = worst(run, "test")
    rows = {row.id: row for row in predictions("after")}
    errors = {name: Levenshtein.distance(row.ref.split(), row.hyp.split()) for name, row in rows.items()}
    assert [one.errors for one in found.items] == sorted((n for n in errors.values() if n), reverse=True)[:12]
    for one in found.items:
        kinds = Counter(pair.kind for pair in one.pairs)
        if not re.search(r"[\u0e00-\u0eff\u3400-\u9fff]", rows[one.id].ref):  # words of Chinese are shown by character
            assert one.errors == kinds.total() - kinds["hit"] == errors[one.id]
        assert one.before == pytest.approx(_rate(one.id))


def _rate(name: str) -> float:
    row = next(row for row in predictions("before") if row.id == name)
    return Levenshtein.distance(row.ref.split(), row.hyp.split()) / len(row.ref.split())


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_an_alignment_holds_both_texts_and_has_the_fewest_edits(ref, hyp):
    pairs = align(ref, hyp)
    assert [pair.ref for pair in pairs if pair.kind != "insertion"] == ref
    assert [pair.hyp for pair in pairs if pair.kind != "deletion"] == hyp
    assert sum(pair.kind != "hit" for pair in pairs) == Levenshtein.distance(ref, hyp)
    assert all((pair.kind == "hit") == (pair.ref == pair.hyp) for pair in pairs)


def test_of_several_references_the_nearest_is_shown():
    row = Prediction("a", "one two", "one two three four", alternatives=("one two three", "nothing"))
    assert [pair.ref for pair in aligned(row, "none", "words")] == ["one", "two", "three", ""]
    assert [pair.ref for pair in aligned(Prediction("a", "नमस्ते", "नमस्त"), "none", "graphemes")] == ["न", "म", "स्ते"]
    assert [pair.kind for pair in aligned(Prediction("a", "A!", "a"), "basic", "words")] == ["hit"]


def test_spellings_that_count_as_the_same_are_no_errors_in_the_alignment(tmp_path):
    listed = tmp_path / "numbers.txt"
    listed.write_text("5 = five = पाँच\n", encoding="utf-8")
    equal = read_equivalences(listed, "basic")
    rows = [Prediction("a", "पाँच cats", "Five dogs")]
    run = tmp_path / "run"
    items = extract(rows, ["wer"], "basic", equal)
    write_items(items_path(run / "after/test.scores.json"), items)
    write_predictions(run / "after/test.predictions.jsonl", rows)

    def found():
        return worst(read_runs([run])[0], "test")

    assert "the task names none" in found().why
    (run / "task.json").write_text(json.dumps({"equivalences": str(listed)}))
    (item,) = found().items
    assert [(pair.kind, pair.ref, pair.hyp) for pair in item.pairs] == [
        ("hit", "5", "5"),
        ("substitution", "cats", "dogs"),
    ]
    listed.write_text("5 = five\n", encoding="utf-8")
    assert "score again" in found().why and not found().items


def test_translations_are_ranked_by_what_a_sentence_can_have_and_shown_with_their_source(tmp_path):
    rows = [
        Prediction("right", "वह आया", "वह आया", source="he came {0} at 5"),
        Prediction("wrong", "{0} को 5 बजे वह आया", "कोई नहीं 7", source="at 5 he came to {0} at 5"),
        Prediction("near", "वह घर आया", "वह घर गया", source="he came home"),
    ]
    run = tmp_path / "run"
    write_predictions(run / "after/test.predictions.jsonl", rows)
    task = Task("t", "m", metrics=("bleu", "chrf++", "kept"))
    score_file(task, run / "after/test.predictions.jsonl", run / "after/test.scores.json")
    found = worst(read_runs([run])[0], "test")
    assert (found.metric, [one.id for one in found.items]) == ("chrf++", ["wrong", "near"])  # BLEU is 0 of all three
    assert [one.source for one in found.items] == [rows[1].source, rows[2].source]
    html = report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "he came home" in html and "What must survive" in html
    assert re.search(r"2 have lost .*, 1 have a number or URL too many", html)


def test_the_reference_decides_the_direction():
    assert [direction(text) for text in ("«أنا» hello", "¡hola! أنا", "שלום", "12 !", "")] == [
        "rtl",
        "ltr",
        "rtl",
        "auto",
        "auto",
    ]


def test_the_normaliser_is_read_from_what_was_scored():
    assert normaliser_of("metric:wer|norm:indic.v2+drop-joiners+latin-digits|equiv:x.12|tok:words").endswith("digits")
    assert normaliser_of("metric:wer|norm:indic.v2+drop-joiners|tok:words") == "indic+drop-joiners"
    assert normaliser_of("metric:wer|norm:basic.v1|tok:words") == "basic"


freezes = st.lists(st.builds(Freeze, st.integers(0, 6), st.none() | st.integers(0, 9)), max_size=4)


@given(freezes)
def test_what_learned_when_is_what_training_does(adapt):
    entries = fields(Task("t", "m", adapt=tuple(adapt)))["adapt"]
    found = stretches(entries)
    assert found[0].first == 0 and found[-1].last is None
    for depth in range(8):
        (stretch,) = [one for one in found if one.first <= depth and (one.last is None or depth <= one.last)]
        for step in range(11):
            learns = stretch.start is not None and step >= stretch.start
            assert learns == trainable(adapt, "weight", depth, step), (depth, step)


def test_time_and_throughput_follow_from_the_log(finished):
    found = dict(facts(read_runs([finished])[0]))
    assert found["steps done"] == "100"  # no number of steps was planned
    assert found["training time, without evaluation"] == "20 s" and found["audio seen"] == "8 min"
    assert found["throughput"] == "25 s of audio a second" and found["best dev score"] == "at step 90"


numbers = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(st.lists(numbers, min_size=1), st.lists(numbers))
def test_an_axis_holds_zero_and_every_value_in_order(values, ends):
    axis = axis_of(values, ends)
    assert axis.low <= min(0, *values) and axis.high >= max(0, *values) and axis.ticks[-1] == pytest.approx(axis.high)
    places = [axis.at(value) for value in sorted([*values, *ends])]
    assert places == sorted(places) and 0 <= places[0] and places[-1] <= 100


def test_one_wide_interval_does_not_squeeze_the_chart():
    assert axis_of([0.1, 0.2], [-3.0, 5.0]).high <= 0.4 and axis_of([0.1, 0.2], [-3.0]).low == 0


def test_groups_come_worst_first_and_bands_in_their_order(finished):
    runs = read_runs([finished])
    by_key = {chart.title: chart for chart in group_charts(runs, "test", "wer")}
    values = [row.scores[-1].value for row in by_key["speaker"].rows]
    assert values == sorted(values, reverse=True) and len(values) == 6
    lengths = [int(re.match(r"\d+", row.label)[0]) for row in by_key["length"].rows]
    assert lengths == sorted(lengths) and len(lengths) > 1
    falling = [row.scores[-1].value for row in group_charts(runs, "test", "chrf")[0].rows]
    assert falling == sorted(falling)  # of a metric where higher is better, the lowest is worst


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.integers(1, 50))
def test_a_thinned_curve_keeps_its_mean_and_its_end(values, points):
    steps = np.arange(len(values)) * 10
    few, means = thin(steps, np.array(values), points)
    assert len(few) == len(means) <= points or len(few) == len(values)
    assert few[-1] == steps[-1]
    each = -(-len(values) // points)
    counts = [len(values[i : i + each]) for i in range(0, len(values), each)]
    assert np.average(means, weights=counts) == pytest.approx(np.mean(values), abs=1e-6)


def test_a_figure_that_was_not_finite_is_a_gap(finished):
    loss = next(plot for plot in plots(read_runs([finished])) if plot.name == "loss")
    dev = dict(loss.rows)
    assert dev[20][1] is None and dev[30][1] == pytest.approx(8 / 30) and dev[30][0] == pytest.approx(9 / 30)
    assert loss.svg.count("<svg") == 1 and "#0000" not in loss.svg and "<script" not in loss.svg


# Audio


def test_a_clip_is_the_piece_that_was_recognised(tmp_path):
    tones = np.concatenate([np.sin(np.arange(8_000) / 9), np.zeros(8_000)]).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", 0.3 * np.stack([0 * tones, tones], axis=1), 8_000)
    uri = clips.data_uri(Example("a", "x", tmp_path / "long.wav", start=0.5, end=1.5, channel=1))
    assert uri.startswith("data:audio/mpeg;base64,")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert len(samples) / rate == pytest.approx(1.0, abs=0.15)
    assert np.abs(samples[1_000:7_000]).mean() > 50 * np.abs(samples[9_500:14_500]).mean()


def test_a_page_holds_only_so_much_audio(finished):
    names = [row.id for row in predictions("after")]
    manifest = str(finished / "test.jsonl")
    (one,), _ = clips.Player(100_000).clips(manifest, names[:1])[0].values(), None
    few, why = clips.Player(3 * len(one.uri) + 10).clips(manifest, names)
    heard = [clip for clip in few.values() if clip.uri]
    assert why == "" and len(few) == len(names) and len(heard) == 3
    assert heard == list(few.values())[:3]  # the first ones asked for
    assert all("used up" in clip.why and clip.path.endswith("tone.wav") for clip in list(few.values())[3:])


def test_without_audio_one_line_says_why(tmp_path):
    player = clips.Player()
    assert "names no manifest" in player.clips("", ["a"])[1]
    assert "gone.jsonl: no such file" in player.clips(str(tmp_path / "gone.jsonl"), ["a"])[1]
    write_manifest(tmp_path / "m.jsonl", [Example("a", "x", tmp_path / "gone.wav"), Example("b", "x", source="y")])
    found, why = player.clips(str(tmp_path / "m.jsonl"), ["a", "b"])
    assert player.clips(str(tmp_path / "m.jsonl"), ["b"]) == ({}, ""), "of text alone nobody misses a recording"
    assert why == "" and found["a"].uri == "" and "gone.wav: no such file" in found["a"].why and "b" not in found


# Looks


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1) of #rrggbb."""
    colour = colour * 2 if len(colour) == 3 else colour
    parts = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(scheme):
    css = (page.HERE / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): #(\w+);", css.split("}")[0 if scheme == "light" else 1]))
    pairs = [
        (name, "paper") for name in ("ink", "muted", "accent", "pass", "fail", "doubt", *(f"run-{i}" for i in range(6)))
    ]
    pairs += [(kind, f"{kind}-wash") for kind in ("substitution", "deletion", "insertion")]
    for text, ground in pairs:
        dark, light = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)  # WCAG 2.1, success criterion 1.4.3


class Browser:
    """A page of headless Chromium, driven over its DevTools pipe."""

    def __init__(self, commands, answers):
        self.commands, self.answers, self.number, self.events, self.session = commands, answers, 0, [], None

    def call(self, method: str, **parameters) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.commands.write(
            json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        self.commands.flush()
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict:
        line = bytearray()
        while (part := self.answers.read(1)) != b"\0":
            assert part, "Chromium has gone"
            line += part
        return json.loads(line)

    def open(self, path: Path) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def show(self, width: int, scheme: str = "light", media: str = "screen") -> None:
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def press_tab(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)


@contextmanager
def browser(profile: Path):
    """Chromium reads commands from file 3 and writes answers to file 4."""
    here, commands = os.pipe()
    answers, there = os.pipe()
    flags = f"--headless --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir={profile}"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {CHROMIUM} {flags} 3<&{here} 4>&{there}"],
        pass_fds=(here, there),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(here)
    os.close(there)
    with os.fdopen(commands, "wb") as first, os.fdopen(answers, "rb", buffering=0) as second:
        yield Browser(first, second)
    process.terminate()
    process.wait(30)


A4 = 673  # CSS pixels between the margins of a sheet, where nothing can be scrolled
OVERFLOW = """
document.querySelectorAll('details').forEach(one => one.open = true);
[...document.querySelectorAll('body *')].filter(one =>
    !one.closest('.scroll, .sr, .skip, svg') && one.getBoundingClientRect().right > WIDTH + 1
).map(one => one.outerHTML.slice(0, 80))
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_real_browser_shows_it_at_every_width_by_keyboard_and_in_print(finished, written, tmp_path):
    other = write_run(tmp_path / ("a-run-with-a-name-that-is-longer-than-a-phone-is-wide-" * 2), changed="none")
    pages = [written, report([finished, other], tmp_path / "two.html")]
    with browser(tmp_path / "profile") as chromium:
        for path in pages:
            chromium.open(path)
            colours = {}
            for width in (360, 1200):
                for scheme in ("light", "dark"):
                    chromium.show(width, scheme)
                    assert chromium.value(OVERFLOW.replace("WIDTH", str(width))) == [], (path, width)
                    assert chromium.value("document.documentElement.scrollWidth") <= width
                    colours[scheme] = chromium.value("getComputedStyle(document.body).backgroundColor")
                    curve = "getComputedStyle(document.querySelector('svg.curves path[clip-path]')).stroke"
                    colours[f"{scheme} curve"] = chromium.value(curve)
            assert len(set(colours.values())) == 4, colours
            assert chromium.value("[...document.querySelectorAll('main > section > h2')].length") == len(SECTIONS)
            assert chromium.value("[...document.querySelectorAll('svg.curves')].every(one => one.clientHeight > 100)")
            dots = "[...document.querySelectorAll('.dot')].every(one => one.offsetWidth > 4)"
            assert chromium.value(dots) and chromium.value("document.querySelectorAll('.dot').length") > 10
            assert chromium.value("document.querySelectorAll('audio[src^=\"data:audio\"]').length") > 3
            chromium.show(A4, media="print")
            assert chromium.value(
                "[...document.querySelectorAll('.scroll')].every(one => one.scrollWidth <= one.clientWidth + 1)"
            )
            chromium.show(1200)
            chromium.press_tab()
            assert chromium.value("document.activeElement.className") == "skip"
            assert chromium.value("document.activeElement.getBoundingClientRect().top") >= 0
            for _ in range(2):
                chromium.press_tab()
            assert chromium.value("document.activeElement.getAttribute('href')") == "#scores"
            assert base64.b64decode(chromium.call("Page.printToPDF")["data"]).startswith(b"%PDF")
            wrong = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
            assert not [event["params"] for event in chromium.events if event["method"] in wrong]
            sent = [event for event in chromium.events if event["method"] == "Network.requestWillBeSent"]
            fetched = {event["params"]["request"]["url"] for event in sent}
            assert {url for url in fetched if not url.startswith("data:")} == {path.as_uri()}
