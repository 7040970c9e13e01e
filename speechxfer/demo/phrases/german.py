"""German in normal spelling, but for the marks: no commas or full stops, and a sentence begins as its first word does.

"you" is "Sie", a past is a perfect but for sein, haben and the modal verbs, and a progressive says "gerade".
"""

from speechxfer.demo.phrases.lexicon import Verb
from speechxfer.demo.phrases.syntax import NP, POSSESSIVES, Clause, Copula, words

_ONES = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
).split()
_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
ORDERS = ("main", "inverted", "subordinate")  # she has it; (then) has she it; (that) she it has
CASES = ("nom", "acc", "dat", "gen")
_PRONOUNS = {
    "i": "ich mich mir".split(),
    "you": "Sie Sie Ihnen".split(),
    "he": "er ihn ihm".split(),
    "she": "sie sie ihr".split(),
    "we": "wir uns uns".split(),
    "they": "sie sie ihnen".split(),
    "who": "wer wen wem".split(),
    "what": "was was was".split(),
}
_POSSESSIVES = {"i": "mein", "you": "Ihr", "he": "sein", "she": "ihr", "we": "unser", "they": "ihr"}
# case -> m, f, n, plural
_THE = {
    "nom": "der die das die".split(),
    "acc": "den die das die".split(),
    "dat": "dem der dem den".split(),
    "gen": "des der des der".split(),
}
_A = {
    "nom": ["", "e", "", "e"],
    "acc": ["en", "e", "", "e"],
    "dat": "em er em en".split(),
    "gen": "es er es er".split(),
}
_THIS = {
    "nom": "er e es e".split(),
    "acc": "en e es e".split(),
    "dat": "em er em en".split(),
    "gen": "es er es er".split(),
}
_WEAK = {
    "nom": "e e e en".split(),
    "acc": "en e e en".split(),
    "dat": "en en en en".split(),
    "gen": "en en en en".split(),
}
_MIXED = {
    "nom": "er e es en".split(),
    "acc": "en e es en".split(),
    "dat": "en en en en".split(),
    "gen": "en en en en".split(),
}
_STRONG = _THIS | {"gen": "en er en er".split()}
_CONTRACTED = {
    "in dem": "im", "in das": "ins", "an dem": "am", "an das": "ans", "bei dem": "beim", "von dem": "vom",
    "zu dem": "zum", "zu der": "zur",
}  # fmt: skip
_SEIN = {"present": ("bin", "ist", "sind"), "past": ("war", "war", "waren"), "future": ("werde", "wird", "werden")}
_HABEN = {"present": ("habe", "hat", "haben"), "past": ("hatte", "hatte", "hatten"), "future": _SEIN["future"]}
_MODALS = {
    ("can", "present"): ("kann", "kann", "können"),
    ("must", "present"): ("muss", "muss", "müssen"),
    ("must", "past"): ("musste", "musste", "mussten"),
    ("should", "present"): ("sollte", "sollte", "sollten"),
    ("want", "present"): ("möchte", "möchte", "möchten"),
    ("want", "past"): ("wollte", "wollte", "wollten"),
}
_QUESTIONS = {"where": "wo", "whither": "wohin", "when": "wann", "why": "warum"}


