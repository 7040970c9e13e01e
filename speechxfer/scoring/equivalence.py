"""Spellings that count as the same, from a file: variants, code-mixed words, numerals in words or digits.

    # one class a line; the first form is what the others become, in reference and hypothesis alike
    colour = color
    going to = gonna
    किताब = kitab
    5 = five = पाँच

A text is read from left to right, taking the longest form that begins at a word, and again until nothing changes, so
that a class sees what another has written: with `के लिए = केलिए` and `उसके = उस के`, "उस केलिए" becomes "उसके लिए".
Such rewriting could go on for ever; a file whose classes might is refused when it is read.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from speechxfer import text
from speechxfer.errors import ConfigError

Words = tuple[str, ...]
MEND = "let the first forms agree: all in digits or all in words, all joined or all apart"


@dataclass(frozen=True)
class Equivalences:
    """Equivalence classes of forms, each of one word or more. Made by `read_equivalences`, which checks them."""

    name: str
    targets: tuple[tuple[Words, Words], ...]  # (form, first form of its class), sorted; first forms stand here too

    @cached_property
    def signature(self) -> str:
        """`<file stem>.<8 hex digits>`; the digits are of the classes, whatever their order and the comments."""
        lines = "\n".join(f"{' '.join(form)} = {' '.join(target)}" for form, target in self.targets)
        return f"{self.name}.{hashlib.sha256(lines.encode()).hexdigest()[:8]}"

    @cached_property
    def _by_first(self) -> dict[str, tuple[tuple[int, Words, Words], ...]]:
        """By first word: length, form and target of the forms that begin with it, the longest first."""
        index: dict[str, list[tuple[int, Words, Words]]] = {}
        for form, target in self.targets:
            index.setdefault(form[0], []).append((len(form), form, target))
        return {first: tuple(sorted(forms, reverse=True)) for first, forms in index.items()}

    def apply(self, normalised: str) -> str:
        """The text with every form as its class's first one; single spaces between words where anything changed.

        Applying it twice is applying it once.
        """
        words = normalised.split()
        if self._by_first.keys().isdisjoint(words):
            return normalised
        before, after = words, self._rewrite(words)
        while after != before:
            before, after = after, self._rewrite(after)
        return normalised if after == words else " ".join(after)

    def _rewrite(self, words: list[str]) -> list[str]:
        out: list[str] = []
        at = 0
        while at < len(words):
            for length, form, target in self._by_first.get(words[at], ()):
                if tuple(words[at : at + length]) == form:
                    out += target
                    at += length
                    break
            else:
                out.append(words[at])
                at += 1
        return out


def read_equivalences(path: str | Path, normaliser: str) -> Equivalences:
    """The classes of a file, their forms written by the `normaliser` of the texts that they will be applied to.

    A form that the normaliser makes equal to another of its class is harmless; classes with the same first form are
    one. Raises ConfigError, all problems at once, for lines that are no classes, for a form that stands in two classes
    and for classes that could rewrite a text without end.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); expected a file of equivalent forms") from None
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    problems: list[tuple[int, str]] = []
    found: dict[Words, tuple[Words, int]] = {}  # form -> target, and the line that says so
    for number, line in enumerate(lines, 1):
        written = _split(line)
        forms = [tuple(text.normalise(normaliser, form).split()) for form in written]
        wrong = [form for form, words in zip(written, forms, strict=True) if not words]
        if wrong:
            problem = f"form {wrong[0]!r} is empty after normaliser {normaliser}; expected words"
            problems.append((number, problem if wrong[0] else "an empty form; expected words"))
        elif len(forms) == 1:
            problems.append((number, f"one form, {written[0]!r}; expected two or more with ' = ' between them"))
        else:
            for form in dict.fromkeys(forms):
                target, other = found.setdefault(form, (forms[0], number))
                if target != forms[0]:
                    here, there = _quoted(forms[0]), _quoted(target)
                    problem = f"{_quoted(form)} becomes {there} by line {other} and {here} by this one"
                    mend = f"make the two lines one, or take {_quoted(form)} out of one of them"
                    problems.append((number, f"{problem}; {mend}"))
    problems += _endless(found)
    if problems:
        raise ConfigError("\n".join(f"{path}:{number}: {problem}" for number, problem in sorted(problems)))
    return Equivalences(path.stem, tuple(sorted((form, target) for form, (target, _) in found.items())))


def _split(line: str) -> list[str]:
    """The forms of a line as they are written; none of a comment or an empty line."""
    line = re.sub(r"(?<!\S)#.*", "", line.strip())
    return [form.strip() for form in re.split(r"(?<!\S)=(?!\S)", line)] if line.strip() else []


def _quoted(words: Words) -> str:
    return repr(" ".join(words))


def _endless(found: Mapping[Words, tuple[Words, int]]) -> Iterator[tuple[int, str]]:
    """Line and description of classes by which a text could be rewritten without end.

    There is an end where words can be ranked so that whatever a rule adds ranks below all that it takes away: every
    step makes the text's multiset of words smaller (Dershowitz and Manna 1979, Proving termination with multiset
    orderings).
    """
    below: dict[str, list[str]] = {}
    lines: dict[tuple[str, str], int] = {}
    for form, (target, line) in found.items():
        lost, gained = Counter(form) - Counter(target), Counter(target) - Counter(form)
        if form != target and not lost:
            growing = "holds all of its words and could go on growing; put the shorter form first"
            problem = growing if gained else "is only another order of its words; take one of them out"
            yield line, f"{_quoted(form)} becomes {_quoted(target)}, which {problem}"
            continue
        for word in lost:
            below.setdefault(word, []).extend(gained)
            lines.update({(word, new): line for new in gained})
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        *others, last = sorted({lines[step] for step in pairwise(circle)})
        together = f"together with line {', '.join(map(str, others))} this" if others else "this"
        yield last, f"{together} could rewrite a text without end ({' -> '.join(circle)}); {MEND}"
