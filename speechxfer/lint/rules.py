"""What a rule is and what it finds. Each rule is one function and one line in the table of its module.

A rule is asked about sets: a manifest each, with what was measured of its audio and what the model takes. It answers
with rows, and words for those that are shown; so a million rows that are wrong in the same way cost eight bytes each.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speechxfer.lint.limits import Limits
from speechxfer.lint.sound import Sound, stated_seconds
from speechxfer.manifest import Manifest

Severity = Literal["error", "warning", "note", "off"]  # an error makes `lint` exit 1, and `--fix` leaves its rows out


@dataclass(frozen=True)
class Subject:
    """One set as the rules see it."""

    name: str  # "train", "dev", "test" or "retain"
    manifest: Manifest
    limits: Limits | None = None  # what the model takes; None: no model was named
    sound: Sound | None = None  # what was measured of every row; None: not measured, or no audio

    @property
    def seconds(self) -> np.ndarray:
        """float64 [n]: of each recording as decoded, else as stated; NaN where neither is known. Opens no file."""
        return self.sound.seconds if self.sound else stated_seconds(self.manifest)


@dataclass(frozen=True)
class Found:
    """What a rule found in one set: `rows` [n] of its manifest, or None where it is the set as a whole.

    `message` is given a place in `rows` (0 for a whole set) and asked only for what is shown. It says what was found
    and what was expected, in one line without the file's name.
    """

    subject: Subject
    rows: np.ndarray | None
    message: Callable[[int], str]


@dataclass(frozen=True)
class Rule:
    """`check` takes one subject, or, of a rule between sets, all of them."""

    name: str  # "audio-clipped"
    severity: Severity  # unless the user says otherwise
    what: str  # what is wrong, in a few words
    mend: str  # what to do about it, and why it matters
    check: Callable[[Subject], Iterable[Found]] | Callable[[Sequence[Subject]], Iterable[Found]]
