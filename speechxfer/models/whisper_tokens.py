"""Text, languages, tasks and times as the ids of a Whisper checkpoint, and back. Loads no torch.

Every id is looked up by its token's name: where times begin differs between checkpoints of English, of 99 languages, of
100 and those that were given one more. A text never becomes a special token, even if it says `<|en|>`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from speechxfer.errors import CheckpointError
from speechxfer.models.folder import read_json
from speechxfer.models.whisper_languages import advice, match

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "normalizer.json",
)
UNDETECTED = -1  # stands in a prefix for the token of a language that is still to be found
TASKS = ("transcribe", "translate")
TIMES_PER_SECOND, LONGEST = 50, 30  # a time token for each 0.02 s of 30 s
UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")  # OpenAI's words of these have no space before them
ENGLISH_SIZE = 51_864  # the vocabulary of OpenAI's English checkpoints, which has language tokens but never uses them

CONTROL = re.compile(r"<\|[\w.\-]+\|>")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_TIME = re.compile(r"<\|(\d+\.\d\d)\|>")


class Segment(NamedTuple):
    """What was said between two times, seconds. `end` is None where it is not known, or beyond the audio."""

    text: str
    start: float
    end: float | None


@dataclass(frozen=True)
class Tokens:
    """A tokenizer and the ids of its special tokens. Can be pickled to loader workers.

    `files` are the tokenizer's, by name, as they were read. The last three ids may be absent.
    """

    tokenizer: "Tokenizer" = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    controls: Mapping[int, str] = field(repr=False)  # every token that is no text: id -> name
    languages: Mapping[str, int]  # code -> id; none where the checkpoint is of English alone
    start: int
    end: int
    no_timestamps: int
    first_timestamp: int
    last_timestamp: int
    transcribe: int | None
    translate: int | None
    previous: int | None  # the text before, as a prompt, comes after it
    no_speech: int | None

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokens":
        """Of a checkpoint's tokenizer.json, or of the older vocab.json, merges.txt and added_tokens.json.

        Raises CheckpointError.
        """
        folder = Path(folder)
        tokenizer = _read(folder)
        if tokenizer.token_to_id(_name(0)) is None:  # the oldest checkpoints have rows for times, but no names
            _add(tokenizer, [_name(i) for i in range(LONGEST * TIMES_PER_SECOND + 1)])
        ids = tokenizer.get_vocab(with_added_tokens=True)
        controls = {ids[name]: name for name in sorted(ids, key=ids.get) if CONTROL.fullmatch(name)}
        languages = {found[1]: i for i, name in controls.items() if (found := _LANGUAGE.fullmatch(name))}
        if not _multilingual(folder, languages, len(ids)):
            languages = {}
        times = [i for i, name in controls.items() if _TIME.fullmatch(name)]
        wanted = ["<|startoftranscript|>", "<|endoftext|>", "<|notimestamps|>"]
        wanted += [f"<|{task}|>" for task in TASKS if languages]
        if lacking := [name for name in wanted if name not in ids]:
            raise CheckpointError(f"{folder}: its tokenizer has no {', '.join(lacking)}; expected a Whisper checkpoint")
        first = ids["<|notimestamps|>"] + 1
        if any(controls.get(first + i) != _name(i) for i in range(len(times))):
            raise CheckpointError(
                f"{folder}: the tokenizer's times are not <|0.00|>, <|0.02|> ... right after <|notimestamps|>, where"
                " all readers of Whisper expect them; was a token added before them?"
            )
        return cls(
            tokenizer=tokenizer,
            files={name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()},
            controls=controls,
            languages=languages,
            start=ids["<|startoftranscript|>"],
            end=ids["<|endoftext|>"],
            no_timestamps=ids["<|notimestamps|>"],
            first_timestamp=times[0],
            last_timestamp=times[-1],
            transcribe=ids.get("<|transcribe|>"),
            translate=ids.get("<|translate|>"),
            previous=ids.get("<|startofprev|>"),
            no_speech=ids.get("<|nospeech|>", ids.get("<|nocaptions|>")),
        )

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files as they were read."""
        for name, content in self.files.items():
            (Path(folder) / name).write_bytes(content)

    def __len__(self) -> int:
        """Entries of the vocabulary, with special tokens and times."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def multilingual(self) -> bool:
        return bool(self.languages)

    def code(self, lang: str, proxy: str = "") -> str:
        """Whisper's code of a language: "hi" of "hi", "hin", "Hindi" or "hi-IN".

        proxy: the language whose token stands for one that the checkpoint has none for. Raises ValueError with the
        languages that are near where there is neither.
        """
        codes = tuple(self.languages) or ("en",)
        found = match(lang, codes)
        if found is None and proxy:
            found = match(proxy, codes)
            lang = proxy if found is None else lang
        if found is not None:
            return found
        if not self.languages:
            raise ValueError(f"language is {lang!r}, but this checkpoint is of English alone; take a multilingual one")
        raise ValueError(f"language is {lang!r}, which the checkpoint does not know; {advice(lang, codes)}")

    def encode(self, text: str, lang: str | None = None) -> list[int]:
        """The ids of a text alone, [] of an empty one, with a space before it in languages that write spaces."""
        text = text.strip()
        if not text:
            return []
        pieces = _shielded(text if lang and match(lang, UNSPACED) else " " + text)
        return [i for piece in pieces for i in self.tokenizer.encode(piece, add_special_tokens=False).ids]

    def counts(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) how many ids `encode` gives of each text, in a language that writes spaces; many at once, in threads."""
        pieces = [_shielded(" " + text.strip()) if text.strip() else [] for text in texts]
        flat = [piece for one in pieces for piece in one]
        encoded = self.tokenizer.encode_batch_fast(flat, add_special_tokens=False)
        ends = np.cumsum([0, *(len(one) for one in encoded)])
        bounds = np.cumsum([0, *(len(one) for one in pieces)])
        return np.diff(ends[bounds])

    def decode(self, ids: Iterable[int]) -> str:
        """The text, stripped, without special tokens, the prompt before it and what is after its end."""
        return self._text(self._said(ids))

    def prefix(self, lang: str | None, task: str = "transcribe", timestamps: bool = False) -> list[int]:
        """What the decoder starts from: start, language and task (unless it is of English alone), times or none.

        lang: None stands for a language still to be found, and gives UNDETECTED. Raises ValueError.
        """
        if task not in TASKS:
            raise ValueError(f"task is {task!r}; expected one of {', '.join(TASKS)}")
        said = []
        if self.languages:
            language = UNDETECTED if lang is None else self.languages[self.code(lang)]
            said = [language, self.translate if task == "translate" else self.transcribe]
        elif task == "translate":
            raise ValueError("this checkpoint is of English alone; expected a multilingual one to translate")
        elif lang is not None:
            self.code(lang)
        return [self.start, *said, *([] if timestamps else [self.no_timestamps])]

    def labels(self, segments: Sequence[Segment], lang: str | None = None) -> list[int]:
        """Times and texts, `<|0.00|> hello<|0.52|>`, without prefix and end.

        Times are rounded to 0.02 s, clipped to what has a token (30 s), and none is before one that precedes it. A
        segment without text says nothing and is left out, unless it has no end: its start alone tells that speech
        goes on there.
        """
        ids, now = [], 0.0
        for text, start, end in segments:
            body = self.encode(text, lang)
            if not body and end is not None:
                continue
            now = max(now, start)
            ids += [self._time(now), *body]
            if end is not None:
                now = max(now, end)
                ids.append(self._time(now))
        return ids

    def segments(self, ids: Iterable[int]) -> tuple[Segment, ...]:
        """What `labels` was made of. Text after a single time begins there; without any, at 0 and with no end."""
        found, begin = [], 0.0
        for timed, run in groupby(self._said(ids), lambda i: self.seconds(i) is not None):
            run = list(run)
            if timed:
                if found and found[-1].end is None:
                    found[-1] = found[-1]._replace(end=self.seconds(run[0]))
                begin = self.seconds(run[-1])
            elif text := self._text(run):
                found.append(Segment(text, begin, None))
        return tuple(found)

    def seconds(self, id: int) -> float | None:
        """What time a token is; None of all others."""
        timed = self.first_timestamp <= id <= self.last_timestamp
        return (id - self.first_timestamp) / TIMES_PER_SECOND if timed else None

    def show(self, ids: Iterable[int]) -> str:
        """All of it: `<|startoftranscript|><|en|><|transcribe|><|0.00|> hello<|0.52|><|endoftext|>`."""
        shown = []
        for control, run in groupby((int(i) for i in ids), lambda i: i in self.controls or i == UNDETECTED):
            if control:
                shown += [self.controls.get(i, "<|?|>") for i in run]
            else:
                shown.append(self.tokenizer.decode(list(run), skip_special_tokens=False))
        return "".join(shown)

    def spell(self, id: int) -> str:
        """The characters of a token of text, its spaces among them."""
        return self.tokenizer.decode([id], skip_special_tokens=False)

    def _time(self, seconds: float) -> int:
        id = self.first_timestamp + round(seconds * TIMES_PER_SECOND)
        return min(max(id, self.first_timestamp), self.last_timestamp)

    def _said(self, ids: Iterable[int]) -> list[int]:
        """From the start (a prompt stands before it) to the end."""
        ids = [int(i) for i in ids]
        if self.start in ids:
            ids = ids[len(ids) - ids[::-1].index(self.start) :]
        return ids[: ids.index(self.end)] if self.end in ids else ids

    def _text(self, ids: Iterable[int]) -> str:
        text = [i for i in ids if i not in self.controls and i != UNDETECTED]
        return self.tokenizer.decode(text, skip_special_tokens=False).strip()


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    if not (folder / "tokenizer.json").is_file():
        return _read_old(folder)
    read_json(folder / "tokenizer.json")  # for a clear error: the library's is of no class of its own
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()  # a saved one may have been cut or padded for somebody's batches
    tokenizer.no_padding()
    return tokenizer


