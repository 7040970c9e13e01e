"""A new language on a parent Marian checkpoint: one side gets its own vocabulary, all else stays to the bit.

The result is a Marian folder with two vocabularies, whatever the parent had, that plain `transformers` loads and
translates with. The decision worth knowing: a piece keeps its rows, not its number. transformers has one id each for
padding and sentence end, and opus-mt's padding is the last of 58,101 rows, which a new vocabulary of 4,000 cannot
share; so on both sides the special tokens come first now. Of a vocabulary of both languages, the side that stays keeps
what its SentencePiece model can write, and single characters.
"""

import copy
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import read_json, resolve
from speechxfer.models.marian_random import (
    COPIED,
    IDS,
    MODEL_TYPES,
    PAD,
    SPECIALS,
    new_folder,
    pieces_of,
    train_pieces,
    vocabulary,
    write_tokenizer,
)

if TYPE_CHECKING:
    import scipy.sparse
    from sentencepiece import SentencePieceProcessor
    from torch import Tensor
    from transformers import MarianConfig, MarianMTModel

SIDES = ("source", "target")
INITIAL = ("mean", "random", "mapping")
TAG = re.compile(r">>[^<>\s]+<<")  # what MarianTokenizer takes for one token at the beginning of a source sentence
SHARED = "model.shared.weight"
EMBEDDINGS = {
    side: f"model.{part}.embed_tokens.weight" for side, part in zip(SIDES, ("encoder", "decoder"), strict=True)
}
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
    old = _read(resolve(parent))
    words = [] if settings.mapping is None else read_mapping(settings.mapping)
    with new_folder(Path(out)) as folder:
        model = train_pieces(texts, settings.pieces, settings.model_type, settings.coverage, settings.characters)
        codes = [token for token in old.vocabularies["source"] if TAG.fullmatch(token)] if side == "source" else []
        new = {name: vocabulary([*codes, *pieces_of(model)] if name == side else old.writes(name)) for name in SIDES}
        tables = {name: _rows(old, name, new[name])[0] for name in SIDES if name != side}
        tables[side], started = _started(old, side, new[side], model, settings, words)

        config = copy.deepcopy(old.net.config)
        config.update(IDS | {"share_encoder_decoder_embeddings": False})
        _write(folder, old.net, config, tables, IDS | {"bad_words_ids": [[PAD]]})
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
    old = _read(resolve(checkpoint))
    new = [token for token in dict.fromkeys(tokens) if token not in old.vocabularies["source"]]
    if not new:
        print(f"{old.folder}: has {', '.join(tokens)} already", file=sys.stderr)
        return old.folder
    import torch

    first = len(old.tables["source"])
    sources = old.vocabularies["source"] | {token: first + i for i, token in enumerate(new)}
    tables = dict(old.tables)
    for side in SIDES if old.joint else ("source",):
        tables[side] = torch.cat([old.tables[side], _around_mean(old, side, len(new), Graft())])
    with new_folder(Path(out)) as folder:
        _write(folder, old.net, copy.deepcopy(old.net.config), tables, {})
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


# --- the parent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parent:
    """vocabularies, spms, tables: by side. A table has a row per id [ids, d_model]; the target's has the bias as its
    last column [ids, d_model + 1]."""

    folder: Path
    net: "MarianMTModel"
    joint: bool  # one vocabulary and one matrix of both sides
    vocabularies: dict[str, dict[str, int]]
    spms: dict[str, "SentencePieceProcessor"]
    tables: dict[str, "Tensor"]

    def writes(self, side: str) -> list[str]:
        """The tokens of a side's vocabulary in its order, without the special ones and those of the other side."""
        known = self.vocabularies[side]
        tokens = [token for token in sorted(known, key=known.get) if token not in SPECIALS]
        if not self.joint:
            return tokens
        spm = self.spms[side]
        own = {spm.id_to_piece(i) for i in range(len(spm))}
        codes = {token for token in tokens if TAG.fullmatch(token)} if side == "source" else set()
        # a character that its model does not know is handed on as it is, and may be a piece of the other side
        return [token for token in tokens if token in own or token in codes or len(token) == 1]

    def ids(self, word: str, side: str) -> list[int]:
        """What a word is in a side's table; of a joint one, cut by the side's model that knows it better."""
        known = self.vocabularies[side]
        spms = [self.spms[side], *(spm for name, spm in self.spms.items() if self.joint and name != side)]
        cuts = [spm.encode(word, out_type=str) for spm in spms]
        best = min(cuts, key=lambda pieces: (sum(piece not in known for piece in pieces), len(pieces)))
        return [known[piece] for piece in best if piece in known and piece not in SPECIALS]


def _read(folder: Path) -> _Parent:
    import torch

    from speechxfer.models.marian_checkpoint import load_marian

    kind = read_json(folder / "config.json").get("model_type")
    if kind != "marian":
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected a MarianMT checkpoint ('marian')")
    model = load_marian(folder)
    net, sides = model.net, {"source": model.frontend.source, "target": model.frontend.target}
    if not net.config.tie_word_embeddings:
        raise CheckpointError(
            f"{folder}: tie_word_embeddings is false; expected an output layer tied to the embeddings"
        )
    with torch.no_grad():
        encoder, decoder = net.get_encoder().embed_tokens.weight, net.get_decoder().embed_tokens.weight
        tables = {"source": encoder.clone(), "target": torch.cat([decoder, net.final_logits_bias.T], dim=1)}
    return _Parent(
        folder,
        net,
        net.config.share_encoder_decoder_embeddings,
        {name: pieces.vocabulary for name, pieces in sides.items()},
        {name: pieces.model for name, pieces in sides.items()},
        tables,
    )


