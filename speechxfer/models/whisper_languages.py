"""Which of Whisper's language tokens a language has, and a token for one that has none.

A new token stands where OpenAI put Cantonese in large-v3: after the other languages, before the tasks, so that the ids
behind it move by one. At the end of the vocabulary it would be a time to every reader of Whisper, which takes all that
is after `<|notimestamps|>` for one; and those that count languages by the size of the vocabulary stay right. Importing
this loads no torch.
"""

import difflib
import functools
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.folder import new_folder, read_json, resolve

# what langcodes calls the distance: 0 or 1 is one language (Bokmål and Norwegian), 4 and more is another that its
# speakers can read (German, to Swiss), 80 another of one script and region (Hindi, to Bhojpuri)
SAME, NEAR = 1, 80

BEFORE = "<|translate|>"  # the first token after the languages
EMBEDDINGS, OUTPUT = "model.decoder.embed_tokens.weight", "proj_out.weight"
ID_FIELDS = ("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "lang_to_id", "task_to_id")


@functools.lru_cache(4096)
def match(lang: str, codes: tuple[str, ...]) -> str | None:
    """Which of the codes is a language, given as a code of ISO 639 ("hi", "hin"), a tag ("hi-IN") or in English.

    Of a tag only the language counts. Codes that mean one language are one: "jv" is Whisper's "jw", "nb" its "no".
    """
    import langcodes

    wanted = lang.strip().lower().replace("_", "-")
    if wanted in codes:
        return wanted
    if not langcodes.tag_is_valid(wanted):
        code = _names().get(wanted)
        return code if code in codes else None
    language = langcodes.Language.get(langcodes.standardize_tag(wanted, macro=True)).language
    return language and langcodes.closest_supported_match(language, list(codes), max_distance=SAME)


def advice(lang: str, codes: Sequence[str]) -> str:
    """What is near a language that is none of the codes, and what to do."""
    import langcodes

    some = ", ".join(codes[:20]) + (f" and {len(codes) - 20} more" if len(codes) > 20 else "")
    if langcodes.tag_is_valid(lang):
        apart = {code: langcodes.tag_distance(lang, code) for code in codes}
        near = [code for code in sorted(codes, key=apart.get) if apart[code] <= NEAR][:5]
        listed = f"near: {', '.join(near)}" if near else f"it knows {some}"
        return f"{listed}. Let one stand for it (speech.proxy), or give it a token (whisper_languages.add_language)"
    names = {name: code for name, code in _names().items() if code in codes} | {code: code for code in codes}
    close = difflib.get_close_matches(lang.lower(), names, n=3)
    meant = f"; did you mean {', '.join(f'{name} ({names[name]})' for name in close)}?" if close else ""
    return f"expected one of {some}{meant}"


def _names() -> Mapping[str, str]:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE


# --- a new token -----------------------------------------------------------------------------------------------------


def add_language(checkpoint: str | Path, code: str, out: Path, like: str = "hi") -> Path:
    """Write a multilingual Whisper (folder or hub name) to `out` with a token `<|code|>`, and return where it is.

    code: of ISO 639, 2 or 3 letters. The token's row starts as the one of the language `like`, so before training both
    give the same text. Weights keep their numbers and their precision; ids from `<|translate|>` on are one higher, in
    tokenizer, config.json and generation_config.json alike. Where the checkpoint has the token, nothing is written and
    its own folder is returned.
    `transformers` loads the folder, but its own table of languages has no room: it is told `language="<|bho|>"`, with
    the brackets, in `generate`, and WhisperTokenizer(language=...) refuses it. Raises CheckpointError, ConfigError.
    """
    from speechxfer.models.whisper_tokens import Tokens

    folder = resolve(checkpoint)
    kind = read_json(folder / "config.json").get("model_type")
    if kind != "whisper":
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected a Whisper checkpoint ('whisper')")
    tokens = Tokens.from_folder(folder)
    if not tokens.multilingual:
        raise CheckpointError(f"{folder}: is of English alone and told no language; expected a multilingual checkpoint")
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ConfigError(f"language code is {code!r}; expected 2 or 3 small letters, as of ISO 639")
    if code in tokens.languages:
        print(f"{folder}: has <|{code}|> already", file=sys.stderr)
        return folder
    if known := match(code, tuple(tokens.languages)):
        raise ConfigError(f"{code!r} is {known!r}, which {folder} has; manifests may say either, no token is needed")
    try:
        row = tokens.languages[tokens.code(like)]
    except ValueError as error:
        raise ConfigError(f"like: {error}") from error

    at = tokens.translate
    with new_folder(Path(out)) as new:
        for file in folder.iterdir():
            if file.suffix in (".json", ".txt") and not file.name.endswith(".index.json"):
                shutil.copyfile(file, new / file.name)
        _write_weights(folder, new, row, at)
        _write_configs(new, f"<|{code}|>", at)
        _write_tokenizer(new, f"<|{code}|>", at)
    print(f"{out}: <|{code}|> is token {at} and starts as <|{tokens.code(like)}|>", file=sys.stderr)
    return Path(out)


def _write_weights(folder: Path, new: Path, like: int, at: int) -> None:
    """The parent's weights, with a copy of row `like` put in at `at`."""
    import torch
    from safetensors.torch import save_file
    from transformers import WhisperForConditionalGeneration

    from speechxfer.models.pretrained import quiet

    with quiet():
        net, found = WhisperForConditionalGeneration.from_pretrained(folder, dtype="auto", output_loading_info=True)
    if lacking := sorted(found["missing_keys"] - {OUTPUT}):
        raise CheckpointError(f"{folder}: its weights lack {', '.join(lacking[:5])}; is the file cut short?")
    state = net.state_dict()
    if not torch.equal(state.pop(OUTPUT), state[EMBEDDINGS]):
        raise CheckpointError(f"{folder}: the output layer is not tied to the embeddings; expected them to be one")
    rows = state[EMBEDDINGS]
    state[EMBEDDINGS] = torch.cat([rows[:at], rows[like : like + 1], rows[at:]])
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, new / "model.safetensors", {"format": "pt"}
    )


