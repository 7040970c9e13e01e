"""Hindi in Devanagari, without danda, in the spelling of today: आए, गई, पाँच, हिंदी, with the nukta where it is written.

"you" is "आप", and the speaker is a man. Persons to respect have the plural (मेरी माँ आई हैं). A direct object that is a
person, or an animal that is known, has को; things have none. The verb agrees with the subject, in the perfective of
a transitive verb (ने) with the object, and where both bear a postposition with neither: masculine singular.
"""

from dataclasses import dataclass, replace

from speechxfer.demo.phrases.lexicon import Noun, Verb
from speechxfer.demo.phrases.syntax import NP, POSSESSIVES, Clause, Copula, words

NUMBERS = (
    "शून्य एक दो तीन चार पाँच छह सात आठ नौ "
    "दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस "
    "बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस "
    "तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस "
    "चालीस इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास "
    "पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ "
    "साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर "
    "सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी "
    "अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी "
    "नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे "
    "सौ"
).split()

# direct, with ने, with को, before other postpositions, genitive
_PRONOUNS = {
    "i": ("मैं", "मैंने", "मुझे", "मुझ", "मेरा"),
    "you": ("आप", "आपने", "आपको", "आप", "आपका"),
    "he": ("वह", "उसने", "उसे", "उस", "उसका"),
    "she": ("वह", "उसने", "उसे", "उस", "उसका"),
    "we": ("हम", "हमने", "हमें", "हम", "हमारा"),
    "they": ("वे", "उन्होंने", "उन्हें", "उन", "उनका"),
    "who": ("कौन", "किसने", "किसे", "किस", "किसका"),
    "what": ("क्या", "किसने", "किसे", "किस", "किसका"),
}
_QUESTIONS = {"where": "कहाँ", "when": "कब", "why": "क्यों"}
_MATRA = {"ए": "े", "ई": "ी", "ऊ": "ू", "आ": "ा", "इ": "ि", "ओं": "ों", "एँ": "ें", "ऊँ": "ूँ", "ईं": "ीं"}
_VOWELS = "ािीुूेैोौआईओऊ"
_PERFECTIVE = {  # stem -> masculine singular and plural, feminine singular and plural
    "कर": "किया किए की कीं".split(),
    "ले": "लिया लिए ली लीं".split(),
    "दे": "दिया दिए दी दीं".split(),
    "पी": "पिया पिए पी पीं".split(),
    "जा": "गया गए गई गईं".split(),
}
_POLITE = {"कर": "कीजिए", "ले": "लीजिए", "दे": "दीजिए", "पी": "पीजिए"}
_HAI = {"present": ("है", "हैं", "है", "हैं"), "past": "था थे थी थीं".split(), "future": "होगा होंगे होगी होंगी".split()}


@dataclass(frozen=True)
class Agreement:
    """What a verb agrees with."""

    gender: str = "m"
    plural: bool = False
    first: bool = False  # मैं

    @property
    def form(self) -> int:
        """Which of masculine singular and plural, feminine singular and plural."""
        return 2 * (self.gender == "f") + self.plural


def number(count: int) -> str:
    """0 to 100."""
    return NUMBERS[count]


def noun(entry: Noun, *, plural: bool, oblique: bool) -> str:
    """The form of a noun: लड़का, लड़के, लड़कों; किताब, किताबें, किताबों."""
    word = entry.hi
    if entry.gender == "m":
        if word.endswith("ा") and not entry.fixed:
            if not plural and not oblique:
                return word
            return word[:-1] + ("ों" if plural and oblique else "े")
        return _oblique_plural(word) if plural and oblique else word
    if not plural:
        return word
    if oblique:
        return _oblique_plural(word)
    if word.endswith("िया"):
        return word + "ँ"
    if word.endswith(("ी", "ई")):
        return word[:-1] + ("ियाँ" if word.endswith("ी") else "इयाँ")
    return word + ("एँ" if word[-1] in "ाूुआोौँ" else "ें")


def _oblique_plural(word: str) -> str:
    if word.endswith("िया"):
        return word[:-1] + "ों"
    for long, short in (("ी", "ियों"), ("ई", "इयों"), ("ू", "ुओं")):
        if word.endswith(long):
            return word[:-1] + short
    if word[-1] in "ाुआौ":
        return word + "ओं"
    return word if word[-1] in "ोँ" else word + "ों"


def adjective(text: str, gender: str, *, plural: bool, oblique: bool = False) -> str:
    """The form of an adjective or genitive: words in -aa agree: अच्छा, अच्छे, अच्छी; नया, नए, नई."""
    ending = "ई" if gender == "f" else "ए" if plural or oblique else "आ"
    if ending == "आ":
        return text
    inflected = []
    for word in text.split():
        if word.endswith(("या", "आ")):
            word = word.removesuffix("या").removesuffix("आ") + ending
        elif word.endswith("ा"):
            word = word[:-1] + _MATRA[ending]
        inflected.append(word)
    return " ".join(inflected)


