"""Model families. `load_checkpoint` takes a folder or a hub name and returns the model that its config.json names.

A family's loader is imported when it is called, since it loads torch, which the modules beside it must not need.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from speechxfer.errors import CheckpointError
from speechxfer.models.ctc_config import can_transcribe, read_json

if TYPE_CHECKING:
    from speechxfer.models.ctc import Ctc

__all__ = ["FAMILIES", "can_transcribe", "load_checkpoint", "resolve"]

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "pytorch_model*.bin")  # files of a hub checkpoint


def _ctc() -> Callable[..., "Ctc"]:
    from speechxfer.models.ctc_checkpoint import load_ctc

    return load_ctc


# model_type of config.json -> what fetches its loader
FAMILIES = dict.fromkeys(("wav2vec2", "hubert", "wavlm"), _ctc)


def resolve(checkpoint: str | Path, wanted: Sequence[str] = WANTED) -> Path:
    """The folder of a checkpoint: a local one, or a hub name's snapshot (downloaded once) of the `wanted` files.

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
        return Path(snapshot_download(str(checkpoint), allow_patterns=list(wanted)))
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
) -> "Ctc":
    """The float32 model of a folder or hub name, on the CPU. See `load_ctc` for the arguments."""
    folder = resolve(checkpoint)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type {kind!r}; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[kind]()(folder, texts=texts, vocabulary=vocabulary, normaliser=normaliser, changes=changes)
