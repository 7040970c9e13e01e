"""Bands of length and duration: a model that fails on long or on very short items is not seen in one number."""

import numpy as np

WORDS = (0, 1, 5, 10, 20, 40)  # least number of words in a band
CHARACTERS = (0, 1, 20, 50, 100, 200)  # where words are not separated
SECONDS = (0, 1, 3, 6, 10, 15, 20, 30)  # of audio
UNGROUPED = "(none)"  # the group of items that lack a key, so that a key's groups add up to the whole
UNSEPARATED = 15  # characters per "word", on average, from which the script is taken not to separate words


def bands(lengths: np.ndarray, seconds: np.ndarray) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """{"length": (labels, codes [n]), "duration": ...}; a kind of which all items share one band is left out.

    `lengths` [n, 2] are words and characters of the references, `seconds` [n] the audio's, NaN where unknown.
    """
    words, characters = lengths.sum(axis=0)
    if characters > UNSEPARATED * max(words, 1):
        found = {"length": _cut(lengths[:, 1].astype(float), CHARACTERS, "characters")}
    else:
        found = {"length": _cut(lengths[:, 0].astype(float), WORDS, "words")}
    found["duration"] = _cut(seconds, SECONDS, "s")
    return {key: (labels, codes) for key, (labels, codes) in found.items() if len(labels) > 1}


def _cut(sizes: np.ndarray, edges: tuple[int, ...], unit: str) -> tuple[tuple[str, ...], np.ndarray]:
    number = np.searchsorted(edges, np.nan_to_num(sizes), side="right") - 1
    number[np.isnan(sizes)] = len(edges)
    whole = unit != "s"  # words are counted, seconds are measured: 1-4 words, 1-3 s
    names = [f"{low}-{high - whole} {unit}" for low, high in zip(edges, edges[1:], strict=False)]
    if whole:
        names[0] = f"0 {unit}"
    names += [f"{edges[-1]}+ {unit}", UNGROUPED]
    present, codes = np.unique(number, return_inverse=True)
    return tuple(names[i] for i in present), codes.astype(np.int32)