def agreement(np: NP) -> Agreement:
    if np.is_pronoun:
        return Agreement("f" if np.noun == "she" else "m", np.is_plural, np.noun == "i")
    gender = np.entry.gender
    if np.other and agreement(np.other).gender == "m":
        gender = "m"
    return Agreement(gender, np.is_plural or is_honoured(np))


def is_honoured(np: NP) -> bool:
    """One person, of whom Hindi speaks in the plural."""
    return (
        not np.is_pronoun
        and "honoured" in np.entry.kinds
        and np.is_definite
        and np.determiner not in ("this", "every", "which")
    )


def noun_phrase(np: NP, postposition: str = "", subject: NP | None = None) -> str:
    """The noun phrase, in the oblique when a postposition follows; "oblique" stands for one that is not said."""
    if np.is_pronoun:
        return _pronoun(np.noun, postposition)
    oblique = bool(postposition)
    entry, several = np.entry, np.is_plural and not np.other
    inflected = {"gender": entry.gender, "plural": several or is_honoured(np), "oblique": oblique}
    text = words(
        _determiner(np, subject, several, **inflected),
        number(np.count) if np.count > 1 else "",
        adjective(np.adjective_entry.hi, **inflected) if np.adjective else "",
        noun(entry, plural=several and entry.is_counted, oblique=oblique),
    )
    if np.other:
        text += f" और {noun_phrase(np.other, 'oblique' if oblique else '', subject)}"
    return words(text, "" if postposition == "oblique" else postposition)


def _pronoun(word: str, postposition: str) -> str:
    direct, ne, ko, oblique, genitive = _PRONOUNS[word]
    if postposition in ("", "ने", "को"):
        return {"": direct, "ने": ne, "को": ko}[postposition]
    head, _, rest = postposition.partition(" ")
    if head in ("का", "के", "की"):
        return words(genitive[:-1] + head[-1], rest)
    return oblique + postposition


def _determiner(np: NP, subject: NP | None, several: bool, gender: str, plural: bool, oblique: bool) -> str:
    word = np.determiner
    if np.owner:
        return noun_phrase(np.owner, adjective("का", gender, plural=plural, oblique=oblique), subject)
    if word == "own" or word in POSSESSIVES:
        own = word == "own" or (subject is not None and subject.noun == POSSESSIVES[word])
        return adjective("अपना" if own else _PRONOUNS[POSSESSIVES[word]][-1], gender, plural=plural, oblique=oblique)
    if word == "this":
        return ("इन" if plural else "इस") if oblique else ("ये" if plural else "यह")
    if word in ("many", "how many", "which"):
        text = {"many": "बहुत सा", "how many": "कितना", "which": "कौन सा"}[word]
        return adjective(text, gender, plural=plural, oblique=oblique)
    some = "कुछ" if several else "थोड़ा"
    return {"a": "एक", "some": adjective(some, gender, plural=plural), "all": "सभी", "every": "हर"}.get(word, "")


def hona(who: Agreement, tense: str = "present") -> str:
    """है, था or होगा."""
    if who.first and tense != "past":
        return {"present": "हूँ", "future": "हूँगी" if who.gender == "f" else "हूँगा"}[tense]
    return _HAI[tense][who.form]


def _join(stem: str, ending: str) -> str:
    """An ending that begins with a vowel: a sign after a consonant, a letter after a vowel."""
    if stem[-1] in _VOWELS:
        return stem + ending
    for vowel in sorted(_MATRA, key=len, reverse=True):
        if ending.startswith(vowel):
            return stem + _MATRA[vowel] + ending[len(vowel) :]
    return stem + ending


def perfective(stem: str, who: Agreement) -> str:
    """किया, आई, खरीदे, आईं."""
    if stem in _PERFECTIVE:
        return _PERFECTIVE[stem][who.form]
    if who.form == 0:
        return stem + ("या" if stem[-1] in _VOWELS else "ा")
    return _join(stem, ("", "ए", "ई", "ईं")[who.form])


def future(stem: str, who: Agreement) -> str:
    """जाऊँगा, करेगी, लेंगे."""
    ending = "ऊँ" if who.first else "एँ" if who.plural else "ए"
    suffix = "गी" if who.gender == "f" else "गे" if who.plural else "गा"
    if stem in ("ले", "दे"):
        return stem[0] + _MATRA[ending] + suffix
    return _join({"पी": "पि"}.get(stem, stem), ending) + suffix


def polite(stem: str) -> str:
    """The request: कीजिए, पढ़िए, जाइए."""
    return _POLITE.get(stem) or _join(stem, "इए")


def object_phrase(verb: Verb, np: NP, subject: NP | None = None) -> str:
    """The object with its postposition, if it has one."""
    return noun_phrase(np, object_mark(verb, np), subject)


