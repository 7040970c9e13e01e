"""Rules about texts by themselves, on both sides of parallel text. No model is needed, but one that is known counts:
what its normaliser mends before training sees it (a decomposed letter, a zero-width space) is not reported.
"""

import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex

from speechxfer.lint import patterns
from speechxfer.lint.homoglyphs import MIXED, odd_word
from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.scripts import dominant, expected, is_prose, scripts
from speechxfer.lint.texts import blank, chunks, clipped, fingerprints, matching, named, nonspeech, sides, taken

Span = tuple[int, int]

USUAL = 0.5  # share of a set's rows from which on digits are its custom
REPEATED_ROWS, REPEATED_SHARE, REPEATED_TIMES = 20, 0.01, 20  # times: of how often the median text stands in the set


def text_empty(subject: Subject) -> Iterator[Found]:
    column = subject.manifest.column("text")
    if column.null_count == len(column):
        yield Found(subject, None, lambda _: "no row has a text; expected one in every row")
        return
    rows = np.flatnonzero(blank(column) & ~nonspeech(subject.manifest))
    yield Found(subject, rows, lambda _: 'no text; expected one, or "group": {"speech": "no"} where nobody speaks')


def text_nonspeech(subject: Subject) -> Iterator[Found]:
    column = subject.manifest.column("text")
    rows = np.flatnonzero(nonspeech(subject.manifest) & ~blank(column))
    yield Found(
        subject, rows, lambda i: f"marked as without speech, but the text is {clipped(column[rows[i]].as_py())}"
    )


def text_mixed_scripts(subject: Subject) -> Iterator[Found]:
    def describe(text: str, span: Span) -> str:
        word = text[slice(*span)]
        found = " and ".join(sorted({unicodedata.name(c).split()[0].capitalize() for c in word if c.isalpha()}))
        return f"{word!r} is written in {found} letters at once"

    yield from _search(subject, MIXED, odd_word, describe, mended=False)


def text_not_nfc(subject: Subject) -> Iterator[Found]:
    def describe(text: str) -> str:
        word = next(w for w in text.split() if not unicodedata.is_normalized("NFC", w))
        points = [" ".join(f"{ord(c):04X}" for c in w) for w in (word, unicodedata.normalize("NFC", word))]
        return f"{word!r} is U+{points[0]}; NFC writes U+{points[1]}"

    for side, column in sides(subject.manifest).items():
        seen, found = _seen(subject, side), [np.zeros(0, np.int64)]
        for first, texts in chunks(column):
            places = np.flatnonzero(~pc.string_is_ascii(texts).to_numpy(zero_copy_only=False))
            odd = (not unicodedata.is_normalized("NFC", text) for text in texts.take(pa.array(places)).to_pylist())
            places = places[np.fromiter(odd, bool, len(places))]
            kept = [not unicodedata.is_normalized("NFC", seen(texts[int(place)].as_py())) for place in places]
            found.append(first + places[np.array(kept, bool)])
        rows = np.concatenate(found)
        yield Found(subject, rows, lambda i, c=column, r=rows, s=side: f"{s}: {describe(c[r[i]].as_py())}")


def text_stray_marks(subject: Subject) -> Iterator[Found]:
    compiled = regex.compile(patterns.STRAY_MARK)

    def where(text: str) -> Span | None:
        return _span(compiled, unicodedata.normalize("NFC", text))  # two-part vowel signs are one in NFC

    def describe(text: str, span: Span) -> str:
        return f"{_word(unicodedata.normalize('NFC', text), span)!r} has a mark that no letter carries"

    yield from _search(subject, patterns.STRAY_MARK, where, describe)


def text_lookalikes(subject: Subject) -> Iterator[Found]:
    compiled = regex.compile(patterns.LOOKALIKE)

    def describe(text: str, span: Span) -> str:
        meant = "a colon for the visarga" if ":" in text[slice(*span)] else "a bar for the danda"
        return f"{clipped(text, *span)} has {meant}"

    yield from _search(subject, patterns.LOOKALIKE, lambda text: _span(compiled, text), describe, mended=False)


def text_stray_joiners(subject: Subject) -> Iterator[Found]:
    compiled = regex.compile(patterns.STRAY_JOINER)

    def describe(text: str, span: Span) -> str:
        joiner = next(c for c in text[slice(*span)] if c in "\u200c\u200d")
        return f"{named(joiner)} in {_word(text, span)!r}, where it joins nothing"

    yield from _search(subject, patterns.STRAY_JOINER, lambda text: _span(compiled, text), describe)


