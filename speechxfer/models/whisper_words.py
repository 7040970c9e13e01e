"""When each word was said, from where the decoder looked: cross-attention and dynamic time warping.

OpenAI's method (whisper/timing.py): the weights of the attention heads that follow speech are normalised, smoothed and
averaged, and the cheapest monotone path through tokens and frames tells when each token begins. Queries and keys are
captured as they are projected, so that the model keeps its fast attention. The warping is our own: librosa's takes
half a minute the first time, while numba compiles it.
"""

import codecs
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import regex
import torch
from torch import nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration
from transformers.convert_slow_tokenizer import bytes_to_unicode

from speechxfer.models.whisper_decode import Decoded
from speechxfer.models.whisper_search import own_frames
from speechxfer.models.whisper_tokens import UNSPACED, Tokens

FRAME = 0.02  # seconds of an encoder state
WIDTH = 7  # frames of the median filter, as OpenAI has it

Word = tuple[str, float, float]  # with its start and end, seconds

_BYTE = {letter: byte for byte, letter in bytes_to_unicode().items()}  # what byte-level pieces are spelt with
_SPACED = regex.compile(r"\S+")
_UNSPACED = regex.compile(r"(?:[\p{Latin}\p{N}]+|(?!\s)\X)\p{P}*")  # characters, as readers see them
_SAID = regex.compile(r"[\p{L}\p{M}\p{N}\p{S}]")


@torch.no_grad()
def word_times(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    states: torch.Tensor,
    lengths: torch.Tensor,
    written: Sequence[Decoded],
    audio: torch.Tensor | None = None,
) -> list[tuple[Word, ...]]:
    """The words of what was written of each row, with their times in seconds: monotone, and within the audio.

    states: (batch, frames, width); lengths: (batch,) frames that exist; audio: (batch,) those of them that are of the
    recording, where silence was added to it. One more pass of the decoder, and the attention of each row by itself.
    """
    ends = (lengths if audio is None else audio).tolist()
    texts = [[i for i in one.ids if i not in tokens.controls] for one in written]
    asked = [i for i, text in enumerate(texts) if text]
    found: list[tuple[Word, ...]] = [()] * len(texts)
    if not asked:
        return found
    told = [_told(tokens, written[i]) for i in asked]
    # the end is an input as well, where there is room: its row of attention counts in the normalisation
    most = net.config.max_target_positions
    inputs = [[*before, *texts[i], tokens.end][:most] for before, i in zip(told, asked, strict=True)]
    longest = max(map(len, inputs))
    padded = torch.tensor([ids + [tokens.end] * (longest - len(ids)) for ids in inputs], device=states.device)
    heads = alignment_heads(net)
    with own_frames(net, states[asked], lengths[asked]), _projections(net, heads) as seen:
        net.model.decoder(input_ids=padded, encoder_hidden_states=states[asked], use_cache=False)
    for row, i in enumerate(asked):
        queries = {layer: pair[0][row, : len(inputs[row])] for layer, pair in seen.items()}
        keys = {layer: pair[1][row, : ends[i]] for layer, pair in seen.items()}
        matrix = attention_matrix(net, heads, queries, keys)
        begin = len(told[row]) - 1  # what writes the first token of the text; what writes the end is the last row
        starts = token_starts(matrix[begin : begin + len(texts[i]) + 1])
        found[i] = words_of(tokens, texts[i], written[i].language, starts)
    return found


