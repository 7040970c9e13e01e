"""Model families. `load` takes a folder or a hub name and returns the model that its config.json names."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechxfer.errors import CheckpointError
from speechxfer.models.ctc import Ctc
from speechxfer.models.ctc_checkpoint import can_transcribe, load_ctc

__all__ = ["FAMILIES", "can_transcribe", "load_checkpoint", "resolve"]

# model_type of config.json -> loader
FAMILIES = dict.fromkeys(("wav2vec2", "hubert", "wavlm"), load_ctc)


def resolve(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint: a local one, or a hub name's snapshot (downloaded once).

    Raises CheckpointError when it is neither.
    """
    folder = Path(checkpoint)
    if (folder / "config.json").is_file():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: has no config.json; expected a checkpoint folder as transformers writes it")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "pytorch_model*.bin"]
        return Path(snapshot_download(str(checkpoint), allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        found = f"neither a folder here nor a hub checkpoint within reach ({reason})"
        raise CheckpointError(f"{checkpoint}: {found}") from error


def load_checkpoint(
    checkpoint: str | Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Ctc:
    """The float32 model of a folder or hub name, on the CPU. See `load_ctc` for the arguments."""
    folder = resolve(checkpoint)
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except ValueError as error:
        raise CheckpointError(f"{folder}/config.json: not JSON ({error}); is the file cut short?") from error
    if kind not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[kind](folder, texts=texts, vocabulary=vocabulary, normaliser=normaliser, changes=changes)
