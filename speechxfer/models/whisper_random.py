"""Whisper checkpoints with random weights, complete as the hub's: configuration, tokenizer, features, generation.

`write_random` is a small architecture with a tokenizer of its own, which pre-training and tests start from;
`pad_vocabulary` brings such a model, once it is trained, to the 51,865 entries by which CTranslate2 knows a
multilingual Whisper; `write_public` is a public size, for shapes and speed. Importing this loads no torch.
"""

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechxfer.errors import ConfigError
from speechxfer.models.folder import new_folder, read_json
from speechxfer.models.whisper_public import TEXT_PIECES, alignment_heads, architecture, public, smaller, third_edition

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, WhisperConfig

END, START = "<|endoftext|>", "<|startoftranscript|>"
TASKS = ("translate", "transcribe")
OTHERS = ("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
TIMES = tuple(f"<|{i * 0.02:.2f}|>" for i in range(1501))  # 0 to 30 s
LANGUAGES = 99  # of every checkpoint before large-v3, which has Cantonese too
MARGIN = 20.0  # the filler pieces have less than exp(-20) = 2e-9 of the probability together

# What whisper.tokenizer.Tokenizer.non_speech_tokens suppresses: marks of speakers, of music and of sounds.
MUSIC = tuple("♩♪♫♬♭♮♯")
NOT_SPEECH = (*MUSIC, *'"#()*+/:;<=>@[\\]^_`{|}~「」『』') + tuple(
    "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split()
)


@dataclass(frozen=True)
class Size:
    """The size of a random Whisper; by default 2.6 million parameters."""

    pieces: int = 1500  # of text in the vocabulary, at most: 256 bytes and what is merged of them
    d_model: int = 128
    encoder_layers: int = 4
    decoder_layers: int = 4
    heads: int = 4
    ffn: int = 512
    mels: int = 80
    audio_positions: int = 1500  # of 20 ms
    text_positions: int = 448
    multilingual: bool = True  # else as the .en checkpoints: neither language nor task is asked for


def write_random(folder: Path, size: Size, texts: Iterable[str], *, seed: int = 0) -> Path:
    """Write a Whisper folder with random weights and a byte-level BPE tokenizer of texts (normalised).

    The vocabulary is compact: text pieces, then the special tokens of the public one in its order (1,608). The same
    arguments give the same bytes. The decoder's last norm begins with a bias of 0.5, so that rows of the embeddings can
    have a logit that no hidden state changes: `pad_vocabulary` needs that.
    Raises ConfigError: no texts, d_model not divisible by heads, too few pieces, `folder` not empty.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    if size.d_model % (2 * size.heads):
        raise ConfigError(f"d_model is {size.d_model}; expected a multiple of 2 x heads ({2 * size.heads})")
    vocabulary, merges = _train_pieces(texts, size.pieces)
    with new_folder(folder) as partial:
        ids = _write_tokenizer(partial, vocabulary, merges, _specials(LANGUAGES))
        layers = size.encoder_layers, size.decoder_layers
        settings = architecture(size.d_model, layers, size.heads, size.ffn, size.mels) | dict(
            max_source_positions=size.audio_positions,
            max_target_positions=size.text_positions,
            init_std=size.d_model**-0.5,
        )
        config = _config(settings, ids)
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            net = WhisperForConditionalGeneration(config)
            torch.nn.init.constant_(net.model.decoder.layer_norm.bias, 0.5)
            _save(partial, net, ids, size.multilingual, None)
    return folder


# --- the vocabulary of the public checkpoints -------------------------------------------------------------------------


def pad_vocabulary(folder: Path, out: Path) -> Path:
    """Write the same model with text pieces that nobody uses, so that the special tokens have their public ids.

    No merge makes a filler piece, so no text has one. As output, a filler must never be likely, without a bias. The
    decoder's last hidden state is h = gain * z + bias of a layer norm, where z has mean 0; so the row c / gain has the
    logit c * (sum(z) + sum(bias / gain)) = c * sum(bias / gain) at every state: a constant, and c is chosen for it. By
    Jensen's inequality the real logits' log-sum-exp is at least log n + mean logit, which is least at a z that can be
    written down (|z| <= sqrt(d)); the constant lies `MARGIN` below that and the log of the number of fillers. So all
    fillers together have less than 2e-9 of the probability at any state whatever, and on states as they come about
    1e-16 or less. They are all the same row, which packs to nearly nothing.

    Raises ConfigError: more text pieces than the public vocabulary has, or a last norm whose bias is too small along
    1 / gain for such a row to survive rounding (`write_random` begins with one that is not).
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    model = read_json(folder / "tokenizer.json")["model"]
    specials = [t["content"] for t in read_json(folder / "tokenizer.json")["added_tokens"]]
    vocabulary = dict(model["vocab"])
    pieces, missing = len(vocabulary), TEXT_PIECES - len(vocabulary)
    if missing < 0:
        raise ConfigError(f"{folder}: has {pieces} text pieces; expected at most {TEXT_PIECES}")
    vocabulary |= {f"<unused{i}>": pieces + i for i in range(missing)}
    multilingual = read_json(folder / "generation_config.json").get("is_multilingual", True)
    with new_folder(out) as partial, quiet(), torch.no_grad():
        net = WhisperForConditionalGeneration.from_pretrained(folder, dtype="auto")
        ids = _write_tokenizer(partial, vocabulary, [tuple(pair) for pair in model["merges"]], specials)
        rows, norm = net.model.decoder.embed_tokens.weight, net.model.decoder.layer_norm
        if missing:
            filler = _constant_row(rows, norm.weight, norm.bias, missing, folder)
            padded = torch.cat([rows[:pieces], filler.to(rows.dtype).expand(missing, -1), rows[pieces:]])
            net.set_input_embeddings(torch.nn.Embedding.from_pretrained(padded, freeze=False))
            net.tie_weights()
        net.config = net.model.config = _config(net.config.to_dict(), ids)
        _save(partial, net, ids, multilingual, getattr(net.generation_config, "alignment_heads", None))
        _copy(folder, partial, "speechxfer.json")
    return out


def _constant_row(
    rows: "torch.Tensor", gain: "torch.Tensor", bias: "torch.Tensor", fillers: int, folder: Path
) -> "torch.Tensor":
    """(d,) of float64: the row of `fillers` tokens beside the rows (n, d) of real ones."""
    rows, gain, bias = rows.double(), gain.double(), bias.double()
    inverse = 1 / gain
    reach = inverse @ bias
    if not abs(reach) >= 0.2 * inverse.norm():  # int8 would put the logit off by a sixth of itself
        found = f"the bias of the decoder's last norm reaches {float(reach / inverse.norm()):.2f} along 1 / gain"
        raise ConfigError(f"{folder}: {found}; expected 0.2, as in a model that was pre-trained from `write_random`")
    mean = rows.mean(0)
    swing = gain * mean
    least = mean @ bias - math.sqrt(len(mean)) * (swing - swing.mean()).norm() + math.log(len(rows))
    return (least - math.log(fillers) - MARGIN) / reach * inverse


# --- public sizes -----------------------------------------------------------------------------------------------------


def write_public(
    folder: Path, name: str, tokenizer_folder: Path, *, size: tuple[int, int] | None = None, seed: int = 0
) -> Path:
    """Write a public size with random float16 weights and the pieces of the public multilingual tokenizer.

    large-v3's vocabulary is that one with Cantonese. That of the .en checkpoints is another, one piece smaller; theirs
    here has the right ids of special tokens, but multilingual pieces. The weights repeat a million random numbers, so
    the largest takes seconds. size: (width, layers of a stack at most), for all of the kind but its size; a multiple
    of 64. Raises ConfigError: an unknown name, another tokenizer, `folder` not empty.
    """
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    settings = public(name) if size is None else smaller(public(name), *size)
    model = read_json(tokenizer_folder / "tokenizer.json").get("model", {})
    if len(model.get("vocab", ())) != TEXT_PIECES:
        found = f"has {len(model.get('vocab', ()))} text pieces"
        raise ConfigError(f"{tokenizer_folder}: {found}; expected the {TEXT_PIECES} of the multilingual Whisper")
    vocabulary = {piece: i for piece, i in model["vocab"].items() if i < settings["eos_token_id"]}
    with new_folder(folder) as partial, quiet():
        specials = _specials(LANGUAGES + third_edition(name))
        ids = _write_tokenizer(partial, vocabulary, [tuple(pair) for pair in model["merges"]], specials)
        with torch.device("meta"):
            net = WhisperForConditionalGeneration(WhisperConfig(**settings))
        net.load_state_dict(_quick_weights(net, seed), assign=True)
        net.tie_weights()
        _save(partial, net, ids, not name.endswith(".en"), None if size else alignment_heads(name))
    return folder


def _quick_weights(net: "PreTrainedModel", seed: int) -> dict[str, "torch.Tensor"]:
    """A state with the scales of `_init_weights`, by copying: drawing 1.5 billion numbers would take a minute."""
    import torch
    from transformers.models.whisper.modeling_whisper import sinusoids

    # A prime number of them, so that no two rows are alike.
    drawn = torch.randn(1_000_003, generator=torch.Generator().manual_seed(seed)).mul_(net.config.init_std).half()
    weights = {}
    for name, tensor in net.state_dict().items():
        if name == "model.encoder.embed_positions.weight":
            weights[name] = sinusoids(*tensor.shape).half()
        elif tensor.ndim == 1:
            weights[name] = torch.full(tensor.shape, float(name.endswith("norm.weight")), dtype=torch.float16)
        else:
            weights[name] = drawn.repeat(-(-tensor.numel() // len(drawn)))[: tensor.numel()].view(tensor.shape)
    return weights


# --- files ------------------------------------------------------------------------------------------------------------


def _config(settings: dict[str, Any], ids: dict[str, int]) -> "WhisperConfig":
    from transformers import WhisperConfig

    end = ids[END]
    return WhisperConfig(
        **settings
        | dict(
            vocab_size=len(ids), bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=ids[START]
        )
        | dict(begin_suppress_tokens=[ids["Ġ"], end])
    )


def _specials(languages: int) -> list[str]:
    """The special tokens and times, in the order of the public vocabulary."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as codes

    codes = list(codes)[:languages]
    return [END, START, *(f"<|{code}|>" for code in codes), *(f"<|{task}|>" for task in TASKS), *OTHERS, *TIMES]


def _train_pieces(texts: Iterable[str], pieces: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Pieces with ids and merges of a byte-level BPE. Texts are seen as they are spelled: with a space before them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    texts = [f" {text}" for text in texts if text.strip()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if not texts:
        raise ConfigError("there are no texts to make pieces of")
    if pieces < len(alphabet):
        raise ConfigError(f"pieces is {pieces}; expected at least {len(alphabet)}, one for each byte")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _write_tokenizer(
    folder: Path, vocabulary: dict[str, int], merges: Sequence[tuple[str, str]], specials: Sequence[str]
) -> dict[str, int]:
    """Write the files of a WhisperTokenizer. Returns token -> id, all of them."""
    from tokenizers import AddedToken
    from transformers import WhisperTokenizer

    named, times = [t for t in specials if t not in TIMES], [t for t in specials if t in TIMES]
    tokenizer = WhisperTokenizer(
        vocab=vocabulary, merges=list(merges), pad_token=END, extra_special_tokens=named[1:], model_max_length=1024
    )
    tokenizer.add_tokens([AddedToken(time, normalized=True, special=False) for time in times])
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"  # fifty thousand lines of indent are a megabyte
    file.write_text(json.dumps(read_json(file), ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return tokenizer.get_vocab()


def _save(
    folder: Path,
    net: "PreTrainedModel",
    ids: dict[str, int],
    multilingual: bool,
    alignment_heads: list[list[int]] | None,
) -> None:
    """Write the weights, config.json, generation_config.json and preprocessor_config.json beside the tokenizer."""
    from transformers import GenerationConfig, WhisperFeatureExtractor

    never = {START, *(f"<|{task}|>" for task in TASKS), "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"}
    never |= {"<|nocaptions|>"}  # what <|nospeech|> is called in older files
    languages = {token: i for token, i in ids.items() if ids[START] < i < ids["<|translate|>"]}
    asked = dict(
        lang_to_id=dict(sorted(languages.items(), key=lambda item: item[1])),
        task_to_id={task: ids[f"<|{task}|>"] for task in TASKS},
    )
    net.generation_config = GenerationConfig(
        bos_token_id=ids[END],
        eos_token_id=ids[END],
        pad_token_id=ids[END],
        decoder_start_token_id=ids[START],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        is_multilingual=multilingual,
        suppress_tokens=sorted(_not_speech(folder) | {ids[token] for token in never & ids.keys()}),
        begin_suppress_tokens=[ids["Ġ"], ids[END]],
        max_initial_timestamp_index=50,
        max_length=net.config.max_target_positions,
        return_timestamps=False,
        **(asked if multilingual else {}),
        **({"alignment_heads": alignment_heads} if alignment_heads else {}),
    )
    net.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=net.config.num_mel_bins).save_pretrained(folder)


def _not_speech(folder: Path) -> set[int]:
    """The pieces that spell a symbol of `NOT_SPEECH`, and those that music notes begin with, but no single byte."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = set()
    for symbol in (*NOT_SPEECH, "-", "'"):
        for spelled in (f" {symbol}",) if symbol in "-'" else (symbol, f" {symbol}"):
            tokens = tokenizer.encode(spelled, add_special_tokens=False)
            if len(tokens) == 1 or (symbol in MUSIC and len(tokens.tokens[0]) > 1):
                found.add(tokens.ids[0])
    return found


def _copy(source: Path, target: Path, name: str) -> None:
    if (source / name).is_file():
        shutil.copy(source / name, target / name)
