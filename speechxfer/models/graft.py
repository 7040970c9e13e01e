"""A new language on a parent Marian checkpoint: one side gets its own vocabulary, all else stays to the bit.

The result is a Marian folder with two vocabularies, whatever the parent had, that plain `transformers` loads and
translates with. The decision worth knowing: a piece keeps its rows, not its number. transformers has one id each for
padding and sentence end, and opus-mt's padding is the last of 58,101 rows, which a new vocabulary of 4,000 cannot
share; so on both sides the special tokens come first now. Of a vocabulary of both languages, the side that stays keeps
what its SentencePiece model can write, and single characters.
"""

import copy
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechxfer.errors import ConfigError
from speechxfer.models.folder import new_folder, read_json, resolve
from speechxfer.models.graft_rows import SIDES, TAG, around_mean, kept_rows, read_parent, started_rows, write_weights
from speechxfer.models.marian_random import (
    COPIED,
    IDS,
    MODEL_TYPES,
    PAD,
    pieces_of,
    train_pieces,
    vocabulary,
    write_tokenizer,
)

INITIAL = ("mean", "random", "mapping")
SMALL_FILES = (
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "speechxfer.json",
)


@dataclass(frozen=True)
class Graft:
    """The new side's vocabulary, and how rows begin that the parent does not have.

    initial: "mean" is the mean of the rows of the parent's side (Hewitt 2021, "Initializing New Word Embeddings for
    Pretrained Language Models"); "mapping" the mean of what the words that a piece occurs in are mapped to, by a
    bilingual word list, and "mean" for the pieces of no such word; "random" is drawn with config.init_std.
    """

    pieces: int = 4000  # as SentencePiece's vocab_size, at most: texts of few words have no more
    model_type: str = "unigram"  # or "bpe"
    coverage: float = 1.0  # share of the texts' running characters that get a piece
    characters: str = COPIED  # get a piece in any case: numbers, URLs and tags must be spelled to be copied
    initial: str = "mean"
    mapping: Path | None = None  # TSV without header: word of the new language, word of the parent's
    noise: float = 0.1  # around "mean" and "mapping", in standard deviations of the parent's rows: else rows are twins
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.model_type not in MODEL_TYPES:
            problems.append(f"model_type is {self.model_type!r}; expected one of {', '.join(MODEL_TYPES)}")
        if self.initial not in INITIAL:
            problems.append(f"initial is {self.initial!r}; expected one of {', '.join(INITIAL)}")
        elif (self.initial == "mapping") != (self.mapping is not None):
            problems.append(f"initial is {self.initial!r} and mapping is {self.mapping}; expected both or neither")
        if not 0.9 <= self.coverage <= 1:
            problems.append(f"coverage is {self.coverage:g}; expected 0.9 to 1")
        if self.noise < 0:
            problems.append(f"noise is {self.noise:g}; expected 0 or more")
        if problems:
            raise ConfigError("\n".join(f"graft: {problem}" for problem in problems))


