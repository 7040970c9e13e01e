"""The rows of a Marian checkpoint's tables, one for each piece of a side: kept, or started for pieces that are new."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import read_json
from speechxfer.models.marian_random import SPECIALS

if TYPE_CHECKING:
    import scipy.sparse
    from sentencepiece import SentencePieceProcessor
    from torch import Tensor
    from transformers import MarianConfig, MarianMTModel

    from speechxfer.models.graft import Graft

SIDES = ("source", "target")
TAG = re.compile(r">>[^<>\s]+<<")  # what MarianTokenizer takes for one token at the beginning of a source sentence
SHARED = "model.shared.weight"
EMBEDDINGS = {
    side: f"model.{part}.embed_tokens.weight" for side, part in zip(SIDES, ("encoder", "decoder"), strict=True)
}


@dataclass(frozen=True)
class Parent:
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


def read_parent(folder: Path) -> Parent:
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
    return Parent(
        folder,
        net,
        net.config.share_encoder_decoder_embeddings,
        {name: pieces.vocabulary for name, pieces in sides.items()},
        {name: pieces.model for name, pieces in sides.items()},
        tables,
    )


def kept_rows(old: Parent, side: str, new: dict[str, int]) -> tuple["Tensor", "Tensor"]:
    """A table with the parent's rows of the tokens that it has, else zeros; and which those are (bool) [ids]."""
    import torch

    known, was = old.vocabularies[side], old.tables[side]
    kept = torch.tensor([token in known for token in new])
    table = torch.zeros(len(new), was.shape[1])
    table[kept] = was[[known[token] for token in new if token in known]]
    return table, kept


def started_rows(
    old: Parent, side: str, new: dict[str, int], model: bytes, settings: "Graft", words: list[tuple[str, str]]
) -> tuple["Tensor", dict[str, int]]:
    """The new side's table, and how many of its rows started how."""
    import torch

    table, kept = kept_rows(old, side, new)
    began = {"kept": kept}
    if settings.initial == "random":
        fresh = torch.zeros(table.shape)  # the bias too
        generator = torch.Generator().manual_seed(settings.seed)
        fresh[:, : old.net.config.d_model].normal_(std=old.net.config.init_std, generator=generator)
    else:
        fresh = around_mean(old, side, len(new), settings)
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
    old: Parent, side: str, new: dict[str, int], model: bytes, words: list[tuple[str, str]]
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


def _pool(old: Parent, side: str) -> "Tensor":
    """The parent's rows that its side writes."""
    known = old.vocabularies[side]
    return old.tables[side][[known[token] for token in old.writes(side)]]


def around_mean(old: Parent, side: str, count: int, settings: "Graft") -> "Tensor":
    """`count` rows: the mean of the side's rows, and noise in each column by its standard deviation."""
    import torch

    pool = _pool(old, side)
    noise = torch.randn(count, pool.shape[1], generator=torch.Generator().manual_seed(settings.seed))
    return pool.mean(0) + settings.noise * pool.std(0) * noise


def write_weights(
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
