"""The clock, the days and the weather."""

import speechxfer.demo.phrases.english as english
import speechxfer.demo.phrases.german as german
import speechxfer.demo.phrases.hindi as hindi
from speechxfer.demo.phrases.idioms import possessor_en
from speechxfer.demo.phrases.lexicon import Phrase, lexicon
from speechxfer.demo.phrases.syntax import NP, words

WEEKDAYS = (
    Phrase("monday", "Montag", "सोमवार"),
    Phrase("tuesday", "Dienstag", "मंगलवार"),
    Phrase("wednesday", "Mittwoch", "बुधवार"),
    Phrase("thursday", "Donnerstag", "गुरुवार"),
    Phrase("friday", "Freitag", "शुक्रवार"),
    Phrase("saturday", "Samstag", "शनिवार"),
    Phrase("sunday", "Sonntag", "रविवार"),
)
# German, and in Hindi a noun: it is cold, there is coldness
WEATHER = {
    "cold": ("kalt", "ठंड", "f"),
    "hot": ("heiß", "गर्मी", "f"),
    "sunny": ("sonnig", "धूप", "f"),
    "dark": ("dunkel", "अँधेरा", "m"),
}


def o_clock(hour: int, quarter: int = 0) -> Phrase:
    """At three o'clock, or with `quarter` 1 to 3 at a quarter past three, half past three, a quarter to four.

    German counts the halves towards the next hour, Hindi has words of its own: सवा, साढ़े, पौने, डेढ़ (1:30), ढाई (2:30).
    """
    after = hour % 12 + 1
    next_hour = {"en": english.number(after), "de": german.number(after), "hi": hindi.number(after)}
    en, de, hi = english.number(hour), german.number(hour), hindi.number(hour)
    return (
        Phrase(f"at {en} o'clock", f"um {'ein' if hour == 1 else de} Uhr", f"{hi} बजे"),
        Phrase(f"at quarter past {en}", f"um Viertel nach {de}", f"सवा {hi} बजे"),
        Phrase(f"at half past {en}", f"um halb {next_hour['de']}", _half_past(hour)),
        Phrase(f"at quarter to {next_hour['en']}", f"um Viertel vor {next_hour['de']}", f"पौने {next_hour['hi']} बजे"),
    )[quarter]


def _half_past(hour: int) -> str:
    return {1: "डेढ़ बजे", 2: "ढाई बजे"}.get(hour) or f"साढ़े {hindi.number(hour)} बजे"


def it_is_time(hour: int, quarter: int = 0) -> Phrase:
    """It is half past three."""
    at = o_clock(hour, quarter)
    singular = (hour == 1 and quarter < 3) or (hour, quarter) == (12, 3)
    clock = f"{at.hi.removesuffix(' बजे')} {'बजा' if singular else 'बजे'}"
    hai = "है" if singular else "हैं"
    return Phrase(f"it is {at.en.removeprefix('at ')}", f"es ist {at.de.removeprefix('um ')}", f"{clock} {hai}")


def on_day(weekday: int) -> Phrase:
    day = WEEKDAYS[weekday]
    return Phrase(f"on {day.en}", f"am {day.de}", f"{day.hi} को")


def ago(count: int, unit: str) -> Phrase:
    """Two days ago."""
    span = NP(unit, "", count > 1, count)
    return Phrase(
        words(english.noun_phrase(span), "ago"),
        words("vor", german.noun_phrase(span, "dat")),
        words(_span_hi(span), "पहले"),
    )


def in_time(count: int, unit: str) -> Phrase:
    """In two days."""
    span = NP(unit, "", count > 1, count)
    return Phrase(
        words("in", english.noun_phrase(span)),
        words("in", german.noun_phrase(span, "dat")),
        words(_span_hi(span), "बाद"),
    )


def _span_hi(span: NP) -> str:
    """Spans of time keep the short plural before पहले and बाद: दो घंटे पहले, तीन दिन बाद."""
    return words(hindi.number(span.count), hindi.noun(span.entry, plural=True, oblique=False))


def weather(
    what: str, where: Phrase | None, time: Phrase | None, *, tense: str = "present", very: bool = False
) -> Phrase:
    """It is very cold in delhi today."""
    de, hi, gender = WEATHER[what]
    very = very and what != "sunny"
    empty = Phrase("", "", "")
    place, when = where or empty, time or empty
    en = words(english.be(NP("he"), tense), "very" if very else "", what)
    middle = words(when.de, place.de, "sehr" if very else "", de)
    sein = german.sein(NP("he"), tense)
    return Phrase(
        words("it", en, place.en, when.en),
        words("es", sein, middle, "sein" if tense == "future" else ""),
        words(when.hi, place.hi, "बहुत" if very else "", hi, hindi.hona(hindi.Agreement(gender), tense)),
    )


def rained(where: Phrase, time: Phrase) -> Phrase:
    return Phrase(
        words("it rained", where.en, time.en),
        words("es hat", time.de, where.de, "geregnet"),
        words(time.hi, where.hi, "बारिश हुई"),
    )


def will_rain(where: Phrase, time: Phrase) -> Phrase:
    return Phrase(
        words("it will rain", where.en, time.en),
        words("es wird", time.de, where.de, "regnen"),
        words(time.hi, where.hi, "बारिश होगी"),
    )


def day_is(day: str, weekday: int) -> Phrase:
    """Today is monday."""
    first, second = lexicon().phrase(day), WEEKDAYS[weekday]
    be = {"today": ("is", "ist", "है"), "tomorrow": ("is", "ist", "है"), "yesterday": ("was", "war", "था")}[day]
    return Phrase(
        words(first.en, be[0], second.en), words(first.de, be[1], second.de), words(first.hi, second.hi, be[2])
    )


def birthday(owner: NP, time: Phrase) -> Phrase:
    """My mother's birthday is on monday."""
    return Phrase(
        words(possessor_en(owner), "birthday is", time.en),
        words(german.noun_phrase(NP("birthday", "the", owner=owner)), "ist", time.de),
        words(hindi.noun_phrase(owner, "का"), "जन्मदिन", time.hi, "है"),
    )


def leaves(what: NP, verb: str, time: Phrase, *, ask: bool = False) -> Phrase:
    """The train leaves or arrives, the shop opens or closes at ..., and when does it."""
    de, particle, hi_noun, hi = {
        "leave": ("fährt", "ab", "", "चल"),
        "arrive": ("kommt", "an", "", "पहुँच"),
        "open": ("macht", "auf", "", "खुल"),
        "close": ("macht", "zu", "बंद", "हो"),
    }[verb]
    who = hindi.agreement(what)
    habitual = words(hindi.participle(hi, who), hindi.hona(who))
    en, subject = english.noun_phrase(what), german.noun_phrase(what)
    if ask:
        return Phrase(
            words("when does", en, verb, time.en),
            words("wann", de, subject, time.de, particle),
            words(hindi.noun_phrase(what), time.hi, "कब", hi_noun, habitual),
        )
    return Phrase(
        words(en, english.inflect(verb, "s"), time.en),
        words(subject, de, time.de, particle),
        words(hindi.noun_phrase(what), time.hi, hi_noun, habitual),
    )