def _read_old(folder: Path) -> "Tokenizer":
    """As WhisperTokenizer's slow form was saved."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise CheckpointError(f"{folder}: has no tokenizer.json; expected it, or vocab.json and merges.txt")
    read_json(vocabulary)
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    added = read_json(folder / "added_tokens.json")
    if not added:
        settings = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
        added = {token["content"]: int(i) for i, token in settings.items()}
    _add(tokenizer, sorted(added, key=added.get))
    for name, i in added.items():
        if tokenizer.token_to_id(name) != i:
            found = f"{name} is {i} in added_tokens.json, and {tokenizer.token_to_id(name)} after vocab.json"
            raise CheckpointError(f"{folder}: {found}; are the two of one checkpoint?")
    return tokenizer


def _name(time: int) -> str:
    return f"<|{time / TIMES_PER_SECOND:.2f}|>"


def _add(tokenizer: "Tokenizer", names: Sequence[str]) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(name, normalized=False, special=not _TIME.fullmatch(name)) for name in names])


def _multilingual(folder: Path, languages: Mapping[str, int], size: int) -> bool:
    generation = read_json(folder / "generation_config.json")
    return bool(languages) and generation.get("is_multilingual", "lang_to_id" in generation or size != ENGLISH_SIZE)


def _shielded(text: str) -> list[str]:
    """Pieces of a text, in none of which the tokenizer can find a special token."""
    return re.split(r"(?<=<)(?=\|)", text) if "<|" in text else [text]
