"""What is said, drawn at random: one function for each pattern, and how often each is used.

Here are the patterns of what people do; `situations` has those of what is.
"""

from collections.abc import Callable
from dataclasses import replace

import speechxfer.demo.phrases.constructions as say
import speechxfer.demo.phrases.situations as situations
from speechxfer.demo.phrases.draw import Draw, denied, gender, is_graded, possible
from speechxfer.demo.phrases.lexicon import Phrase, lexicon
from speechxfer.demo.phrases.syntax import NP, Clause, Copula

_ASKED_WHAT = ("buy", "read", "eat", "write", "look for", "drink", "cook", "learn", "bring", "sell", "draw")
_ASKED_MANY = ("buy", "read", "eat", "write", "sell", "wash", "repair", "draw")


def habit(d: Draw) -> Phrase:
    return say.sentence(d.clause("present"))


def progressive(d: Draw) -> Phrase:
    return say.sentence(d.clause("progressive"))


def past(d: Draw) -> Phrase:
    return say.sentence(d.clause("past"))


def perfect(d: Draw) -> Phrase:
    return say.sentence(d.act("perfect"))


def future(d: Draw) -> Phrase:
    return say.sentence(d.clause("future"))


def negated(d: Draw) -> Phrase:
    tense = d.one("progressive", "progressive", "past", "past", "present")
    c = denied(d.clause(tense, when=tense != "present"))
    return say.sentence(replace(c, negative="not", manner=None, place=None if c.object else c.place))


def never(d: Draw) -> Phrase:
    c = denied(d.clause("present", when=False))
    return say.sentence(replace(c, negative="never", manner=None))


def whether(d: Draw) -> Phrase:
    tense = d.one("progressive", "progressive", "past", "past", "present")
    return say.sentence(replace(d.clause(tense, d.asked_about(), when=d.chance(0.5)), ask="whether"))


def where(d: Draw) -> Phrase:
    kind, tense = d.one("stay", "move", "act"), d.one("progressive", "progressive", "past", "present")
    if kind == "move":
        verb = d.pick(("go", "travel"))
        return say.sentence(Clause(d.asked_about(), verb, tense=tense, ask="where"))
    if kind == "stay":
        verb = d.verb(("work", "wait", "play", "sleep", "study", "swim", "dance"), tense)
        return say.sentence(Clause(d.asked_about(), verb, tense=tense, ask="where"))
    subject, verb = d.asked_about(), d.pick(("buy", "see", "meet", "sell"))
    tense = d.one("past", "future") if verb != "see" else "past"
    return say.sentence(Clause(subject, verb, d.object(verb, subject), tense=tense, ask="where"))


def when(d: Draw) -> Phrase:
    c = d.clause(d.one("past", "past", "future"), d.asked_about(), when=False)
    return say.sentence(replace(c, ask="when", manner=None, place=None))


def why(d: Draw) -> Phrase:
    c = replace(d.clause(d.one("progressive", "past"), d.asked_about(), when=False), ask="why", place=None)
    return say.sentence(replace(denied(c), negative="not", manner=None) if d.chance(0.3) else c)


def what(d: Draw) -> Phrase:
    tense = d.one("progressive", "progressive", "past")
    return say.sentence(Clause(d.asked_about(), d.verb(_ASKED_WHAT, tense), NP("what"), tense=tense, ask="object"))


def who(d: Draw) -> Phrase:
    c = d.clause(d.one("past", "past", "progressive"), NP("who"))
    return say.sentence(replace(c, ask="subject"))


def how_many(d: Draw) -> Phrase:
    verb = d.pick(_ASKED_MANY)
    word = d.noun(*lexicon().verbs[verb].objects)
    while not lexicon().nouns[word].is_counted:
        word = d.noun(*lexicon().verbs[verb].objects)
    c = Clause(d.asked_about(), verb, NP(word, "how many", plural=True), tense="past", ask="object")
    return say.sentence(replace(c, time=d.phrase("past")) if d.chance(0.3) else c)


def which(d: Draw) -> Phrase:
    verb = d.pick(("buy", "read", "look for", "sell", "watch", "wear"))
    word = d.noun(*(lexicon().verbs[verb].objects & {"text", "goods", "clothes", "show", "thing"}))
    tense = "past"
    return say.sentence(Clause(d.asked_about(), verb, NP(word, "which"), tense=tense, ask="object"))


def can(d: Draw) -> Phrase:
    if d.chance(0.3):
        verb = d.pick(("speak", "play:music", "swim", "drive:car", "dance", "cook"))
        subject = d.subject()
        thing = NP("car", "a") if verb == "drive:car" else d.object(verb, subject) if verb != "cook" else NP("rice")
        c = Clause(subject, verb, thing, modal="can")
    else:
        c = replace(d.clause("future", when=False), tense="present", modal="can", manner=None)
    kind = d.one("", "", "not", "whether")
    if kind == "whether":
        return say.sentence(replace(c, ask="whether"))
    return say.sentence(replace(denied(c) if kind else c, negative=kind))


