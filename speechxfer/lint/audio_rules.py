"""Rules about audio, each a question about the columns of `Sound`.

What differs from language to language and from speaker to speaker (the rate of speech) is judged against the others of
the set; what does not (clipping, silence, a narrow band) by a sign that clean speech never shows, however quiet, short
or compressed it is. Rows marked `"group": {"speech": "no"}` may be silent, and no rate of speech is expected of them.
"""

import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechxfer import audio
from speechxfer.columns import floats
from speechxfer.lint.rules import Found, Rule, Subject
from speechxfer.lint.sound import Sound
from speechxfer.lint.texts import chunks, nonspeech
from speechxfer.lint.texts import clipped as quoted
from speechxfer.problems import PIECE_TOLERANCE

# What `speechxfer.audio` says -> the rule that tells it; the first that fits. Anything else is not audio.
PROBLEMS = (
    ("no such file", "audio-missing"),
    ("empty (0 bytes)", "audio-empty"),
    ("holds no samples", "audio-empty"),
    ("truncated", "audio-truncated"),
    ("the piece ", "audio-piece"),
    ("expected 0 <= start", "audio-piece"),
    ("channels that differ", "audio-channels"),
    ("has no channel", "audio-channels"),
)
SECONDS_SHARE = 0.01  # of a length, beside PIECE_TOLERANCE: compressed files round, and drift
SPEECH_SHARE = 0.05  # of a recording; with less it is nearly all silent
CLIPPED = 0.001  # share of samples; 3 dB too loud gives 0.001 to 0.003, clean speech of any coding at most 0.0007
OFFSET, OFFSET_SHARE = 0.003, 0.1  # of full scale (100 steps of 16 bits), and of the level (RMS)
NARROW = 0.75  # of the band that there could be: 8 and 11 kHz brought up to 16 kHz lie below it
USUAL_RATE = 16_000  # samples a second, of a model that was not named
RATE_ROWS = 30  # of a language, to know how fast it is spoken
RATE_FACTOR = 2.5  # times the median rate, or
RATE_SPREADS = 5.0  # standard deviations of the set's own rates (as logarithms), whichever is more
RATE_LETTERS = 10  # that do not count: a syllable more or less is a large factor in one word
SEVERAL = 1.4826  # standard deviations of a normal distribution in its median absolute deviation


def by_row(check: Callable[[Subject, Sound], tuple[np.ndarray, Callable[[int], str]]]) -> Callable:
    """A rule from a question about every row: which ones [n] bool, and the words for one of them."""

    def rule(subject: Subject) -> Iterator[Found]:
        if subject.sound is not None:
            yield from found(subject, *check(subject, subject.sound))

    rule.__doc__ = check.__doc__
    return rule


def found(subject: Subject, wrong: np.ndarray, words: Callable[[int], str]) -> Iterator[Found]:
    rows = np.flatnonzero(wrong)
    if len(rows):
        yield Found(subject, rows, lambda place: words(int(rows[place])))


