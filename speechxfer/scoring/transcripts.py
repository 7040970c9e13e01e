"""References and hypotheses in files of their own, as other systems write them, paired into predictions.

What a file is follows from its name alone, never from a guess at its contents:

    .jsonl .json .csv .tsv    rows with an id and a text, under any of the names that `prediction_table` knows
    .trn                      NIST: `text (utt-id)` a line; a line that starts with ;; is a comment
    .kaldi, or named `text`   Kaldi: `utt-id text` a line
    anything else             one text a line; line 17 of one file belongs to line 17 of the other

The first three are joined by id, in any order and mixture. Plain text streams; joining holds the references in memory.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from speechxfer.errors import ScoreError
from speechxfer.prediction import SHOWN, Prediction, checked, read
from speechxfer.scoring.prediction_table import references

TABLES = (".jsonl", ".json", ".csv", ".tsv")
NAMED = 5  # ids that are spelled out; the others are counted
ALTERNATION = re.compile(r"\{[^{}]* / [^{}]*\}")  # how sclite spells that several words are right
LIKE_AN_ID = re.compile(r"(?=.*\d)(?=.*(?:-|[^\W\d]))\S+")  # with a digit, and a letter or _ or -


@dataclass(frozen=True)
class Pairs:
    """`pair` of these files, as often as it is iterated over."""

    refs: tuple[Path, ...]
    hyp: Path
    source: Path | None = None

    def __iter__(self) -> Iterator[Prediction]:
        return pair(self.refs, self.hyp, self.source)


def pair(refs: Sequence[Path], hyp: Path, source: Path | None = None) -> Iterator[Prediction]:
    """Predictions from one or more files of references and one of hypotheses; `source` are the sentences translated.

    Plain texts are named by their line, "000017"; an empty line is an empty text, the final line end is no line. Of
    several references, those that are empty are left out unless all are. Groups, scores, seconds and source of tables
    come along; where both sides have one, that of the references counts. Joined pairs come in the order of the
    hypotheses.

    Raises ScoreError, before the first pair or at the end of the files, with all that is wrong: files of different
    length, ids that are missing, extra or twice there, lines that cannot be read. Nothing is yielded after that.
    """
    paths = [Path(path) for path in (*refs, hyp, *filter(None, [source]))]
    if not refs:
        raise ScoreError(f"{hyp}: no file of references to score it against")
    absent = [f"{path}: no such file; expected references or hypotheses" for path in paths if not path.is_file()]
    if absent:
        raise ScoreError("\n".join(absent))
    plain = [path for path in paths if not _has_ids(path)]
    if not plain and source:
        raise ScoreError(f"{source}: sources in a file of their own are for plain text; rows with ids carry theirs")
    if not plain:
        return _by_id(paths[:-1], paths[-1])
    if len(plain) == len(paths):
        return _by_line(paths, len(refs))
    other = next(path for path in paths if path not in plain)
    raise ScoreError(
        f"{plain[0]} is plain text and {other} has ids; expected the same of all. "
        "Files of `text (utt-id)` are named .trn, those of `utt-id text` .kaldi"
    )


def _has_ids(path: Path) -> bool:
    return path.suffix.lower() in (*TABLES, ".trn", ".kaldi") or path.name == "text"


def _by_line(paths: Sequence[Path], refs: int) -> Iterator[Prediction]:
    """So many of `paths` hold references, the next one hypotheses, and the one after it, if there is one, sources."""
    shown, wrong, counts, last = [], 0, [0] * len(paths), [""] * len(paths)
    first_words, endings = [_OwnNames() for _ in paths], [_OwnNames() for _ in paths]
    for number, texts in enumerate(zip_longest(*map(_lines, paths)), 1):
        for i, text in enumerate(texts):
            if isinstance(text, ValueError):
                counts[i], wrong = number, wrong + 1
                if wrong <= SHOWN:
                    shown.append(f"{paths[i]}:{number}: {text}")
            elif text is not None:
                counts[i], last[i] = number, text
                if first_words[i].hold:
                    first_words[i].add(text.partition(" ")[0])
                if endings[i].hold:
                    endings[i].add(_split_trn(text)[0])
        if not wrong and None not in texts:
            ref, alternatives = references(texts[:refs])
            hyp, *source = texts[refs:]
            yield Prediction(f"{number:06d}", ref, hyp, alternatives=alternatives, source=source[0] if source else None)
    if wrong > SHOWN:
        shown.append(f"... and {wrong - SHOWN} more lines")
    if not any(counts):
        shown.append(f"{' and '.join(map(str, paths))} are empty; expected one text a line")
    elif len(set(counts)) > 1:
        shown.append(_other_length(paths, counts, last))
    for names, place, suffix in ((first_words, "begins", ".kaldi"), (endings, "ends", ".trn")):
        shown += [
            f"{path}: every line {place} with an id of its own, such as {min(own.seen)!r}, which would be scored "
            f"as a word; let the file's name end in {suffix}, or take the ids out"
            for path, own in zip(paths, names, strict=True)
            if own.hold and len(own.seen) > 2
        ]
    if shown:
        raise ScoreError("\n".join(shown))


class _OwnNames:
    """Whether all words so far look like ids and no two are the same; small, since other words are soon met."""

    def __init__(self):
        self.hold = True
        self.seen: set[str] = set()

    def add(self, word: str) -> None:
        self.hold = word not in self.seen and LIKE_AN_ID.fullmatch(word) is not None
        self.seen.add(word)
        if not self.hold:
            self.seen.clear()


def _other_length(paths: Sequence[Path], counts: Sequence[int], last: Sequence[str]) -> str:
    lengths = " and ".join(f"{path} has {count} lines" for path, count in zip(paths, counts, strict=True))
    short, long = counts.index(min(counts)), counts.index(max(counts))
    blank = "" if last[long] else f" (the last line of {paths[long]} is blank)"
    return f"{lengths}{blank}; the first line that is missing is {paths[short]}:{counts[short] + 1}"


def _lines(path: Path) -> Iterator[str | ValueError]:
    with path.open("rb") as file:
        for number, line in enumerate(file):
            try:
                text = line.decode("utf-8" if number else "utf-8-sig")
            except UnicodeDecodeError as error:
                yield ValueError(f"not UTF-8 ({error.reason} at byte {error.start}); expected UTF-8")
            else:
                yield text.removesuffix("\n").removesuffix("\r")


def _by_id(refs: Sequence[Path], hyp: Path) -> Iterator[Prediction]:
    first, *others = ({row.id: row for row in _records(path, "ref")} for path in refs)
    problems = []
    for path, other in zip(refs[1:], others, strict=True):
        problems += _differing(
            path, [one for one in first if one not in other], refs[0], [one for one in other if one not in first]
        )
    if problems:
        raise ScoreError("\n".join(problems))
    waiting, extra = dict.fromkeys(first), []
    for row in _records(hyp, "hyp"):
        if row.id not in waiting:
            extra.append(row.id)
            continue
        del waiting[row.id]
        if not extra:
            yield _joined([first[row.id], *(other[row.id] for other in others)], row)
    problems = _differing(hyp, list(waiting), refs[0], extra)
    if problems:
        raise ScoreError("\n".join(problems))


def _differing(path: Path, missing: Sequence[str], other: Path, extra: Sequence[str]) -> list[str]:
    problems = []
    if missing:
        problems.append(f"{path}: {_count(missing)} of {other} missing: {_names(missing)}")
    if extra:
        problems.append(f"{path}: {_count(extra)} that {other} does not have: {_names(extra)}")
    return problems


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} id" + "s" * (len(ids) > 1)


def _names(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(map(repr, ids[:NAMED])) + more


def _joined(refs: Sequence[Prediction], hyp: Prediction) -> Prediction:
    ref, alternatives = references([text for one in refs for text in (one.ref, *one.alternatives)])
    return replace(
        hyp,
        ref=ref,
        alternatives=alternatives,
        group=hyp.group | refs[0].group,
        scores=hyp.scores | refs[0].scores,
        seconds=hyp.seconds if refs[0].seconds is None else refs[0].seconds,
        source=hyp.source if refs[0].source is None else refs[0].source,
    )


def _records(path: Path, field: str) -> Iterator[Prediction]:
    """What a file with ids says of "ref" or "hyp"."""
    if path.suffix.lower() in TABLES:
        return read(path, (field,))
    split = _split_trn if path.suffix.lower() == ".trn" else _split_kaldi
    return checked(path, lambda: _split_lines(path, field, split))


def _split_lines(
    path: Path, field: str, split: Callable[[str], tuple[str, str]]
) -> Iterator[tuple[int, Prediction | ValueError]]:
    for number, line in enumerate(_lines(path), 1):
        if isinstance(line, ValueError):
            yield number, line
        elif line.strip() and not (split is _split_trn and line.startswith(";;")):
            name, text = split(line)
            if not name:
                yield number, ValueError(f"ends in {line[-40:]!r}; expected `text (utt-id)`")
            elif split is _split_trn and ALTERNATION.search(text):
                yield number, ValueError("{ a / b } is not read; expected one text: give further files of references")
            else:
                yield number, Prediction(name, **{"ref": "", "hyp": ""} | {field: text})


def _split_trn(line: str) -> tuple[str, str]:
    """(id, text); the id is empty where the line does not end in one."""
    line = line.rstrip()
    text, mark, name = line.rpartition("(")
    if not mark or not name.endswith(")") or len(name.split()) != 1:
        return "", line
    return name.removesuffix(")"), text.rstrip()


def _split_kaldi(line: str) -> tuple[str, str]:
    name, *text = line.split(maxsplit=1)
    return name, text[0].rstrip() if text else ""
