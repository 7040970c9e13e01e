"""From encoder states to text: search, what is checked of its result, and a second try where it failed.

The checks are OpenAI's (whisper/transcribe.py, Radford et al. 2022, section 4.5), with two differences that `Guards`
and `compression_ratio` explain.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import WhisperForConditionalGeneration

from speechxfer.models.whisper_search import Rows, loop_start, never, not_first, own_frames, search
from speechxfer.models.whisper_tokens import UNDETECTED, Segment, Tokens
from speechxfer.task import Decode, Guards

NO_FALLBACK = Guards(temperatures=())  # one search and no second: for scores while training


@dataclass(frozen=True)
class Decoded:
    """What was written of one row."""

    prefix: tuple[int, ...]  # what it was told, with the language that was found
    ids: tuple[int, ...]  # after the prefix, without the end; timestamps among them
    text: str
    segments: tuple[Segment, ...]  # where timestamps were asked for
    language: str | None  # code; None: a checkpoint of one language
    avg_logprob: float  # mean over the tokens of the text and its end, in nats
    no_speech: float  # probability that nothing is said
    temperature: float  # at which it was written
    compression_ratio: float
    looped: bool  # a loop was cut off
    n_best: tuple[tuple[str, float], ...] = ()  # (text, confidence), best first, where more than one was asked for

    @property
    def confidence(self) -> float:
        """0..1: geometric mean of the probabilities of the tokens."""
        return math.exp(self.avg_logprob)


@torch.no_grad()
def decode(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    states: torch.Tensor,
    lengths: torch.Tensor,
    prefixes: Sequence[Sequence[int]],
    settings: Decode,
    *,
    keys: Sequence[str] | None = None,
    audio: torch.Tensor | None = None,
) -> list[Decoded]:
    """The text of every row of encoder states, each of at most 30 s.

    states: (batch, frames, width), a frame being 0.02 s; lengths: (batch,) frames that exist; audio: (batch,) those of
    them that are of the recording, where silence was added to it. A prefix is `sot [language task] [notimestamps]`,
    with or without `<|startofprev|> text` before it; -1 in the place of the language has it found. Timestamps are
    written where the prefix does not rule them out, and never beyond the audio. keys: names of the rows, on which what
    is drawn hangs (by default on prefix and length). With `settings.temperature` the caller draws: there is no second
    try.
    """
    guards, audio = settings.guards, lengths if audio is None else audio
    named = zip(prefixes, lengths.tolist(), strict=True)
    names = [str((list(prefix), length)) for prefix, length in named] if keys is None else list(keys)
    rows = Rows(states, lengths, audio, _with_languages(net, tokens, states, lengths, prefixes), names)
    found = _attempt(net, tokens, rows, settings, settings.temperature)
    for temperature in () if settings.temperature else guards.temperatures:
        failed = [i for i, one in enumerate(found) if _fails(one, guards)]
        if not failed:
            break
        again = _attempt(net, tokens, rows.take(failed), settings, temperature)
        for i, one in zip(failed, again, strict=True):
            found[i] = max(found[i], one, key=lambda tried: (not _repeats(tried, guards), tried.avg_logprob))
    return [_silenced(one) if _silent(one, guards) else one for one in found]


@torch.no_grad()
def detect_language(
    net: WhisperForConditionalGeneration, tokens: Tokens, states: torch.Tensor, lengths: torch.Tensor
) -> list[str]:
    """The code of the likeliest language of each row: one step after <|startoftranscript|>."""
    codes = list(tokens.languages)
    start = torch.full((len(states), 1), tokens.start, device=states.device)
    with own_frames(net, states, lengths):
        hidden = net.model.decoder(input_ids=start, encoder_hidden_states=states, use_cache=False).last_hidden_state
    among = net.proj_out(hidden[:, -1])[:, [tokens.languages[code] for code in codes]]
    return [codes[i] for i in among.argmax(1).tolist()]


def compression_ratio(text: str) -> float:
    """How much smaller zlib makes a text, a character being one byte: the low one of its code point.

    OpenAI compresses UTF-8, of which this is the same for ASCII. But a letter of Devanagari is three bytes, two of them
    always alike, so that flawless Hindi of 300 characters stands at 2.4 and of 450 at 2.7, over the threshold; in
    characters it stands at 1.4 and 1.5, as English does (1.5 and 1.6), and one that says the same five times at 3.3,
    as English does.
    """
    found = bytes(ord(character) & 0xFF for character in text)
    return len(found) / len(zlib.compress(found))


def _with_languages(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    states: torch.Tensor,
    lengths: torch.Tensor,
    prefixes: Sequence[Sequence[int]],
) -> list[list[int]]:
    complete = [list(prefix) for prefix in prefixes]
    unknown = [i for i, prefix in enumerate(complete) if UNDETECTED in prefix]
    if unknown:
        for i, code in zip(unknown, detect_language(net, tokens, states[unknown], lengths[unknown]), strict=True):
            complete[i][complete[i].index(UNDETECTED)] = tokens.languages[code]
    return complete


def _attempt(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    rows: Rows,
    settings: Decode,
    temperature: float,
) -> list[Decoded]:
    """Every row at one temperature; those whose prefixes are alike in length and kind go through the search together.

    Padding prefixes on the left would do as well, but then a row's numbers would hang on its neighbours' prefixes.
    """
    alike = defaultdict(list)
    for i, prefix in enumerate(rows.prefixes):
        alike[len(prefix), tokens.no_timestamps not in prefix].append(i)
    found: dict[int, Decoded] = {}
    for (_, timed), index in alike.items():
        some = rows.take(index)
        each = settings.n_best
        copies = some.repeat(each) if each > 1 else some
        written = search(net, tokens, copies if temperature else some, settings, temperature, timed)
        judged = _judged(net, tokens, copies, written, temperature, settings.guards, timed)
        for place, i in enumerate(index):
            beam = judged[place * each : (place + 1) * each]
            if temperature:  # a beam comes best first, draws come as they come
                beam = sorted(beam, key=lambda drawn: -drawn.avg_logprob)
            n_best = tuple((one.text, one.confidence) for one in beam) if each > 1 else ()
            found[i] = replace(beam[0], n_best=n_best)
    return [found[i] for i in range(len(found))]


def _judged(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    rows: Rows,
    written: Sequence[list[int]],
    temperature: float,
    guards: Guards,
    timed: bool,
) -> list[Decoded]:
    """What was written, without its loop and its end, and how likely it is: one more pass, no scores are kept.

    Timestamps do not count: their probability is spread over neighbours that are as good.
    """
    targets, cut = [], []
    for ids in written:
        places = [i for i, token in enumerate(ids) if token not in tokens.controls]
        start = loop_start([ids[i] for i in places], guards)
        cut.append(start is not None)
        targets.append(ids if start is None else ids[: places[start - 1] + 1])
    inputs = [[*prefix, *ids][:-1] for prefix, ids in zip(rows.prefixes, targets, strict=True)]
    longest = max(map(len, inputs))
    padded = torch.tensor([ids + [tokens.end] * (longest - len(ids)) for ids in inputs], device=rows.states.device)
    with own_frames(net, rows.states, rows.lengths):
        decoder = net.model.decoder
        hidden = decoder(input_ids=padded, encoder_hidden_states=rows.states, use_cache=False).last_hidden_state
    nowhere, not_here, code_of = never(net, tokens, timed), not_first(net), {i: c for c, i in tokens.languages.items()}
    found = []
    for states, prefix, target, looped in zip(hidden, rows.prefixes, targets, cut, strict=True):  # large vocabularies
        start, begin = prefix.index(tokens.start), len(prefix)
        logits = net.proj_out(states[begin - 1 : begin - 1 + len(target)]).float()
        logits[:, nowhere] = -math.inf
        logits[0, not_here] = -math.inf
        ids = torch.tensor(target, device=logits.device)
        log_probs = logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
        counted = torch.tensor([tokens.seconds(i) is None for i in target], device=logits.device)
        likely = log_probs[counted].mean() if bool(counted.any()) else log_probs.mean()
        silence = net.proj_out(states[start]).float().softmax(-1)
        kept = [i for i in target if i != tokens.end]
        text = tokens.decode(kept)
        found.append(
            Decoded(
                prefix=tuple(prefix),
                ids=tuple(kept),
                text=text,
                segments=tuple(tokens.segments(kept)) if timed else (),
                language=next((code_of[i] for i in prefix[start:] if i in code_of), None),
                avg_logprob=float(likely),
                no_speech=float(silence[tokens.no_speech]) if tokens.no_speech is not None else 0.0,
                temperature=temperature,
                compression_ratio=compression_ratio(text),
                looped=looped,
            )
        )
    return found


def _repeats(one: Decoded, guards: Guards) -> bool:
    return one.looped or one.compression_ratio > guards.compression_ratio


def _silent(one: Decoded, guards: Guards) -> bool:
    return one.no_speech > guards.no_speech and one.avg_logprob < guards.avg_logprob


def _fails(one: Decoded, guards: Guards) -> bool:
    return not _silent(one, guards) and (_repeats(one, guards) or one.avg_logprob < guards.avg_logprob)


def _silenced(one: Decoded) -> Decoded:
    n_best = tuple(("", confidence) for _, confidence in one.n_best)
    return replace(one, ids=(), text="", segments=(), compression_ratio=compression_ratio(""), n_best=n_best)
