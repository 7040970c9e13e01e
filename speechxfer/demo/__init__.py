"""The embedded default: a grammar, synthetic voices, and the checkpoint that the project trained itself on them."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoints" / "ctc-american"
