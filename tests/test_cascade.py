"""Speech translation by two models that have learnt toys: tones are letters, letters are words of the toy pair."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tones, translated, write_tiny_whisper

import speechxfer
from speechxfer.cascade import Cascade, Verdict, cascade
from speechxfer.cli import main
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.models.base import Hypothesis
from speechxfer.models.ctc import Ctc
from speechxfer.models.graft import add_tokens
from speechxfer.models.marian import Marian
from speechxfer.models.whisper import Whisper
from speechxfer.prediction import read_predictions
from speechxfer.score import read_scores, score
from speechxfer.scoring.comparison import compare
from speechxfer.scoring.items import extract
from speechxfer.scoring.table import extent_of, figure
from speechxfer.task import Run, Speech, Task

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

RIGHT = ("ab ba", "cad", "dac ab ba cb", "ba", "bcd ba", "cb ab", "cad ba", "abc cb ba ab", "ab dac", "cb")
MISHEARD = {"cad ab": "dac ab", "ba bcd": "ba cb"}  # what is spoken -> what the transcript says was said
SILENT = "ab cad"  # what the transcript says of a recording of nothing
TASK = Task(name="toy", model="", run=Run(precision="fp32", device="cpu"))
NAMES = ("recognised", "cascade", "transcripts")
METRICS = ("bleu", "chrf++")


def write_speech(folder: Path, name: str, spoken: dict[str, str], *, silent: tuple[str, ...] = ()) -> Path:
    """A manifest of what is spoken, each with its transcript, and then of transcripts for which nothing is."""
    rng, rows = np.random.default_rng(5), []
    for i, (sound, source) in enumerate([*spoken.items(), *((None, one) for one in silent)]):
        # the toy hears letters in any noise, and none in what is shorter than a frame
        samples = np.full(100, 0.1) if sound is None else tones(sound, rng)
        soundfile.write(folder / f"{name}-{i}.wav", samples, RATE)
        row = {"id": f"{name}-{i}", "audio": f"{name}-{i}.wav", "source": source, "text": translated(source)}
        rows.append(row | {"lang": "hi", "group": {"speaker": f"s{i % 4}"}})
    manifest = folder / f"{name}.jsonl"
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return manifest


@pytest.fixture(scope="module")
def models(speech_run, pair_run) -> tuple[str, str]:
    return str(speech_run / "best"), str(pair_run[0] / "best")


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    spoken = dict(zip(RIGHT, RIGHT, strict=True)) | MISHEARD
    return write_speech(tmp_path_factory.mktemp("speech"), "talk", spoken, silent=(SILENT,))


@pytest.fixture(scope="module")
def done(models, speech, tmp_path_factory) -> tuple[Path, str]:
    """The folder that the command wrote, and what it printed."""
    out = tmp_path_factory.mktemp("done") / "cascade"
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as end:
        main(argv=command(models, speech, out))
    assert end.value.code == 0
    return out, said.getvalue()


def command(models: tuple[str, str], manifest: Path, out: Path, *more: object) -> list[str]:
    recogniser, translator = models
    files = ("--recogniser", recogniser, "--translator", translator, "--manifest", manifest, "--out", out)
    return ["cascade", *map(str, files), "--set=run.device=cpu", *map(str, more)]


def rows_of(manifest: Path) -> list[dict]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def written(out: Path, name: str) -> list:
    return read_predictions(out / f"{name}.predictions.jsonl")


@pytest.fixture
def no_model(monkeypatch) -> None:
    """Whatever asks a model for anything fails."""

    def asked(*_: object) -> None:
        raise AssertionError("a model was asked again")

    monkeypatch.setattr(Ctc, "generate", asked)
    monkeypatch.setattr(Marian, "generate", asked)


# --- predictions ------------------------------------------------------------------------------------------------------


def test_each_step_has_its_predictions_in_the_manifests_order(done, speech, models):
    rows, translator = rows_of(speech), speechxfer.load(models[1], device="cpu")
    spoken = [*RIGHT, *MISHEARD, ""]
    assert [p.hyp for p in written(done[0], "recognised")] == spoken
    assert [p.hyp for p in written(done[0], "cascade")] == translator.translate(spoken)
    assert [p.hyp for p in written(done[0], "transcripts")] == translator.translate([row["source"] for row in rows])
    assert sum(p.hyp == p.ref for p in written(done[0], "transcripts")) >= len(rows) - 1, "the toy pair was not learnt"
    for name in NAMES:
        found, reference = written(done[0], name), "source" if name == "recognised" else "text"
        assert [p.id for p in found] == [row["id"] for row in rows]
        assert [p.ref for p in found] == [row[reference] for row in rows]
        assert [p.group for p in found] == [row["group"] for row in rows]
        seconds = [soundfile.info(speech.parent / row["audio"]).duration for row in rows]
        assert [p.seconds for p in found] == pytest.approx(seconds, abs=1e-3)


def test_the_source_is_what_was_said_whatever_was_heard(done, speech):
    said = [row["source"] for row in rows_of(speech)]
    for name in ("cascade", "transcripts"):
        assert [p.source for p in written(done[0], name)] == said
    assert [p.source for p in written(done[0], "recognised")] == [None] * len(said)


def test_a_recording_in_which_nothing_is_heard_is_translated_by_nothing(done):
    heard, found, transcript = (written(done[0], name)[-1] for name in NAMES)
    assert (heard.hyp, found.hyp, found.ref) == ("", "", translated(SILENT))
    assert transcript.hyp != "" and found.confidence is None and transcript.confidence > 0


def test_nothing_heard_at_all_is_one_clear_error(models, tmp_path, capsys):
    silence = write_speech(tmp_path, "silence", {}, silent=("ab", "ba cad"))
    with pytest.raises(SystemExit) as end:
        main(argv=command(models, silence, tmp_path / "out"))
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("speechxfer")]
    assert end.value.code == 2
    assert error == [f"speechxfer: {silence}: no word was recognised in 2 recordings: is it the language?"]


def test_rows_without_ids_keep_their_order(models, tmp_path):
    manifest = write_speech(tmp_path, "talk", {"cad ba ab": "cad ba ab", "ab": "ab", "ba cb": "ba cb"})
    rows = [{key: value for key, value in row.items() if key != "id"} for row in rows_of(manifest)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cascade(*models, manifest, tmp_path / "out", task=TASK)
    for name in NAMES:
        assert [p.ref for p in written(tmp_path / "out", name)] == [
            row["source" if name == "recognised" else "text"] for row in rows
        ]


def test_a_whisper_is_not_told_what_the_rows_say_of_the_translation(toy_pair, tmp_path, monkeypatch):
    manifest = write_speech(tmp_path, "talk", {"ab ba": "ab ba", "cad": "cad"})
    rows = [row | {"prompt": "पानी", "task": "translate", "segments": [["पानी", 0, 0.1]]} for row in rows_of(manifest)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))  # and lang: hi
    told = set()

    def heard(self, batch, decode):
        told.update(self.frontend.tokens.show([i for i in row if i != -1]) for row in batch.inputs["prefix"].tolist())
        return [Hypothesis("ab ba", 0.5)] * len(batch.ids)

    monkeypatch.setattr(Whisper, "generate", heard)
    both = str(write_tiny_whisper(tmp_path / "whisper")), str(toy_pair / "joint")
    cascade(*both, manifest, tmp_path / "found", task=TASK)
    assert told == {"<|startoftranscript|><|transcribe|><|notimestamps|>"}, "the language is to be found"
    assert [p.ref for p in written(tmp_path / "found", "recognised")] == ["ab ba", "cad"]
    told.clear()
    english = dataclasses.replace(TASK, speech=Speech(language="en"))
    cascade(*both, manifest, tmp_path / "set", task=english)
    assert told == {"<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"}


# --- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_files_by_hand(done):
    out = done[0]
    for name in NAMES:
        metrics = ("wer", "cer") if name == "recognised" else METRICS
        assert read_scores(out / f"{name}.scores.json") == score(out / f"{name}.predictions.jsonl", metrics)
    wer = read_scores(out / "recognised.scores.json")["wer"]
    assert wer.sums["substitutions"] == 2 and wer.sums["deletions"] == 2 and wer.cluster == "speaker"


def test_scores_say_which_checkpoints_they_are_of(done, models):
    for name, checkpoint in zip(NAMES, (models[0], models[1], models[1]), strict=True):
        for one in read_scores(done[0] / f"{name}.scores.json").values():
            assert f"|checkpoint:{checkpoint}@" in one.origin


def test_what_is_lost_by_hearing_is_the_difference_and_nothing_is_predicted_again(done, models, speech, no_model):
    out, said = done
    verdict = cascade(*models, speech, out, task=TASK)
    items = [extract(out / f"{name}.predictions.jsonl", METRICS, "basic") for name in ("transcripts", "cascade")]
    assert verdict.lost == compare(*items)
    assert [one.metric for one in verdict.lost] == list(METRICS)
    assert verdict.recognised == read_scores(out / "recognised.scores.json")
    assert said == f"{verdict.table()}\nfiles: {out}\n"
    for metric, line in zip(verdict.lost, verdict.table().splitlines()[-2:], strict=True):
        assert metric.after < metric.before and metric.low <= metric.value <= metric.high
        lost, ends = figure(-metric.value, "points"), extent_of(-metric.high, -metric.low, "points")
        assert line.split(maxsplit=4) == [
            *(metric.metric, figure(metric.before, "points"), figure(metric.after, "points"), lost, ends),
        ]


def test_a_loss_is_above_zero_whichever_way_the_metric_goes(done, models, speech, tmp_path, no_model, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv=command(models, speech, done[0], "--metrics", "ter", "chrf", "kept"))
    table = capsys.readouterr().out.splitlines()[:-1]
    assert end.value.code == 0 and all(len(line) <= 80 for line in table)
    wer, (ter, chrf, kept) = table[0], (line.split() for line in table[-3:])
    assert wer.startswith("recognised with WER ") and wer.endswith("13 recordings")
    assert float(ter[2]) > float(ter[1]) and float(chrf[2]) < float(chrf[1])
    assert float(ter[3]) > 0 and float(chrf[3]) > 0
    assert kept == ["KEPT", "in", "%", "-", "-", "-", "-"], "no source has a number"
    assert set(read_scores(done[0] / "cascade.scores.json")) == {"ter", "chrf", "kept"}


def test_what_was_heard_rightly_loses_nothing(done):
    items = extract(done[0] / "transcripts.predictions.jsonl", METRICS, "basic")
    scores = score(done[0] / "transcripts.predictions.jsonl", METRICS)
    table = Verdict(read_scores(done[0] / "recognised.scores.json"), scores, compare(items, items)).table()
    for line in table.splitlines()[-2:]:
        assert line.split()[-2:] == ["0.00", "-"], "and no -0"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_rows_without_a_transcript_are_named_by_line(models, speech, tmp_path, no_model):
    rows = [row | {"audio": str(speech.parent / row["audio"])} for row in rows_of(speech)]
    for i in (1, 4):
        del rows[i]["source"]
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ManifestError) as caught:
        cascade(*models, tmp_path / "bare.jsonl", tmp_path / "out", task=TASK)
    said = str(caught.value).splitlines()
    assert len(said) == 2
    for line, number in zip(said, (2, 5), strict=True):
        assert line.startswith(f"{tmp_path / 'bare.jsonl'}:{number}: no source"), line
    assert not (tmp_path / "out").exists()


def test_what_it_refuses_it_says_in_one_line_before_any_model_is_asked(models, speech, tmp_path, capsys, no_model):
    recogniser, translator = models
    (tmp_path / "file").touch()
    (tmp_path / "one.jsonl").write_text('{"audio": "no.wav", "source": "ab", "text": "पानी"}\n')
    for said, both, manifest, out, *more in (
        ("takes source, so it is no recogniser; expected one that takes audio", (translator,) * 2, speech, "x"),
        ("takes audio, so it is no translator; expected one that takes source", (recogniser,) * 2, speech, "x"),
        ("nowhere: neither a folder here nor a hub", (str(tmp_path / "nowhere"), translator), speech, "x"),
        ("none.jsonl: no such file", models, tmp_path / "none.jsonl", "x"),
        ("one.jsonl:1: no such file", models, tmp_path / "one.jsonl", "x"),
        ("file: is a file; expected a folder", models, speech, "file"),
        ("no metric 'blue'; did you mean 'bleu'?", models, speech, "x", "--metrics", "blue"),
        ("metric glossary without a file of terms", models, speech, "x", "--metrics", "glossary"),
        ("no field decode.beam; did you mean decode.beams?", models, speech, "x", "--set", "decode.beam=2"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(argv=command(both, manifest, tmp_path / out, *more))
        assert end.value.code == 2, said
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("speechxfer: ") and said in lines[0], lines


def test_several_processes_do_not_write_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="cascade works in one process, found 2"):
        cascade("asr", "mt", tmp_path / "talk.jsonl", tmp_path / "out", task=TASK)
    assert not (tmp_path / "out").exists()


def test_models_that_were_exchanged_are_both_named(models, speech, tmp_path):
    with pytest.raises(ConfigError) as caught:
        cascade(*reversed(models), speech, tmp_path / "out", task=TASK)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == list(reversed(models))


# --- from Python ------------------------------------------------------------------------------------------------------


def test_a_recording_or_a_list_of_them_from_python(models, speech, done):
    both = Cascade(*(speechxfer.load(model, device="cpu") for model in models))
    files = [speech.parent / row["audio"] for row in rows_of(speech)]
    expected = [p.hyp for p in written(done[0], "cascade")]
    assert both.translate(files) == expected
    assert both.translate(str(files[0])) == expected[0]
    assert both.translate((tones("ab ba", np.random.default_rng(0)), RATE)) == translated("ab ba")
    assert both.translate(files[-1]) == "" and both.translate([]) == []


def test_the_language_is_told_to_a_translator_of_several(models, speech, tmp_path):
    several = add_tokens(models[1], [">>hin<<", ">>mar<<"], tmp_path / "several")
    both = Cascade(speechxfer.load(models[0], device="cpu"), speechxfer.load(several, device="cpu"))
    file = speech.parent / rows_of(speech)[0]["audio"]
    assert both.translate(file, lang="hi") == both.translator.translate(">>hin<< ab ba")
    with pytest.raises(ConfigError, match="expected one of >>hin<<, >>mar<<"):
        both.translate(file)
    manifest = write_speech(tmp_path, "talk", {"ab ba": "ab ba"})  # whose rows say lang: hi
    cascade(models[0], str(several), manifest, tmp_path / "out", task=TASK)
    assert [p.hyp for p in written(tmp_path / "out", "cascade")] == [both.translate(file, lang="hi")]