def must(d: Draw) -> Phrase:
    tense = d.one("present", "present", "past")
    c = d.clause("past" if tense == "past" else "future")
    c = _willed(d, c, tense)
    return say.sentence(replace(c, modal="must"))


def should(d: Draw) -> Phrase:
    c = replace(d.clause("future", when=False), tense="present", modal="should")
    return say.sentence(replace(denied(c), negative="not", manner=None) if d.chance(0.3) else c)


def wants_to(d: Draw) -> Phrase:
    c = d.clause("future")
    c = replace(c, tense=d.one("present", "present", "present", "past"), modal="want")
    if c.tense == "past":
        c = replace(c, time=None)
    kind = d.one("", "", "", "not", "whether")
    if kind == "whether":
        return say.sentence(replace(c, ask="whether"))
    return say.sentence(replace(denied(c), negative="not", manner=None, time=None) if kind else c)


def _willed(d: Draw, c: Clause, tense: str) -> Clause:
    """`c` with a verb of which one can be told to do it."""
    while not possible(c.entry, "future"):
        c = d.clause(tense)
    return replace(c, tense=tense)


def likes_to(d: Draw) -> Phrase:
    subject = d.subject()
    verb = d.pick(("read", "play:game", "cook", "play:music", "drink", "watch", "swim", "dance", "sing"))
    entry = lexicon().verbs[verb]
    if verb in ("read", "watch", "cook"):
        word = d.noun(*entry.objects)
        thing = NP(word, plural=lexicon().nouns[word].is_counted)
    else:
        thing = NP(d.noun("drink")) if verb == "drink" else d.object(verb, subject)
    c = Clause(subject, verb, thing, modal="like")
    return say.sentence(replace(denied(c), negative="not") if d.chance(0.2) else c)


def request(d: Draw) -> Phrase:
    verbs = ("open", "close", "read", "help", "bring", "wash", "clean", "wait for", "write", "call", "repair", "eat")
    verb = d.pick(verbs)
    thing = d.object(verb, NP("you"))
    while thing.noun == "you" or thing.determiner in ("some", "many") or thing.count or thing.adjective:
        thing = d.object(verb, NP("you"))
    if verb == "open" or verb == "close":
        thing = NP(d.noun("opening"), d.one("the", "the", "this"))
    return say.request(verb, thing)


def forbidden(d: Draw) -> Phrase:
    if d.chance(0.4):
        verb = d.one("go", "come", "run:to")
        return say.request(verb, negative=True, rest=d.goal(verb))
    verb = d.pick(("open", "close", "read", "eat", "forget", "sell", "use", "wash", "drink"))
    word = d.noun(*(lexicon().verbs[verb].objects - {"person"}))
    return say.request(verb, NP(word, d.one("the", "the", "this", "my")), negative=True)


def invited(d: Draw) -> Phrase:
    verb = d.one("go", "come", "come", "return")
    return say.request(verb, rest=d.goal(verb))


def gift(d: Draw) -> Phrase:
    """Give, send, show: to somebody."""
    subject, verb = d.subject(), d.pick(("give", "give", "give", "send", "show"))
    person = d.companion(subject)
    while person.is_pronoun:
        person = d.companion(subject)
    word = d.noun(*(("mail", "gift") if verb == "send" else ("gift", "text", "goods", "thing")))
    thing = d.thing(word, subject)
    tense = d.one("past", "past", "past", "progressive", "future")
    return say.sentence(d.timed(Clause(subject, verb, thing, person, tense=tense), True))


def cause(d: Draw) -> Phrase:
    """..., because she is tired."""
    subject = d.peer()
    pronoun = NP("he" if gender(subject) == "m" else "she")
    reason = Copula(pronoun, d.one("tired", "happy", "sad", "busy"), tense=d.one("present", "past"))
    tense = "past" if reason.tense == "past" else "progressive"
    c = d.clause(tense, subject, when=False)
    if reason.adjective in ("tired", "busy"):
        c = replace(denied(c), negative="not", manner=None)
    return say.joined(c, "because", reason)


def cause_act(d: Draw) -> Phrase:
    """..., because she wants to buy a car."""
    subject = d.peer()
    pronoun = NP("he" if gender(subject) == "m" else "she")
    reason = replace(d.act("future", pronoun, when=False), tense="present", modal="want", manner=None)
    return say.joined(d.move("progressive", subject, when=False), "because", reason)


def rain_then(d: Draw) -> Phrase:
    c = d.clause("future", when=False)
    return say.if_it_rains(d.one(lexicon().phrase("tomorrow"), lexicon().phrase("today")), c)


