"""The files of a Whisper folder as the hub's have them: tokenizer, configuration, weights, generation, features.

Importing this loads no torch.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechxfer.models.folder import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, WhisperConfig

END, START = "<|endoftext|>", "<|startoftranscript|>"
TASKS = ("translate", "transcribe")
OTHERS = ("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
TIMES = tuple(f"<|{i * 0.02:.2f}|>" for i in range(1501))  # 0 to 30 s

# What whisper.tokenizer.Tokenizer.non_speech_tokens suppresses: marks of speakers, of music and of sounds.
MUSIC = tuple("♩♪♫♬♭♮♯")
NOT_SPEECH = (*MUSIC, *'"#()*+/:;<=>@[\\]^_`{|}~「」『』') + tuple(
    "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split()
)


def config_of(settings: dict[str, Any], ids: dict[str, int]) -> "WhisperConfig":
    from transformers import WhisperConfig

    end = ids[END]
    return WhisperConfig(
        **settings
        | dict(
            vocab_size=len(ids), bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=ids[START]
        )
        | dict(begin_suppress_tokens=[ids["Ġ"], end])
    )


def special_tokens(languages: int) -> list[str]:
    """The special tokens and times, in the order of the public vocabulary."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as codes

    codes = list(codes)[:languages]
    return [END, START, *(f"<|{code}|>" for code in codes), *(f"<|{task}|>" for task in TASKS), *OTHERS, *TIMES]


def write_tokenizer(
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


def save(
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
