"""Speech translation by two models: any recogniser, then any translator; and which of the two to improve.

`cascade` predicts a manifest with both, each step a predictions file of its own, and scores three things: what was
recognised against the transcripts, its translations against the references, and the translations of the transcripts
themselves, as if nothing had been misheard. The gap between the last two is what recognition costs; what is missing
there to a perfect score is the translator's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.errors import ManifestError
from speechxfer.manifest import Example, Manifest, expect_files, read_manifest, write_manifest
from speechxfer.predict import predict
from speechxfer.prediction import Prediction, iterate, write_predictions
from speechxfer.recogniser import Audio, Recogniser
from speechxfer.task import Decode, Task
from speechxfer.translator import DECODE, Translator

if TYPE_CHECKING:
    from speechxfer.score import Score
    from speechxfer.scoring.comparison import Difference

RECOGNISED, CASCADE, TRANSCRIPTS = "recognised", "cascade", "transcripts"  # NAME.predictions.jsonl, NAME.scores.json


@dataclass(frozen=True)
class Cascade:
    """From Python: `Cascade(load("runs/asr/best"), load("runs/mt/best")).translate("x.wav")`."""

    recogniser: Recogniser
    translator: Translator

    def translate(
        self, sound: Audio | Sequence[Audio], *, lang: str | None = None, decode: Decode = DECODE
    ) -> str | list[str]:
        """The translation of a recording, or of a list of them in its order. Silence is translated by "".

        Raises AudioError as `Recogniser.transcribe` does, ConfigError as `Translator.translate` does.
        """
        heard = self.recogniser.transcribe(sound)
        texts = [one.text for one in heard] if isinstance(heard, list) else heard.text
        return self.translator.translate(texts, lang=lang, decode=decode)


@dataclass(frozen=True)
class Verdict:
    """What each half costs: scores of what was recognised, and of the translations from transcripts against speech."""

    recognised: dict[str, "Score"]
    lost: list["Difference"]  # by metric: `before` from transcripts, `after` from speech

    def table(self) -> str:
        """As plain text of at most 80 columns."""
        from speechxfer.scoring.table import extent_of, figure

        wer = self.recognised["wer"]
        ends = "" if wer.low is None else f" [{extent_of(wer.low, wer.high, wer.unit)}]"
        lines = [f"recognised with WER {figure(wer.value, wer.unit)} %{ends}, {wer.n} recordings", ""]
        lines.append(f"{'':12}{'from transcripts':>18}{'from speech':>14}{'lost by hearing':>17}{'95% interval':>18}")
        for one in self.lost:
            ends = "-" if one.low is None else extent_of(-one.high, -one.low, one.unit)
            values = [figure(value, one.unit) for value in (one.before, one.after, -one.value)]
            lines.append(f"{one.metric:12}{values[0]:>18}{values[1]:>14}{values[2]:>17}{ends:>18}")
        return "\n".join(lines)


def cascade(recogniser: str, translator: str, manifest: str | Path, out: str | Path, *, task: Task) -> Verdict:
    """Predict a manifest of speech, `source` (its transcript) and `text` (its translation) by both models, and score.

    Writes NAME.predictions.jsonl and NAME.scores.json into the folder `out` for "recognised", "cascade" and
    "transcripts". Of `task` data, decode, run and metrics (of the translations) matter. What is predicted already is
    not predicted again. Raises what `predict` and `score_file` raise.
    """
    from speechxfer.scoring.comparison import compare
    from speechxfer.scoring.items import read_items

    out = Path(out)
    expect_files([manifest])
    speech = read_manifest(manifest, require=("audio", "source", "text"))
    out.mkdir(parents=True, exist_ok=True)
    heard = _recognise(recogniser, manifest, speech, out, task)
    for name, sources in ((CASCADE, heard), (TRANSCRIPTS, {e.id: e.source for e in speech})):
        _translate(translator, speech, sources, out, name, task)
    recognised = _score(replace(task, metrics=("wer", "cer"), normaliser="", score_normaliser=""), out, RECOGNISED)
    for name in (CASCADE, TRANSCRIPTS):
        _score(task, out, name)
    return Verdict(recognised, compare(*(read_items(out / f"{name}.items.npz") for name in (TRANSCRIPTS, CASCADE))))


def _file(out: Path, name: str) -> Path:
    return out / f"{name}.predictions.jsonl"


def _recognise(checkpoint: str, manifest: str | Path, speech: Manifest, out: Path, task: Task) -> dict[str, str]:
    """Write what was recognised, with the transcript as its reference; returns it by id."""
    raw = _file(out, "speech")  # its references are the translations, as the manifest has them
    predict(checkpoint, manifest, raw, data=task.data, decode=task.decode, run=task.run)
    transcripts = {example.id: example.source for example in speech}
    found = {p.id: p for p in iterate(raw)}
    rows = (replace(p, ref=transcripts[p.id], source=None) for p in found.values())
    write_predictions(_file(out, RECOGNISED), rows)
    return {name: p.hyp for name, p in found.items()}


def _translate(checkpoint: str, speech: Manifest, sources: dict[str, str], out: Path, name: str, task: Task) -> None:
    """Translate a text for each recording. Where nothing was heard there is nothing to translate: "" it stays."""
    asked, raw = out / f"{name}.jsonl", _file(out, f"{name}-heard")
    rows = [Example(e.id, e.text, source=sources[e.id], group=e.group, lang=e.lang) for e in speech]
    spoken = [row for row in rows if row.source.strip()]
    if not spoken:
        raise ManifestError(f"{speech.name}: no word was recognised in {len(speech)} recordings: is it the language?")
    write_manifest(asked, spoken)
    predict(checkpoint, asked, raw, data=task.data, decode=task.decode, run=task.run)
    found = {p.id: p for p in iterate(raw)}
    silent = {e.id: Prediction(e.id, e.text, "", group=e.group, source=e.source) for e in rows if e.id not in found}
    write_predictions(_file(out, name), ((found | silent)[row.id] for row in rows))


def _score(task: Task, out: Path, name: str) -> dict[str, "Score"]:
    from speechxfer.verbs import score_file

    return score_file(task, _file(out, name), out / f"{name}.scores.json")[0]
