"""Patterns of what is and what people have: qualities, jobs, places, possessions, ages, prices, time and weather."""

from dataclasses import replace

import speechxfer.demo.phrases.constructions as say
import speechxfer.demo.phrases.idioms as idioms
import speechxfer.demo.phrases.moments as moments
from speechxfer.demo.phrases.draw import Draw, fits, is_graded
from speechxfer.demo.phrases.lexicon import Phrase, lexicon
from speechxfer.demo.phrases.syntax import NP, Copula

_SMALL = ("text", "thing", "dish", "clothes", "gift", "fruit")


def quality(d: Draw) -> Phrase:
    tense = d.rng.choices(["present", "past"], [4, 1])[0]
    if d.chance(0.5):
        subject = d.subject()
        word = "teacher" if subject.is_pronoun or subject.entry.is_name else subject.noun
        adjective = d.one("happy", "tired", "sad", "busy", "clever") if word == "teacher" else d.trait(word)
    else:
        subject = described(d)
        adjective = d.trait(subject.noun)
    very = is_graded(adjective) and d.chance(0.4)
    time = d.phrase("today") if subject.is_person and tense == "present" and d.chance(0.15) else None
    return say.sentence(Copula(subject, adjective, very=very, tense=tense, time=time))


def described(d: Draw) -> NP:
    """A thing that some adjective suits."""
    while True:
        thing = d.definite(
            "text",
            "goods",
            "clothes",
            "furniture",
            "vehicle",
            "room",
            "show",
            "shore",
            "building",
            "animal",
            "way",
            "hill",
            "settlement",
        )
        if any(fits(entry, thing.noun) for entry in lexicon().adjectives.values()):
            return replace(thing, adjective="", plural=thing.determiner != "" and d.chance(0.2))


def quality_asked(d: Draw) -> Phrase:
    if d.chance(0.5):
        return say.sentence(Copula(d.single(), d.one("happy", "tired", "busy", "sad"), ask=d.one("whether", "why")))
    thing = described(d)
    return say.sentence(Copula(thing, d.trait(thing.noun), ask="whether", tense=d.one("present", "past")))


def quality_denied(d: Draw) -> Phrase:
    thing = described(d)
    adjective = d.trait(thing.noun)
    return say.sentence(Copula(thing, adjective, very=is_graded(adjective) and d.chance(0.3), negative="not"))


def job(d: Draw) -> Phrase:
    work = d.noun("job")
    subject = d.single()
    while not subject.is_pronoun and "job" in subject.entry.kinds:
        subject = d.single()
    kind = d.one("", "", "not", "whether")
    return say.sentence(
        Copula(subject, job=work, negative="not" if kind == "not" else "", ask="whether" if kind == "whether" else "")
    )


def whereabouts(d: Draw) -> Phrase:
    tense = d.rng.choices(["present", "past", "future"], [5, 2, 1])[0]
    if d.chance(0.5):
        time = d.time(tense) if tense != "present" and d.chance(0.5) else None
        return say.sentence(Copula(d.subject(), place=d.place(), tense=tense, time=time))
    word = d.noun(*_SMALL)
    thing = NP(word, d.one("the", "my", "your"), plural=d.chance(0.25))
    return say.sentence(
        Copula(
            thing,
            place=d.spot(),
            tense="past" if tense == "past" else "present",
            negative="not" if d.chance(0.2) else "",
        )
    )


def where_is(d: Draw) -> Phrase:
    tense = d.one("present", "present", "past")
    if d.chance(0.4):
        return say.sentence(Copula(d.single(), ask="where", tense=tense))
    return say.sentence(
        Copula(d.definite("thing", "building", "clothes", "vehicle", "text", "pet"), ask="where", tense=tense)
    )


