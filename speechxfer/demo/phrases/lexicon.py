"""The words of lexicon.txt as dataclasses: the head of each of its sections explains the columns."""

import functools
import re
from dataclasses import dataclass
from importlib import resources

from speechxfer.demo.grammar import plural
from speechxfer.errors import ConfigError

FILE = "lexicon.txt"


@dataclass(frozen=True)
class Phrase:
    """The same in English, German and Hindi: a word, a part of a sentence or a whole one."""

    en: str
    de: str
    hi: str


@dataclass(frozen=True)
class Noun:
    """A noun or a name; `gender` is the one in Hindi ("m", "f"), which for persons is their own."""

    en: str
    en_plural: str
    de: str
    de_gender: str  # m, f, n
    de_plural: str
    weak: bool  # German: all cases but the nominative singular have the form of the plural
    hi: str
    gender: str
    fixed: bool  # Hindi: a masculine in -aa that does not change
    kinds: frozenset[str]
    feminine: tuple[str, str] = ("", "")  # German and Hindi, of a woman who does this job

    @property
    def is_person(self) -> bool:
        return not self.kinds.isdisjoint(("person", "person_name"))

    @property
    def is_name(self) -> bool:
        return not self.en_plural

    @property
    def is_counted(self) -> bool:
        return bool(self.de_plural)


@dataclass(frozen=True)
class Adjective:
    en: str
    de: str
    de_stem: str  # before an ending: teuer, ein teures Auto
    hi: str
    kinds: frozenset[str]
    attributive: bool = True


@dataclass(frozen=True)
class Verb:
    """A verb with its principal parts; `objects` are kinds of nouns or nouns, none for an intransitive verb."""

    en: str  # in the notation of words.txt: take/took/taken
    de: str  # the infinitive, without its particle
    de_third: str
    de_participle: str
    de_past: str  # "" where the perfect serves
    de_auxiliary: str  # haben or sein
    de_particle: str
    de_preposition: str  # before the object
    de_case: str  # of the object
    hi: str  # the stem
    hi_noun: str  # what stands before it: कार in इंतज़ार करना
    hi_noun_gender: str
    hi_vector: str  # the stem of दे in खो देना, which negation drops
    ergative: bool
    hi_postposition: str  # of the object
    objects: frozenset[str]
    aspect: str  # "", "state", "event" or "motion"


@dataclass(frozen=True)
class Place:
    """How it is said that something is at a place, or goes there. A Hindi postposition may be ""."""

    en: str
    de: str
    hi: str
    de_to: str
    de_to_case: str
    hi_to: str


@dataclass(frozen=True)
class Modifier:
    """A preposition or adverb, and the kinds of noun or the verbs that it goes with."""

    en: str
    de: str
    hi: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class Lexicon:
    """Entries by their English word, with its sense where there are two; the frequent ones first."""

    nouns: dict[str, Noun]
    names: dict[str, dict[str, Noun]]  # person, city, country
    adjectives: dict[str, Adjective]
    comparatives: dict[str, Adjective]
    verbs: dict[str, Verb]
    places: dict[str, Place]
    relations: dict[str, Modifier]
    manners: dict[str, Modifier]
    phrases: dict[str, dict[str, Phrase]]  # here, thither, ...

    def noun(self, word: str) -> Noun:
        """A noun or name. Raises ConfigError for a word that there is not."""
        for entries in (self.nouns, *self.names.values()):
            if word in entries:
                return entries[word]
        raise ConfigError(f"no noun or name {word!r} in {FILE}")

    def phrase(self, word: str) -> Phrase:
        """A fixed phrase: an adverb of place, time or manner. Raises ConfigError for one that there is not."""
        for entries in self.phrases.values():
            if word in entries:
                return entries[word]
        raise ConfigError(f"no phrase {word!r} in {FILE}")


