"""When a run may go on from a saved state: only as the very run that it was."""

import platform
from pathlib import Path
from typing import Any

import torch

from speechxfer import task as tasks
from speechxfer.data import Mixture
from speechxfer.errors import CheckpointError
from speechxfer.manifest import Manifest
from speechxfer.parallel import Ranks
from speechxfer.precision import Precision
from speechxfer.task import Decode, Task

# Fields that may change between two calls of a run: they do not touch the weights.
FREE = {"name", "test", "retain", "metrics", "require", "data.workers", "run.keep", "run.log_every", "run.save_every"}
FREE |= {"lint", "glossary", "equivalences", "allow_small"}
FREE |= set(tasks.fields(Decode(), "decode."))
FREE |= {"run.max_skips"}  # raised by who has looked at the examples that were skipped
FREE |= {"run.device"}  # but then the sums differ: `machine` says so


def fingerprint(task: Task, mixture: Mixture, dev: Manifest, steps: int) -> dict[str, Any]:
    """What makes a run the run it is: its task, the content of its manifests, the length of its plan."""
    return {
        "task": tasks.fields(task),
        "manifests": {m.name: m.sha256 for m in (*mixture.manifests, dev)},
        "steps": steps,
    }


def machine(here: Ranks, precision: Precision) -> dict[str, Any]:
    """What the last bits of a sum hang on, beside the task."""
    cuda = here.device.type == "cuda"
    name = torch.cuda.get_device_name(here.device) if cuda else platform.processor() or platform.machine()
    return {
        "device": f"{here.device.type} {name}",
        "precision": precision.name,
        "threads": torch.get_num_threads(),
        "ranks": here.world,
        "torch": torch.__version__,
    }


def compare(folder: Path, saved: dict[str, Any], now: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Raise CheckpointError with every difference that forbids going on; return the machine's differences in words."""
    before = saved["fingerprint"]
    # A field that came with a later version had its default.
    task = tasks.fields(Task(name="", model="")) | before["task"]
    differences = []
    for key in sorted(now["task"].keys() | task.keys()):
        was, is_now = task.get(key), now["task"].get(key)
        if was != is_now and key not in FREE:
            differences.append(f"{key} was {was!r}, now {is_now!r}")
    for name in sorted(now["manifests"].keys() | before["manifests"].keys()):
        was, is_now = before["manifests"].get(name), now["manifests"].get(name)
        if was != is_now:
            differences.append(f"the content of {name} has SHA-256 {str(was)[:12]} then, {str(is_now)[:12]} now")
    if not differences and before["steps"] != now["steps"]:
        differences.append(f"the plan had {before['steps']} steps, now {now['steps']}")
    if differences:
        raise CheckpointError(
            f"{folder}: this state belongs to another run:\n  "
            + "\n  ".join(differences)
            + "\nchange that back to go on, or give another --out to start anew"
        )
    was = here | saved["machine"]
    changed = [key for key in here if was[key] != here[key]]
    return [f"{key} was {was[key]}, now {here[key]}: sums will round differently" for key in changed]
