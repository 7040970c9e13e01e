"""Everyday English sentences from a grammar: lowercase letters, apostrophes and spaces only.

The language lies in two text files that anyone can extend: words.txt (lists of words by kind) and
sentences.txt (patterns; its head explains the notation). This module expands the one with the other, inflects
words, and puts each sentence into one split by a hash of its text, so that no sentence is ever in two.
"""

import functools
import hashlib
import itertools
import random
import re
from importlib import resources

from speechxfer.errors import ConfigError

SPLITS = ("train", "dev", "test")
FILES = ("words.txt", "sentences.txt")
MIN_WORDS, MAX_WORDS = 2, 16

_PIECE = re.compile(r"<([a-z_]+)(?:\.(pl|s|d|n|g|\*))?>|\{((?:[^{}<>]|<[^<>]*>|\{[^{}]*\})*)\}|([^<{]+)")
_VOWEL_SOUND = re.compile(r"(?!uni|use|usu|uku|euro|one\b|ukr)(?:[aeiou]|hour|honest|heir)")


# Verbs that double their last letter: one short syllable, and these of two.
_DOUBLING = re.compile(
    r"[^aeiou]*(?:[aeiou]|qui)[bdgklmnprtv]|admit|begin|cancel|commit|compel|control|equip|forbid|forget|format|"
    "kidnap|label|level|model|occur|omit|permit|prefer|quarrel|refer|regret|signal|submit|transfer|travel|unplug|"
    "unzip|upset|worship"
)


def sentence(rng: random.Random) -> str:
    """One sentence of 2 to 16 words."""
    while True:
        text = " ".join(_expand("sentence", "", rng).split())
        text = re.sub(r"\ban? (?=(\w+))", lambda m: "an " if _VOWEL_SOUND.match(m[1]) else "a ", text)
        if MIN_WORDS <= text.count(" ") + 1 <= MAX_WORDS:
            return text


def sentence_of(split: str, rng: random.Random) -> str:
    """One sentence that belongs to `split`. Raises ConfigError for an unknown split."""
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    while True:
        text = sentence(rng)
        if split_of(text) == split:
            return text


def split_of(text: str) -> str:
    """The split that a sentence belongs to: 80 % train, 10 % dev, 10 % test, by the text alone."""
    bucket = hashlib.sha256(text.encode()).digest()[0] % 10
    return "dev" if bucket == 0 else "test" if bucket == 1 else "train"


def fingerprint() -> str:
    """Changes when words, patterns or the way they are drawn do, and with them every corpus."""
    rng = random.Random(0)
    drawn = [sentence(rng) for _ in range(100)]
    return hashlib.sha256("\n".join([*map(_text, FILES), *drawn]).encode()).hexdigest()[:12]


def plural(noun: str) -> str:
    """The regular plural, of the last word of a phrase: box -> boxes, bus stop -> bus stops, city -> cities."""
    if re.search(r"(s|x|z|ch|sh)$", noun) and not noun.endswith("stomach"):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    if re.search(r"(potato|tomato|hero|mosquito|mango|volcano)$", noun):
        return noun + "es"
    return noun + "s"


def conjugate(verb: str, form: str) -> str:
    """The regular form of a verb: "s" walks, "d" and "n" walked, "g" walking; a phrase by its first word."""
    verb, _, rest = verb.partition(" ")
    ending = {"s": "s", "d": "ed", "n": "ed", "g": "ing"}[form]
    if ending != "s" and _DOUBLING.fullmatch(verb):
        verb += verb[-1]
    elif ending == "s" and re.search(r"(s|x|z|ch|sh|[^aeiou]o)$", verb):
        verb += "e"
    elif ending in ("s", "ed") and re.search(r"[^aeiou]y$", verb):
        verb = verb[:-1] + ("ie" if ending == "s" else "i")
    elif ending == "ing" and verb.endswith("ie"):
        verb = verb[:-2] + "y"
    elif (ending == "ed" and verb.endswith("e")) or (ending == "ing" and re.search(r"[^eoy]e$", verb)):
        verb = verb[:-1]
    return (verb + ending + " " + rest).strip()


def _form(entry: str, form: str) -> str:
    """`entry` of a word list ("take/took/taken") in the form asked for."""
    base, *irregular = entry.replace("_", " ").split("/")
    if form == "":
        return base
    if form == "pl":
        return irregular[0] if irregular else plural(base)
    if irregular and form in "dn":
        return irregular[0] if form == "d" else irregular[-1]
    return conjugate(base, form)


def _text(file: str) -> str:
    return resources.files("speechxfer.demo").joinpath(file).read_text(encoding="utf-8")


@functools.cache
def _rules() -> dict[str, tuple[list[str], list[float], bool]]:
    """kind -> (alternatives, cumulative weights, whether they are words rather than patterns).

    Words of a list are drawn by Zipf's two laws: the r-th most frequent one by a power of r (here (r + 5) ** -2: flat
    at the head, as Mandelbrot has it, and steep, so that 2000 words make 95 % of the text and a hundred hours
    teach how to spell them), and the short ones are the frequent ones. So the language has a core and a tail.
    """
    rules = {}
    for file in FILES:
        body = re.sub(r"^#.*$", "", _text(file), flags=re.MULTILINE)
        for kind, lines in re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", body, re.MULTILINE | re.DOTALL):
            if not re.search(r"[<{]", lines):  # no pattern in it: a list of words, in whichever file
                words = sorted(lines.split(), key=lambda word: (len(word.split("/")[0]), word))
                rules[kind] = (words, list(itertools.accumulate((rank + 6) ** -2 for rank in range(len(words)))), True)
                continue
            weights, patterns, total = [], [], 0
            for line in filter(str.strip, lines.splitlines()):
                weight, pattern = re.fullmatch(r"(?:(\d+)x )?(.*)", line.strip()).groups()
                total += int(weight or 1)
                weights.append(total)
                patterns.append(pattern)
            rules[kind] = (patterns, weights, False)
    return rules


def _expand(kind: str, form: str, rng: random.Random) -> str:
    alternatives, weights, are_words = _rules()[kind]
    chosen = rng.choices(alternatives, cum_weights=weights)[0]
    return _form(chosen, form) if are_words else _fill(chosen, form, rng)


def _fill(pattern: str, form: str, rng: random.Random) -> str:
    parts = []
    for kind, wanted, choice, literal in _PIECE.findall(pattern):
        if kind:
            parts.append(_expand(kind, form if wanted == "*" else wanted, rng))
        elif literal:
            parts.append(literal)
        else:
            parts.append(_fill(rng.choice(_alternatives(choice)), form, rng))
    return "".join(parts)


@functools.cache
def _alternatives(choice: str) -> list[str]:
    return re.split(r"\|(?![^{}]*\})", choice)  # but not inside an inner choice