def thought(d: Draw) -> Phrase:
    subject, verb, other = d.peer(), d.pick(("think", "know", "hope", "say")), d.single()
    if verb != "say" and d.chance(0.4):
        subject = NP(d.one("i", "we"))
    if verb == "hope" or d.chance(0.5):
        inner: Clause | Copula = d.clause("future" if verb == "hope" else d.one("past", "progressive"), other)
    else:
        inner = Copula(other, d.one("happy", "tired", "busy", "clever"))
    return say.said(subject, verb, inner)


def contrast(d: Draw) -> Phrase:
    tense = d.one("present", "past", "progressive")
    first, second = d.clause(tense, d.name(), when=False), d.clause(tense, d.person("my"), when=False)
    return say.joined(replace(first, manner=None), d.one("and", "but"), replace(second, manner=None))


def errand(d: Draw) -> Phrase:
    """She went to the market to buy apples."""
    subject = d.subject()
    goal, verb, kinds = d.pick(
        (
            ("market", "buy", ("fruit",)),
            ("shop", "buy", ("clothes", "goods", "gift")),
            ("market", "sell", ("fruit", "cow", "horse")),
            ("library", "read", ("text",)),
            ("park", "play:game", ("game",)),
            ("river", "wash", ("clothes",)),
            ("school", "learn", ("language",)),
            ("kitchen", "cook", ("cooked",)),
        )
    )
    word = d.noun(*kinds)
    counted = lexicon().nouns[word].is_counted
    thing = NP(
        word,
        "a" if counted and not {"fruit", "cooked"} & lexicon().nouns[word].kinds else "",
        counted and bool({"fruit", "cooked"} & lexicon().nouns[word].kinds),
    )
    if goal == "river":
        thing = NP(word, "own", plural=word == "shoe")
    tense = d.one("past", "progressive", "future")
    c = Clause(subject, "go", tense=tense, direction=say.to(NP(goal, "the")), purpose=say.purpose(verb, thing, subject))
    return say.sentence(replace(c, time=d.time(tense)) if d.chance(0.4) and tense != "progressive" else c)


def relative(d: Draw) -> Phrase:
    verb = d.pick(("buy", "read", "sell", "repair"))
    word = d.noun(*(lexicon().verbs[verb].objects & {"goods", "clothes", "vehicle", "text", "device", "driven"}))
    thing = NP(word, "the", plural=d.chance(0.25))
    subject = d.subject()
    adjective = d.trait(word)
    return say.that_was_bought(subject, verb, thing, adjective, very=is_graded(adjective) and d.chance(0.5))


def advice(d: Draw) -> Phrase:
    verb = d.pick(("learn", "read", "help", "play:game", "cook", "repair", "clean"))
    thing = d.object(verb, NP("who"))
    while thing.is_pronoun or thing.count or thing.determiner == "own":
        thing = d.object(verb, NP("who"))
    return say.it_is(d.one("easy", "difficult", "important"), verb, thing)


PATTERNS: dict[str, tuple[int, Callable[[Draw], Phrase]]] = {
    "habit": (4, habit),
    "progressive": (10, progressive),
    "past": (8, past),
    "perfect": (4, perfect),
    "future": (4, future),
    "negated": (6, negated),
    "never": (2, never),
    "whether": (5, whether),
    "where": (3, where),
    "when": (2, when),
    "why": (2, why),
    "what": (3, what),
    "who": (3, who),
    "how many": (2, how_many),
    "which": (1, which),
    "can": (5, can),
    "must": (3, must),
    "should": (2, should),
    "wants to": (4, wants_to),
    "likes to": (2, likes_to),
    "request": (3, request),
    "forbidden": (2, forbidden),
    "invited": (1, invited),
    "quality": (7, situations.quality),
    "quality asked": (2, situations.quality_asked),
    "quality denied": (2, situations.quality_denied),
    "job": (2, situations.job),
    "whereabouts": (5, situations.whereabouts),
    "where is": (2, situations.where_is),
    "there is": (5, situations.there_is),
    "there is no": (1, situations.there_is_no),
    "how many are": (1, situations.how_many_are),
    "possession": (3, situations.possession),
    "family": (2, situations.family),
    "liking": (3, situations.liking),
    "wanting": (3, situations.wanting),
    "finding": (2, situations.finding),
    "hunger": (1, situations.hunger),
    "naming": (1, situations.naming),
    "aged": (2, situations.aged),
    "priced": (2, situations.priced),
    "compared": (2, situations.compared),
    "gift": (3, gift),
    "weather": (2, situations.weather),
    "rain": (1, situations.rain),
    "clock": (1, situations.clock),
    "timetable": (2, situations.timetable),
    "weekday": (1, situations.weekday),
    "birthday": (1, situations.birthday),
    "cause": (5, cause),
    "cause act": (2, cause_act),
    "rain then": (2, rain_then),
    "thought": (6, thought),
    "contrast": (5, contrast),
    "errand": (5, errand),
    "relative": (2, relative),
    "advice": (2, advice),
}
