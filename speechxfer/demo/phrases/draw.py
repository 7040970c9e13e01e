"""Random choices of words that go together."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import speechxfer.demo.phrases.constructions as say
import speechxfer.demo.phrases.moments as moments
from speechxfer.demo.phrases.lexicon import Adjective, Phrase, Verb, lexicon
from speechxfer.demo.phrases.syntax import NP, Clause

T = TypeVar("T")
CORE, TAIL = 3, 0.003  # the first words of a list are drawn alike, each other one TAIL times as often as one of them
_MOTION = ("go", "come", "travel", "return", "run:to", "fly")
_FAR = ("travel", "fly")  # to another city
_STAY = ("work", "wait", "play", "sleep", "study", "sing", "dance", "sit", "laugh", "cry", "run", "swim")
_GIVE = ("give", "show")
_COLOURS = ("red", "blue", "green", "white", "black", "yellow")


class Draw:
    """Random choices of words that go together."""

    def __init__(self, rng: random.Random):
        self.rng = rng

    def pick(self, items: Sequence[T], core: int = CORE) -> T:
        """One of `items`, nearly always of the first `core`."""
        return self.rng.choices(items, [1 if rank < core else TAIL for rank in range(len(items))])[0]

    def one(self, *items: T) -> T:
        return self.rng.choice(items)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def noun(self, *kinds: str) -> str:
        """A noun of one of `kinds`, or one that is named there."""
        return self.pick([word for word, entry in lexicon().nouns.items() if not entry.kinds.isdisjoint(kinds)])

    def name(self, kind: str = "person") -> NP:
        return NP(self.pick(list(lexicon().names[kind]), core=6))

    def phrase(self, kind: str) -> Phrase:
        return self.pick(list(lexicon().phrases[kind].values()))

    def number(self) -> int:
        """2 to 99, seldom beyond 12."""
        return self.pick(range(2, 13)) if self.chance(0.95) else self.rng.randint(13, 99)

    # --- noun phrases

    def subject(self) -> NP:
        kind = self.rng.choices("pronoun name the my two".split(), [8, 6, 5, 4, 1])[0]
        if kind == "pronoun":
            return NP(self.pick(("he", "she", "i", "you", "they", "we")))
        if kind == "two":
            first, second = self.name(), self.name()
            return replace(first, other=second) if first != second else first
        return self.name() if kind == "name" else self.person(kind)

    def asked_about(self) -> NP:
        """The subject of a question: nobody asks what he does himself."""
        while (subject := self.subject()).noun == "i":
            pass
        return subject

    def person(self, determiner: str = "the") -> NP:
        """The teacher, this woman, my brother, the children."""
        if determiner == "my":
            return NP(self.noun("kin"), self.one("my", "my", "our", "his", "her"))
        word = self.noun("someone", "job", "guest")
        if self.chance(0.15):
            return NP(word, self.one("the", "the", "many", "all"), plural=True)
        return NP(word, determiner if self.chance(0.85) else "this", adjective=self.quality(word, 0.15))

    def single(self) -> NP:
        """One person: he, anna, my sister, the teacher."""
        kind = self.one("pronoun", "name", "kin", "the")
        if kind == "pronoun":
            return NP(self.one("he", "she"))
        if kind == "name":
            return self.name()
        return NP(self.noun("kin"), self.one("my", "our")) if kind == "kin" else NP(self.noun("someone", "job"), "the")

    def peer(self) -> NP:
        """One person whom a pronoun may take up: of others Hindi goes on in the plural, where English says "he"."""
        while not (person := self.single()).is_pronoun and "honoured" in person.entry.kinds:
            pass
        return person

    def companion(self, subject: NP) -> NP:
        """A person who is not the subject, as an object."""
        while True:
            kind = self.one("pronoun", "name", "the", "own")
            if kind == "pronoun":
                other = NP(self.one("i", "you", "he", "she", "we", "they"))
                if {subject.noun, other.noun} & {"i", "we"} == {"i", "we"} or subject.noun == "you" == other.noun:
                    continue
                if not subject.is_pronoun and other.noun in ("he", "she", "they"):
                    continue  # who is meant?
            elif kind == "own" and subject.noun != "who":
                other = NP(self.noun("kin"), "own")
            else:
                other = self.name() if kind == "name" else NP(self.noun("someone", "job"), "the")
            if other.noun not in (subject.noun, subject.other and subject.other.noun):
                return other

    def quality(self, word: str, probability: float) -> str:
        """An adjective that may stand before a noun, or "" (the more often the smaller the probability)."""
        fitting = [key for key, entry in lexicon().adjectives.items() if entry.attributive and fits(entry, word)]
        return self.pick(fitting) if fitting and self.chance(probability) else ""

    def trait(self, word: str) -> str:
        """An adjective that the noun may be said to be."""
        fitting = [k for k, entry in lexicon().adjectives.items() if fits(entry, word)]
        return self.pick(fitting)

    def thing(self, word: str, subject: NP | None = None) -> NP:
        """A noun phrase around a noun, its owner being `subject` at times."""
        entry = lexicon().nouns[word]
        if entry.kinds & {"game", "language"}:
            return NP(word)
        if not entry.is_counted:
            return NP(word, self.one("", "", "the"), adjective=self.quality(word, 0.1))
        kind = self.rng.choices("the a own this count some many names".split(), [8, 6, 5, 3, 4, 1, 2, 1])[0]
        if kind == "own" and (subject is None or subject.noun in ("who", "child")):
            kind = "the"
        if kind in ("own", "names") and entry.kinds & {"food", "transport"}:
            kind = "the"
        if kind in ("some", "many"):
            return NP(word, kind, plural=True)
        if kind == "count":
            return NP(word, plural=True, count=self.number_of_things(), adjective=self.quality(word, 0.3))
        if kind == "names":
            return NP(word, owner=self.name())
        several = kind in ("the", "this", "own") and "cleaned" not in entry.kinds and self.chance(0.15)
        return NP(word, kind, plural=several, adjective=self.quality(word, 0.3))

    def number_of_things(self) -> int:
        return self.pick(range(2, 11)) if self.chance(0.96) else self.rng.randint(11, 40)

    def definite(self, *kinds: str) -> NP:
        """The book, my new bag, this room, anna's house."""
        word = self.noun(*kinds)
        if self.chance(0.12):
            return NP(word, owner=self.name())
        return NP(word, self.one("the", "the", "this", "my", "your"), adjective=self.quality(word, 0.15))

    # --- verbs with what they take

    def verb(self, words: Sequence[str], tense: str) -> str:
        return self.pick([word for word in words if possible(lexicon().verbs[word], tense)], core=5)

    def object(self, verb: str, subject: NP) -> NP | None:
        entry = lexicon().verbs[verb]
        if not entry.objects:
            return None
        if "person" in entry.objects and (len(entry.objects) == 1 or self.chance(0.4)):
            return self.companion(subject)
        if verb == "play:music":
            return NP(self.noun("instrument"), "generic")
        word = self.noun(*(entry.objects - {"person"}))
        if entry.de_preposition or verb == "drive:car":
            return NP(word, self.one("the", "the", "this"))
        return self.thing(word, None if verb == "buy" else subject)  # nobody buys what is his

    def clause(self, tense: str, subject: NP | None = None, *, when: bool = True) -> Clause:
        """A statement; `when`: it may say when."""
        subject = subject or self.subject()
        kind = self.rng.choices("act stay move".split(), [6, 2, 2])[0]
        return {"act": self.act, "stay": self.stay, "move": self.move}[kind](tense, subject, when=when)

    def act(self, tense: str, subject: NP | None = None, *, when: bool = True) -> Clause:
        """With an object: reads a book, helps her brother."""
        subject = subject or self.subject()
        verb = self.verb(
            [word for word, entry in lexicon().verbs.items() if entry.objects and word not in _GIVE], tense
        )
        thing = self.object(verb, subject)
        place = self.scene(verb) if self.chance(0.15) else None
        manner = self.manner(verb, 0.2)
        return self.timed(Clause(subject, verb, thing, tense=tense, place=place, manner=manner), when)

    def stay(self, tense: str, subject: NP | None = None, *, when: bool = True) -> Clause:
        """Somewhere: works in the garden, sleeps."""
        subject = subject or self.subject()
        verb = self.verb(_STAY, tense)
        manner = self.manner(verb, 0.25)
        if verb == "swim":
            place = say.beside("in", NP(self.noun("shore"), "the")) if not manner else None
        else:
            place = self.place() if not manner and self.chance(0.8) else None
        return self.timed(Clause(subject, verb, tense=tense, place=place, manner=manner), when)

    def move(self, tense: str, subject: NP | None = None, *, when: bool = True) -> Clause:
        """To a place: goes home, travels to berlin."""
        subject = subject or self.subject()
        verb = self.verb(_MOTION, tense)
        return self.timed(Clause(subject, verb, tense=tense, direction=self.goal(verb)), when)

    def timed(self, c: Clause, when: bool) -> Clause:
        if not when or c.manner or c.entry.aspect == "state":
            return c
        if c.tense == "present":
            if self.chance(0.5):
                return replace(c, often=self.phrase("often"))
            return replace(c, time=self.phrase("habit")) if self.chance(0.7) else c
        return replace(c, time=self.time(c.tense)) if self.chance(0.7) else c

    def time(self, tense: str) -> Phrase | None:
        if tense == "progressive":
            return None
        if tense in ("present", "perfect"):
            return self.phrase("today")
        kind = self.rng.choices("phrase day clock span".split(), [7, 2, 1, 1])[0]
        if kind == "day":
            return moments.on_day(self.rng.randrange(7))
        if kind == "clock":
            return self.clock()
        if kind == "span":
            unit, count = self.noun("duration"), self.pick(range(2, 11))
            return moments.ago(count, unit) if tense == "past" else moments.in_time(count, unit)
        return self.phrase("past" if tense == "past" else "future")

    def clock(self) -> Phrase:
        return moments.o_clock(self.rng.randint(1, 12), self.rng.choices(range(4), [6, 1, 2, 1])[0])

    def manner(self, verb: str, probability: float) -> Phrase | None:
        fitting = [adverb for adverb in lexicon().manners.values() if verb in adverb.kinds]
        if not fitting or not self.chance(probability):
            return None
        adverb = self.pick(fitting)
        return Phrase(adverb.en, adverb.de, adverb.hi)

    # --- places

    def place(self) -> Phrase:
        """In the garden, at home, in berlin."""
        kind = self.rng.choices("place city here".split(), [7, 2, 2])[0]
        if kind == "here":
            return self.phrase("here")
        return say.at(self.name("city") if kind == "city" else NP(self.pick(list(lexicon().places)), "the"))

    def scene(self, verb: str) -> Phrase | None:
        """Where things are done with an object, as far as that is anywhere."""
        if verb == "buy":
            return say.at(self.name("city") if self.chance(0.4) else NP(self.one("market", "shop", "village"), "the"))
        if verb not in ("see", "meet", "read", "wait for", "talk to", "look for"):
            return None
        return say.at(NP(self.pick(list(lexicon().places)), "the"))

    def goal(self, verb: str) -> Phrase:
        if verb in _FAR:
            if self.chance(0.2):
                return say.from_to(*(NP(city) for city in self.rng.sample(list(lexicon().names["city"])[:8], 2)))
            return say.to(self.name(self.one("city", "country")))
        if verb == "run:to":
            return say.to(NP(self.pick(list(lexicon().places)), "the"))
        kind = self.rng.choices("place city home".split(), [7, 0 if verb == "go" else 1, 2])[0]
        if kind == "home":
            return self.phrase("thither")
        return say.to(self.name("city") if kind == "city" else NP(self.pick(list(lexicon().places)), "the"))

    def spot(self) -> Phrase:
        """On the table, under the bed, in the box, in the kitchen: where a small thing may be."""
        if self.chance(0.3):
            return say.at(NP(self.noun("room", "garden", "office"), "the"))
        relation = self.one("on", "on", "under", "in", "next to")
        kinds = {"on": "surface", "under": "surface", "in": "container", "next to": "furniture"}[relation]
        return say.beside(relation, NP(self.noun(kinds), self.one("the", "the", "my")))

    def near(self) -> Phrase:
        """Behind the house, in front of the school: where people and cars are."""
        relation = self.one("in front of", "behind", "next to")
        return say.beside(relation, NP(self.noun("building"), "the"))


def fits(entry: Adjective, word: str) -> bool:
    return not entry.kinds.isdisjoint(lexicon().nouns[word].kinds)


def possible(verb: Verb, tense: str) -> bool:
    """Nobody is losing a key, or will have known somebody."""
    if verb.hi_vector:
        return tense in ("past", "perfect")
    if verb.aspect == "state":
        return tense in ("present", "past")
    return not (verb.aspect == "event" and tense == "progressive")


def denied(c: Clause) -> Clause:
    """Without the counts and amounts that a negation would leave in doubt, and without here and there."""
    if c.subject.determiner in ("many", "all"):
        c = replace(c, subject=replace(c.subject, determiner="the"))
    if c.place in lexicon().phrases["here"].values():
        c = replace(c, place=None)
    if c.object and (c.object.count or c.object.determiner in ("some", "many")):
        return replace(c, object=NP(c.object.noun, "the", c.object.plural))
    return c


def is_graded(adjective: str) -> bool:
    """There is no "very red"."""
    return adjective not in (*_COLOURS, "empty")


def gender(np: NP) -> str:
    return {"he": "m", "she": "f"}.get(np.noun) or np.entry.gender
