"""Adapt a pre-trained speech or translation checkpoint to a new accent or language pair, and prove that it got better.

    import speechxfer
    print(speechxfer.load("runs/demo/best").transcribe("x.wav").text)

The names below are loaded when they are first used: importing the package loads no torch. The verbs are functions of
the modules that bear their names: `from speechxfer.train import train`, likewise lint, predict, score; `gate.judge`.
"""

import importlib

_HOME = {
    "load": "loading",
    "Recogniser": "recogniser",
    "Translator": "translator",
    "Cascade": "cascade",
    "Hypothesis": "models.base",
    "Task": "task",
    "Source": "task",
    "Data": "task",
    "Decode": "task",
    "Speech": "task",
    "Optim": "task",
    "Run": "task",
    "Perturb": "perturb",
    "Freeze": "adapt.freeze",
    "LabelSmoothing": "adapt.label_smoothing",
    "Lora": "adapt.lora",
    "Example": "manifest",
    "read_manifest": "manifest",
    "write_manifest": "manifest",
    "Prediction": "prediction",
    "main": "cli",
    "SpeechxferError": "errors",
}

__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'speechxfer' has no attribute {name!r}")
    return getattr(importlib.import_module(f"speechxfer.{_HOME[name]}"), name)


def __dir__():
    return __all__
