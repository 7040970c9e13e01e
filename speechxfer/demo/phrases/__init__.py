"""Sentences in English, German and Hindi that say the same: what the demo of translation is trained on.

A lexicon (lexicon.txt) and patterns make what is said (`syntax`); `english`, `german` and `hindi` say it. English is
lowercase and knows only the words of the demo's own grammar, since a recogniser's output is what gets translated.
None of the three has punctuation; German nouns are capitalised, and its sentences begin as their first word does.
"""

import functools
import hashlib
import json
import random
from pathlib import Path

from speechxfer.atomic import replacing
from speechxfer.demo.grammar import SPLITS, split_of
from speechxfer.demo.phrases.draw import Draw
from speechxfer.demo.phrases.lexicon import Phrase, text
from speechxfer.demo.phrases.patterns import PATTERNS
from speechxfer.errors import ConfigError

LANGUAGES = ("de", "hi")
MAX_WORDS = 14  # of English


def drawn(rng: random.Random) -> tuple[str, Phrase]:
    """The name of a pattern, and a sentence of it."""
    names = list(PATTERNS)
    while True:
        name = rng.choices(names, [PATTERNS[name][0] for name in names])[0]
        phrase = PATTERNS[name][1](Draw(rng))
        if phrase.en.count(" ") < MAX_WORDS:
            return name, phrase


def pair(rng: random.Random) -> Phrase:
    """One sentence of 2 to 14 English words."""
    return drawn(rng)[1]


def pairs(split: str, count: int, seed: int) -> list[Phrase]:
    """`count` sentences of a split, all different in English. Raises ConfigError for an unknown split."""
    return [phrase for _, phrase in _rows(split, count, seed)]


def _rows(split: str, count: int, seed: int) -> list[tuple[str, Phrase]]:
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    rng, rows = random.Random(f"{split} {seed}"), {}
    while len(rows) < count:
        name, phrase = drawn(rng)
        if split_of(phrase.en) == split:
            rows.setdefault(phrase.en, (name, phrase))
    return list(rows.values())


@functools.cache
def fingerprint() -> str:
    """Changes when the lexicon, a pattern or the way they are drawn do, and with them every corpus."""
    rng = random.Random(0)
    said = [repr(drawn(rng)) for _ in range(300)]
    return hashlib.sha256("\n".join([text(), *said]).encode()).hexdigest()[:12]


def write_pairs(folder: str | Path, language: str, split: str, count: int, seed: int = 0) -> Path:
    """Write <folder>/en-<language>-<split>.jsonl, `source` in English and `text` in "de" or "hi"; returns its path.

    The manifest comes by a rename; <name>.spec.json beside it says which one it is. The same call again returns at
    once; another count, seed or grammar under the same name replaces it. Raises ConfigError with every wrong argument.
    """
    problems = []
    if language not in LANGUAGES:
        problems.append(f"language is {language!r}; expected one of {', '.join(LANGUAGES)}")
    if split not in SPLITS:
        problems.append(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    if not count > 0:
        problems.append(f"count is {count!r}; expected > 0")
    if problems:
        raise ConfigError("\n".join(f"demo phrases: {problem}" for problem in problems))
    name = f"en-{language}-{split}"
    manifest, receipt = Path(folder) / f"{name}.jsonl", Path(folder) / f"{name}.spec.json"
    wanted = json.dumps({"count": count, "seed": seed, "phrases": fingerprint()}, indent=1) + "\n"
    if manifest.is_file() and receipt.is_file() and receipt.read_text(encoding="utf-8") == wanted:
        return manifest
    manifest.unlink(missing_ok=True)
    with replacing(manifest) as partial, partial.open("w", encoding="utf-8") as file:
        for index, (pattern, phrase) in enumerate(_rows(split, count, seed)):
            row = {
                "id": f"{name}-{index:06d}",
                "source": phrase.en,
                "text": getattr(phrase, language),
                "group": {"pattern": pattern},
                "lang": language,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        receipt.write_text(wanted, encoding="utf-8")
    return manifest