@functools.cache
def lexicon() -> Lexicon:
    sections = _sections(text())
    return Lexicon(
        nouns={row[0].split("/")[0]: _noun(row) for row in sections.pop("noun")},
        names={
            kind: {row[0]: _name(kind, row) for row in sections.pop(kind)} for kind in ("person", "city", "country")
        },
        adjectives={row[0]: _adjective(row) for row in sections.pop("adjective")},
        comparatives={row[0]: _adjective(row) for row in sections.pop("comparative")},
        verbs={_verb_key(row): _verb(row) for row in sections.pop("verb")},
        places={row[0]: _place(row) for row in sections.pop("place")},
        relations={row[0]: _modifier(row) for row in sections.pop("relation")},
        manners={row[0]: _modifier(row) for row in sections.pop("manner")},
        phrases={kind: {row[0]: Phrase(*row[:3]) for row in rows} for kind, rows in sections.items()},
    )


def text() -> str:
    return resources.files("speechxfer.demo.phrases").joinpath(FILE).read_text(encoding="utf-8")


def _sections(content: str) -> dict[str, list[list[str]]]:
    sections: dict[str, list[list[str]]] = {}
    for line in content.splitlines():
        if line.startswith("["):
            rows = sections.setdefault(line.strip("[]"), [])
        elif line.strip() and not line.startswith("#"):
            rows.append([column.strip() for column in line.split("|")])
    return sections


def _plain(word: str) -> str:
    """Without the sense: old:thing -> old."""
    return re.sub(":[a-z]+", "", word)


def _noun(row: list[str]) -> Noun:
    en, _, irregular = row[0].partition("/")
    singular, *forms = row[1].split(", ")
    article, de = singular.split(" ", 1)
    gender, hi = row[2].split(" ", 1)
    return Noun(
        en=en,
        en_plural=irregular or plural(en),
        de=de,
        de_gender={"der": "m", "die": "f", "das": "n"}[article],
        de_plural=forms[0] if forms else "",
        weak="weak" in forms,
        hi=hi.removesuffix(" fixed"),
        gender=gender,
        fixed=hi.endswith(" fixed"),
        kinds=frozenset([en, *row[3].split()]),
        feminine=tuple(row[4].split()) if len(row) > 4 else ("", ""),
    )


def _name(kind: str, row: list[str]) -> Noun:
    en, de, hi, gender = row
    kinds = frozenset(["person_name" if kind == "person" else kind])
    return Noun(en, "", de, gender if kind == "person" else "n", "", False, hi, gender, True, kinds)


def _adjective(row: list[str]) -> Adjective:
    de, _, stem = row[1].partition("/")
    return Adjective(_plain(row[0]), de, stem or de, row[2], frozenset(row[3].split()), "predicate" not in row[4:])


def _verb_key(row: list[str]) -> str:
    return row[0].split("/")[0]


def _verb(row: list[str]) -> Verb:
    infinitive, third, perfect, *past = row[1].split(", ")
    particle, _, infinitive = infinitive.rpartition("-")
    auxiliary, participle = perfect.split()
    *preposition, case = row[2].split()
    *noun, hi = row[3].split()
    main, _, vector = hi.removesuffix("ना").rpartition("+")
    marks = row[4].split()
    return Verb(
        en=_plain(row[0]),
        de=infinitive,
        de_third=third,
        de_participle=participle,
        de_past="".join(past),
        de_auxiliary={"hat": "haben", "ist": "sein"}[auxiliary],
        de_particle=particle,
        de_preposition=" ".join(preposition),
        de_case=case,
        hi=main or vector,
        hi_noun=" ".join(noun),
        hi_noun_gender=next((mark for mark in marks if mark in "mf"), ""),
        hi_vector=vector if main else "",
        ergative="ने" in marks,
        hi_postposition=next((mark for mark in marks if mark in ("को", "से", "का", "की")), ""),
        objects=frozenset(row[5].split()) - {"-"},
        aspect=row[6] if len(row) > 6 else "",
    )


def _modifier(row: list[str]) -> Modifier:
    return Modifier(*row[:3], frozenset(row[3].split()))


def _place(row: list[str]) -> Place:
    en, de, *hi = row[1].split(" ")
    de_to, case, *hi_to = row[2].split(" ")
    return Place(en, de, " ".join(hi), de_to, case, "" if hi_to == ["-"] else " ".join(hi_to))
