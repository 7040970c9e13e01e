"""A fine-tuned translator from Python: `load("runs/x/best").translate("How are you?")`."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from speechxfer.atomic import replacing
from speechxfer.data import length_sorted
from speechxfer.errors import ConfigError, ManifestError
from speechxfer.manifest import Example
from speechxfer.models.base import Hypothesis
from speechxfer.models.marian import Marian
from speechxfer.models.marian_frontend import Item
from speechxfer.models.pieces import language_codes
from speechxfer.precision import choose_precision
from speechxfer.task import Decode

DECODE = Decode()
LINES = 10_000  # of a file that are in memory at a time
MOST_SAID = 20  # lines of a file that cannot be translated
# where a sentence ends: a stop (also of Devanagari, Urdu, Chinese), closing quotes or brackets, and then white space,
# which Chinese does without
_END = re.compile(r"(?<=[.!?\u2026\u0964\u0965\u06d4\u061f])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])\s*")


class Translator:
    """A loaded checkpoint. `model` is the nn.Module, whose `net` is the transformers model."""

    def __init__(self, model: Marian, device: torch.device, precision: str):
        self.model = model.to(device).eval()
        self.device = device
        self.precision = choose_precision(precision, device)

    def translate(
        self,
        text: str | Sequence[str],
        *,
        lang: str | None = None,
        decode: Decode = DECODE,
        batch_tokens: int = 4096,
    ) -> str | list[str]:
        """The translation of a text, or of a list of them in its order. A blank one stays as it is.

        A text that is longer than the model's positions is translated sentence by sentence. `lang` is the language to
        write, "hi" say, for models of several. Raises ConfigError for a sentence that is too long, and for a language
        that the model does not write.
        """
        if isinstance(text, str):
            return self.translate([text], lang=lang, decode=decode, batch_tokens=batch_tokens)[0]
        parts = [self._sentences(one) for one in text]
        found = iter(
            self.hypotheses(list(itertools.chain(*parts)), lang=lang, decode=decode, batch_tokens=batch_tokens)
        )
        return [
            " ".join(next(found).text for _ in of_text) if of_text else one
            for one, of_text in zip(text, parts, strict=True)
        ]

    def hypotheses(
        self,
        sentences: Sequence[str],
        *,
        lang: str | None = None,
        decode: Decode = DECODE,
        batch_tokens: int = 4096,
    ) -> list[Hypothesis]:
        """Of each sentence the best hypothesis, with its confidence and, by decode.n_best, others of the beam."""
        if not sentences:
            return []
        items = [self._item(sentence, lang) for sentence in sentences]
        lengths = np.array([len(item.source) for item in items])
        found: dict[int, Hypothesis] = {}
        for chosen in length_sorted(lengths, batch_tokens):
            with torch.no_grad(), self.precision.autocast(self.device):
                batch = self.model.frontend.collate([items[i] for i in chosen]).to(self.device)
                found |= zip(chosen.tolist(), self.model.generate(batch, decode), strict=True)
        return [found[i] for i in range(len(sentences))]

    def translate_file(
        self,
        path: str | Path,
        out: str | Path,
        *,
        lang: str | None = None,
        decode: Decode = DECODE,
        batch_tokens: int = 4096,
    ) -> Path:
        """Translate a text file (UTF-8) line by line, in bounded memory; blank lines and the order stay.

        `out` appears whole or not at all. Raises ConfigError naming, before the work, the lines that are too long for
        the model, and a line that is not UTF-8.
        """
        path, out = Path(path), Path(out)
        self._check_lines(path, lang)
        with replacing(out) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            with tqdm(total=path.stat().st_size, unit="B", unit_scale=True, disable=None) as bar:
                for lines in _chunks(path):
                    written = self.translate(lines, lang=lang, decode=decode, batch_tokens=batch_tokens)
                    file.writelines(" ".join(line.splitlines()) + "\n" for line in written)
                    bar.update(sum(len(line.encode()) + 1 for line in lines))
        return out

    def _check_lines(self, path: Path, lang: str | None) -> None:
        problems = []
        for number, line in enumerate(itertools.chain.from_iterable(_chunks(path)), 1):
            try:
                for sentence in self._sentences(line):
                    self._item(sentence, lang)
            except ConfigError as error:
                problems.append(f"{path}:{number}: {error}")
                if len(problems) == MOST_SAID:
                    break
        if problems:
            raise ConfigError("\n".join(problems))

    def _item(self, sentence: str, lang: str | None) -> Item:
        """What the model takes of a sentence. Raises ConfigError where it cannot."""
        frontend = self.model.frontend
        try:
            item = frontend.load(Example(id=repr(sentence[:40]), source=sentence, lang=lang))
        except ManifestError as error:
            raise ConfigError(str(error)) from error
        if len(item.source) > frontend.positions:
            raise ConfigError(
                f"the sentence {sentence[:40]!r}... has {len(item.source)} tokens; expected at most"
                f" {frontend.positions}, the positions of the model: cut it in two"
            )
        return item

    def _sentences(self, text: str) -> list[str]:
        """The text as pieces that each fit the model's positions: all of it, or its sentences."""
        if not text.strip():
            return []
        frontend = self.model.frontend
        room = frontend.positions - 1 - bool(frontend.codes)
        if frontend.source.count([text])[0] <= room:
            return [text]
        codes, body = language_codes(text)  # which hold for each of its sentences
        return [" ".join([*codes, sentence]) for sentence in _split(body) if sentence]


def _split(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        yield text[start : match.end()].strip()
        start = match.end()
    yield text[start:].strip()


def _chunks(path: Path) -> Iterator[list[str]]:
    """Lines of a file without their ends, LINES at a time. Raises ConfigError where a line is not UTF-8."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a text file, a sentence a line")
    lines = []
    with path.open("rb") as file:  # as bytes: "\n" alone ends a line
        for number, line in enumerate(file, 1):
            try:
                lines.append(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"))
            except UnicodeDecodeError as error:
                raise ConfigError(f"{path}:{number}: {error.reason} at byte {error.start}; expected UTF-8") from error
            if len(lines) == LINES:
                yield lines
                lines = []
    if lines:
        yield lines