def unreadable(name: str) -> Callable[[Subject], Iterable[Found]]:
    """The rule that tells one kind of what the decoder refused: every such row belongs to exactly one of them."""

    def check(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
        wrong = sound.problem != ""
        wrong[wrong] = [kind(problem) == name for problem in sound.problem[wrong]]
        names = subject.manifest.column("audio")
        return wrong, lambda row: f"{names[row].as_py()}: {sound.problem[row]}"

    return by_row(check)


def kind(problem: str) -> str:
    """The rule that a refusal belongs to."""
    return next((name for words, name in PROBLEMS if words in problem), "audio-undecodable")


def missing(subject: Subject) -> Iterator[Found]:
    """Needs no decoding, so it is asked before training too."""
    names = subject.manifest.column("audio")
    if subject.sound is not None:
        return (yield from unreadable("audio-missing")(subject))
    folder = subject.manifest.folder
    gone = [name for name in pc.unique(names).drop_null().to_pylist() if not os.path.exists(folder / name)]
    wrong = pc.is_in(names, pa.array(gone, pa.string())).to_numpy()
    yield from found(subject, wrong, lambda row: f"{names[row].as_py()}: no such file; expected it below {folder}")


@by_row
def other_length(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    stated = floats(subject.manifest.column("seconds"))
    wrong = np.abs(stated - sound.seconds) > np.maximum(PIECE_TOLERANCE, SECONDS_SHARE * sound.seconds)
    return wrong, lambda row: f"seconds is {stated[row]:g}; expected {sound.seconds[row]:.3f}, as decoded"


@by_row
def silent(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    def words(row: int) -> str:
        return f"no sample is above {audio.SILENT_PEAK:g} in {sound.seconds[row]:.2f} s; expected sound"

    return (sound.peak < audio.SILENT_PEAK) & ~nonspeech(subject.manifest), words


@by_row
def no_speech(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    little = (sound.speech < SPEECH_SHARE * sound.seconds) & (sound.peak >= audio.SILENT_PEAK)

    def words(row: int) -> str:
        level = 20 * np.log10(sound.rms[row])
        heard = f"{sound.speech[row]:.2f} of {sound.seconds[row]:.2f} s stand out from the rest (at {level:.0f} dB)"
        return f"{heard}; expected speech in at least {SPEECH_SHARE:.0%}"

    return little & ~nonspeech(subject.manifest), words


@by_row
def clipped(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    def words(row: int) -> str:
        return (
            f"{sound.clipped[row]:.2%} of the samples stand in rows at the peak of {sound.peak[row]:.3f}; expected none"
        )

    return sound.clipped > CLIPPED, words


@by_row
def offset(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    far = np.abs(sound.offset) > np.maximum(OFFSET, OFFSET_SHARE * sound.rms)
    return far, lambda row: f"the mean is {sound.offset[row]:+.4f} at a level of {sound.rms[row]:.4f}; expected 0"


@by_row
def low_rate(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    rate = (subject.limits and subject.limits.rate) or 0
    low = (sound.rate > 0) & (sound.rate < rate)
    return low, lambda row: f"{sound.rate[row]} samples a second; expected the {rate} of the model, or more"


def mixed_rates(subject: Subject) -> Iterator[Found]:
    """Of what is not below the model's rate already."""
    if subject.sound is None:
        return
    rate = (subject.limits and subject.limits.rate) or 1
    rates, counts = np.unique(subject.sound.rate[subject.sound.rate >= rate], return_counts=True)
    if len(rates) > 1:
        each = ", ".join(f"{count:,} at {rate}" for rate, count in zip(rates, counts, strict=True))
        yield Found(subject, None, lambda place: f"recordings of several rates: {each} samples a second; expected one")


@by_row
def narrow(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    """What a low rate explains is not told again."""
    rate = np.minimum(sound.rate, (subject.limits and subject.limits.rate) or USUAL_RATE)
    cut = (sound.rate > 0) & (sound.bandwidth < NARROW * rate / 2)

    def words(row: int) -> str:
        whole = f"expected up to {rate[row] / 2:g} at {sound.rate[row]} samples a second"
        return f"cut off at {sound.bandwidth[row]:.0f} Hz; {whole}"

    return cut, words


def too_long(subject: Subject) -> Iterator[Found]:
    """By what the manifest states where nothing was decoded."""
    most = subject.limits and subject.limits.seconds
    seconds = floats(subject.manifest.column("seconds")) if subject.sound is None else subject.sound.seconds
    if most:
        yield from found(
            subject, seconds > most, lambda row: f"{seconds[row]:.2f} s; expected at most the {most:g} of the model"
        )


@by_row
def text_long(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    count, usual, factor = speech_rate(subject, sound)
    return count > factor * usual + RATE_LETTERS, letters_for_seconds(sound, count, usual)


@by_row
def text_short(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    count, usual, factor = speech_rate(subject, sound)
    return usual > factor * (count + RATE_LETTERS), letters_for_seconds(sound, count, usual)


def letters_for_seconds(sound: Sound, count: np.ndarray, usual: np.ndarray) -> Callable[[int], str]:
    def words(row: int) -> str:
        heard = f"{count[row]} letters for {sound.speech[row]:.2f} s of speech"
        return f"{heard}; expected about {usual[row]:.0f} at the rate of the set"

    return words


def speech_rate(subject: Subject, sound: Sound) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letters [n], those that the seconds have room for at the median rate of the language [n], and the factor [n] by
    which a row of this set may differ.

    NaN where there is no speech, no text, or no crowd to compare with. Rates are compared as logarithms, and their
    spread comes from the median absolute deviation, which the outliers themselves do not move. It is the set's own:
    one of slow children and quick students is wide, one reader is narrow.
    """
    manifest = subject.manifest
    count = letters(manifest.column("text"))
    usual, factor = np.full(len(count), np.nan), np.full(len(count), np.nan)
    judged = (sound.speech > 0) & (count > 0) & ~nonspeech(manifest)
    langs = pc.fill_null(manifest.column("lang"), "").combine_chunks().dictionary_encode()
    for lang in range(len(langs.dictionary)):
        rows = np.flatnonzero(judged & (langs.indices.to_numpy() == lang))
        if len(rows) < RATE_ROWS:
            continue
        rate = np.log(count[rows] / sound.speech[rows])
        spread = SEVERAL * np.median(np.abs(rate - np.median(rate)))
        usual[rows] = np.exp(np.median(rate)) * sound.speech[rows]
        factor[rows] = max(RATE_FACTOR, np.exp(RATE_SPREADS * spread))
    return count, usual, factor


def letters(column: pa.ChunkedArray) -> np.ndarray:
    """[n] int: characters that are neither space nor punctuation."""
    counts = [
        pc.utf8_length(pc.replace_substring_regex(part, r"[\s\pP]+", "")).to_numpy() for _, part in chunks(column)
    ]
    return np.concatenate(counts) if counts else np.zeros(0, int)


@by_row
def repeated(subject: Subject, sound: Sound) -> tuple[np.ndarray, Callable[[int], str]]:
    """All but the first of equal samples; silence is no recording that could be repeated."""
    manifest = subject.manifest
    heard = np.flatnonzero(sound.peak >= audio.SILENT_PEAK)
    _, first, which = np.unique(sound.digest[heard], return_index=True, return_inverse=True)
    original = np.arange(len(manifest))
    original[heard] = heard[first[which]]
    texts = manifest.column("text")

    def words(row: int) -> str:
        same = f"the same samples as {manifest.where(original[row])}"
        text, other = texts[row].as_py(), texts[original[row]].as_py()
        return same if text == other else f"{same}, whose text is another: {quoted(other or '')}"

    return original < np.arange(len(manifest)), words


RULES = (
    Rule(
        "audio-missing",
        "error",
        "an audio file does not exist",
        "put it there, or mend the path: paths are relative to the manifest's folder",
        missing,
    ),
    Rule(
        "audio-empty",
        "error",
        "an audio file has no bytes, or no samples",
        "fetch or convert it again",
        unreadable("audio-empty"),
    ),
    Rule(
        "audio-truncated",
        "error",
        "an audio file is shorter than its header promises, or damaged",
        "fetch it again: the text goes on where the audio has ended",
        unreadable("audio-truncated"),
    ),
    Rule(
        "audio-undecodable",
        "error",
        "a file is not audio, or of an unknown kind, or its samples are not finite",
        "convert it to WAV or FLAC",
        unreadable("audio-undecodable"),
    ),
    Rule(
        "audio-piece",
        "error",
        "a piece (`start` to `end`) lies outside its file",
        "mend the times, which are seconds from the beginning of the file; or the file is another version",
        unreadable("audio-piece"),
    ),
    Rule(
        "audio-channels",
        "error",
        "a file has channels that differ and the row does not say which one, or one that the file lacks",
        'add `"channel": 0` (the first): two channels may be two speakers, and their average is nobody',
        unreadable("audio-channels"),
    ),
    Rule(
        "audio-silent",
        "error",
        "a recording is silent: all samples are zero, or nearly",
        'leave it out; where nothing is to be heard, mark the row `"group": {"speech": "no"}`',
        silent,
    ),
    Rule(
        "audio-too-long",
        "error",
        "a recording is longer than the model takes",
        "cut it with `start` and `end`: the model never hears the rest, but is asked for its text",
        too_long,
    ),
    Rule(
        "audio-seconds",
        "warning",
        "`seconds` is not how long the audio is",
        "leave it out, and it is read from the file; or the file is another version. Batches are planned by it",
        other_length,
    ),
    Rule(
        "audio-no-speech",
        "warning",
        "a recording is nearly all silence, hum or hiss",
        'listen to it; leave it out, cut it with `start` and `end`, or mark the row `"group": {"speech": "no"}`',
        no_speech,
    ),
    Rule(
        "audio-clipped",
        "warning",
        "a recording was too loud for its recorder: its peaks are cut flat",
        "record again with less gain; turning it down now does not bring the peaks back",
        clipped,
    ),
    Rule(
        "audio-narrow",
        "warning",
        "a recording holds less of the spectrum than its rate promises: 8 kHz content in a 16 kHz file",
        "find the original, or do to the other sets what was done to it (telephone_prob in Perturb): above the edge"
        " there is nothing to learn from",
        narrow,
    ),
    Rule(
        "audio-rate",
        "warning",
        "a recording has a lower sampling rate than the model",
        "find the original: brought up to the model's rate, the upper part of the spectrum stays empty",
        low_rate,
    ),
    Rule(
        "audio-text-long",
        "warning",
        "a text is far too long for the seconds of speech",
        "listen to it: a text of another recording, or a recording that was cut. Compared with the set's own rate",
        text_long,
    ),
    Rule(
        "audio-text-short",
        "warning",
        "a text is far too short for the seconds of speech",
        "listen to it: words left out, a text of another recording, or noise. Compared with the set's own rate",
        text_short,
    ),
    Rule(
        "audio-repeated",
        "warning",
        "two rows have the same samples",
        "keep one; where the texts differ, at least one is wrong",
        repeated,
    ),
    Rule(
        "audio-offset",
        "note",
        "the samples do not lie around zero (DC offset)",
        "subtract the mean: joined or padded recordings click, and levels come out too high",
        offset,
    ),
    Rule(
        "audio-rates",
        "note",
        "a set mixes sampling rates",
        "nothing, as long as each is the model's or more; a model can learn to tell sources by what resampling leaves",
        mixed_rates,
    ),
)
