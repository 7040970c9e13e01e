"""The search for the likeliest tokens, with the rules that bind it.

transformers' own (`GenerationMixin.generate`, not Whisper's override, which wants 30 s of features). What a row becomes
hangs on that row alone: states beyond its end are masked, its length is bounded by its audio, and what is drawn is
drawn from a seed of its own.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, WhisperForConditionalGeneration
from transformers.generation import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from speechxfer.models.pretrained import quiet
from speechxfer.models.whisper_tokens import Tokens
from speechxfer.task import Decode, Guards

FIRST_TIME = 50  # the latest timestamp to begin with, 1 s: OpenAI's max_initial_timestamp
# A text has at most so many tokens: 40 a second, while fast speech in bytes of Devanagari, two a letter, has 30.
LEAST_TOKENS, TOKENS_PER_STATE = 24, 0.8


@dataclass(frozen=True)
class Rows:
    """What is decoded together."""

    states: torch.Tensor  # (batch, frames, width)
    lengths: torch.Tensor  # (batch,) of them that exist
    audio: torch.Tensor  # (batch,) of those that are not silence added at the end
    prefixes: list[list[int]]
    keys: list[str]  # name of the row: what is drawn for it hangs on this

    def take(self, index: Sequence[int]) -> "Rows":
        chosen = torch.tensor(index, device=self.states.device)
        return Rows(
            self.states[chosen],
            self.lengths[chosen],
            self.audio[chosen],
            [self.prefixes[i] for i in index],
            [self.keys[i] for i in index],
        )

    def repeat(self, times: int) -> "Rows":
        """Every row so many times, under names of their own."""
        copies = self.take([i for i in range(len(self.keys)) for _ in range(times)])
        return replace(copies, keys=[f"{key}\n{i % times}" for i, key in enumerate(copies.keys)])


def search(
    net: WhisperForConditionalGeneration,
    tokens: Tokens,
    rows: Rows,
    settings: Decode,
    temperature: float,
    timed: bool,
) -> list[list[int]]:
    """What was written after the prefix, its end included where it has one; of a beam n_best for each row."""
    prefix = torch.tensor(rows.prefixes, device=rows.states.device)
    begin, beams = prefix.shape[1], 1 if temperature else settings.beams
    most = torch.ceil(LEAST_TOKENS + TOKENS_PER_STATE * rows.audio.repeat_interleave(beams))
    config = GenerationConfig(
        do_sample=False,  # what is drawn is the likeliest after `_Draw`
        num_beams=beams,
        num_return_sequences=1 if temperature else settings.n_best,
        length_penalty=settings.length_penalty if beams > 1 else None,
        max_new_tokens=min(net.config.max_target_positions - begin, int(most.max()) + 1),
        decoder_start_token_id=tokens.start,
        eos_token_id=tokens.end,
        pad_token_id=tokens.end,
        suppress_tokens=[],  # in place of the checkpoint's: see _Never
        begin_suppress_tokens=not_first(net),
    )
    # _Stop before the rules of times: a row that may only end must not be told that a time has to follow
    processors: list[LogitsProcessor] = [
        _Never(never(net, tokens, timed), net.config.vocab_size, rows.states.device),
        _Stop(tokens, begin, most, settings.guards),
    ]
    if timed:
        rules = GenerationConfig(eos_token_id=tokens.end)
        rules.no_timestamps_token_id = tokens.no_timestamps
        rules.max_initial_timestamp_index = _own(net, "max_initial_timestamp_index", FIRST_TIME)
        last = tokens.first_timestamp + rows.audio.repeat_interleave(beams)
        processors += [_Within(tokens.first_timestamp, last), WhisperTimeStampLogitsProcessor(rules, begin)]
    if temperature:
        processors.append(TemperatureLogitsWarper(temperature))
        processors += [TopKLogitsWarper(settings.top_k)] if settings.top_k else []
        processors += [TopPLogitsWarper(settings.top_p)] if settings.top_p < 1 else []
        processors.append(_Draw([_seed(settings.seed, temperature, key) for key in rows.keys]))
    with own_frames(net, rows.states, rows.lengths), quiet():
        found = GenerationMixin.generate(
            net,
            encoder_outputs=BaseModelOutput(rows.states),
            decoder_input_ids=prefix,
            generation_config=config,
            logits_processor=processors,
        )
    written = found[:, begin:].tolist()
    return [ids[: ids.index(tokens.end) + 1] if tokens.end in ids else ids for ids in written]


@contextmanager
def own_frames(net: WhisperForConditionalGeneration, states: torch.Tensor, lengths: torch.Tensor) -> Iterator[None]:
    """Within it, each row's cross-attention sees its own states alone, which transformers has no argument for.

    The rows of the decoder may be several times as many, as in a beam.
    """
    if int(lengths.min()) >= states.shape[1]:
        yield
        return
    mask = (torch.arange(states.shape[1], device=states.device) < lengths[:, None])[:, None, None]
    if net.config._attn_implementation == "eager":  # it adds the mask
        mask = torch.where(mask, 0.0, torch.finfo(states.dtype).min).to(states.dtype)

    def masked(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        copies = args[0].shape[0] // len(mask)
        return args, {**kwargs, "attention_mask": mask.repeat_interleave(copies, 0) if copies > 1 else mask}

    layers = net.model.decoder.layers
    hooks = [layer.encoder_attn.register_forward_pre_hook(masked, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def loop_start(ids: Sequence[int], guards: Guards) -> int | None:
    """Where the second round of a loop at the end of the ids begins; None where they do not end in one."""
    if not guards.repeats:
        return None
    for n in range(1, len(ids) // guards.repeats + 1):
        span = max(n * guards.repeats, guards.repeated_tokens)
        if span > len(ids) or ids[-1] != ids[-1 - n] or ids[-span + n :] != ids[-span:-n]:
            continue
        start = len(ids) - span
        while start and ids[start - 1] == ids[start - 1 + n]:
            start -= 1
        return start + n
    return None


def _own(net: WhisperForConditionalGeneration, name: str, default: int) -> int:
    found = getattr(net.generation_config, name, None)
    return default if found is None else found


def never(net: WhisperForConditionalGeneration, tokens: Tokens, timed: bool) -> list[int]:
    """Ids that are no text: what the checkpoint says, and all that is special whether it says so or not."""
    never = {*tokens.controls, *range(len(tokens), net.config.vocab_size)}
    if timed:  # transformers' rules take all that is after the times for times
        times = range(tokens.first_timestamp, tokens.last_timestamp + 1)
        never = never.difference(times).union(range(tokens.last_timestamp + 1, net.config.vocab_size))
    said = {i for i in net.generation_config.suppress_tokens or () if i >= 0}  # -1 has been used for "none"
    return sorted((never | said) - {tokens.end})


def not_first(net: WhisperForConditionalGeneration) -> list[int]:
    return list(net.generation_config.begin_suppress_tokens or ())


def _seed(seed: int, temperature: float, key: str) -> int:
    digest = hashlib.sha256(f"{seed}\n{temperature}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class _Never(LogitsProcessor):
    """These ids are not written. transformers' own finds anew at each token which they are, 4 ms for a small model."""

    def __init__(self, ids: Sequence[int], vocabulary: int, device: torch.device):
        self.mask = torch.zeros(vocabulary, device=device)
        self.mask[list(ids)] = -math.inf

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores + self.mask


