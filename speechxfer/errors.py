"""What a user can mend. Each message says where, what was found, what was expected, how to mend it.

The command line prints these as plain text without a traceback and exits 2; anything else is a bug and
keeps its traceback.
"""


class SpeechxferError(Exception):
    """Base of every error that the user can mend."""


class ManifestError(SpeechxferError):
    """A manifest, or a file that it names, is not what was expected."""


class AudioError(ManifestError):
    """An audio file is missing, empty, truncated, silent or not audio."""


class ConfigError(SpeechxferError):
    """A task, a setting or a command line does not make sense."""


class CheckpointError(SpeechxferError):
    """A model folder or a training state cannot be used as asked."""


class TrainingError(SpeechxferError):
    """Training cannot go on: the loss is not finite, or the model has collapsed."""


class ScoreError(SpeechxferError):
    """Predictions cannot be scored, or scores cannot be judged."""
