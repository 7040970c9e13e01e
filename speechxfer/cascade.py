"""Speech translation by two models: any recogniser, then any translator; and which of the two to improve.

`cascade` predicts a manifest with both, each step a predictions file of its own, and scores three things: what was
recognised against the transcripts, its translations against the references, and the translations of the transcripts
themselves, as if nothing had been misheard. The gap between the last two is what recognition costs; what is missing
there to a perfect score is the translator's. The source of both is the transcript, whatever was heard: a number that
was said is to be in the translation (metric `kept`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechxfer.data import read_examples
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.manifest import Example, Manifest, expect_files, write_manifest
from speechxfer.models import CTC, family_of, resolve
from speechxfer.parallel import expect_one_process
from speechxfer.predict import predict
from speechxfer.prediction import Prediction, iterate, write_predictions
from speechxfer.receipt import read_receipt, write_receipt
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
        """The translation of a recording, or of a list of them in its order: "" where nothing was heard.

        Raises AudioError as `Recogniser.transcribe` does, ConfigError as `Translator.translate` does.
        """
        heard = self.recogniser.transcribe(sound)
        texts = [one.text for one in heard] if isinstance(heard, list) else heard.text
        return self.translator.translate(texts, lang=lang, decode=decode)


@dataclass(frozen=True)
class Verdict:
    """What each half costs: scores of what was recognised and of its translations, and what mishearing lost."""

    recognised: dict[str, "Score"]
    translated: dict[str, "Score"]
    lost: list["Difference"]  # by metric: `before` from transcripts, `after` from speech

    def table(self) -> str:
        """As plain text of at most 80 columns. What was lost is above 0 where mishearing did harm."""
        from speechxfer.scoring.table import extent_of, figure

        wer = self.recognised["wer"]
        ends = "" if wer.low is None else f" [{extent_of(wer.low, wer.high, wer.unit)}]"
        lines = [f"recognised with WER {figure(wer.value, wer.unit)} %{ends}, {wer.n} recordings", ""]
        lines.append(f"{'':13}{'from transcripts':>17}{'from speech':>14}{'lost by hearing':>18}{'95% interval':>18}")
        for one in self.lost:
            sign = -1 if self.translated[one.metric].higher_is_better else 1
            ends = "-"
            if one.low is not None:
                low, high = sorted(sign * end + 0.0 for end in (one.low, one.high))  # + 0.0: no "-0.00"
                ends = extent_of(low, high, one.unit)
            values = (one.before, one.after, sign * one.value + 0.0)
            scale = max(one.before, one.after)  # one number of digits in a line
            figures = [figure(None if np.isnan(value) else value, one.unit, scale) for value in values]
            title = f"{one.metric.upper()} in %" if one.unit == "rate" else one.metric
            lines.append(f"{title:13}{figures[0]:>17}{figures[1]:>14}{figures[2]:>18}{ends:>18}")
        return "\n".join(lines)


def cascade(recogniser: str, translator: str, manifest: str | Path, out: str | Path, *, task: Task) -> Verdict:
    """Predict a manifest of speech, `source` (its transcript) and `text` (its translation) by both models, and score.

    Writes NAME.predictions.jsonl and NAME.scores.json into the folder `out` for "recognised", "cascade" and
    "transcripts". Of `task` data, speech, decode, run, and what says how translations are scored matter: the `lang` of
    a row is that of its translation, so speech.language tells a Whisper what is spoken, else it finds out. What is
    predicted already is not predicted again. Raises ConfigError for a checkpoint of the other kind and under torchrun,
    ManifestError where no word was recognised in any recording, and what `predict` and `score_file` raise.
    """
    from speechxfer.scoring.comparison import compare
    from speechxfer.scoring.items_file import read_items

    expect_one_process("cascade")
    out = Path(out)
    expect_files([manifest])
    _check(recogniser, translator, task)
    speech = read_examples(manifest, "audio", "source", "text")
    out.mkdir(parents=True, exist_ok=True)
    heard = _recognise(recogniser, speech, out, task)
    said = {example.id: example.source for example in speech}
    for name, texts in ((CASCADE, {p.id: p.hyp for p in heard.values()}), (TRANSCRIPTS, said)):
        _translate(translator, speech, heard, texts, out, name, task)
    recognised = _score(replace(task, metrics=CTC.metrics, normaliser="", score_normaliser=""), out, RECOGNISED)
    translated = {name: _score(task, out, name) for name in (CASCADE, TRANSCRIPTS)}
    items = (read_items(out / f"{name}.items.npz") for name in (TRANSCRIPTS, CASCADE))
    return Verdict(recognised, translated[CASCADE], compare(*items))


def _check(recogniser: str, translator: str, task: Task) -> None:
    """Raise, before anything takes time, what would be raised after it."""
    from speechxfer.verbs import check_scoring

    wrong = []
    for role, checkpoint, expected in (("recogniser", recogniser, "audio"), ("translator", translator, "source")):
        given = family_of(resolve(checkpoint)).given
        if given != expected:
            wrong.append(f"{checkpoint}: takes {given}, so it is no {role}; expected one that takes {expected}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    check_scoring(task)


def _file(out: Path, name: str) -> Path:
    return out / f"{name}.predictions.jsonl"


def _recognise(checkpoint: str, speech: Manifest, out: Path, task: Task) -> dict[str, Prediction]:
    """Write what was recognised, with the transcript as its reference; returns it by id.

    It is asked for the transcript alone: language, prompt, task and times of a row are of its translation.
    """
    asked, recognised = out / f"{RECOGNISED}.asked.jsonl", _file(out, RECOGNISED)
    where = ("audio", "start", "end", "channel", "seconds", "group")
    rows = (Example(e.id, e.source, **{name: getattr(e, name) for name in where}) for e in speech)
    write_manifest(asked, rows)
    predict(checkpoint, asked, recognised, data=task.data, speech=task.speech, decode=task.decode, run=task.run)
    return {p.id: p for p in iterate(recognised)}


def _translate(
    checkpoint: str,
    speech: Manifest,
    heard: Mapping[str, Prediction],
    texts: Mapping[str, str],
    out: Path,
    name: str,
    task: Task,
) -> None:
    """Translate a text for each recording. Where nothing was heard there is nothing to translate: "" it stays."""
    asked, raw = out / f"{name}.asked.jsonl", _file(out, f"{name}.asked")
    rows = [
        Example(e.id, e.text, source=texts[e.id], group=e.group, lang=e.lang) for e in speech if texts[e.id].strip()
    ]
    if not rows:
        raise ManifestError(f"{speech.name}: no word was recognised in {len(speech)} recordings: is it the language?")
    write_manifest(asked, rows)
    predict(checkpoint, asked, raw, data=task.data, decode=task.decode, run=task.run)
    found = {e.id: Prediction(e.id, e.text, "", group=e.group) for e in speech} | {p.id: p for p in iterate(raw)}
    write_predictions(
        _file(out, name), (replace(found[e.id], source=e.source, seconds=heard[e.id].seconds) for e in speech)
    )
    write_receipt(_file(out, name), read_receipt(raw))


def _score(task: Task, out: Path, name: str) -> dict[str, "Score"]:
    from speechxfer.verbs import score_file

    return score_file(task, _file(out, name), out / f"{name}.scores.json")[0]