def number(count: int) -> str:
    """0 to 100: fünfundzwanzig, einhundert."""
    if count == 100:
        return "einhundert"
    if count < 20:
        return _ONES[count]
    one = {0: "", 1: "einund"}.get(count % 10, f"{_ONES[count % 10]}und")
    return one + _TENS[count // 10 - 2]


def noun_phrase(np: NP, case: str = "nom", subject: NP | None = None) -> str:
    """`subject` is who "own" things belong to."""
    if np.is_pronoun:
        return _PRONOUNS[np.noun][CASES.index(case)]
    several = np.is_plural and not np.other
    column = 3 if several else "mfn".index(np.entry.de_gender)
    determiner, endings = _determiner(np, case, column, subject, several)
    adjective = np.adjective_entry.de_stem + endings[case][column] if np.adjective else ""
    name = np.owner is not None and np.owner.entry.is_name
    text = words(
        noun_phrase(np.owner) + "s" if name else determiner,
        number(np.count) if np.count > 1 else "",
        adjective,
        noun(np, case, several),
        noun_phrase(np.owner, "gen", subject) if np.owner and not name else "",
    )
    return f"{text} und {noun_phrase(np.other, case, subject)}" if np.other else text


def _determiner(np: NP, case: str, column: int, subject: NP | None, several: bool) -> tuple[str, dict]:
    """The determiner, and the endings of an adjective that follows."""
    word = np.determiner
    if np.owner:
        return ("", _STRONG) if np.owner.entry.is_name else (_THE[case][column], _WEAK)
    if word == "the":
        return _THE[case][column], _WEAK
    for stem, english in (("dies", "this"), ("jed", "every"), ("welch", "which"), ("all", "all")):
        if word == english:
            return stem + _THIS[case][column], _WEAK
    if word in ("a", "no"):
        return ("ein" if word == "a" else "kein") + _A[case][column], _MIXED
    if word == "own" or word in POSSESSIVES:
        stem = possessive(subject) if word == "own" else _POSSESSIVES[POSSESSIVES[word]]
        return stem + _A[case][column], _MIXED
    if word == "some":
        return "einig" + _THIS[case][column] if several else "etwas", _STRONG
    if word == "many":
        return "viel" + _THIS[case][column], _STRONG
    if word == "how many":
        return "wie viel" + _THIS[case][column], _STRONG
    return "", _STRONG


def possessive(np: NP) -> str:
    """The stem for what belongs to `np`: mein, ihr."""
    if np.is_pronoun:
        return _POSSESSIVES[np.noun]
    if np.is_plural:
        return "ihr"
    if np.entry.is_name:
        return "sein" if np.entry.gender == "m" else "ihr"
    return "ihr" if np.entry.de_gender == "f" else "sein"


def noun(np: NP, case: str, several: bool) -> str:
    entry = np.entry
    if entry.is_name:
        return entry.de
    if several:
        return entry.de_plural + ("n" if case == "dat" and entry.de_plural[-1] not in "ns" else "")
    if entry.weak and case != "nom":
        return entry.de_plural + ("s" if entry.de == "Name" and case == "gen" else "")
    if case == "gen" and entry.de_gender in "mn":
        return entry.de + ("es" if _syllables(entry.de) == 1 else "s")
    return entry.de


def _syllables(word: str) -> int:
    vowels = [letter in "aeiouäöüy" for letter in word.lower()]
    return sum(now and not before for before, now in zip([False, *vowels], vowels, strict=False))


def prepositional(preposition: str, np: NP, case: str, subject: NP | None = None) -> str:
    """im Garten, zur Schule."""
    text = words(preposition, noun_phrase(np, case, subject))
    for long, short in _CONTRACTED.items():
        if text.startswith(long + " ") and np.determiner == "the":
            return short + text[len(long) :]
    return text


def person(np: NP) -> int:
    """Which form of a verb: 0 ich, 1 er, 2 wir and Sie."""
    return 0 if np.noun == "i" else 2 if np.is_plural else 1


def sein(np: NP, tense: str = "present") -> str:
    return _SEIN[tense][person(np)]


def haben(np: NP, tense: str = "present") -> str:
    return _HABEN[tense][person(np)]


def infinitive(verb: Verb) -> str:
    """kaufen, aufmachen."""
    return verb.de_particle + verb.de


def zu_infinitive(verb: Verb) -> str:
    """zu kaufen, aufzumachen."""
    return f"{verb.de_particle}zu{verb.de}" if verb.de_particle else f"zu {verb.de}"


def clause(c: Clause, order: str = "main") -> str:
    """Statement or question. `order` is where a statement has its verb, one of ORDERS."""
    finite, particle, tail = _verb(c)
    subject = noun_phrase(c.subject, subject=c.subject)
    front, middle = _middle(c)
    end = c.purpose.de if c.purpose else ""
    if order == "subordinate":
        return words(subject, *middle, tail, particle + finite, end)
    if order == "main" and c.ask in ("", "subject"):
        return words(subject, finite, *middle, particle, tail, end)
    if c.ask in ("where", "when", "why"):
        front = _QUESTIONS["whither" if c.ask == "where" and c.entry.aspect == "motion" else c.ask]
    return words(front, finite, subject, *middle, particle, tail, end)


def _verb(c: Clause) -> tuple[str, str, str]:
    """The finite verb, the particle that it parts with, and what stands at the end."""
    verb, who = c.entry, person(c.subject)
    if c.modal and c.modal != "like":
        return _MODALS[c.modal, c.tense][who], "", infinitive(verb)
    if c.tense == "future":
        return _SEIN["future"][who], "", infinitive(verb)
    if c.tense == "past" and verb.de_past:
        several = "n" if verb.de_past.endswith("e") else "en"
        return verb.de_past + (several if who == 2 else ""), verb.de_particle, ""
    if c.tense in ("past", "perfect"):
        auxiliary = (_SEIN if verb.de_auxiliary == "sein" else _HABEN)["present"][who]
        return auxiliary, "", verb.de_particle + verb.de_participle
    first = verb.de[:-1] + ("e" if verb.de.endswith("rn") else "")  # kaufen: kaufe; füttern: füttere
    return (first, verb.de_third, verb.de)[who], verb.de_particle, ""


def _middle(c: Clause) -> tuple[str, list[str]]:
    """What a question for the object begins with, and the middle field.

    Pronouns and who receives, then time before place, the object, what negation bears on, and direction.
    """
    negation = {"": "", "not": "nicht", "never": "nie"}[c.negative]
    thing, front = c.object, ""
    if thing and negation == "nicht" and not c.entry.de_preposition and not thing.is_definite and not thing.is_pronoun:
        if not thing.count and thing.determiner in ("", "a") and c.modal != "like":
            thing, negation = NP(thing.noun, "no", thing.plural, 0, thing.adjective), ""
    text = prepositional(c.entry.de_preposition, thing, c.entry.de_case, c.subject) if thing else ""
    if c.ask == "object":
        front, text = text, ""
    pronoun = text if thing and thing.is_pronoun and not c.entry.de_preposition else ""
    is_part_of_verb = thing is not None and thing.determiner == "generic"  # spielt nicht Klavier
    behind = text if c.entry.de_preposition or is_part_of_verb else ""
    text = "" if pronoun or behind else text
    definite = thing is not None and thing.is_definite
    often = c.often.de if c.often else ""
    if negation == "nie":
        often, negation = "nie", ""
    gerade = "gerade" if c.tense == "progressive" and not c.negative and not c.time and not often else ""
    gern = words(negation, "gern") if c.modal == "like" else ""
    negation = "" if gern else negation
    place, manner = (c.place.de if c.place else ""), (c.manner.de if c.manner else "")
    early_place, late_place = (place, "") if thing else ("", place)
    recipient = noun_phrase(c.recipient, "dat", c.subject) if c.recipient else ""
    return front, [
        pronoun,
        recipient,
        often,
        c.time.de if c.time else "",
        gerade,
        gern,
        early_place,
        "" if definite else manner,
        text,
        negation,
        manner if definite else "",
        behind,
        late_place,
        c.direction.de if c.direction else "",
    ]


def request(verb: Verb, thing: str, *, negative: bool, rest: str = "") -> str:
    behind = verb.de_preposition != ""
    parts = ("", "nicht" if negative else "", thing) if behind else (thing, "nicht" if negative else "", "")
    return words("bitte", verb.de, "Sie", *parts, rest, verb.de_particle)


def copula(c: Copula, predicate: str, order: str = "main") -> str:
    """`predicate` is the adjective, job or place in German, `order` as for `clause`."""
    subject, verb = noun_phrase(c.subject), sein(c.subject, c.tense)
    end = "sein" if c.tense == "future" else ""
    negation = "nicht" if c.negative and not c.job else ""  # a job has kein
    middle = (c.time.de if c.time else "", negation, predicate, end)
    if order == "subordinate":
        return words(subject, *middle, verb)
    if c.ask:
        return words("" if c.ask == "whether" else _QUESTIONS[c.ask], verb, subject, *middle)
    return words(subject, verb, *middle)
