"""The embedded default: grammars, synthetic voices, and the checkpoints that the project trained itself on them."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoints" / "ctc-american"
TRANSLATOR = Path(__file__).parent / "checkpoints" / "marian-en-de"
WHISPER = Path(__file__).parent / "checkpoints" / "whisper-american"
