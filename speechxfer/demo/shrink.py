"""Write a checkpoint as float16, half the size: how the shipped one was made from its run.

    python -m speechxfer.demo.shrink runs/pretrain/best speechxfer/demo/checkpoints/ctc-american

Loading gives float32 again, so training from it is not affected beyond the rounding of the weights.
"""

import sys
from pathlib import Path

from speechxfer.models import load_checkpoint


def shrink(source: Path, target: Path) -> None:
    """Save the checkpoint folder `source` in `target` with float16 weights."""
    model = load_checkpoint(source)
    model.net.half()
    model.save(target)


if __name__ == "__main__":
    shrink(*map(Path, sys.argv[1:]))