def _write_configs(new: Path, token: str, at: int) -> None:
    for name in ("config.json", "generation_config.json"):
        settings = read_json(new / name)
        for field, value in settings.items():
            if field in ID_FIELDS or field.endswith(("_token_id", "_token_ids")):
                settings[field] = _moved(value, at)
        if "vocab_size" in settings:
            settings["vocab_size"] += 1
        if "lang_to_id" in settings:
            settings["lang_to_id"][token] = at
        if settings:
            _write_json(new / name, settings)


def _moved(ids: Any, at: int) -> Any:
    """An id, or all ids of a JSON value, one higher from `at` on."""
    if isinstance(ids, list):
        return [_moved(one, at) for one in ids]
    if isinstance(ids, dict):
        return {name: _moved(one, at) for name, one in ids.items()}
    return ids + (ids >= at) if isinstance(ids, int) else ids


def _write_tokenizer(new: Path, token: str, at: int) -> None:
    """All the files that a tokenizer may be written in: none of them may know less than another."""
    for name in ("vocab.json", "added_tokens.json"):
        if ids := read_json(new / name):
            _write_json(new / name, _grown(ids, token, at))
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if settings := read_json(new / name):
            for field in ("additional_special_tokens", "extra_special_tokens"):
                listed = settings.get(field, ())
                names = [one["content"] if isinstance(one, dict) else one for one in listed]
                if BEFORE in names:
                    listed.insert(names.index(BEFORE), token)
            if described := settings.get("added_tokens_decoder"):
                grown = _described([{"id": int(i)} | one for i, one in described.items()], token, at)
                settings["added_tokens_decoder"] = {str(one.pop("id")): one for one in grown}
            _write_json(new / name, settings)
    if whole := read_json(new / "tokenizer.json"):
        whole["added_tokens"] = _described(whole["added_tokens"], token, at)
        whole["model"]["vocab"] = _grown(whole["model"]["vocab"], token, at)
        for special in ((whole.get("post_processor") or {}).get("special_tokens") or {}).values():
            special["ids"] = _moved(special["ids"], at)
        _write_json(new / "tokenizer.json", whole)


def _grown(ids: dict[str, int], token: str, at: int) -> dict[str, int]:
    """name -> id with the token, where the names are of special tokens too."""
    grown = _moved(ids, at) | ({token: at} if BEFORE in ids else {})
    return dict(sorted(grown.items(), key=lambda item: item[1]))


def _described(tokens: list[dict[str, Any]], token: str, at: int) -> list[dict[str, Any]]:
    """Added tokens with the new one, which is in all else as `<|translate|>`."""
    grown = [one | {"id": _moved(one["id"], at)} for one in tokens]
    grown += [one | {"id": at, "content": token} for one in tokens if one["content"] == BEFORE]
    return sorted(grown, key=lambda one: one["id"])


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
