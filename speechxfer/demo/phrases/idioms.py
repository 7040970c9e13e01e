"""Turns of phrase that no two of the languages build alike: to have, to like, to find, how old, how much."""

import speechxfer.demo.phrases.english as english
import speechxfer.demo.phrases.german as german
import speechxfer.demo.phrases.hindi as hindi
from speechxfer.demo.phrases.constructions import object_en
from speechxfer.demo.phrases.lexicon import Phrase, lexicon
from speechxfer.demo.phrases.syntax import NP, words

CURRENCIES = (Phrase("euros", "Euro", "यूरो"), Phrase("dollars", "Dollar", "डॉलर"), Phrase("pounds", "Pfund", "पाउंड"))


def existence(thing: NP, place: Phrase, *, past: bool = False, ask: bool = False) -> Phrase:
    """There is a cat under the table."""
    tense = "past" if past else "present"
    be, sein = english.be(thing, tense), german.sein(thing, tense)
    who = hindi.agreement(thing)
    en, de = english.noun_phrase(thing), german.noun_phrase(thing)
    none = "नहीं" if thing.determiner == "no" else ""
    return Phrase(
        words(be, "there", en, place.en) if ask else words("there", be, en, place.en),
        words(sein, place.de, de) if ask else words(place.de, sein, de),
        words("क्या" if ask else "", place.hi, hindi.noun_phrase(thing), none, hindi.hona(who, tense)),
    )


def how_many_are(thing: NP, place: Phrase) -> Phrase:
    """How many chairs are in the room. `thing` has the determiner "how many"."""
    return Phrase(
        words(english.noun_phrase(thing), "are", place.en),
        words(german.noun_phrase(thing), "sind", place.de),
        words(place.hi, hindi.noun_phrase(thing), hindi.hona(hindi.agreement(thing))),
    )


def have(owner: NP, thing: NP, *, tense: str = "present", ask: bool = False) -> Phrase:
    """She has a new car, or two brothers: Hindi has things near it, and relatives as its own."""
    who = hindi.agreement(thing)
    near = "के पास"
    if thing.is_person:
        near = hindi.adjective("का", who.gender, plural=who.plural)
    none = "नहीं" if thing.determiner == "no" else ""
    third = english.is_third(owner)
    no = NP(thing.noun, "a" if thing.entry.is_counted and not thing.plural else "", thing.plural)
    if none:
        en = words(english.noun_phrase(owner), "does" if third else "do", "not have", english.noun_phrase(no))
    elif ask:
        en = words("does" if third else "do", english.noun_phrase(owner), "have", english.noun_phrase(thing))
    else:
        verb = "had" if tense == "past" else "has" if third else "have"
        en = words(english.noun_phrase(owner), verb, english.noun_phrase(thing))
    first, second = german.noun_phrase(owner), german.haben(owner, tense)
    return Phrase(
        en,
        words(*((second, first) if ask else (first, second)), german.noun_phrase(thing, "acc")),
        words(
            "क्या" if ask else "", hindi.noun_phrase(owner, near), hindi.noun_phrase(thing), none,
            hindi.hona(who, tense),
        ),
    )  # fmt: skip


def like(subject: NP, thing: NP, *, negative: bool = False, ask: bool = False) -> Phrase:
    """She likes tea: in Hindi, tea is pleasing to her."""
    third, who = english.is_third(subject), hindi.agreement(thing)
    en, de = english.noun_phrase(subject), german.noun_phrase(subject)
    moegen = ("mag", "mag", "mögen")[german.person(subject)]
    if ask or negative:
        do = "does" if third else "do"
        en = words(do, en, "like") if ask else words(en, do, "not like")
    else:
        en = words(en, "likes" if third else "like")
    bare = thing.determiner == "" and not thing.count
    denied = NP(thing.noun, "no", thing.plural) if negative and bare else thing
    return Phrase(
        words(en, english.noun_phrase(thing, subject)),
        words(
            *((moegen, de) if ask else (de, moegen)), german.noun_phrase(denied, "acc", subject),
            "nicht" if negative and not bare else "",
        ),
        words(
            "क्या" if ask else "", hindi.noun_phrase(subject, "को"), hindi.noun_phrase(thing, "", subject), "पसंद",
            "नहीं" if negative else "", hindi.hona(who),
        ),
    )  # fmt: skip


def want(subject: NP, thing: NP, *, ask: bool = False) -> Phrase:
    """She wants a cup of tea, a new car: चाहिए."""
    third = english.is_third(subject)
    en, de = english.noun_phrase(subject), german.noun_phrase(subject)
    moechte = ("möchte", "möchte", "möchten")[german.person(subject)]
    return Phrase(
        words(
            *(("does" if third else "do", en, "want") if ask else (en, "wants" if third else "want")),
            english.noun_phrase(thing),
        ),
        words(*((moechte, de) if ask else (de, moechte)), german.noun_phrase(thing, "acc")),
        words("क्या" if ask else "", hindi.noun_phrase(subject, "को"), hindi.noun_phrase(thing), "चाहिए"),
    )  # fmt: skip