def text_invisible(subject: Subject) -> Iterator[Found]:
    compiled, spaceless = regex.compile(patterns.INVISIBLE), regex.compile(patterns.SPACELESS)
    right_to_left = regex.compile(patterns.RIGHT_TO_LEFT)

    def where(text: str) -> Span | None:
        for match in compiled.finditer(text):
            start, end = match.span()
            breaks_words = match[0] == "\u200b" and spaceless.search(text[max(start - 1, 0) : end + 1])
            turns = match[0] in patterns.DIRECTIONS and right_to_left.search(text)
            if not breaks_words and not turns:
                return start, end
        return None

    yield from _search(
        subject,
        patterns.INVISIBLE,
        where,
        lambda text, span: f"{named(text[span[0]])} in {clipped(text, *span)}",
    )


def text_mojibake(subject: Subject) -> Iterator[Found]:
    from ftfy import fix_encoding

    pattern = f"{patterns.MOJIBAKE}|{patterns.LOST}"
    compiled, lost = regex.compile(pattern), regex.compile(patterns.LOST)

    def where(text: str) -> Span | None:
        garbled = "\ufffd" in text or lost.search(text) or fix_encoding(text) != text
        return _span(compiled, text) if garbled else None

    def describe(text: str, span: Span) -> str:
        mended = fix_encoding(text)
        meant = f"; it was {clipped(mended, *span)}" if mended != text and "\ufffd" not in mended else ""
        return f"{clipped(text, *span)} was read in a wrong encoding{meant}"

    yield from _search(subject, pattern, where, describe, mended=False)


def text_unspoken(subject: Subject) -> Iterator[Found]:
    manifest = subject.manifest
    column, heard = manifest.column("text"), manifest.column("audio").is_valid().to_numpy()
    rows = matching(column, patterns.UNSPOKEN)
    rows = rows[heard[rows]]
    if not 0 < len(rows) < USUAL * heard.sum():
        return
    compiled, tag = regex.compile(patterns.UNSPOKEN), regex.compile(patterns.TAG)
    rows = rows[np.array([bool(compiled.search(tag.sub(" ", text))) for text in taken(column, rows)], bool)]

    def message(i: int) -> str:
        written = ", ".join(dict.fromkeys(compiled.findall(tag.sub(" ", column[rows[i]].as_py()))))
        return (
            f"{written} as it is not spoken; {len(rows)} of {heard.sum()} rows have digits or symbols, the others none"
        )

    yield Found(subject, rows, message)


def text_markup(subject: Subject) -> Iterator[Found]:
    audio = subject.manifest.column("audio")
    pattern = patterns.MARKUP if audio.null_count == len(audio) else patterns.SPOKEN_MARKUP
    compiled = regex.compile(pattern)
    yield from _search(
        subject,
        pattern,
        lambda text: _span(compiled, text),
        lambda text, span: f"{text[slice(*span)]!r} in {clipped(text, *span)}",
        mended=False,
    )


def text_spaces(subject: Subject) -> Iterator[Found]:
    compiled = regex.compile(patterns.SPACES)

    def where(text: str) -> Span | None:
        return _span(compiled, text) if text.strip() else None  # the others are empty

    yield from _search(
        subject,
        patterns.SPACES,
        where,
        lambda text, span: f"spaces at an edge, two in a row, or a line end: {clipped(text, *span)}",
    )


def text_repeated(subject: Subject) -> Iterator[Found]:
    if subject.name != "train":
        return
    column = subject.manifest.column("text")
    empty = blank(column)
    prints = fingerprints(column)[~empty]
    distinct, times = np.unique(prints, return_counts=True)
    if not len(times):
        return
    least = max(REPEATED_ROWS, REPEATED_SHARE * len(prints), REPEATED_TIMES * np.median(times))
    for place in np.argsort(-times, kind="stable"):
        if times[place] < least:
            return
        rows = np.flatnonzero(~empty)[prints == distinct[place]]
        message = f"{clipped(column[rows[0]].as_py())} is the text of {len(rows)} of {len(column)} rows"
        yield Found(subject, rows, lambda _, message=message: message)


def text_wrong_script(subject: Subject) -> Iterator[Found]:
    column, langs = subject.manifest.column("text"), subject.manifest.column("lang")
    known = {lang: expected(lang) for lang in pc.unique(langs).to_pylist() if lang is not None and expected(lang)}
    if not known:
        return
    written = dominant(column)
    for lang, right in known.items():
        wrong = [number for number, name in enumerate(scripts().names) if number and name not in right]
        rows = np.flatnonzero(pc.fill_null(pc.equal(langs, lang), False).to_numpy() & np.isin(written, wrong))
        names = [scripts().names[number] for number in written[rows]]
        prose = [is_prose(text, name) for text, name in zip(taken(column, rows), names, strict=True)]
        rows = rows[np.array(prose, bool)]

        def message(i: int, rows=rows, lang=lang, right=right) -> str:
            found = scripts().names[written[rows[i]]]
            return f"{clipped(column[rows[i]].as_py())} is in {found}; expected {' or '.join(sorted(right))} of {lang}"

        yield Found(subject, rows, message)