def alignment_heads(net: WhisperForConditionalGeneration) -> dict[int, list[int]]:
    """The heads that follow speech, by layer: the checkpoint's own, else all of the upper half of the decoder."""
    known = getattr(net.generation_config, "alignment_heads", None)
    layers, each = net.config.decoder_layers, net.config.decoder_attention_heads
    default = {layer: list(range(each)) for layer in range(layers // 2, layers)}
    if not known:
        return default
    heads: dict[int, list[int]] = defaultdict(list)
    for layer, head in known:
        if layer < layers and head < each:  # a distilled checkpoint may name its teacher's
            heads[layer].append(head)
    return dict(heads) or default


def attention_matrix(
    net: WhisperForConditionalGeneration,
    heads: dict[int, list[int]],
    queries: dict[int, torch.Tensor],
    keys: dict[int, torch.Tensor],
) -> np.ndarray:
    """How much each token looks at each frame, (tokens, frames), compared with the other tokens; the mean of the heads.

    queries: (tokens, width) and keys: (frames, width) of each layer that has such heads.
    """
    each = net.config.decoder_attention_heads
    total = 0.0
    for layer, chosen in heads.items():
        query, key = (one[layer].float().unflatten(-1, (each, -1)).transpose(0, 1)[chosen] for one in (queries, keys))
        weights = (query @ key.transpose(1, 2) * query.shape[-1] ** -0.5).softmax(-1)
        deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
        weights = (weights - mean) / deviation.clamp_min(1e-12)
        total = total + _median(weights).sum(0)
    return (total / sum(map(len, heads.values()))).cpu().numpy()


def token_starts(matrix: np.ndarray) -> np.ndarray:
    """(tokens,) the frame at which each token begins, on the monotone path through (tokens, frames) with most weight.

    Dynamic time warping with steps to the next token, the next frame, or both. A row of the table of costs is one
    expression: cost[j] = x[j] + min(above[j], cost[j - 1]) with running sums s of x is s[j] + min over k <= j of
    (above[k] - s[k - 1]).
    """
    rows, frames = matrix.shape
    cost = np.full((rows + 1, frames + 1), np.inf)
    cost[0, 0] = 0
    for i, gain in enumerate(matrix.astype(np.float64), 1):
        above = np.minimum(cost[i - 1, :-1], cost[i - 1, 1:])
        sums = np.cumsum(-gain)
        cost[i, 1:] = sums + np.minimum.accumulate(above - sums - gain)  # sums + gain: the sum before this frame
    starts = np.zeros(rows, dtype=np.int64)
    i, j = rows, frames
    while i > 0:
        starts[i - 1] = j - 1
        both, token, frame = cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1]
        if both <= token and both <= frame:
            i, j = i - 1, j - 1
        elif token <= frame:
            i -= 1
        else:
            j -= 1
    return starts


def words_of(tokens: Tokens, ids: Sequence[int], language: str | None, starts: np.ndarray) -> tuple[Word, ...]:
    """The words of ids that begin at these frames, (tokens + 1,), the last being where the text ends.

    Words are what stands between spaces, with its punctuation; characters in languages that write none. A word lasts
    from its first letter to its last: the pause is the punctuation's.
    """
    letters = spelt(tokens, ids)
    text = "".join(letter.text for letter in letters)
    found = []
    for match in (_UNSPACED if language in UNSPACED else _SPACED).finditer(text):
        span = letters[match.start() : match.end()]
        said = [letter for letter in span if _SAID.match(letter.text)] or span
        start, end = np.interp([said[0].start, said[-1].end], np.arange(len(starts)), starts) * FRAME
        found.append((match[0], round(float(start), 2), round(float(end), 2)))
    return tuple(found)


@dataclass(frozen=True)
class Letter:
    """A code point, and where it stands, in tokens: from 2.5 to 4 is half of the third one and all of the fourth."""

    text: str
    start: float
    end: float


def spelt(tokens: Tokens, ids: Sequence[int]) -> list[Letter]:
    """The text of ids by code points, one beginning where the other ends or later; spaces take no room.

    A token may be a part of a letter, or several letters, which share it evenly. Bytes that are no UTF-8 become U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    added = tokens.tokenizer.get_added_tokens_decoder()
    letters, unfinished, begun = [], False, 0.0
    for i, token in enumerate(ids):
        piece = tokens.tokenizer.id_to_token(token)
        spelling = piece.encode() if token in added else bytes(_BYTE[letter] for letter in piece)
        ended = decoder.decode(spelling, final=i == len(ids) - 1)
        rest = bool(decoder.getstate()[0])
        parts = max(sum(not letter.isspace() for letter in ended) + rest, 1)
        done = 0
        for place, letter in enumerate(ended):
            start = begun if unfinished and place == 0 else i + done / parts
            done += not letter.isspace()
            letters.append(Letter(letter, start, i + done / parts))
        if rest and (ended or not unfinished):
            begun = i + done / parts
        unfinished = rest
    return letters


def _told(tokens: Tokens, one: Decoded) -> list[int]:
    """What the decoder is told here: no text before it and no times, whatever it was told when it wrote."""
    prefix = list(one.prefix[one.prefix.index(tokens.start) :])
    return prefix if tokens.no_timestamps in prefix else [*prefix, tokens.no_timestamps]


@contextmanager
def _projections(
    net: WhisperForConditionalGeneration, heads: dict[int, list[int]]
) -> Iterator[dict[int, list[torch.Tensor]]]:
    """Fills {layer: [queries (batch, tokens, width), keys (batch, frames, width)]} while the decoder runs."""
    seen: dict[int, list[torch.Tensor]] = {layer: [torch.empty(0)] * 2 for layer in heads}
    hooks = []
    for layer in heads:
        attention = net.model.decoder.layers[layer].encoder_attn
        for place, projection in enumerate((attention.q_proj, attention.k_proj)):

            def keep(module: nn.Module, args: tuple, output: torch.Tensor, layer: int = layer, place: int = place):
                seen[layer][place] = output

            hooks.append(projection.register_forward_hook(keep))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _median(weights: torch.Tensor) -> torch.Tensor:
    """Each value becomes the median of `WIDTH` frames around it; (heads, tokens, frames)."""
    half = WIDTH // 2
    if weights.shape[-1] <= half:
        return weights
    return F.pad(weights, (half, half), mode="reflect").unfold(-1, WIDTH, 1).median(-1).values
