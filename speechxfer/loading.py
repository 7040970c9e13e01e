"""The fine-tuned model from Python: `load("runs/x/best")` can `transcribe`, or `translate`."""

from pathlib import Path

from speechxfer.models import MARIAN, family_of, load_checkpoint, resolve
from speechxfer.parallel import choose_device
from speechxfer.precision import choose_attention
from speechxfer.recogniser import Recogniser
from speechxfer.task import Speech
from speechxfer.translator import Translator

SPEECH = Speech()


def load(
    checkpoint: str | Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    attention: str = "auto",
    speech: Speech = SPEECH,
) -> Recogniser | Translator:
    """Load a fine-tuned checkpoint: a folder that `train` or `transformers` wrote, or a hub name.

    `speech` is what a Whisper model is told: its language, or Speech(task="translate") for its own translation into
    English. Raises CheckpointError when there is no checkpoint, or it has no vocabulary yet; ConfigError for an unknown
    device, and for `speech` settings of another model.
    """
    folder = resolve(checkpoint)
    model = load_checkpoint(folder, speech=speech)
    choose_attention(attention, model.net)
    kind = Translator if family_of(folder) is MARIAN else Recogniser
    return kind(model, choose_device(device), precision)
