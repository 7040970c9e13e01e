"""What a sentence says, before it is said in a language: english, german and hindi each write it in their own way."""

from dataclasses import dataclass

from speechxfer.demo.phrases.lexicon import Adjective, Noun, Phrase, Verb, lexicon
from speechxfer.errors import ConfigError

PRONOUNS = ("i", "you", "he", "she", "we", "they", "who", "what")
POSSESSIVES = {"my": "i", "your": "you", "his": "he", "her": "she", "our": "we", "their": "they"}
DETERMINERS = ("", "the", "a", "this", "own", "some", "many", "all", "every", "no", "how many", "which", "generic")
DETERMINERS += tuple(POSSESSIVES)
TENSES = ("present", "progressive", "past", "perfect", "future")
MODALS = ("", "can", "must", "should", "want", "like")
NEGATIONS = ("", "not", "never")
QUESTIONS = ("", "whether", "subject", "object", "where", "when", "why")


@dataclass(frozen=True)
class NP:
    """A noun phrase: a pronoun, a name, or a noun with what goes before it.

    `determiner` "own" is the possessive of the subject (she reads her book: अपनी किताब), "generic" an article that
    only English has (plays the guitar). A `count` makes it plural. `owner` takes the place of a determiner: anna's
    book. `other` is a second phrase, joined by "and".
    """

    noun: str
    determiner: str = ""
    plural: bool = False
    count: int = 0
    adjective: str = ""
    owner: "NP | None" = None
    other: "NP | None" = None

    def __post_init__(self) -> None:
        if self.determiner not in DETERMINERS:
            raise ConfigError(f"determiner is {self.determiner!r}; expected one of {', '.join(DETERMINERS)}")

    @property
    def is_pronoun(self) -> bool:
        return self.noun in PRONOUNS

    @property
    def entry(self) -> Noun:
        return lexicon().noun(self.noun)

    @property
    def adjective_entry(self) -> Adjective:
        return lexicon().adjectives[self.adjective]

    @property
    def is_plural(self) -> bool:
        """In English and German: one neighbour is one, whom Hindi may give the polite plural."""
        several = self.plural or self.count > 1 or self.determiner in ("many", "all", "how many")
        return several or self.noun in ("you", "we", "they") or self.other is not None

    @property
    def is_person(self) -> bool:
        return self.noun != "what" if self.is_pronoun else self.entry.is_person

    @property
    def is_definite(self) -> bool:
        if self.is_pronoun or self.entry.is_name or self.owner:
            return True
        return self.determiner in ("the", "this", "own", "every", "all", "which", *POSSESSIVES)


@dataclass(frozen=True)
class Clause:
    """A sentence with a full verb. The parts that all languages only place, not inflect, are Phrases.

    `ask` makes it a question: "whether", for the "subject" or "object" (who, what, how many, which), or for where,
    when or why. `modal` "like" is "likes to", German "gern".
    """

    subject: NP
    verb: str
    object: NP | None = None
    recipient: NP | None = None
    tense: str = "present"
    modal: str = ""
    negative: str = ""
    ask: str = ""
    time: Phrase | None = None
    often: Phrase | None = None
    place: Phrase | None = None
    direction: Phrase | None = None
    manner: Phrase | None = None
    purpose: Phrase | None = None

    def __post_init__(self) -> None:
        _check("tense", self.tense, TENSES)
        _check("modal", self.modal, MODALS)
        _check("negative", self.negative, NEGATIONS)
        _check("ask", self.ask, QUESTIONS)

    @property
    def entry(self) -> Verb:
        return lexicon().verbs[self.verb]


@dataclass(frozen=True)
class Copula:
    """A sentence with "to be": the subject is an adjective (by its key), a job, or at a place."""

    subject: NP
    adjective: str = ""
    job: str = ""
    place: Phrase | None = None
    very: bool = False
    tense: str = "present"  # present, past or future
    negative: str = ""
    ask: str = ""  # "", "whether", "where" or "why"
    time: Phrase | None = None

    def __post_init__(self) -> None:
        _check("tense", self.tense, ("present", "past", "future"))
        _check("negative", self.negative, ("", "not"))
        _check("ask", self.ask, ("", "whether", "where", "why"))


def _check(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{field} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def words(*parts: str | None) -> str:
    """The parts that there are, between single spaces."""
    return " ".join(part for part in parts if part)