def there_is(d: Draw) -> Phrase:
    past = d.chance(0.2)
    ask = not past and d.chance(0.2)
    if d.chance(0.5):
        word = d.noun(*_SMALL, "pet")
        thing = NP(word, "a") if d.chance(0.5) else NP(word, plural=True, count=d.number_of_things())
        return idioms.existence(thing, d.spot(), past=past, ask=ask)
    if d.chance(0.3):
        place, word = say.at(NP(d.noun("settlement"), "this")), d.noun("building", "business")
    else:
        place, word = d.near(), d.noun("someone", "animal", "vehicle", "driven")
    kind = d.one("a", "many", "count")
    if kind == "count":
        thing = NP(word, plural=True, count=d.number_of_things())
    else:
        thing = NP(word, kind, plural=kind == "many")
    return idioms.existence(thing, place, past=past, ask=ask)


def there_is_no(d: Draw) -> Phrase:
    word = d.noun("drink", "food", "grocery")
    plural = lexicon().nouns[word].is_counted
    if d.chance(0.5):
        return idioms.existence(NP(word, "no", plural=plural), say.at(NP(d.one("kitchen", "shop", "house"), "the")))
    return idioms.existence(
        NP(word, "" if not plural else "some", plural=plural), say.at(NP(d.one("kitchen", "shop", "house"), "the"))
    )


def how_many_are(d: Draw) -> Phrase:
    if d.chance(0.5):
        return idioms.how_many_are(NP(d.noun(*_SMALL), "how many", plural=True), d.spot())
    place = say.at(NP(d.one("school", "library", "office", "park", "hotel", "room", "garden"), "the"))
    return idioms.how_many_are(NP(d.noun("someone", "student", "teacher", "furniture"), "how many", plural=True), place)


def possession(d: Draw) -> Phrase:
    owner = d.subject()
    word = d.noun("goods", "thing", "vehicle", "animal", "clothes")
    thing = NP(word, "a", adjective=d.quality(word, 0.5))
    if d.chance(0.35):
        thing = NP(word, plural=True, count=d.number_of_things(), adjective=d.quality(word, 0.2))
    kind = d.rng.choices(["", "ask", "past", "no"], [4, 1, 1, 2])[0]
    if kind == "no":
        thing = NP(word if d.chance(0.7) else "money", "no")
    return idioms.have(owner, thing, tense="past" if kind == "past" else "present", ask=kind == "ask")


def family(d: Draw) -> Phrase:
    owner, word, count = d.subject(), d.noun("sibling", "friend"), d.one(1, 1, 2, 2, 3, 4)
    while owner.noun == word or (not owner.is_pronoun and "sibling" in owner.entry.kinds):
        owner = d.subject()
    kin = NP(word, plural=True, count=count) if count > 1 else NP(word, "a")
    return idioms.have(owner, kin, ask=d.chance(0.2))


def liking(d: Draw) -> Phrase:
    subject = d.subject()
    word = d.noun("food", "drink", "music", "show", "clothes", "text", "pet", "language", "game", "settlement")
    entry = lexicon().nouns[word]
    if not entry.is_counted or entry.kinds & {"food", "pet"}:
        thing = NP(word, plural=entry.is_counted)
    else:
        thing = NP(word, d.one("this", "the"), plural=d.chance(0.2), adjective=d.quality(word, 0.25))
    kind = d.rng.choices(["", "not", "ask"], [3, 1, 1])[0]
    if kind == "not":
        subject = d.single()
    return idioms.like(subject, thing, negative=kind == "not", ask=kind == "ask")


def wanting(d: Draw) -> Phrase:
    word = d.noun("drink", "fruit", "goods", "clothes", "thing", "pet")
    counted = lexicon().nouns[word].is_counted
    thing = NP(word, "a" if counted else d.one("", "some"), adjective=d.quality(word, 0.4 if counted else 0))
    if counted and d.chance(0.25):
        thing = NP(word, plural=True, count=d.number_of_things())
    if d.chance(0.25):
        return idioms.need(d.subject(), thing if counted else NP(word))
    return idioms.want(d.subject(), thing, ask=d.chance(0.25))


def finding(d: Draw) -> Phrase:
    subject, word = d.subject(), d.noun("thing", "pet", "text")
    thing = NP(word, d.one("the", "a", "own"), adjective=d.quality(word, 0.2))
    return idioms.found(subject, thing, d.spot() if d.chance(0.5) else None)


