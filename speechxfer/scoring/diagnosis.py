"""What goes wrong: the words that are confused most, and outputs that no recogniser in its right mind would give.

An error rate says how much is wrong. This says what to look at. Outputs are counted by kind, and one output may be of
two kinds:

    empty      nothing was written where the reference has text
    invented   text was written where the reference has none (silence, noise)
    looping    a cycle of 1 to 24 words stands 4 times or more in a row, makes up 6 words or more and at least half of
               the output, and is at least 3 times as long as anything that repeats so in the reference
    runaway    the output is at least 3 times as long as a reference that has words, and at least 10 words longer

Of translations it also says which items lost something that must survive (see `survival`) or have a number or URL from
nowhere, and which terms of a glossary were not honoured.

Words are what spaces separate; of scripts that write none (Chinese, Japanese, Thai, Lao, Khmer, Burmese) a word here
is one character with its marks.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING

from speechxfer.atomic import replacing
from speechxfer.errors import ScoreError
from speechxfer.prediction import Prediction
from speechxfer.scoring import edits
from speechxfer.scoring.survival import Numerals, compare
from speechxfer.scoring.terminal import WIDTH, columns, printable, start
from speechxfer.text import nfc

if TYPE_CHECKING:
    import regex

    from speechxfer.scoring.glossary import Glossary

SHOWN, IDS = 20, 10  # confusions and ids that are kept
CYCLE, REPEATS, LOOP, LOOP_SHARE = 24, 4, 6, 0.5  # words; times; words; of the output
TIMES, WORDS_MORE = 3, 10  # as long as what the reference has; words
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"


@dataclass(frozen=True)
class Outputs:
    """How many outputs are of a kind, and the ids of the first of them."""

    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Pieces:
    """In how many items there are such pieces of text, and the first of the items: id -> pieces."""

    count: int
    items: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Translation:
    """What is wrong with translations beside their words, of the items that have a source."""

    items: int
    lost: Pieces  # placeholders, tags, URLs and numbers of the source
    added: Pieces  # numbers and URLs that are in neither the source nor a reference
    terms: tuple[tuple[str, int, int], ...]  # glossary terms with misses, the most first: term, honoured, of how many


@dataclass(frozen=True)
class Diagnosis:
    """The most frequent errors, falling, with how often they occur; and the outputs by kind."""

    items: int
    substitutions: tuple[tuple[str, str, int], ...]  # word of the reference, word of the hypothesis, times
    deletions: tuple[tuple[str, int], ...]
    insertions: tuple[tuple[str, int], ...]
    outputs: dict[str, Outputs]  # empty, invented, looping, runaway
    translation: Translation | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Diagnosis":
        """Raises ValueError where it is not what `to_json` writes."""
        row = json.loads(text)
        try:
            return cls(
                items=int(row["items"]),
                substitutions=tuple((str(ref), str(hyp), int(times)) for ref, hyp, times in row["substitutions"]),
                deletions=tuple((str(word), int(times)) for word, times in row["deletions"]),
                insertions=tuple((str(word), int(times)) for word, times in row["insertions"]),
                outputs={
                    kind: Outputs(int(found["count"]), tuple(map(str, found["ids"])))
                    for kind, found in row["outputs"].items()
                },
                translation=_translation(row["translation"]) if row.get("translation") else None,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None


def _translation(row: dict) -> Translation:
    pieces = {
        name: Pieces(int(row[name]["count"]), {str(key): tuple(map(str, of)) for key, of in row[name]["items"].items()})
        for name in ("lost", "added")
    }
    terms = tuple((str(term), int(honoured), int(times)) for term, honoured, times in row["terms"])
    return Translation(int(row["items"]), **pieces, terms=terms)


def diagnose(pairs: Iterable[tuple[str, str, str]]) -> Diagnosis:
    """From (id, reference, hypothesis), both normalised. Holds no texts, only the distinct confusions.

    The alignment is the one that word error rates are counted from (`edits.alignment`).
    """
    items = 0
    substitutions, deletions, insertions = Counter(), Counter(), Counter()
    counts = dict.fromkeys(("empty", "invented", "looping", "runaway"), 0)
    ids: dict[str, list[str]] = {kind: [] for kind in counts}
    for name, ref, hyp in pairs:
        items += 1
        if ref == hyp:
            continue
        ref_words, hyp_words = words(ref), words(hyp)
        for kind in kinds(ref_words, hyp_words):
            counts[kind] += 1
            if len(ids[kind]) < IDS:
                ids[kind].append(name)
        for edit, ref_word, hyp_word in edits.alignment(ref_words, hyp_words):
            if edit == "substitute":
                substitutions[ref_word, hyp_word] += 1
            elif edit == "delete":
                deletions[ref_word] += 1
            elif edit == "insert":
                insertions[hyp_word] += 1
    return Diagnosis(
        items=items,
        substitutions=tuple((*pair, times) for pair, times in _most(substitutions)),
        deletions=tuple(_most(deletions)),
        insertions=tuple(_most(insertions)),
        outputs={kind: Outputs(count, tuple(ids[kind])) for kind, count in counts.items()},
    )


def diagnose_translation(
    predictions: Iterable[Prediction], numerals: Numerals | None = None, glossary: "Glossary | None" = None
) -> Translation:
    """From predictions as they are, by the rules of the metrics `kept` and `glossary`; those without a source are left
    out of it.
    """
    items, counts, first = 0, Counter(), {"lost": {}, "added": {}}
    honoured, times = Counter(), Counter()
    for row in predictions:
        if row.source is None:
            continue
        items += 1
        source, hyp, *refs = (nfc(text) for text in (row.source, row.hyp, row.ref, *row.alternatives))
        one = compare(source, refs, hyp, numerals)
        for name, pieces in (("lost", one.lost), ("added", one.invented)):
            if pieces:
                counts[name] += 1
                if len(first[name]) < IDS:
                    first[name][row.id] = pieces
        for term, right in glossary.check(source, hyp) if glossary else ():
            times[term.written] += 1
            honoured[term.written] += right
    missed = _most(times - honoured)
    return Translation(
        items=items,
        lost=Pieces(counts["lost"], first["lost"]),
        added=Pieces(counts["added"], first["added"]),
        terms=tuple((term, honoured[term], times[term]) for term, _ in missed),
    )


def _most(counts: Counter) -> list[tuple]:
    return nsmallest(SHOWN, counts.items(), key=lambda item: (-item[1], item[0]))


def words(text: str) -> list[str]:
    """What errors are counted in here: see the module's first lines."""
    if text.isascii() or not _unspaced().search(text):
        return edits.words(text)
    return _units().findall(text)


