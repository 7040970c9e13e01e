"""Rules that know the model: what its vocabulary lacks, and what does not fit into it."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterator
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from speechxfer.errors import ManifestError
from speechxfer.lint.limits import Labels, Limits
from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.texts import Words, blank, chunks, clipped, named, nonspeech, taken, words
from speechxfer.manifest import Manifest
from speechxfer.text import NORMALISERS, by_word, normalise

APART = 10  # missing characters that are reported each by itself; the others together
MOSTLY = 0.4  # share of the labels without the end; where all is unknown each word is two: a space and <unk>


def characters(subject: Subject) -> Iterator[Found]:
    limits = subject.limits
    if limits and limits.family == "ctc" and limits.characters is not None:
        rows = np.flatnonzero(_labels(subject.manifest, limits, "text").unknown)
        yield from _by_character(subject, "text", rows, limits.characters, _suggestion)


def unknown_pieces(subject: Subject) -> Iterator[Found]:
    for side, spells in _piece_sides(subject):
        labels = _labels(subject.manifest, subject.limits, side)
        rows = np.flatnonzero((labels.unknown > 0) & ~_mostly(labels))
        shown = [np.zeros(0, np.int64)]
        for found in _by_character(subject, side, rows, spells, lambda *_: ""):
            shown.append(found.rows)
            yield found
        others = np.setdiff1d(rows, np.concatenate(shown))  # whole pieces, or the code of a language: >>xyz<<
        column = subject.manifest.column(side)

        def message(i: int, side=side, labels=labels, others=others, column=column) -> str:
            return f"{side}: {labels.unknown[others[i]]} pieces of {clipped(column[others[i]].as_py())} are <unk>"

        yield Found(subject, others, message)


def mostly_unknown(subject: Subject) -> Iterator[Found]:
    for side, _ in _piece_sides(subject):
        labels = _labels(subject.manifest, subject.limits, side)
        rows, column = np.flatnonzero(_mostly(labels)), subject.manifest.column(side)

        def message(i: int, side=side, labels=labels, rows=rows, column=column) -> str:
            share = f"{labels.unknown[rows[i]]} of {labels.count[rows[i]]} labels"
            return f"{side}: {share} of {clipped(column[rows[i]].as_py())} are <unk>: is it in the model's language?"

        yield Found(subject, rows, message)


def too_many_labels(subject: Subject) -> Iterator[Found]:
    limits = subject.limits
    if limits is None:
        return
    for side, most in (("text", limits.most_labels), ("source", limits.most_source_labels)):
        if most is not None:
            count = _labels(subject.manifest, limits, side).count
            rows = np.flatnonzero(count > most)

            def message(i: int, side=side, most=most, count=count, rows=rows) -> str:
                return f"{side}: {count[rows[i]]} labels; {limits.name} takes at most {most}, start and end included"

            yield Found(subject, rows, message)


def too_few_frames(subject: Subject) -> Iterator[Found]:
    limits = subject.limits
    if limits is None or limits.frames is None:
        return
    seconds = _seconds(subject)
    labels = _labels(subject.manifest, limits, "text")
    known = np.nan_to_num(seconds) > 0
    frames = limits.frames(np.round(np.where(known, seconds, 0) * limits.rate).astype(np.int64))
    rows = np.flatnonzero(known & (labels.frames > frames))

    def message(i: int) -> str:
        row = rows[i]
        needed = f"{labels.count[row]} labels need {labels.frames[row]} frames (with a blank between equal neighbours)"
        return f"{needed}, but {seconds[row]:.2f} s give {frames[row]}: CTC cannot align them"

    yield Found(subject, rows, message)


def nothing_left(subject: Subject) -> Iterator[Found]:
    limits = subject.limits
    if limits is None:
        return
    column = subject.manifest.column("text")
    empty, marked = blank(column), nonspeech(subject.manifest)
    found = [np.zeros(0, np.int64)]
    for first, texts in chunks(column):
        split = limits.units(texts)
        says = np.array([bool(limits.normalised(unit)) for unit in split.distinct], bool)
        left = np.bincount(split.row, says[split.word], len(texts))
        found.append(first + np.flatnonzero(left == 0))
    rows = np.concatenate(found)
    rows = rows[~empty[rows] & ~marked[rows]]
    yield Found(subject, rows, lambda i: f"nothing is left of {clipped(column[rows[i]].as_py())} after normalising")


_LABELS: WeakKeyDictionary[Manifest, dict[tuple[Limits, str], Labels]] = WeakKeyDictionary()  # several rules ask


def _labels(manifest: Manifest, limits: Limits, side: str) -> Labels:
    """The labels of all rows of a side, 0 where it has no text; counted once as long as the manifest is in use."""
    known = _LABELS.setdefault(manifest, {})
    if (limits, side) not in known:
        known[limits, side] = _count(manifest, limits, side)
    return known[limits, side]


def _count(manifest: Manifest, limits: Limits, side: str) -> Labels:
    count = limits.labels if side == "text" else limits.source_labels
    column = manifest.column(side)
    found = [count(texts.to_pylist()) for _, texts in chunks(column)] if count else []
    empty = blank(column)

    def joined(name: str) -> np.ndarray:
        parts = [getattr(labels, name) for labels in found]
        values = np.concatenate(parts) if parts else np.zeros(len(column))
        return np.where(empty, 0, values).astype(np.int32)

    needed = joined("frames") if found and found[0].frames is not None else None
    return Labels(joined("count"), joined("unknown"), needed)


def _seconds(subject: Subject) -> np.ndarray:
    """[n], also from headers where no audio was decoded. What cannot be read is for the rules of audio to say."""
    try:
        return subject.seconds if subject.sound else subject.manifest.seconds
    except ManifestError:
        return subject.seconds


def _piece_sides(subject: Subject) -> Iterator[tuple[str, Container[str]]]:
    """The sides whose texts a vocabulary of pieces cuts up, and the characters that it can spell."""
    limits = subject.limits
    if limits is not None and limits.family != "ctc":
        for side, spells in (("text", limits.characters), ("source", limits.source_characters)):
            if spells is not None:
                yield side, spells


def _mostly(labels: Labels) -> np.ndarray:
    return (labels.unknown > 0) & (labels.unknown > MOSTLY * (labels.count - 1))  # a blank text lacks nothing


def _by_character(
    subject: Subject,
    side: str,
    rows: np.ndarray,
    spells: Container[str],
    suggest: Callable[[str, Limits, Callable[[], Iterator[str]]], str],
) -> Iterator[Found]:
    """What the vocabulary lacks in `rows`, the most frequent characters each by itself."""
    limits = subject.limits
    normalised, units = (limits.normalised, limits.units) if side == "text" else (str, words)
    column = pa.chunked_array([subject.manifest.column(side).take(pa.array(rows)).combine_chunks()])

    def missing() -> Iterator[tuple[int, Words, list[set[str]]]]:
        """Of each chunk its first row, its words (or its texts, see `units`), and what each of them lacks."""
        for first, texts in chunks(column):
            split = units(texts)
            written = map(normalised, split.distinct)
            yield first, split, [{c for c in unit if not c.isspace() and c not in spells} for unit in written]

    times: Counter[str] = Counter()
    for _, split, lacks in missing():
        often = np.bincount(split.word, minlength=len(split.distinct))
        for place, characters in enumerate(lacks):
            times.update(dict.fromkeys(characters, int(often[place])))
    apart = [character for character, _ in times.most_common(APART)]
    others = times.keys() - set(apart)
    groups = [*({character} for character in apart), *([others] if others else [])]
    found: list[list[np.ndarray]] = [[] for _ in groups]
    for first, split, lacks in missing():
        for parts, group in zip(found, groups, strict=True):
            holds = np.array([not group.isdisjoint(characters) for characters in lacks], bool)
            parts.append(rows[first + np.unique(split.row[holds[split.word]])].astype(np.int32))
    for parts, group in zip(found, groups, strict=True):
        theirs = np.concatenate(parts)
        message = f"{side}: {limits.name} lacks {_listed(group, times)} in {len(theirs)} row{'s' * (len(theirs) > 1)}"
        if len(group) == 1:
            message += suggest(*group, limits, partial(taken, subject.manifest.column(side), theirs))
        yield Found(subject, theirs, lambda _, message=message: message)


def _listed(characters: set[str], times: Counter[str]) -> str:
    if len(characters) == 1:
        return ", ".join(named(character) for character in characters)
    most = sorted(characters, key=lambda character: (-times[character], character))
    shown = [character if character.isprintable() else f"U+{ord(character):04X}" for character in most[:APART]]
    return f"{len(most)} more characters ({' '.join(shown)}{' ...' * (len(most) > APART)})"


def _suggestion(character: str, limits: Limits, texts: Callable[[], Iterator[str]]) -> str:
    """A normaliser that writes a character as the vocabulary can, or none; `texts` are those that hold it."""
    if unicodedata.category(character) == "Nd":
        return "; write numbers as they are spoken"
    for name, normaliser in NORMALISERS.items():
        for full in (name, *(f"{name}+{option}" for option in normaliser.options)):
            if by_word(full):
                written = normalise(full, character)
                if all(c in limits.characters for c in written):
                    becomes = f"writes it as {written!r}" if written else "takes it out"
                    return f"; normaliser {full} {becomes}"
            elif all(_mended(character, full, text, limits) for text in texts()):  # it hangs on what stands around it
                return f"; normaliser {full} writes these texts without it"
    return ""


def _mended(character: str, normaliser: str, text: str, limits: Limits) -> bool:
    """Whether a normaliser writes a text without a character, and with no other in its stead that is lacking too."""
    written = set(normalise(normaliser, text))
    return character not in written and all(c in limits.characters for c in written - set(limits.normalised(text)))


RULES = (
    Rule(
        "model-characters",
        "error",
        "a text holds characters that the model's vocabulary lacks",
        "choose a normaliser that writes them otherwise, or give the model a label for each with"
        " --set data.vocabulary=extend",
        characters,
    ),
    Rule(
        "model-text-vanishes",
        "error",
        "nothing is left of a text after the normaliser",
        'write what is said, leave the row out, or empty the text and mark it "group": {"speech": "no"}',
        nothing_left,
    ),
    Rule(
        "model-frames",
        "error",
        "a text has more labels than its audio has frames, so that CTC cannot align them",
        "look whether the text is of another recording, or the audio cut; else leave the row out",
        too_few_frames,
    ),
    Rule(
        "model-labels",
        "error",
        "a text has more labels than the model takes",
        "cut the row into shorter ones: training would fail, or cut the text off without its audio",
        too_many_labels,
    ),
    Rule(
        "model-mostly-unknown",
        "error",
        "most of a text is unknown to the model's vocabulary",
        "look whether the text is in the model's language and script; else leave the row out",
        mostly_unknown,
    ),
    Rule(
        "model-unknown-pieces",
        "warning",
        "a text holds characters that the model's vocabulary lacks: it reads and writes <unk> for them",
        "write them otherwise, or train with a vocabulary that has them",
        unknown_pieces,
    ),
)
