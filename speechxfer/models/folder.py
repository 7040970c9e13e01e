"""A checkpoint's folder, and what its small files say. Loads no torch."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from speechxfer.errors import CheckpointError, ConfigError

PICKLED = "pytorch_model*.bin"  # weights as older checkpoints have them, often beside the same in safetensors
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", PICKLED)  # files of a hub checkpoint

DOUBLED = ("*.fp32*", "*/*")  # the same weights in another precision, or for another library


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
        few = [pattern for pattern in wanted if pattern != PICKLED]
        found = Path(snapshot_download(str(checkpoint), allow_patterns=few, ignore_patterns=list(DOUBLED)))
        if PICKLED in wanted and not any(found.glob("*.safetensors")):
            found = Path(snapshot_download(str(checkpoint), allow_patterns=list(wanted), ignore_patterns=list(DOUBLED)))
        return found
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        found = f"neither a folder here nor a hub checkpoint within reach ({reason})"
        raise CheckpointError(f"{checkpoint}: {found}") from error


def read_json(file: Path) -> dict:
    """A JSON file of a checkpoint; {} where there is no such file. Raises CheckpointError where it is not JSON."""
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: not JSON ({error}); is the file cut short?") from error


def saved_normaliser(folder: Path) -> str | None:
    """What the training text of a checkpoint went through, where this package trained it."""
    return read_json(folder / "speechxfer.json").get("normaliser")


def save_settings(folder: Path, settings: dict[str, str]) -> None:
    """Write what this package must know of a checkpoint beside what transformers does: its normaliser and so on."""
    (folder / "speechxfer.json").write_text(json.dumps(settings, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write to that becomes `out` when the block ends, so that `out` is whole or not there.

    Raises ConfigError when there is something already.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: there is something here already; remove it or name another folder")
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
