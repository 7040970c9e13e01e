"""Loading a Whisper checkpoint: its config, its tokenizer, its feature extractor, its weights."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import AutoConfig, GenerationConfig, PretrainedConfig, WhisperForConditionalGeneration

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import read_json
from speechxfer.models.log_mel import HOP, RATE
from speechxfer.models.pretrained import changed, load_weights, refuse_missing
from speechxfer.models.whisper import Whisper
from speechxfer.models.whisper_frontend import WhisperFrontend
from speechxfer.models.whisper_tokens import Tokens
from speechxfer.task import Speech

EXTRACTOR = "preprocessor_config.json"


def load_whisper(
    folder: Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
    speech: Speech = Speech(),  # noqa: B008  (frozen)
) -> Whisper:
    """Load a checkpoint folder as float32. `texts` are not needed: bytes spell everything.

    With `texts` (normalised) the model is to be trained: of its own length unless `speech` says otherwise, and free to
    write all that the texts have. What `speech` leaves open is as the checkpoint was trained by this package. Raises
    CheckpointError, ConfigError.
    """
    if vocabulary != "keep":
        raise ConfigError(
            f"data.vocabulary is {vocabulary!r}; Whisper's pieces spell every text. A language that it has no token for"
            " gets one by `speechxfer.models.whisper_languages.add_language`, or a proxy by --set speech.proxy=hi"
        )
    config = changed(AutoConfig.from_pretrained(folder), changes)
    saved = read_json(folder / "speechxfer.json")
    speech = _settled(speech, saved, training=texts is not None)
    frontend = WhisperFrontend(
        tokens=Tokens.from_folder(folder),
        files=_extractor(folder, config),
        speech=speech,
        own_length=speech.context == "own",
        seconds=config.max_source_positions * 2 * HOP / RATE,
        positions=config.max_target_positions,
        normaliser=normaliser or saved.get("normaliser") or "nfc",
    )
    if len(frontend.tokens) > config.vocab_size:
        raise CheckpointError(f"{folder}: its tokenizer has {len(frontend.tokens)} ids; config has {config.vocab_size}")
    net, missing = load_weights(WhisperForConditionalGeneration, folder, config)
    refuse_missing(folder, missing - {"proj_out.weight"})  # tied
    if texts is not None:
        _release(net.generation_config, frontend.tokens, texts)
    return Whisper(net, frontend)


def _release(generation: GenerationConfig, tokens: Tokens, texts: Iterable[str]) -> None:
    """Take from what generation suppresses the tokens that training will teach.

    OpenAI suppresses marks such as ( and %, which it saw in captions of sounds, and a space at the beginning, which
    comes first where a script has no piece that a space begins. A model that learnt to write them never could.
    """
    written = set(" ")
    for text in texts:
        written.update(text)
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        ids = getattr(generation, name) or []
        setattr(generation, name, [i for i in ids if i in tokens.controls or not written.issuperset(tokens.spell(i))])


def _settled(speech: Speech, saved: Mapping[str, Any], training: bool) -> Speech:
    """With what it leaves open taken from the checkpoint; training takes audio as long as it is."""
    context = speech.context
    if context == "auto":
        context = "own" if training else saved.get("context", "full")
    named = {name: getattr(speech, name) or saved.get(name, "") for name in ("language", "proxy", "task")}
    return replace(speech, **named | {"context": context, "task": named["task"] or "transcribe"})


def _extractor(folder: Path, config: PretrainedConfig) -> dict[str, bytes]:
    """The feature extractor's file. Raises CheckpointError where it does not fit the weights."""
    settings = read_json(folder / EXTRACTOR)
    if not settings:
        raise CheckpointError(f"{folder}: has no {EXTRACTOR}; expected the files of a Whisper checkpoint")
    wanted = {"feature_size": config.num_mel_bins, "sampling_rate": RATE, "hop_length": HOP, "n_fft": 400}
    wrong = [
        f"{name} is {settings[name]}; expected {value}"
        for name, value in wanted.items()
        if settings.get(name, value) != value
    ]
    if wrong:
        raise CheckpointError(f"{folder / EXTRACTOR}: {', '.join(wrong)}")
    return {EXTRACTOR: (folder / EXTRACTOR).read_bytes()}