@functools.cache
def _unspaced() -> "regex.Pattern":
    import regex

    return regex.compile(UNSPACED)


@functools.cache
def _units() -> "regex.Pattern":
    import regex

    return regex.compile(rf"{UNSPACED}\p{{M}}*|(?:(?!{UNSPACED})\S)+")


def kinds(ref: Sequence[str], hyp: Sequence[str]) -> list[str]:
    """The kinds of pathological output, of the module's first lines, that a hypothesis of these words is."""
    found = []
    if ref and not hyp:
        found.append("empty")
    if hyp and not ref:
        found.append("invented")
    if loops(ref, hyp):
        found.append("looping")
    if ref and len(hyp) >= TIMES * len(ref) and len(hyp) >= len(ref) + WORDS_MORE:
        found.append("runaway")
    return found


def loops(ref: Sequence[str], hyp: Sequence[str]) -> bool:
    """Whether the hypothesis repeats a cycle of words over and over that the reference does not."""
    # A loop over half of the words, with every word of its cycle there 4 times, leaves few different words.
    if len(hyp) < LOOP or len(set(hyp)) > len(hyp) * (1 - LOOP_SHARE * (1 - 1 / REPEATS)):
        return False
    for period in range(1, min(CYCLE, len(hyp) // REPEATS) + 1):
        run = _longest_run(hyp, period)
        if run >= max(REPEATS * period, LOOP, LOOP_SHARE * len(hyp)) and run >= TIMES * _longest_run(ref, period):
            return True
    return False


def _longest_run(words: Sequence[str], period: int) -> int:
    """Words in the longest stretch where each is what stood `period` words before; one period where there is none."""
    best = same = 0
    for word, before in zip(words[period:], words, strict=False):
        same = same + 1 if word == before else 0
        best = max(best, same)
    return best + min(period, len(words))


def diagnosis_path(scores: str | Path) -> Path:
    """test.scores.json -> test.diagnosis.json; x.json -> x.diagnosis.json."""
    scores = Path(scores)
    return scores.with_name(scores.name.removesuffix(".json").removesuffix(".scores") + ".diagnosis.json")


def write_diagnosis(path: str | Path, diagnosis: Diagnosis) -> None:
    """Write JSON whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(diagnosis.to_json() + "\n", encoding="utf-8")


def read_diagnosis(path: str | Path) -> Diagnosis:
    """Raises ScoreError where the file is missing or is no diagnosis."""
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: no such file; write it with `speechxfer score`")
    try:
        return Diagnosis.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also what is not JSON, or not UTF-8
        raise ScoreError(f"{path}: {error}; expected the JSON that `speechxfer score` writes") from None


def table(diagnosis: Diagnosis) -> str:
    """Plain text of at most 80 columns: a line for each sort of error and each kind of output that occurs."""
    errors: Mapping[str, list[str]] = {
        "substituted": [f"{ref} -> {hyp} {times}" for ref, hyp, times in diagnosis.substitutions],
        "deleted": [f"{word} {times}" for word, times in diagnosis.deletions],
        "inserted": [f"{word} {times}" for word, times in diagnosis.insertions],
    }
    lines = [_line(f"{name:11} ", entries, "") for name, entries in errors.items() if entries]
    kinds = {kind: found for kind, found in diagnosis.outputs.items() if found.count}
    for kind, found in kinds.items():
        share = f"{found.count} ({100 * found.count / diagnosis.items:.1f} %)"
        lines.append(_line(f"{kind:11} {share}: ", found.ids, ", ..." if found.count > len(found.ids) else ""))
    if not kinds:
        lines.append("no output is empty, invented, looping or runaway")
    if diagnosis.translation:
        lines += _translation_lines(diagnosis.translation)
    return "\n".join(lines)


def _translation_lines(found: Translation) -> list[str]:
    lines = []
    for name, pieces in (("lost", found.lost), ("added", found.added)):
        if pieces.count:
            entries = [f"{key} ({' '.join(of)})" for key, of in pieces.items.items()]
            end = ", ..." if pieces.count > len(entries) else ""
            lines.append(_line(f"{name:11} {pieces.count} ({100 * pieces.count / found.items:.1f} %): ", entries, end))
    if found.terms:
        lines.append(_line(f"{'terms':11} ", [f"{term} {right}/{times}" for term, right, times in found.terms], ""))
    return lines


def _line(head: str, entries: Sequence[str], end: str) -> str:
    """As many entries as fit; the first one is cut where even that does not."""
    room = WIDTH - len(head) - len(", ...")
    kept, used = [], 0
    for entry in map(printable, entries):
        used += columns(entry) + 2
        if used > room + 2:
            break
        kept.append(entry)
    if not kept:
        return head + start(printable(entries[0]), room) + "..."
    return head + ", ".join(kept) + (", ..." if len(kept) < len(entries) else end)
