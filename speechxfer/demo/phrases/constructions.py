"""Clauses in three languages, and what joins them: questions and statements, because, if, that, requests, places.

Here as in `idioms` and `moments`, a function takes what is said and returns how it is said in all three, so that they
can be read side by side.
"""

import speechxfer.demo.phrases.english as english
import speechxfer.demo.phrases.german as german
import speechxfer.demo.phrases.hindi as hindi
from speechxfer.demo.phrases.lexicon import Phrase, lexicon
from speechxfer.demo.phrases.syntax import NP, Clause, Copula, words

_JOINED = {
    "and": Phrase("and", "und", "और"),
    "but": Phrase("but", "aber", "लेकिन"),
    "because": Phrase("because", "weil", "क्योंकि"),
}
_SAYS = {  # ich, er, wir
    "say": ("sage", "sagt", "sagen"),
    "know": ("weiß", "weiß", "wissen"),
    "think": ("glaube", "glaubt", "glauben"),
    "hope": ("hoffe", "hofft", "hoffen"),
}


def sentence(c: Clause | Copula) -> Phrase:
    if isinstance(c, Clause):
        return Phrase(english.clause(c), german.clause(c), hindi.clause(c))
    predicate = _predicate(c)
    return Phrase(english.copula(c, predicate.en), german.copula(c, predicate.de), hindi.copula(c, predicate.hi))


def joined(first: Clause | Copula, conjunction: str, second: Clause | Copula) -> Phrase:
    """Two sentences with "and", "but" or "because", after which German has its verb at the end."""
    word, one, two = _JOINED[conjunction], sentence(first), sentence(second)
    two_de = _subordinate(second) if conjunction == "because" else two.de
    return Phrase(words(one.en, word.en, two.en), words(one.de, word.de, two_de), words(one.hi, word.hi, two.hi))


def said(subject: NP, verb: str, what: Clause | Copula) -> Phrase:
    """She says, knows, thinks or hopes that ..."""
    third, inner = german.person(subject), sentence(what)
    who = hindi.agreement(subject)
    if verb == "think":
        outer = words(hindi.noun_phrase(subject, "को"), "लगता है")
    elif verb == "hope":
        outer = words(hindi.noun_phrase(subject, "को"), "उम्मीद है")
    else:
        stem = {"say": "कह", "know": "जान"}[verb]
        outer = words(hindi.noun_phrase(subject), hindi.participle(stem, who), hindi.hona(who))
    return Phrase(
        words(english.noun_phrase(subject), english.inflect(verb, "s" if third == 1 else ""), "that", inner.en),
        words(german.noun_phrase(subject), _SAYS[verb][third], "dass", _subordinate(what)),
        words(outer, "कि", inner.hi),
    )


def if_it_rains(time: Phrase, then: Clause) -> Phrase:
    """If it rains tomorrow, ..."""
    inner = sentence(then)
    return Phrase(
        words("if it rains", time.en, inner.en),
        words("wenn es", time.de, "regnet", german.clause(then, "inverted")),
        words("अगर", time.hi, "बारिश होगी तो", inner.hi),
    )


def that_was_bought(subject: NP, verb: str, thing: NP, adjective: str, *, very: bool = False) -> Phrase:
    """The book that anna bought is new. `thing` has "the"."""
    bought = Clause(subject, verb, thing, tense="past")
    entry, quality = bought.entry, lexicon().adjectives[adjective]
    gender = 3 if thing.is_plural else "mfn".index(thing.entry.de_gender)
    relative = ("den", "die", "das", "die")[gender]
    who = hindi.agreement(thing)
    plain = Clause(subject, verb, tense="past")
    en, de = english.clause(plain), german.clause(plain, "subordinate")
    return Phrase(
        words(english.noun_phrase(thing), "that", en, english.be(thing), "very" if very else "", quality.en),
        words(german.noun_phrase(thing), relative, de, german.sein(thing), "sehr" if very else "", quality.de),
        words(
            "जो", hindi.noun_phrase(thing), hindi.noun_phrase(subject, "ने" if entry.ergative else ""),
            hindi.predicate(bought), "वे" if who.plural else "वह", "बहुत" if very else "",
            hindi.adjective(quality.hi, who.gender, plural=who.plural), hindi.hona(who),
        ),
    )  # fmt: skip


