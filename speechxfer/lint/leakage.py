"""Rules between sets: what of dev, test or `retain` a model sees in training, and what dev and test share.

A sentence of a few words is said again by chance and by everybody ("thank you", "seven"), so short ones are never
more than a note. The rows of a finding are those of train, for they are the ones to leave out; of dev where it shares
them with test.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer.lint.balance import categories, group
from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.texts import clipped
from speechxfer.lint.twins import (
    CHOICE,
    TRAIN,
    Twins,
    among,
    are_parallel,
    every_two,
    files_of,
    fold,
    has,
    is_same,
    pairs,
    same_audio,
    same_recordings,
    same_samples,
    same_sentences,
    share,
)
from speechxfer.manifest import Manifest
from speechxfer.scoring.items import CLUSTERS

FEW_SHARED = 0.5  # of the speakers: where more are in both sets, the split is not by speaker


def _say(subject: Subject, message: str) -> Found:
    return Found(subject, None, lambda _: message)


def _point(one: Subject, other: Subject, twins: Twins, words: Callable[[int, int], str]) -> Found:
    """A finding whose messages end with where the twin is; `words` is given both rows."""

    def message(place: int) -> str:
        row, twin = int(twins.rows[place]), int(twins.others[place])
        return words(row, twin).format(other.manifest.where(twin))

    return Found(one, twins.rows, message)


def quoted(manifest: Manifest, side: str, row: int) -> str:
    """A sentence, shortened, as part of a message that `_point` completes."""
    return clipped(manifest.column(side)[row].as_py() or "").replace("{", "{{").replace("}", "}}")


def same_set(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in every_two(subjects, TRAIN):
        if is_same(one.manifest, other.manifest):
            yield _say(one, f"{len(one.manifest):,} rows, all of them those of {other.name} ({other.manifest.name})")


def same_choice(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in every_two(subjects, CHOICE):
        if is_same(one.manifest, other.manifest):
            yield _say(one, f"{len(one.manifest):,} rows, all of them those of test ({other.manifest.name})")


def leak_utterance(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, TRAIN):
        yield _recordings(one, other)


def _recordings(one: Subject, other: Subject) -> Found:
    return _point(one, other, same_recordings(one, other), lambda row, twin: "is the recording of {}")


def leak_audio(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, TRAIN):
        yield _other_name(one, other)


def _other_name(one: Subject, other: Subject) -> Found:
    twins = same_samples(one, other).without(same_recordings(one, other).rows)
    return _point(one, other, twins, lambda row, twin: "has the same samples as {}")


def leak_source(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, TRAIN):
        if are_parallel(one, other):
            yield _sources(one, other)


def _sources(one: Subject, other: Subject) -> Found:
    a, b = one.manifest, other.manifest
    twins = same_sentences(a, b, "source", long=True)
    count = share(twins, a, other, "source")

    def words(row: int, twin: int) -> str:
        texts = (a.column("text")[row].as_py(), b.column("text")[twin].as_py())
        which = "the same" if fold(texts[0] or "") == fold(texts[1] or "") else "another"
        return f"source {quoted(a, 'source', row)} is that of {{}}, with {which} translation; in all {count}"

    return _point(one, other, twins, words)


def leak_target(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, (*TRAIN, *CHOICE)):
        if are_parallel(one, other):
            a, b = one.manifest, other.manifest
            named = [same_sentences(a, b, "source", long=long).rows for long in (True, False)]
            yield _repeated(one, other, "text", same_sentences(a, b, "text", long=True).without(np.concatenate(named)))


def leak_sentence(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, (*TRAIN, *CHOICE)):
        if not are_parallel(one, other):
            twins = same_sentences(one.manifest, other.manifest, "text", long=True)
            yield _repeated(one, other, "text", twins.without(same_audio(one, other)))


def leak_short(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, TRAIN):
        side = "source" if are_parallel(one, other) else "text"
        twins = same_sentences(one.manifest, other.manifest, side, long=False)
        yield _repeated(one, other, side, twins.without(same_audio(one, other)))


def _repeated(one: Subject, other: Subject, side: str, twins: Twins) -> Found:
    count = share(twins, one.manifest, other, side)
    what = "source " if side == "source" else ""

    def words(row: int, twin: int) -> str:
        return f"{what}{quoted(one.manifest, side, row)} is also {{}}; in all {count}"

    return _point(one, other, twins, words)


def shared_with_test(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, CHOICE):
        yield _recordings(one, other)
        yield _other_name(one, other)
        if are_parallel(one, other):
            yield _sources(one, other)


class _Shared(NamedTuple):
    """Speakers (or recordings, or documents) that two sets share."""

    key: str
    names: list[str]
    count: int  # how many the other set has
    rows: np.ndarray  # of the one set that are theirs


def _shared(one: Subject, other: Subject) -> Iterator[_Shared]:
    others = _clusters(other.manifest)
    for key, column in _clusters(one.manifest).items():
        if key in others:
            held = pc.unique(others[key]).drop_null()
            if other.name == "retain":  # of another corpus, where number 17 is another person
                held = held.filter(pc.invert(pc.match_substring_regex(held, r"^\d+$")))
            rows = np.setdiff1d(np.flatnonzero(among(column, held) >= 0), same_audio(one, other))
            if len(rows):
                yield _Shared(key, sorted(pc.unique(column.take(rows)).to_pylist()), len(held), rows)


def _clusters(manifest: Manifest) -> dict[str, pa.ChunkedArray | pa.Array]:
    """Whose rows go together. The pieces of a long file are a recording, named or not."""
    found = {key: column for key in CLUSTERS if (column := group(manifest, key)) is not None}
    if "recording" not in found and has(manifest, "start"):
        found["recording"] = files_of(manifest)
    return found


def leak_speaker(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, (*TRAIN, *CHOICE)):
        for shared in _shared(one, other):
            if len(shared.names) <= FEW_SHARED * shared.count:
                yield _of_speakers(one, other, shared)


def _of_speakers(one: Subject, other: Subject, shared: _Shared) -> Found:
    column = _clusters(one.manifest)[shared.key]
    share = f"{len(shared.names):,} of the {shared.count:,} {shared.key}s of {other.name}"

    def message(place: int) -> str:
        name = column[int(shared.rows[place])].as_py()
        return f"{shared.key} {clipped(name)} is in {other.name} too, as are {share}; expected none"

    return Found(one, shared.rows, message)


def split_by_utterance(subjects: Sequence[Subject]) -> Iterator[Found]:
    for one, other in pairs(subjects, (*TRAIN[:2], *CHOICE)):
        for key, names, count, _ in _shared(one, other):
            if len(names) > FEW_SHARED * count:
                yield _say(other, f"{len(names):,} of its {count:,} {key}s are in {one.name} too")


def unseen_group(subjects: Sequence[Subject]) -> Iterator[Found]:
    for other in subjects:
        train = [categories(one.manifest) for one in subjects if one.name == "train"]
        for key, column in categories(other.manifest).items() if other.name in ("dev", "test") else ():
            seen = [columns[key] for columns in train if key in columns]
            if seen:
                known = pa.concat_arrays([pc.unique(values).drop_null() for values in seen])
                rows = np.flatnonzero((among(column, known) < 0) & column.is_valid().to_numpy())
                values = pc.unique(column.take(rows)).to_pylist()
                yield Found(other, rows, _unseen(key, column, rows, len(values)))


def _unseen(key: str, column: pa.ChunkedArray, rows: np.ndarray, count: int) -> Callable[[int], str]:
    more = f" ({count} groups of {key} are like that)" if count > 1 else ""
    return lambda place: f"{key}={column[int(rows[place])].as_py()}: train has nothing of it{more}"


RULES = (
    Rule(
        "leak-set",
        "error",
        "train is also dev, test or retain",
        "give another set: a score on what was trained on says nothing",
        same_set,
    ),
    Rule(
        "leak-utterance",
        "error",
        "train has a recording that dev, test or retain has too",
        "leave it out of train (`--fix` does): its score would be that of memory",
        leak_utterance,
    ),
    Rule(
        "leak-audio",
        "error",
        "train has the samples of dev, test or retain under another name",
        "leave it out of train (`--fix` does): its score would be that of memory",
        leak_audio,
    ),
    Rule(
        "leak-source",
        "error",
        "train translates a sentence that dev, test or retain asks for",
        "leave it out of train (`--fix` does): its score would be that of memory",
        leak_source,
    ),
    Rule(
        "dev-is-test",
        "warning",
        "dev and test are the same rows",
        "split them: the checkpoint is chosen by dev, so its score on the same rows is too good",
        same_choice,
    ),
    Rule(
        "dev-in-test",
        "warning",
        "dev and test share recordings, or sentences to translate",
        "leave them out of dev: the checkpoint is chosen by dev, so its score on the same rows is too good",
        shared_with_test,
    ),
    Rule(
        "leak-sentence",
        "warning",
        "a sentence is spoken in both sets",
        "split by sentence if the model is for new ones: what it has learned by heart it need not hear",
        leak_sentence,
    ),
    Rule(
        "leak-target",
        "warning",
        "a translation is in both sets, of another source",
        "leave it out of train where the sources mean the same: the model has seen the answer",
        leak_target,
    ),
    Rule(
        "leak-speaker",
        "warning",
        "most speakers are in one set, but some are in both",
        "move all that a speaker says into one set: known voices score better than new ones",
        leak_speaker,
    ),
    Rule(
        "split-by-utterance",
        "note",
        "the speakers (recordings, documents) of this set are not new",
        "read its scores as those of known voices, or split by speaker",
        split_by_utterance,
    ),
    Rule(
        "leak-short",
        "note",
        "a sentence of a few words is in both sets",
        "fine for commands and greetings; the scores say little about other sentences where it is most of the set",
        leak_short,
    ),
    Rule(
        "group-unseen",
        "note",
        "a group that train has nothing of",
        "read its score as one of transfer, or add some of it to train",
        unseen_group,
    ),
)