def hunger(d: Draw) -> Phrase:
    return idioms.feels(d.subject(), d.one("hungry", "thirsty"), ask=d.chance(0.3))


def naming(d: Draw) -> Phrase:
    subject = NP(d.noun("kin", "pet"), d.one("my", "our", "your"))
    if subject.determiner == "your" or d.chance(0.3):
        return idioms.what_is_called(NP("you") if d.chance(0.3) else subject)
    same = [name for name, entry in lexicon().names["person"].items() if entry.gender == subject.entry.gender]
    return idioms.called(subject, d.pick(same))


def aged(d: Draw) -> Phrase:
    subject = d.single()
    if d.chance(0.35):
        return idioms.how_old(NP("you") if d.chance(0.2) else subject)
    return idioms.age(subject, d.number())


def priced(d: Draw) -> Phrase:
    word = d.noun("goods", "clothes", "thing", "vehicle")
    thing = NP(word, d.one("the", "this"), adjective=d.quality(word, 0.4), plural=d.chance(0.2))
    if d.chance(0.35):
        return idioms.how_much(thing)
    amount = d.number() if d.chance(0.3) else d.pick((20, 50, 30, 40, 100, 60, 80, 70, 90))
    return idioms.price(thing, amount, d.pick(idioms.CURRENCIES))


def compared(d: Draw) -> Phrase:
    key = d.pick(list(lexicon().comparatives))
    kinds = lexicon().comparatives[key].kinds
    if "person_name" in kinds:
        one, other = d.single(), d.name()
        while one.noun == other.noun or (not one.is_pronoun and "job" in one.entry.kinds and key != "taller"):
            one = d.single()
        return idioms.comparison(one, key, other)
    kind = d.one(*sorted(kinds))
    first, second = d.noun(kind), d.noun(kind)
    while first == second:
        second = d.noun(kind)
    determiners = ("this", "my") if key in ("newer", "heavier", "longer") else ("this", "the")
    return idioms.comparison(NP(first, d.one(*determiners)), key, NP(second, "the"))


def weather(d: Draw) -> Phrase:
    where = say.at(d.name(d.one("city", "country"))) if d.chance(0.6) else None
    tense, what = d.one("present", "past", "future"), d.pick(list(moments.WEATHER))
    if tense == "present":
        time = d.phrase("today") if d.chance(0.5) or where is None else None
    else:
        time = lexicon().phrase("yesterday" if tense == "past" else "tomorrow")
    return moments.weather(what, where, time, tense=tense, very=d.chance(0.4))


def rain(d: Draw) -> Phrase:
    where = say.at(d.name(d.one("city", "country")))
    return moments.rained(where, d.phrase("past")) if d.chance(0.5) else moments.will_rain(where, d.phrase("future"))


def clock(d: Draw) -> Phrase:
    return moments.it_is_time(d.rng.randint(1, 12), d.rng.choices(range(4), [3, 1, 2, 1])[0])


def timetable(d: Draw) -> Phrase:
    if d.chance(0.5):
        what, verb = NP(d.noun("transport"), d.one("the", "this", "our")), d.one("leave", "arrive")
    else:
        what, verb = NP(d.noun("business"), d.one("the", "this")), d.one("open", "close")
    if d.chance(0.35):
        return moments.leaves(what, verb, d.phrase("today") if d.chance(0.5) else Phrase("", "", ""), ask=True)
    return moments.leaves(what, verb, d.clock())


def weekday(d: Draw) -> Phrase:
    return moments.day_is(d.one("today", "tomorrow", "yesterday"), d.rng.randrange(7))


def birthday(d: Draw) -> Phrase:
    time = moments.on_day(d.rng.randrange(7)) if d.chance(0.6) else lexicon().phrase(d.one("tomorrow", "today"))
    return moments.birthday(NP(d.noun("kin"), d.one("my", "our", "your")) if d.chance(0.6) else d.name(), time)
