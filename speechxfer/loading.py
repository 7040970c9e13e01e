"""The fine-tuned model from Python: `load("runs/x/best")` can `transcribe`, or `translate`."""

from pathlib import Path

from speechxfer.models import MARIAN, family_of, load_checkpoint, resolve
from speechxfer.parallel import choose_device
from speechxfer.precision import choose_attention
from speechxfer.recogniser import Recogniser
from speechxfer.translator import Translator


def load(
    checkpoint: str | Path, *, device: str = "auto", precision: str = "fp32", attention: str = "auto"
) -> Recogniser | Translator:
    """Load a fine-tuned checkpoint: a folder that `train` or `transformers` wrote, or a hub name.

    Raises CheckpointError when there is none, or it has no vocabulary yet; ConfigError for an unknown device.
    """
    folder = resolve(checkpoint)
    model = load_checkpoint(folder)
    choose_attention(attention, model.net)
    kind = Translator if family_of(folder) is MARIAN else Recogniser
    return kind(model, choose_device(device), precision)
