"""Recordings longer than the encoder takes at once: windows in which somebody speaks, and one text of theirs.

A cut in a pause parts nothing. Where somebody speaks on for longer than a window, the next window begins some seconds
before the end of the last one, and the text goes over from the one to the other within the words on which the two
agree. So a word that an edge cuts through is said by the window that heard all of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import regex
import torch
from tqdm import tqdm

from speechxfer.columns import join
from speechxfer.models.base import Hypothesis
from speechxfer.plan import by_length, cut
from speechxfer.voice_activity import windows

AT_ONCE = 80.0  # seconds of windows that are heard together: what a batch has by default
OVERLAP = 1 / 6  # of a window, at most: 5 s, in which even slow speech has some words that neither edge touches
APART = 1.0  # seconds, at most, between the times that two windows give one word
LASTS = 2.0  # seconds, at most, that a word is said: one that lasts longer was drawn out over a silence

Timed = tuple[str, float, float]  # a word or a phrase, with its start and end in seconds

_SPELT = regex.compile(r"[\p{L}\p{M}\p{N}]")


@dataclass(frozen=True)
class Window:
    """Samples (n,) from `start` to `end` seconds of a recording, a view of it."""

    start: float
    end: float
    samples: torch.Tensor


def windows_of(samples: torch.Tensor, rate: int, seconds: float) -> list[Window]:
    """Where somebody speaks in a recording (n,), at most so many seconds each; those that part no pause overlap."""
    spans = windows(samples.cpu().numpy(), rate, most=seconds, overlap=OVERLAP * seconds)
    most = round(seconds * rate)
    return [Window(start, end, samples[round(start * rate) : round(end * rate)][:most]) for start, end in spans]


def long_form(
    windows: Sequence[Window], hear: Callable[[Sequence[Window]], list[Hypothesis]], least: float
) -> Hypothesis:
    """What is said in all windows of a recording, by what `hear` finds in some of them, with times of their own.

    Windows of about the same length are heard together, the longest ones first, few of them at a time. `least` is the
    length in seconds to which the encoder fills up shorter ones.
    """
    if not windows:
        return Hypothesis("")
    lengths = np.array([window.end - window.start for window in windows])
    costs = np.maximum(lengths, least)
    budget = max(AT_ONCE, costs.max())
    found: dict[int, Hypothesis] = {}
    with tqdm(total=lengths.sum(), unit="s", unit_scale=True, leave=False, disable=None) as bar:
        for chosen in cut(by_length(costs, budget)[::-1], costs, budget):
            found |= zip(chosen.tolist(), hear([windows[i] for i in chosen]), strict=True)
            bar.update(lengths[chosen].sum())
    return joined(windows, [found[i] for i in range(len(windows))])


# --- one text of many ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """What is kept of a window, in seconds of the recording."""

    text: str
    confidence: float | None
    words: list[Timed]
    segments: list[Timed]
    cut: tuple[bool, bool]  # whether its first phrase lacks the beginning, and its last one the end


def joined(windows: Sequence[Window], found: Sequence[Hypothesis]) -> Hypothesis:
    """One hypothesis of those of a recording's windows, in their order: every word once, and times that never fall.

    The confidence is the mean over the letters. There is no n_best: nothing says which of the windows' go together.
    """
    said = [part for part in _parts(windows, found) if part.text]
    if not said:
        return Hypothesis("", confidence=found[0].confidence if found else None)
    weights = [len(part.text) for part in said]
    logs = [math.log(max(part.confidence, 1e-9)) for part in said]
    segments, unfinished = [], False
    for part in said:
        some = part.segments
        if unfinished and part.cut[0]:  # one phrase, of which each window said a part
            (begun, start, _), (ended, _, end) = segments.pop(), some[0]
            some = [(join((begun, ended)), start, end), *some[1:]]
        segments += some
        unfinished = part.cut[1]
    return Hypothesis(
        join(part.text for part in said),
        math.exp(np.average(logs, weights=weights)),
        tuple(word for part in said for word in part.words),
        tuple(segments),
    )


def seam(left: Sequence[Timed], right: Sequence[Timed], start: float, end: float) -> tuple[int, int]:
    """(i, j), such that left[:i] and then right[j:] is what was said, by two windows' words in their order.

    Both heard what lies between `start` and `end`. The seam is the middle of the run of words on which they agree
    best: every pair counts by how near its times are. So what is repeated ("very very very") is laid over itself
    where it stands: shifted by one word, its pairs are apart by as many seconds together as the overlap has. Without
    any agreement, the seam is where a word begins or ends nearest to the middle of what both heard; and a window that
    writes nothing there takes nothing from the other.
    """
    most = min(APART, (end - start) / 2)
    near = [i for i, word in enumerate(left) if _middle(word) > start - most]
    far = [j for j, word in enumerate(right) if _middle(word) < end + most]
    spelt = {word: _spelling(word) for word, *_ in (*left, *right)}
    runs: dict[tuple[int, int], tuple[float, int]] = {}  # by their last pair: how well they agree, how long they are
    for i, j in product(near, far):
        apart = abs(_middle(left[i]) - _middle(right[j]))
        if apart < most and spelt[left[i][0]] == spelt[right[j][0]]:
            agreed, count = runs.get((i - 1, j - 1), (0.0, 0))
            runs[i, j] = agreed + 1 - apart / most, count + 1
    if runs:
        i, j = max(runs, key=runs.__getitem__)
        behind = runs[i, j][1] // 2  # pairs of the run that the right one says
        return i + 1 - behind, j + 1 - behind
    if all(min(word[2], word[1] + LASTS) <= start for word in left) or all(word[1] >= end for word in right):
        return len(left), 0
    middle = (start + end) / 2
    borders = [border for word in left for border in word[1:] if start < border < end]
    time = min(borders, default=middle, key=lambda border: abs(border - middle))
    return sum(_middle(word) < time for word in left), sum(_middle(word) < time for word in right)


def _parts(windows: Sequence[Window], found: Sequence[Hypothesis]) -> list[_Part]:
    timed = [
        [[(text, round(start + by, 3), round(end + by, 3)) for text, start, end in spans] for spans in each]
        for by, each in ((window.start, (one.words, one.segments)) for window, one in zip(windows, found, strict=True))
    ]
    firsts, lasts = [0] * len(found), [len(words) for words, _ in timed]
    times = [[-math.inf, math.inf] for _ in found]  # what is kept of each window lies between these
    for i, (window, later) in enumerate(pairwise(windows)):
        if later.start < window.end:
            left, right = timed[i][0], timed[i + 1][0]
            last, first = lasts[i], firsts[i + 1] = seam(left, right, later.start, window.end)
            before = left[last - 1][2] if last else later.start
            behind = right[first][1] if first < len(right) else window.end
            times[i][1] = times[i + 1][0] = round((before + behind) / 2, 3)
    return [
        _part(one, words, segments, slice(first, last), between)
        for one, (words, segments), first, last, between in zip(found, timed, firsts, lasts, times, strict=True)
    ]


def _part(one: Hypothesis, words: list[Timed], segments: list[Timed], kept: slice, between: Sequence[float]) -> _Part:
    text, cuts = one.text, (False, False)
    if kept != slice(0, len(words)):
        first, last = (sum(_size(word) for word, *_ in words[:place]) for place in (kept.start, kept.stop))
        text = _letters(text, first, last)
        segments, cuts = _phrases(segments, first, last)
    low, high = between
    within = [
        [(written, min(max(start, low), high), max(min(end, high), low)) for written, start, end in spans]
        for spans in (words[kept], segments)
    ]
    return _Part(text, one.confidence, *within, cuts)


def _phrases(segments: list[Timed], first: int, last: int) -> tuple[list[Timed], tuple[bool, bool]]:
    """What of them lies in the text from its letter `first` to before `last`; whether this cuts the first, the last.

    Letters are counted, since words do not tell where they stand: in Japanese no space does.
    """
    kept, begun, unfinished, at = [], False, False, 0
    for text, start, end in segments:
        size = _size(text)
        if part := _letters(text, first - at, last - at):
            kept.append((part, start, end))
            begun |= first > at
            unfinished |= last < at + size
        at += size
    return kept, (begun, unfinished)


def _letters(text: str, first: int, last: int) -> str:
    """From one letter to before another, whatever is no space being one, and the spaces between them."""
    places = [place for place, letter in enumerate(text) if not letter.isspace()][max(first, 0) : max(last, 0)]
    return text[places[0] : places[-1] + 1] if places else ""


def _size(text: str) -> int:
    return sum(not letter.isspace() for letter in text)


def _spelling(word: str) -> str:
    """A word as it is compared: without case and punctuation, which hang on what else a window heard."""
    return "".join(_SPELT.findall(word)).casefold() or word


def _middle(word: Timed) -> float:
    return (word[1] + word[2]) / 2
