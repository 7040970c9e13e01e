"""A Marian checkpoint from nothing: SentencePiece models, vocabularies and random weights, laid out like opus-mt.

Pre-training a parent and comparisons start here. `train_pieces` and `write_tokenizer` serve `graft` too.
Importing this loads no torch.
"""

import io
import json
import shutil
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speechxfer.errors import ConfigError
from speechxfer.models.folder import new_folder

# Both vocabularies begin with these: transformers has one id each for padding and sentence end, whatever the side.
SPECIALS = ("</s>", "<unk>", "<pad>")
EOS, PAD = SPECIALS.index("</s>"), SPECIALS.index("<pad>")
# of config.json and generation_config.json alike
IDS = dict(pad_token_id=PAD, eos_token_id=EOS, bos_token_id=EOS, forced_eos_token_id=EOS, decoder_start_token_id=PAD)
MODEL_TYPES = ("unigram", "bpe")
# Numbers, URLs, tags and placeholders can be copied only by a vocabulary that can spell them.
COPIED = "".join(sorted(string.ascii_letters + string.digits + string.punctuation))


@dataclass(frozen=True)
class Size:
    """The size of a random Marian; by default 7.5 million parameters."""

    pieces: int = 4000  # of each side's SentencePiece model, at most
    joint: bool = True  # one vocabulary and one embedding matrix for both sides, as most of opus-mt; else two
    d_model: int = 256
    encoder_layers: int = 3
    decoder_layers: int = 3
    ffn: int = 1024
    heads: int = 4
    dropout: float = 0.1
    positions: int = 512  # tokens of the longest sentence


def write_random(
    out: Path,
    source_texts: Iterable[str],
    target_texts: Iterable[str],
    *,
    size: Size = Size(),  # noqa: B008  (frozen)
    languages: tuple[str | None, str | None] = (None, None),
    seed: int = 0,
) -> Path:
    """Write a Marian folder with random weights, with a SentencePiece model for each side's texts (normalised).

    languages: codes of source and target, for tokenizer_config.json. The same arguments give the same bytes.
    Raises ConfigError: no texts, too few pieces for their characters, d_model not divisible by heads, `out` not empty.
    """
    if size.d_model % (2 * size.heads):
        raise ConfigError(f"d_model is {size.d_model}; expected a multiple of 2 x heads ({2 * size.heads})")
    with new_folder(out) as folder:
        models = {
            "source": train_pieces(source_texts, size.pieces),
            "target": train_pieces(target_texts, size.pieces),
        }
        source, target = (vocabulary(pieces_of(model)) for model in models.values())
        if size.joint:
            source = target = vocabulary([*source, *target])
        write_tokenizer(folder, models, source, None if size.joint else target, languages, size.positions)
        _write_weights(folder, size, len(source), len(target), seed)
    return out


def _write_weights(folder: Path, size: Size, rows: int, decoder_rows: int, seed: int) -> None:
    import torch
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    from speechxfer.models.pretrained import quiet

    config = MarianConfig(
        vocab_size=rows,
        decoder_vocab_size=decoder_rows,
        share_encoder_decoder_embeddings=size.joint,
        tie_word_embeddings=True,
        d_model=size.d_model,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_ffn_dim=size.ffn,
        decoder_ffn_dim=size.ffn,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        max_position_embeddings=size.positions,
        dropout=size.dropout,
        activation_function="swish",
        scale_embedding=True,
        static_position_embeddings=True,
        normalize_embedding=False,
        init_std=size.d_model**-0.5,  # Glorot's for the attention; embeddings of unit variance once they are scaled
        **IDS,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        net = MarianMTModel(config)
        net.generation_config = GenerationConfig(num_beams=4, max_length=size.positions, bad_words_ids=[[PAD]], **IDS)
        net.save_pretrained(folder)


def write_random_twin(checkpoint: Path, out: Path, seed: int = 0) -> Path:
    """Write a Marian folder with random weights in place of its own: what transfer from it is to be compared with."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    from speechxfer.models.pretrained import quiet

    with new_folder(out) as folder:
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            MarianMTModel(MarianConfig.from_pretrained(checkpoint)).save_pretrained(folder)
    return out


# --- SentencePiece and vocabularies ----------------------------------------------------------------------------------


def train_pieces(
    texts: Iterable[str],
    pieces: int,
    model_type: str = "unigram",
    coverage: float = 1.0,
    characters: str = COPIED,
) -> bytes:
    """A SentencePiece model of normalised texts; the same texts give the same bytes.

    pieces: at most so many, as texts of few words have no more. coverage: share of the running characters that get a
    piece; `characters` get one in any case. The model changes no character (`identity`), so that what the vocabulary
    spells is decoded as it was, joiners and nuktas too.
    Raises ConfigError: no texts, or more characters than pieces.
    """
    from sentencepiece import SentencePieceTrainer

    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ConfigError("there are no texts to make SentencePiece pieces of")
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=pieces,
            hard_vocab_limit=False,
            model_type=model_type,
            character_coverage=coverage,
            required_chars=characters,
            normalization_rule_name="identity",
            max_sentence_length=max(len(text.encode()) for text in texts) + 1,  # longer ones would be left out
            bos_id=-1,  # vocab.json has the special tokens
            eos_id=-1,
            num_threads=4,  # part of the result: sums of counts differ in the last bits
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].split(". Increase")[0]
        raise ConfigError(f"pieces is {pieces}, which SentencePiece refuses for these texts: {reason}") from error
    return model.getvalue()


def pieces_of(model: bytes) -> list[str]:
    """The pieces of a SentencePiece model that stand for text, in its order."""
    from sentencepiece import SentencePieceProcessor

    spm = SentencePieceProcessor(model_proto=model)
    return [spm.id_to_piece(i) for i in range(len(spm)) if not (spm.is_unknown(i) or spm.is_control(i))]


def vocabulary(tokens: Iterable[str]) -> dict[str, int]:
    """token -> id: the special tokens, then the others in their order."""
    return {token: i for i, token in enumerate(dict.fromkeys([*SPECIALS, *tokens]))}


def write_tokenizer(
    folder: Path,
    models: dict[str, bytes],
    source: dict[str, int],
    target: dict[str, int] | None,
    languages: tuple[str | None, str | None],
    positions: int,
) -> None:
    """The files of a MarianTokenizer.

    models: the SentencePiece models of "source" and "target". target: None for one vocabulary of both sides.
    """
    for side, model in models.items():
        (folder / f"{side}.spm").write_bytes(model)
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": languages[0],
        "target_lang": languages[1],
        "separate_vocabs": target is not None,
        "model_max_length": positions,
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "clean_up_tokenization_spaces": False,
    }
    files = {
        "vocab": source,
        "target_vocab": target,
        "tokenizer_config": {k: v for k, v in settings.items() if v is not None},
    }
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