def graft(
    parent: str | Path,
    texts: Iterable[str],
    out: Path,
    *,
    side: str = "target",
    settings: Graft = Graft(),  # noqa: B008  (frozen)
    lang: str | None = None,
) -> Path:
    """Write the parent (folder or hub name) to `out` with a new vocabulary for one side, made of that side's texts.

    texts: normalised as training will normalise them. To keep the language that the side had, pass its texts as well.
    side: "target" for a new language to write, "source" for a new one to read; lang: its code, for
    tokenizer_config.json. Pieces that the parent has keep their rows (embedding, output, bias); the others start as
    `settings` says. Language codes such as `>>hin<<` stay in the source vocabulary.
    The same arguments give the same bytes. Raises CheckpointError, ConfigError.
    """
    if side not in SIDES:
        raise ConfigError(f"side is {side!r}; expected one of {', '.join(SIDES)}")
    old = read_parent(resolve(parent))
    words = [] if settings.mapping is None else read_mapping(settings.mapping)
    with new_folder(Path(out)) as folder:
        model = train_pieces(texts, settings.pieces, settings.model_type, settings.coverage, settings.characters)
        codes = [token for token in old.vocabularies["source"] if TAG.fullmatch(token)] if side == "source" else []
        new = {name: vocabulary([*codes, *pieces_of(model)] if name == side else old.writes(name)) for name in SIDES}
        tables = {name: kept_rows(old, name, new[name])[0] for name in SIDES if name != side}
        tables[side], started = started_rows(old, side, new[side], model, settings, words)

        config = copy.deepcopy(old.net.config)
        config.update(IDS | {"share_encoder_decoder_embeddings": False})
        write_weights(folder, old.net, config, tables, IDS | {"bad_words_ids": [[PAD]]})
        models = {name: (old.folder / f"{name}.spm").read_bytes() for name in SIDES} | {side: model}
        was = read_json(old.folder / "tokenizer_config.json")
        languages = tuple(lang if name == side else was.get(f"{name}_lang") for name in SIDES)
        positions = was.get("model_max_length", config.max_position_embeddings)
        write_tokenizer(folder, models, new["source"], new["target"], languages, positions)
        if side == "source" and (old.folder / "speechxfer.json").is_file():  # what the kept target's texts go through
            shutil.copyfile(old.folder / "speechxfer.json", folder / "speechxfer.json")
    rows = ", ".join(f"{count} {kind}" for kind, count in started.items())
    print(
        f"{out}: {side} vocabulary of {len(new[side])} ({settings.pieces} pieces at most), rows: {rows}",
        file=sys.stderr,
    )
    return Path(out)


def add_tokens(checkpoint: str | Path, tokens: Sequence[str], out: Path) -> Path:
    """Write a Marian checkpoint to `out` with tokens such as `>>back<<` added to the source vocabulary.

    A token stands at the beginning of a source sentence and says what it is, such as back-translated. Its row starts as
    the mean of the others; a vocabulary of both languages gets it for both. Where the checkpoint has all of them,
    nothing is written and its own folder is returned. Raises CheckpointError, ConfigError.
    """
    wrong = [token for token in tokens if not TAG.fullmatch(token)]
    if wrong:
        raise ConfigError(f"{', '.join(map(repr, wrong))}: MarianTokenizer needs tokens of the form '>>back<<'")
    old = read_parent(resolve(checkpoint))
    new = [token for token in dict.fromkeys(tokens) if token not in old.vocabularies["source"]]
    if not new:
        print(f"{old.folder}: has {', '.join(tokens)} already", file=sys.stderr)
        return old.folder
    import torch

    first = len(old.tables["source"])
    sources = old.vocabularies["source"] | {token: first + i for i, token in enumerate(new)}
    tables = dict(old.tables)
    for side in SIDES if old.joint else ("source",):
        tables[side] = torch.cat([old.tables[side], around_mean(old, side, len(new), Graft())])
    with new_folder(Path(out)) as folder:
        write_weights(folder, old.net, copy.deepcopy(old.net.config), tables, {})
        for name in SMALL_FILES:
            if (old.folder / name).is_file():
                shutil.copyfile(old.folder / name, folder / name)
        (folder / "vocab.json").write_text(json.dumps(sources, ensure_ascii=False, indent=1), encoding="utf-8")
    return Path(out)


def read_mapping(file: str | Path) -> list[tuple[str, str]]:
    """(word of the new language, word of the parent's) of a TSV file without header.

    Raises ConfigError with all lines that have no two words.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    rows = [
        (number, [cell.strip() for cell in line.split("\t")]) for number, line in enumerate(lines, 1) if line.strip()
    ]
    wrong = [number for number, cells in rows if len(cells) != 2 or not all(cells)]
    if wrong or not rows:
        where = f"{file}:{','.join(map(str, wrong[:20]))}{', ...' * (len(wrong) > 20)}" if wrong else f"{file}: empty"
        raise ConfigError(
            f"{where}: expected two words, of the new language and of the parent's, with a tab between them"
        )
    return [(cells[0], cells[1]) for _, cells in rows]