def need(subject: NP, thing: NP) -> Phrase:
    """She needs a new car: she has the need of one."""
    return Phrase(
        words(english.noun_phrase(subject), "needs" if english.is_third(subject) else "need", object_en(thing)),
        words(
            german.noun_phrase(subject), ("brauche", "braucht", "brauchen")[german.person(subject)],
            german.noun_phrase(thing, "acc"),
        ),
        words(hindi.noun_phrase(subject, "को"), hindi.noun_phrase(thing, "की"), "ज़रूरत है"),
    )  # fmt: skip


def found(subject: NP, thing: NP, place: Phrase | None = None) -> Phrase:
    """She found the key in the kitchen: in Hindi, the key came to her."""
    where = place or Phrase("", "", "")
    definite = thing.is_definite
    de, hi = german.noun_phrase(thing, "acc", subject), hindi.noun_phrase(thing, "", subject)
    return Phrase(
        words(english.noun_phrase(subject), "found", english.noun_phrase(thing, subject), where.en),
        words(
            german.noun_phrase(subject), german.haben(subject), de if definite else "", where.de,
            "" if definite else de, "gefunden",
        ),
        words(
            hindi.noun_phrase(subject, "को"), hi if definite else "", where.hi, "" if definite else hi,
            hindi.perfective("मिल", hindi.agreement(thing)),
        ),
    )  # fmt: skip


def feels(subject: NP, what: str, *, ask: bool = False) -> Phrase:
    """She is hungry or thirsty: hunger has struck her."""
    noun_de, noun_hi = {"hungry": ("Hunger", "भूख"), "thirsty": ("Durst", "प्यास")}[what]
    en, be = english.noun_phrase(subject), english.be(subject)
    de, haben = german.noun_phrase(subject), german.haben(subject)
    return Phrase(
        words(*((be, en) if ask else (en, be)), what),
        words(*((haben, de) if ask else (de, haben)), noun_de),
        words("क्या" if ask else "", hindi.noun_phrase(subject, "को"), noun_hi, "लगी है"),
    )


def called(subject: NP, name: str) -> Phrase:
    """My brother's name is peter."""
    entry = lexicon().noun(name)
    return Phrase(
        words(possessor_en(subject), "name is", entry.en),
        words(german.noun_phrase(subject), ("heiße", "heißt", "heißen")[german.person(subject)], entry.de),
        words(hindi.noun_phrase(subject, "का"), "नाम", entry.hi, "है"),
    )


def what_is_called(subject: NP) -> Phrase:
    """What is the name of the teacher."""
    return Phrase(
        words("what is", possessor_en(subject), "name"),
        words("wie", ("heiße", "heißt", "heißen")[german.person(subject)], german.noun_phrase(subject)),
        words(hindi.noun_phrase(subject, "का"), "नाम क्या है"),
    )


def age(subject: NP, years: int) -> Phrase:
    who = hindi.agreement(subject)
    return Phrase(
        words(english.noun_phrase(subject), english.be(subject), english.number(years), "years old"),
        words(german.noun_phrase(subject), german.sein(subject), german.number(years), "Jahre alt"),
        words(
            hindi.noun_phrase(subject), hindi.number(years), "साल",
            hindi.adjective("का", who.gender, plural=who.plural), hindi.hona(who),
        ),
    )  # fmt: skip


def how_old(subject: NP) -> Phrase:
    who = hindi.agreement(subject)
    return Phrase(
        words("how old", english.be(subject), english.noun_phrase(subject)),
        words("wie alt", german.sein(subject), german.noun_phrase(subject)),
        words(
            hindi.noun_phrase(subject), "कितने साल", hindi.adjective("का", who.gender, plural=who.plural),
            hindi.hona(who),
        ),
    )  # fmt: skip


def price(thing: NP, amount: int, currency: Phrase) -> Phrase:
    third = not thing.is_plural
    return Phrase(
        words(english.noun_phrase(thing), "costs" if third else "cost", english.number(amount), currency.en),
        words(german.noun_phrase(thing), "kostet" if third else "kosten", german.number(amount), currency.de),
        words(hindi.noun_phrase(thing, "की"), "कीमत", hindi.number(amount), currency.hi, "है"),
    )


def how_much(thing: NP) -> Phrase:
    third = not thing.is_plural
    return Phrase(
        words("how much", "does" if third else "do", english.noun_phrase(thing), "cost"),
        words("wie viel", "kostet" if third else "kosten", german.noun_phrase(thing)),
        words(hindi.noun_phrase(thing, "की"), "कीमत क्या है"),
    )


def comparison(one: NP, adjective: str, other: NP) -> Phrase:
    """Anna is taller than peter: in Hindi, tall from him."""
    quality, who = lexicon().comparatives[adjective], hindi.agreement(one)
    return Phrase(
        words(english.noun_phrase(one), english.be(one), quality.en, "than", english.noun_phrase(other)),
        words(german.noun_phrase(one), german.sein(one), quality.de, "als", german.noun_phrase(other)),
        words(
            hindi.noun_phrase(one), hindi.noun_phrase(other, "से"),
            hindi.adjective(quality.hi, who.gender, plural=who.plural), hindi.hona(who),
        ),
    )  # fmt: skip


def possessor_en(np: NP) -> str:
    return english.possessive(np) if np.is_pronoun else english.noun_phrase(np) + "'s"
