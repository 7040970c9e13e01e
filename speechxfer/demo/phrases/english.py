"""English, as a recogniser writes it: lowercase letters, apostrophes and spaces."""

import re

from speechxfer.demo.grammar import conjugate
from speechxfer.demo.phrases.lexicon import Verb
from speechxfer.demo.phrases.syntax import NP, POSSESSIVES, Clause, Copula, words

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_OBJECT = {"i": "me", "he": "him", "she": "her", "we": "us", "they": "them"}
_OWN = {pronoun: possessive for possessive, pronoun in POSSESSIVES.items()}
_DETERMINER = {"generic": "the"}


def number(count: int) -> str:
    """0 to 100: twenty five, one hundred."""
    if count == 100:
        return "one hundred"
    return _ONES[count] if count < 20 else words(_TENS[count // 10 - 2], _ONES[count % 10] if count % 10 else "")


def noun_phrase(np: NP, subject: NP | None = None, *, objective: bool = False) -> str:
    """`subject` is who "own" things belong to."""
    if np.is_pronoun:
        return _OBJECT.get(np.noun, np.noun) if objective else np.noun
    determiner = _DETERMINER.get(np.determiner, np.determiner)
    if determiner == "own":
        determiner = possessive(subject)
    if determiner == "this" and np.is_plural:
        determiner = "these"
    if determiner == "all":
        determiner = "all the"
    if np.owner:
        determiner = noun_phrase(np.owner, subject) + "'s"
    noun = np.entry.en_plural if np.is_plural and not np.other and np.entry.en_plural else np.entry.en
    adjective = np.adjective_entry.en if np.adjective else ""
    text = words(determiner, number(np.count) if np.count > 1 else "", adjective, noun)
    text = re.sub(r"^a (?=(?!uni)[aeiou])", "an ", text)
    return f"{text} and {noun_phrase(np.other, subject, objective=objective)}" if np.other else text


def possessive(np: NP) -> str:
    """The word for what belongs to `np`: my, her, their."""
    if np.is_pronoun:
        return _OWN[np.noun]
    return "their" if np.is_plural else "his" if np.entry.gender == "m" else "her"


def be(np: NP, tense: str = "present") -> str:
    plural = np.is_plural
    if tense == "past":
        return "were" if plural else "was"
    if tense == "future":
        return "will be"
    return "am" if np.noun == "i" else "are" if plural else "is"


def is_third(np: NP) -> bool:
    return not np.is_plural and np.noun != "i"


def clause(c: Clause) -> str:
    """Statement or question."""
    plain = not c.negative == "not" and c.ask in ("", "subject")
    auxiliary, verb = _verb(c, plain)
    subject = noun_phrase(c.subject, c.subject)
    thing = noun_phrase(c.object, c.subject, objective=True) if c.object else ""
    fronted = {"subject": "", "object": thing, "whether": ""}.get(c.ask, c.ask)
    often = c.often.en if c.often else "never" if c.negative == "never" else ""
    negation = "not" if c.negative == "not" else ""
    if auxiliary == "can" and negation and not c.ask:
        auxiliary, negation = "cannot", ""
    first, rest = (subject, auxiliary) if c.ask in ("", "subject") else (auxiliary, subject)
    return words(
        fronted,
        first,
        rest,
        negation,
        often,
        verb,
        noun_phrase(c.recipient, c.subject, objective=True) if c.recipient else "",
        "" if c.ask == "object" else thing,
        *(part.en for part in (c.manner, c.direction, c.place, c.time, c.purpose) if part),
    )


def _verb(c: Clause, plain: bool) -> tuple[str, str]:
    """The auxiliary, "" in a plain statement without one, and the rest of the verb."""
    third = is_third(c.subject)
    if c.modal in ("can", "should") or (c.modal == "must" and c.tense == "present"):
        return c.modal, form(c.entry)
    if c.modal:
        head = {"want": "want", "like": "like", "must": "have/had"}[c.modal]
        auxiliary, verb = _tense(head, c.tense, third, plain)
        return auxiliary, f"{verb} to {form(c.entry)}"
    if c.tense == "progressive":
        return be(c.subject), form(c.entry, "g")
    if c.tense == "perfect":
        return "has" if third else "have", form(c.entry, "n")
    if c.tense == "future":
        return "will", form(c.entry)
    return _tense(c.entry.en, c.tense, third, plain)


def _tense(verb: str, tense: str, third: bool, plain: bool) -> tuple[str, str]:
    if not plain:
        return ("did" if tense == "past" else "does" if third else "do"), verb.split("/")[0]
    return "", inflect(verb, "d" if tense == "past" else "s" if third else "")


def form(verb: Verb, ending: str = "") -> str:
    return inflect(verb.en, ending)


def inflect(entry: str, ending: str) -> str:
    """`entry` (take/took/taken; wait for; look for/looked) in the form "s", "d", "n" or "g", or as it is."""
    base, *irregular = entry.split("/")
    verb, _, particle = base.partition(" ")
    if ending in ("d", "n") and irregular:
        return words(irregular[0] if ending == "d" else irregular[-1], particle)
    return words(conjugate(verb, ending) if ending else verb, particle)


def request(verb: Verb, thing: str, *, negative: bool, rest: str = "") -> str:
    return words("please", "do not" if negative else "", form(verb), thing, rest)


def copula(c: Copula, predicate: str) -> str:
    """`predicate` is the adjective, job or place in English."""
    subject, verb = noun_phrase(c.subject), be(c.subject, c.tense)
    time = c.time.en if c.time else ""
    verb, _, be_ = verb.partition(" ")
    negation = "not" if c.negative else ""
    if c.ask:
        return words("" if c.ask == "whether" else c.ask, verb, subject, negation, be_, predicate, time)
    return words(subject, verb, negation, be_, predicate, time)
