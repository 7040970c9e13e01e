"""The tokens of a CTC model: text to ids and back, and what can be wrong with them.

Wraps the `vocab.json` of `Wav2Vec2CTCTokenizer` checkpoints. Two conventions of theirs cost people days and are
settled here: the CTC blank is the padding token, and a space is written as the word delimiter ("|").
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.ctc_config import read_json

DELIMITER = "|"
SPECIALS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Vocabulary:
    """ids: token -> id. delimiter: the token that stands for a space. roles: which token is padding, unknown, ..."""

    ids: dict[str, int]
    delimiter: str = DELIMITER
    roles: dict[str, str] = field(default_factory=lambda: dict(SPECIALS))

    @property
    def blank(self) -> int:
        """Id of the CTC blank."""
        return self.ids[self.roles["pad_token"]]

    @cached_property
    def specials(self) -> frozenset[str]:
        return frozenset(self.roles.values())

    @cached_property
    def tokens(self) -> dict[int, str]:
        return {i: token for token, i in self.ids.items()}

    @cached_property
    def _characters(self) -> dict[str, int]:
        return {t: i for t, i in self.ids.items() if t not in self.specials and t != self.delimiter}

    @cached_property
    def _written(self) -> dict[str, int]:
        """Character sequences of a text -> id, in the vocabulary's case and in the other one where it is free."""
        own = self._characters
        other = {t.swapcase(): i for t, i in own.items() if len(t.swapcase()) == len(t)}
        return {**other, **own, " ": self.ids[self.delimiter]}

    @cached_property
    def _pattern(self) -> re.Pattern:
        longest_first = sorted(self._written, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) + "|.", re.DOTALL)

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Characters that the vocabulary lacks are left out: ask `unknown` first."""
        return [self._written[m] for m in self._pattern.findall(text) if m in self._written]

    @cached_property
    def characters(self) -> frozenset[str]:
        """All that some token writes, by itself or with others."""
        return frozenset("".join(self._written))

    def spell(self, text: str) -> list[int | str]:
        """Ids of a text; a character that no token writes stands for itself."""
        return [self._written.get(m, m) for m in self._pattern.findall(text)]

    def unknown(self, text: str) -> list[str]:
        """The characters of a text that no token writes."""
        return [m for m in self._pattern.findall(text) if m not in self._written]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that are collapsed already; blanks, special tokens and ids without a token are left out."""
        tokens = (self.tokens[int(i)] for i in ids if int(i) in self.tokens)
        written = (" " if t == self.delimiter else t for t in tokens if t not in self.specials)
        return " ".join("".join(written).split())

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Vocabulary":
        """All characters of the texts (NFC), most frequent first. Raises ConfigError when there are none."""
        counts = Counter()
        for text in texts:
            counts.update(unicodedata.normalize("NFC", text))
        characters = [c for c, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if not c.isspace()]
        if not characters:
            raise ConfigError("the training text is empty: no vocabulary can be made from it")
        if DELIMITER in characters:
            raise ConfigError(f"the training text contains {DELIMITER!r}, which stands for a space; normalise it away")
        return cls({token: i for i, token in enumerate([*SPECIALS.values(), DELIMITER, *characters])})

    def extended(self, texts: Iterable[str]) -> "Vocabulary":
        """This vocabulary with the characters that the texts need added at the end.

        Raises ConfigError when they contain a character that is the delimiter or a special token.
        """
        new = Counter()
        for text in texts:
            new.update(c for c in self.unknown(unicodedata.normalize("NFC", text)) if not c.isspace())
        taken = sorted(new.keys() & self.ids.keys())
        if taken:
            raise ConfigError(f"the training text contains {taken[0]!r}, a special token here; normalise it away")
        first = max(self.ids.values()) + 1
        added = {c: first + i for i, (c, _) in enumerate(sorted(new.items(), key=lambda item: (-item[1], item[0])))}
        return replace(self, ids={**self.ids, **added})

    def counterparts(self, other: "Vocabulary") -> dict[int, int]:
        """id here -> id in `other`, of what both have: characters (in either case), the delimiter, special tokens."""
        roles = {
            self.ids[token]: other.ids[other.roles[role]]
            for role, token in self.roles.items()
            if token in self.ids and other.roles.get(role) in other.ids
        }
        written = {i: other._written[token] for token, i in self._characters.items() if token in other._written}
        return roles | written | {self.ids[self.delimiter]: other.ids[other.delimiter]}

    @classmethod
    def from_folder(cls, folder: Path, config_blank: int, rows: int) -> "Vocabulary | None":
        """The vocabulary of a checkpoint folder; None for one without a tokenizer (self-supervised).

        config_blank, rows: pad_token_id and vocab_size of its config.json. Raises CheckpointError when the
        vocabulary, its blank or its word delimiter cannot be what the weights were trained with.
        """
        vocab_file = folder / "vocab.json"
        if not vocab_file.is_file():
            return None
        ids = read_json(vocab_file)
        if any(isinstance(value, dict) for value in ids.values()):
            raise CheckpointError(
                f"{vocab_file}: holds one vocabulary per language ({', '.join(list(ids)[:5])}, ...);"
                " save the one you need as a flat vocab.json first (MMS adapters are not supported yet)"
            )
        settings = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            settings.update(read_json(folder / name))

        def token(key: str, default: str) -> str:
            value = settings.get(key) or default
            return value["content"] if isinstance(value, dict) else value

        roles = {key: token(key, default) for key, default in SPECIALS.items()}
        last = max((t for t in ids if t not in roles.values()), key=ids.get, default=None)
        if last is not None and ids[last] >= rows:
            raise CheckpointError(f"{vocab_file}: {last!r} has id {ids[last]}, but the head has {rows} rows")
        # Tokens that the tokenizer adds behind vocab.json have their ids here (before transformers 4.34: in a file of
        # their own). Some, mostly sentence ends, have no row in the head: the model cannot write them.
        added = {token["content"]: int(i) for i, token in settings.get("added_tokens_decoder", {}).items()}
        added |= read_json(folder / "added_tokens.json")
        ids = {token: i for token, i in (added | ids).items() if i < rows}
        pad, delimiter = roles["pad_token"], token("word_delimiter_token", DELIMITER)
        if pad not in ids:
            raise CheckpointError(f"{vocab_file}: has no padding token {pad!r}, which is the CTC blank")
        if ids[pad] != config_blank:
            raise CheckpointError(
                f"{folder}: wrong blank: config.json says pad_token_id {config_blank}, the vocabulary has {pad!r} as"
                f" {ids[pad]}; set pad_token_id to the id of the token that the weights were trained with as blank"
            )
        if delimiter not in ids:
            near = next((t for t in (DELIMITER, " ", "▁", "_") if t in ids), None)
            hint = f"; the vocabulary has {near!r}: set word_delimiter_token to it" if near else ""
            raise CheckpointError(f"{vocab_file}: the word delimiter {delimiter!r} is not in the vocabulary{hint}")
        return cls(ids, delimiter, {key: token for key, token in roles.items() if token in ids})

    def save(self, folder: Path) -> None:
        """Write the files of a `Wav2Vec2CTCTokenizer`."""
        from transformers import Wav2Vec2CTCTokenizer

        folder.mkdir(parents=True, exist_ok=True)
        vocab_file = folder / "vocab.json"
        vocab_file.write_text(json.dumps(self.ids, ensure_ascii=False, indent=1), encoding="utf-8")
        roles = {key: self.roles.get(key) for key in SPECIALS}
        Wav2Vec2CTCTokenizer(str(vocab_file), word_delimiter_token=self.delimiter, **roles).save_pretrained(folder)


def frames_needed(ids: Sequence[int | str]) -> int:
    """Frames that CTC needs at least: one a label, and a blank between two equal ones."""
    return len(ids) + sum(a == b for a, b in zip(ids, ids[1:], strict=False))