def object_mark(verb: Verb, np: NP) -> str:
    if verb.hi_postposition or np.is_person:
        return verb.hi_postposition or "को"
    is_animal = not np.is_pronoun and "animal" in np.entry.kinds
    return "को" if is_animal and np.is_definite else ""


def infinitive(verb: Verb, who: Agreement = Agreement()) -> str:
    """पढ़ना, काम करना; by what it agrees with, पढ़ने, पढ़नी."""
    return words(verb.hi_noun, verb.hi + adjective("ना", who.gender, plural=who.plural))


def clause(c: Clause) -> str:
    """Statement or question."""
    thing = c.object
    if thing and c.negative and thing.determiner == "a":  # एक would deny the number
        thing = replace(thing, determiner="")
    return words(
        "क्या" if c.ask == "whether" else "",
        noun_phrase(c.subject, _subject_mark(c)),
        c.time.hi if c.time else "",
        c.often.hi if c.often else "कभी" if c.negative == "never" else "",
        c.place.hi if c.place else "",
        noun_phrase(c.recipient, "को", c.subject) if c.recipient else "",
        c.manner.hi if c.manner else "",
        object_phrase(c.entry, thing, c.subject) if thing else "",
        c.purpose.hi if c.purpose else "",
        c.direction.hi if c.direction else "",
        _QUESTIONS.get(c.ask, ""),
        predicate(c),
    )


def _subject_mark(c: Clause) -> str:
    """The postposition of the subject: ने, or को of whom something is wanted or pleasing."""
    if c.modal:
        return "को" if c.modal in ("must", "should", "like") else ""
    is_perfective = c.tense == "perfect" or (c.tense == "past" and c.entry.aspect != "state")
    return "ने" if is_perfective and c.entry.ergative else ""


def predicate(c: Clause) -> str:
    """The verb, with its noun and negation: मदद नहीं की है."""
    who = _target(c) if _subject_mark(c) else agreement(c.subject)
    negation = "नहीं" if c.negative else ""
    return _modal(c, who, negation) if c.modal else words(c.entry.hi_noun, negation, _finite(c, who, negation))


def _target(c: Clause) -> Agreement:
    """What the verb agrees with when the subject bears a postposition."""
    verb = c.entry
    if verb.hi_noun_gender:
        return Agreement(verb.hi_noun_gender)
    if c.object and not object_mark(verb, c.object):
        return agreement(c.object)
    return Agreement()


def _modal(c: Clause, who: Agreement, negation: str) -> str:
    verb, subject = c.entry, agreement(c.subject)
    if c.modal == "can":
        return words(verb.hi_noun, negation, verb.hi, participle("सक", subject), hona(subject))
    if c.modal == "want":
        tense = "past" if c.tense == "past" else "present"
        return words(infinitive(verb), negation, participle("चाह", subject), hona(subject, tense))
    if c.modal == "like":
        return words(infinitive(verb), "पसंद", negation, "है")
    main = verb.hi + adjective("ना", who.gender, plural=who.plural)
    if c.modal == "should":
        return words(verb.hi_noun, negation, main, "चाहिए")
    return words(verb.hi_noun, negation, main, hona(who, c.tense))


def participle(stem: str, who: Agreement) -> str:
    """The imperfective: पढ़ता, पढ़ते, पढ़ती."""
    return stem + adjective("ता", who.gender, plural=who.plural)


def _finite(c: Clause, who: Agreement, negation: str) -> str:
    verb = c.entry
    first, stem = "", verb.hi
    if verb.hi_vector and not negation and c.tense != "progressive":
        first, stem = verb.hi, verb.hi_vector
    if c.tense == "future":
        return words(first, future(stem, who))
    if c.tense == "progressive":
        return words(stem, adjective("रहा", who.gender, plural=who.plural), hona(who))
    if c.tense == "present":
        return words(first, participle(stem, who), hona(who))
    if c.tense == "past" and verb.aspect == "state":
        return words(first, participle(stem, who), hona(who, "past"))
    if c.tense == "past":
        return words(first, perfective(stem, who))
    bare = Agreement(who.gender, who.plural and who.gender == "m")  # the auxiliary shows the feminine plural
    return words(first, perfective(stem, bare), hona(who))


def request(verb: Verb, thing: str, *, negative: bool, rest: str = "") -> str:
    return words("कृपया", rest, thing, verb.hi_noun, "मत" if negative else "", polite(verb.hi))


def copula(c: Copula, predicate: str) -> str:
    """`predicate` is the adjective, job or place in Hindi, in agreement."""
    return words(
        "क्या" if c.ask == "whether" else "",
        noun_phrase(c.subject),
        c.time.hi if c.time else "",
        predicate,
        _QUESTIONS.get(c.ask, ""),
        "नहीं" if c.negative else "",
        hona(agreement(c.subject), c.tense),
    )