def _search(
    subject: Subject,
    pattern: str,
    where: Callable[[str], Span | None],
    describe: Callable[[str, Span], str],
    mended: bool = True,
) -> Iterator[Found]:
    """Rows of both sides that the pattern finds and in which `where` then finds something, too.

    `mended`: what the model's normaliser takes away is not reported.
    """
    for side, column in sides(subject.manifest).items():
        rows = matching(column, pattern)
        seen = _seen(subject, side) if mended else str
        rows = rows[
            np.array([where(text) is not None and where(seen(text)) is not None for text in taken(column, rows)], bool)
        ]

        def message(i: int, rows=rows, side=side, column=column) -> str:
            text = column[rows[i]].as_py()
            return f"{side}: {describe(text, where(text))}"

        yield Found(subject, rows, message)


def _seen(subject: Subject, side: str) -> Callable[[str], str]:
    """What training makes of a text before it is cut into labels."""
    return subject.limits.normalised if subject.limits and side == "text" else str


def _span(compiled: regex.Pattern, text: str) -> Span | None:
    found = compiled.search(text)
    return found and found.span()


def _word(text: str, span: Span) -> str:
    """The word around a span."""
    start, end = span
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return text[text.rfind(" ", 0, start) + 1 :].partition(" ")[0]


RULES = (
    Rule(
        "text-empty",
        "error",
        "a row has no text",
        "write what is said, or leave the row out. A recording without speech, which teaches a model not to invent"
        ' text, is marked "group": {"speech": "no"}.',
        text_empty,
    ),
    Rule(
        "text-nonspeech",
        "error",
        "a row that is marked as without speech has a text",
        'empty the text, or take the mark "group": {"speech": "no"} away',
        text_nonspeech,
    ),
    Rule(
        "text-mojibake",
        "warning",
        "letters were lost or garbled by a wrong encoding",
        "read the original again as UTF-8, or as what it is in; U+FFFD and question marks cannot be mended afterwards",
        text_mojibake,
    ),
    Rule(
        "text-mixed-scripts",
        "warning",
        "a word is written in letters of two scripts, some of which look alike",
        "write the word in one script: a letter that only looks right is another label, and an error of every score",
        text_mixed_scripts,
    ),
    Rule(
        "text-wrong-script",
        "warning",
        "a text is in another script than its `lang` is written in",
        "mend the lang or the text. Romanised text is a language of its own to a model: transliterate it, or mark it"
        " (hi-Latn)",
        text_wrong_script,
    ),
    Rule(
        "text-not-nfc",
        "warning",
        "a text is not in Unicode's composed form (NFC): the same letters with other code points",
        "write the set in NFC. All normalisers but `none` do so, but other tools that read the set may not",
        text_not_nfc,
    ),
    Rule(
        "text-stray-marks",
        "warning",
        "a vowel sign or another mark stands where no letter carries it",
        "mend the spelling: most such words were typed or cut wrongly, and look right in some fonts",
        text_stray_marks,
    ),
    Rule(
        "text-lookalikes",
        "note",
        "a colon stands for the visarga inside a word, or a bar for the danda",
        "write U+0903 (or your script's visarga) and U+0964: normalisers cut the word in two at a colon",
        text_lookalikes,
    ),
    Rule(
        "text-stray-joiners",
        "warning",
        "a zero-width joiner or non-joiner stands where it joins nothing",
        "take it out; the normalisers `basic` and `english` do, and `indic` does at the edges of words",
        text_stray_joiners,
    ),
    Rule(
        "text-invisible",
        "warning",
        "a text holds characters that cannot be seen: controls, spaces of no width, marks of direction, a soft hyphen",
        "take them out; every normaliser but `none` and `nfc` does",
        text_invisible,
    ),
    Rule(
        "text-markup",
        "warning",
        "a text holds markup, HTML, or notes of the transcriber, which nobody says",
        "take them out, or leave the row out where words are missing; else the model learns to write them",
        text_markup,
    ),
    Rule(
        "text-unspoken",
        "warning",
        "a transcript holds digits, symbols or an address, in a set that otherwise writes words as they are spoken",
        "write them as they are spoken: `5 %` may be five per cent or fünf Prozent, and no audio tells which label to"
        " learn",
        text_unspoken,
    ),
    Rule(
        "text-repeated",
        "note",
        "one text stands in the training set far more often than others",
        "keep some of its rows: the model learns to say it, whatever it hears",
        text_repeated,
    ),
    Rule(
        "text-spaces",
        "note",
        "a text has spaces at its edges, several in a row, or a line end",
        "write single spaces; `basic` and the normalisers built on it do",
        text_spaces,
    ),
)