def request(verb: str, thing: NP | None = None, *, negative: bool = False, rest: Phrase | None = None) -> Phrase:
    """Please open the door; please do not ..."""
    entry, you, rest = lexicon().verbs[verb], NP("you"), rest or Phrase("", "", "")
    en = english.noun_phrase(thing, you, objective=True) if thing else ""
    de = german.prepositional(entry.de_preposition, thing, entry.de_case, you) if thing else ""
    hi = hindi.object_phrase(entry, thing, you) if thing else ""
    return Phrase(
        english.request(entry, en, negative=negative, rest=rest.en),
        german.request(entry, de, negative=negative, rest=rest.de),
        hindi.request(entry, hi, negative=negative, rest=rest.hi),
    )


def it_is(adjective: str, verb: str, thing: NP | None = None) -> Phrase:
    """It is important to learn hindi."""
    entry, quality = lexicon().verbs[verb], lexicon().adjectives[adjective]
    return Phrase(
        words("it is", quality.en, "to", english.form(entry), object_en(thing)),
        words("es ist", quality.de, object_de(verb, thing), german.zu_infinitive(entry)),
        words(object_hi(verb, thing), hindi.infinitive(entry), quality.hi, "है"),
    )


def at(np: NP) -> Phrase:
    """Where: in the garden, in berlin."""
    if np.entry.is_name:
        return _at(np, "in", "in", "में")
    place = lexicon().places[np.noun]
    return _at(np, place.en, place.de, place.hi)


def to(np: NP) -> Phrase:
    """Where to: to the garden, to berlin."""
    if np.entry.is_name:
        return Phrase(f"to {np.entry.en}", f"nach {np.entry.de}", np.entry.hi)
    place = lexicon().places[np.noun]
    return Phrase(
        words("to", english.noun_phrase(np)),
        german.prepositional(place.de_to, np, place.de_to_case),
        hindi.noun_phrase(np, place.hi_to or "oblique"),
    )


def from_to(one: NP, other: NP) -> Phrase:
    """From one city to another."""
    goal = to(other)
    return Phrase(
        words("from", english.noun_phrase(one), goal.en),
        words("von", german.noun_phrase(one, "dat"), goal.de),
        words(hindi.noun_phrase(one, "से"), goal.hi),
    )


def beside(relation: str, np: NP) -> Phrase:
    """Under the table, in front of the house."""
    entry = lexicon().relations[relation]
    return _at(np, entry.en, entry.de, entry.hi)


def purpose(verb: str, thing: NP, subject: NP) -> Phrase:
    """(She went to the market) to buy apples."""
    entry = lexicon().verbs[verb]
    return Phrase(
        words("to", english.form(entry), object_en(thing, subject)),
        words("um", object_de(verb, thing, subject), german.zu_infinitive(entry)),
        words(object_hi(verb, thing, subject), entry.hi_noun, f"{entry.hi}ने के लिए"),
    )


def _at(np: NP, en: str, de: str, hi: str) -> Phrase:
    return Phrase(
        words(en, english.noun_phrase(np)), german.prepositional(de, np, "dat"), hindi.noun_phrase(np, hi)
    )  # fmt: skip


def _subordinate(c: Clause | Copula) -> str:
    if isinstance(c, Clause):
        return german.clause(c, "subordinate")
    return german.copula(c, _predicate(c).de, "subordinate")


def _predicate(c: Copula) -> Phrase:
    who = hindi.agreement(c.subject)
    if c.adjective:
        entry = lexicon().adjectives[c.adjective]
        very = Phrase("very", "sehr", "बहुत") if c.very else Phrase("", "", "")
        return Phrase(
            words(very.en, entry.en),
            words(very.de, entry.de),
            words(very.hi, hindi.adjective(entry.hi, who.gender, plural=who.plural)),
        )
    if c.job:
        entry = lexicon().nouns[c.job]
        de, hi = entry.feminine if who.gender == "f" else (entry.de, entry.hi)
        kein = ("keine" if who.gender == "f" else "kein") if c.negative else ""
        return Phrase(english.noun_phrase(NP(c.job, "a")), words(kein, de), hi)
    return c.place or Phrase("", "", "")


def object_en(thing: NP | None, subject: NP | None = None) -> str:
    return english.noun_phrase(thing, subject, objective=True) if thing else ""


def object_de(verb: str, thing: NP | None, subject: NP | None = None) -> str:
    entry = lexicon().verbs[verb]
    return german.prepositional(entry.de_preposition, thing, entry.de_case, subject) if thing else ""


def object_hi(verb: str, thing: NP | None, subject: NP | None = None) -> str:
    return hindi.object_phrase(lexicon().verbs[verb], thing, subject) if thing else ""