class _Within(LogitsProcessor):
    """No timestamp beyond a row's last, (rows,) ids."""

    def __init__(self, first: int, last: torch.Tensor):
        self.first = first
        self.last = last

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        vocabulary = torch.arange(scores.shape[1], device=scores.device)
        return scores.masked_fill((vocabulary >= self.first) & (vocabulary > self.last[:, None]), -math.inf)


class _Stop(LogitsProcessor):
    """A row that is caught in a loop, or longer than its `most` (rows,), may only end.

    The score of its end stays, so a beam prefers another.
    """

    def __init__(self, tokens: Tokens, begin: int, most: torch.Tensor, guards: Guards):
        self.tokens = tokens
        self.begin = begin
        self.most = most
        self.guards = guards

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = ids.shape[1] - self.begin
        caught = written >= self.most
        if written >= self.guards.repeated_tokens:
            rows = [[i for i in row if i not in self.tokens.controls] for row in ids[:, self.begin :].tolist()]
            looped = [loop_start(row, self.guards) is not None for row in rows]
            caught = caught | torch.tensor(looped, device=scores.device)
        if not bool(caught.any()):
            return scores
        scores = scores.clone()
        scores[caught, : self.tokens.end] = -math.inf
        scores[caught, self.tokens.end + 1 :] = -math.inf
        return scores


class _Draw(LogitsProcessor):
    """Adds Gumbel noise, so that the likeliest token is one drawn from the distribution (Maddison et al. 2014).

    Each row has its own generator, on the CPU: what it draws hangs neither on its neighbours nor on the device.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        drawn = torch.empty(scores.shape)
        for row, generator in zip(drawn, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores - drawn.clamp_min_(torch.finfo(drawn.dtype).tiny).log_().to(scores.device)
