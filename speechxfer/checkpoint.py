"""Training states on disk: written whole or not at all, and the newest whole one found again.

A state is a folder `step_000250` with the weights, the optimiser and state.json. It is written as
`step_000250.tmp`, synced to disk and renamed, so a kill at any moment leaves the states before it untouched.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from speechxfer.errors import CheckpointError

PREFIX = "step_"


def unshared(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor once, by its first name: a head that is tied to the embeddings is not written twice."""
    first: dict[tuple, str] = {}
    for name, tensor in weights.items():
        first.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), name)
    return {name: weights[name] for name in first.values()}


def load_unshared(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load what `unshared` has left into a model that ties the same tensors."""
    names = model.state_dict().keys() - unshared(model.state_dict()).keys()
    found = model.load_state_dict(weights, strict=False)
    if found.unexpected_keys or set(found.missing_keys) != names:
        raise CheckpointError(f"weights of another model: {found.unexpected_keys or found.missing_keys}")


def save_state(
    run: Path, step: int, weights: dict[str, torch.Tensor], optimiser: dict[str, Any], state: dict[str, Any], keep: int
) -> Path:
    """Write the state of `step` (steps done) and remove all but the `keep` newest ones."""

    def write(folder: Path) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        save_file(tensors, folder / "model.safetensors")
        torch.save(optimiser, folder / "optimiser.pt")
        (folder / "state.json").write_text(json.dumps({"step": step} | state, indent=1, ensure_ascii=False) + "\n")

    folder = run / f"{PREFIX}{step:06d}"
    write_folder(folder, write)
    clean(run, keep)
    return folder


def states(run: Path) -> list[Path]:
    """The whole states of a run, oldest first."""
    found = [p for p in run.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix(PREFIX)))


def load_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """(weights, optimiser, state) of a folder that `save_state` wrote. Raises CheckpointError when a part is gone."""
    weights, optimiser, state = (folder / name for name in ("model.safetensors", "optimiser.pt", "state.json"))
    if missing := [path.name for path in (weights, optimiser, state) if not path.is_file()]:
        words = f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} missing"
        raise CheckpointError(f"{folder}: {words}; remove the folder to go on from an older one")
    moments = torch.load(optimiser, map_location="cpu", weights_only=True)
    return load_file(weights), moments, json.loads(state.read_text())


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside this one, then put it in its place.

    A kill leaves the old folder, or the new one, or (between the two renames) the old one as `NAME.old`, which
    `restore_folder` puts back.
    """
    partial, old = folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    for path in [*partial.rglob("*"), partial]:
        _sync(path)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    partial.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Undo what a kill inside `write_folder` left behind."""
    partial, old = folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
    shutil.rmtree(partial, ignore_errors=True)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def clean(run: Path, keep: int) -> None:
    """Remove all but the `keep` newest states, and what a kill left half-written or half-removed."""
    for old in states(run)[:-keep]:
        old.rename(old.with_name(old.name + ".tmp"))  # so that a state is whole or none at all
    for partial in run.glob(f"{PREFIX}*.tmp"):
        shutil.rmtree(partial)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