# --- rows ------------------------------------------------------------------------------------------------------------


def _rows(old: _Parent, side: str, new: dict[str, int]) -> tuple["Tensor", "Tensor"]:
    """A table with the parent's rows of the tokens that it has, else zeros; and which those are (bool) [ids]."""
    import torch

    known, was = old.vocabularies[side], old.tables[side]
    kept = torch.tensor([token in known for token in new])
    table = torch.zeros(len(new), was.shape[1])
    table[kept] = was[[known[token] for token in new if token in known]]
    return table, kept


def _started(
    old: _Parent, side: str, new: dict[str, int], model: bytes, settings: Graft, words: list[tuple[str, str]]
) -> tuple["Tensor", dict[str, int]]:
    """The new side's table, and how many of its rows started how."""
    import torch

    table, kept = _rows(old, side, new)
    began = {"kept": kept}
    if settings.initial == "random":
        fresh = torch.zeros(table.shape)  # the bias too
        generator = torch.Generator().manual_seed(settings.seed)
        fresh[:, : old.net.config.d_model].normal_(std=old.net.config.init_std, generator=generator)
    else:
        fresh = _around_mean(old, side, len(new), settings)
    if settings.initial == "mapping":
        shares = _shares(old, side, new, model, words)
        mapped = torch.from_numpy(shares.sum(1) > 0) & ~kept
        if not mapped.any():
            raise ConfigError(
                f"{settings.mapping}: no word gives a row; are its columns new language, parent's language?"
            )
        centre = torch.from_numpy(shares @ old.tables[side].numpy()).float()
        fresh[mapped] += centre[mapped] - _pool(old, side).mean(0)
        began["mapped"] = mapped
    table[~kept] = fresh[~kept]
    counts = {kind: int(which.sum()) for kind, which in began.items()}
    rest = "random" if settings.initial == "random" else "mean"
    return table, counts | {rest: len(new) - sum(counts.values())}


def _shares(
    old: _Parent, side: str, new: dict[str, int], model: bytes, words: list[tuple[str, str]]
) -> "scipy.sparse.csr_array":
    """[new ids, old ids]: the share of each old row in a new one; a row sums to 1, or to 0 where no word has the piece.

    Each time that a piece occurs in a word, the mean row of what the word is mapped to counts once.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from sentencepiece import SentencePieceProcessor

    spm = SentencePieceProcessor(model_proto=model)
    cells = []  # new id, old id, weight
    for word, parent_word in words:
        ids = old.ids(parent_word, side)
        pieces = [piece for piece in spm.encode(word, out_type=str) if piece in new and piece not in SPECIALS]
        cells += [(new[piece], i, 1 / len(ids)) for piece in pieces for i in ids]
    rows, columns, weights = np.array(cells).reshape(-1, 3).T
    rows, columns = rows.astype(int), columns.astype(int)
    total = np.bincount(rows, weights, minlength=len(new))
    return coo_array((weights / total[rows], (rows, columns)), shape=(len(new), len(old.tables[side]))).tocsr()


def _pool(old: _Parent, side: str) -> "Tensor":
    """The parent's rows that its side writes."""
    known = old.vocabularies[side]
    return old.tables[side][[known[token] for token in old.writes(side)]]


def _around_mean(old: _Parent, side: str, count: int, settings: Graft) -> "Tensor":
    """`count` rows: the mean of the side's rows, and noise in each column by its standard deviation."""
    import torch

    pool = _pool(old, side)
    noise = torch.randn(count, pool.shape[1], generator=torch.Generator().manual_seed(settings.seed))
    return pool.mean(0) + settings.noise * pool.std(0) * noise


def _write(
    folder: Path, net: "MarianMTModel", config: "MarianConfig", tables: dict[str, "Tensor"], ids: dict[str, object]
) -> None:
    """Write weights, config.json and generation_config.json: the parent's, but for the tables and the ids."""
    from transformers import GenerationConfig, MarianMTModel

    from speechxfer.models.pretrained import quiet

    width = config.d_model
    config.vocab_size, config.decoder_vocab_size = (len(tables[side]) for side in SIDES)
    rows = {EMBEDDINGS[side]: tables[side][:, :width].contiguous() for side in SIDES}
    if config.share_encoder_decoder_embeddings:
        rows = {SHARED: rows[EMBEDDINGS["target"]]}
    rows["final_logits_bias"] = tables["target"][:, width:].T.contiguous()
    replaced = {*EMBEDDINGS.values(), SHARED, "lm_head.weight"}  # the last is tied
    state = {name: value for name, value in net.state_dict().items() if name not in replaced} | rows
    generation = {key: value for key, value in net.generation_config.to_dict().items() if not key.startswith("_")}
    with quiet():
        new = MarianMTModel.from_pretrained(None, config=config, state_dict=state)
        new.generation_config = GenerationConfig.from_dict(generation | ids)
        new.save_pretrained(folder)
