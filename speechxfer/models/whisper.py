"""Whisper, as `transformers` has it: log-mel frames in, a Transformer that writes what was said (Radford et al. 2022).

The decision worth knowing: the encoder runs on the audio that is there. transformers' own forward pass wants 30 s,
most of them silence; here its layers are called with the positions that are needed, and masks keep the padding of a
batch out of what an example becomes. Thirty seconds without padding give the very bits of transformers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration
from transformers.masking_utils import create_causal_mask

from speechxfer.models.base import Batch, Hypothesis, Output
from speechxfer.models.folder import save_settings
from speechxfer.models.labels import cross_entropy
from speechxfer.models.log_mel import LogMel
from speechxfer.models.pretrained import plain_weights, quiet
from speechxfer.models.whisper_decode import NO_FALLBACK, decode, detect_language
from speechxfer.models.whisper_frontend import NO_TOKEN, WhisperFrontend, states_of
from speechxfer.models.whisper_long import Window, long_form, windows_of
from speechxfer.models.whisper_tokens import UNDETECTED
from speechxfer.models.whisper_words import word_times
from speechxfer.task import Decode

GREEDY = Decode(beams=1, guards=NO_FALLBACK)


class Whisper(nn.Module):
    """A recogniser or speech translator: `net` is the transformers model, `frontend` what stands before it."""

    silence = "the end of the text"

    def __init__(self, net: WhisperForConditionalGeneration, frontend: WhisperFrontend):
        super().__init__()
        self.net = net
        self.frontend = frontend
        self.mel = LogMel(net.config.num_mel_bins, longest=2 * net.config.max_source_positions)
        self.label_smoothing = 0.0  # while training: see adapt.label_smoothing
        self.layerdrop = (net.config.encoder_layerdrop, net.config.decoder_layerdrop)
        self._dropped: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
        net.model.encoder.embed_positions.requires_grad_(False)  # sinusoids: a formula, not something to learn

    def draw(self, rng: np.random.Generator) -> None:
        """Choose the layers that this step skips."""
        stacks = (self.net.model.encoder.layers, self.net.model.decoder.layers)
        drawn = [rng.random(len(layers)) < share for layers, share in zip(stacks, self.layerdrop, strict=True)]
        self._dropped = tuple(frozenset(np.flatnonzero(one).tolist()) for one in drawn)

    def _kept(self, side: int, layers: nn.ModuleList) -> Iterator[nn.Module]:
        dropped = self._dropped[side] if self.training else frozenset()
        return (layer for i, layer in enumerate(layers) if i not in dropped)

    def encode(self, samples: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """States (batch, frames, width) and how many of them are of audio (batch,), a frame being 0.02 s.

        samples: (batch, n) padded with zeros, lengths: (batch,) of them. With the full context, the silence that
        fills it up is part of the audio.
        """
        encoder = self.net.model.encoder
        if self.frontend.own_length:
            features, frames = self.mel(samples, lengths)
        else:
            features = self.mel.full(samples, lengths)
            frames = torch.full_like(lengths, features.shape[-1])
        features = self._augmented(features)
        ragged = bool((frames < features.shape[-1]).any())
        hidden = F.gelu(encoder.conv1(features))
        if ragged:  # beyond its end an example has the zeros that a convolution puts at the end of one alone
            hidden = hidden * _real(frames, hidden.shape[-1])[:, None]
        hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)
        frames = (frames + 1) // 2
        mask = self.mask(frames, hidden) if ragged else None
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        hidden = F.dropout(hidden, encoder.dropout, self.training)
        for layer in self._kept(0, encoder.layers):
            hidden = layer(hidden, mask)
        return encoder.layer_norm(hidden), frames

    def mask(self, frames: torch.Tensor, states: torch.Tensor) -> torch.Tensor | None:
        """What attention to the states adds, (batch, 1, 1, frames): 0 at real ones; None where all are."""
        real = _real(frames, states.shape[1])
        if bool(real.all()):
            return None
        return torch.where(real, 0.0, -torch.inf).to(states.dtype)[:, None, None]

    def _augmented(self, features: torch.Tensor) -> torch.Tensor:
        """SpecAugment as config.json asks for it, in training."""
        config = self.net.config
        if not self.training or not config.apply_spec_augment or features.shape[-1] <= config.mask_time_length:
            return features
        return self.net.model._mask_input_features(features.clone())

    def forward(self, batch: Batch) -> Output:
        """Summed cross-entropy over the labels, in float32 whatever the autocast. `hidden` is the encoder's."""
        return self._output(batch, *self.encode(batch.inputs["samples"], batch.inputs["lengths"]))

    def _output(self, batch: Batch, states: torch.Tensor, frames: torch.Tensor) -> Output:
        hidden = self._decoded(batch.inputs["decoder_input_ids"], states, frames)
        smoothing = self.label_smoothing if self.training else 0.0
        losses, logits = cross_entropy(self.net.proj_out, hidden, batch.labels, smoothing)
        return Output(losses.sum(), batch.tokens, losses.detach(), logits, states)

    def _decoded(self, ids: torch.Tensor, states: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width): the decoder's last states after these inputs."""
        decoder = self.net.model.decoder
        hidden = decoder.embed_tokens(ids) + decoder.embed_positions.weight[: ids.shape[1]]
        hidden = F.dropout(hidden, decoder.dropout, self.training)
        causal = create_causal_mask(
            config=decoder.config, inputs_embeds=hidden, attention_mask=None, past_key_values=None
        )
        mask = self.mask(frames, states)
        for layer in self._kept(1, decoder.layers):
            hidden = layer(hidden, causal, states, encoder_attention_mask=mask, use_cache=False)
        return decoder.layer_norm(hidden)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> tuple[Output, list[str]]:
        """Loss, and the text of a greedy search."""
        samples, lengths = batch.inputs["samples"], batch.inputs["lengths"]
        states, frames = self.encode(samples, lengths)
        output = self._output(batch, states, frames)
        tokens, audio = self.frontend.tokens, batch.inputs["encoder_lengths"]
        told = _prefixes(batch)
        written = decode(self.net, tokens, states, frames, told, GREEDY, audio=audio)
        return output, [one.text for one in written]

    @torch.no_grad()
    def generate(self, batch: Batch, settings: Decode) -> list[Hypothesis]:
        """Decode recordings of any length, long ones in windows. A long one has no n_best."""
        samples, prefixes = batch.inputs["samples"], _prefixes(batch)
        if settings.timestamps:
            untimed = self.frontend.tokens.no_timestamps
            prefixes = [[i for i in prefix if i != untimed] for prefix in prefixes]
        lengths = batch.inputs["lengths"].tolist()
        short = [i for i, length in enumerate(lengths) if length <= self.frontend.most]
        found: dict[int, Hypothesis] = {}
        if short:
            together = samples[short, : max(lengths[i] for i in short)]
            of_short = batch.inputs["lengths"][short]
            told, ids = [prefixes[i] for i in short], [batch.ids[i] for i in short]
            found |= zip(short, self._heard(together, of_short, told, ids, settings), strict=True)
        for i, length in enumerate(lengths):
            if i not in found:
                found[i] = self._long(samples[i, :length], prefixes[i], batch.ids[i], settings)
        return [found[i] for i in range(len(lengths))]

    def _heard(
        self,
        samples: torch.Tensor,
        lengths: torch.Tensor,
        prefixes: Sequence[Sequence[int]],
        ids: Sequence[str],
        settings: Decode,
    ) -> list[Hypothesis]:
        """Of recordings that the encoder takes at once."""
        states, frames = self.encode(samples, lengths)
        tokens, audio = self.frontend.tokens, states_of(lengths)
        written = decode(self.net, tokens, states, frames, prefixes, settings, keys=ids, audio=audio)
        words = word_times(self.net, tokens, states, frames, written, audio)
        found = []
        for one, timed, length in zip(written, words, lengths.tolist(), strict=True):
            end = round(length / self.frontend.rate, 3)
            segments = [(s.text, s.start, end if s.end is None else min(s.end, end)) for s in one.segments]
            found.append(Hypothesis(one.text, one.confidence, tuple(timed), tuple(segments), one.n_best))
        return found

    def _long(self, samples: torch.Tensor, prefix: Sequence[int], id: str, settings: Decode) -> Hypothesis:
        """Of a recording of any length (n,)."""
        frontend = self.frontend
        windows = windows_of(samples, frontend.rate, frontend.seconds)
        if windows and UNDETECTED in prefix:
            prefix = self._with_language(windows[0].samples, prefix)

        def hear(some: Sequence[Window]) -> list[Hypothesis]:
            lengths = torch.tensor([len(window.samples) for window in some], device=samples.device)
            padded = nn.utils.rnn.pad_sequence([window.samples for window in some], batch_first=True)
            names = [f"{id}@{window.start:g}" for window in some]
            return self._heard(padded, lengths, [prefix] * len(some), names, settings)

        return long_form(windows, hear, least=0.0 if frontend.own_length else frontend.seconds)

    def _with_language(self, samples: torch.Tensor, prefix: Sequence[int]) -> list[int]:
        """The prefix with the language of these samples (n,), which then holds for all of their recording."""
        tokens, lengths = self.frontend.tokens, torch.tensor([len(samples)], device=samples.device)
        (code,) = detect_language(self.net, tokens, *self.encode(samples[None], lengths))
        return [tokens.languages[code] if i == UNDETECTED else i for i in prefix]

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Convolutions, encoder layers, norm, embedding (which is the head as well), decoder layers, norm."""
        encoder, decoder = self.net.model.encoder, self.net.model.decoder
        below = [(f"encoder {i}", layer) for i, layer in enumerate(encoder.layers)]
        above = [(f"decoder {i}", layer) for i, layer in enumerate(decoder.layers)]
        embedding = nn.ModuleList([decoder.embed_tokens, decoder.embed_positions])
        return [
            ("convolutions", nn.ModuleList([encoder.conv1, encoder.conv2])),
            *below,
            ("encoder norm", encoder.layer_norm),
            ("embedding", embedding),
            *above,
            ("decoder norm", decoder.layer_norm),
        ]

    def save(self, folder: Path) -> None:
        """Write config, float32 weights, tokenizer and feature extractor: plain transformers loads the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        generation, frontend = self.net.generation_config, self.frontend
        speech = frontend.speech
        generation.forced_decoder_ids = None  # older recipes leave a language here that nobody asked for
        generation.language = generation.task = None  # of an earlier training
        if speech.language and frontend.tokens.multilingual:
            generation.language = f"<|{frontend.tokens.code(speech.language, speech.proxy)}|>"
            generation.task = speech.task
        with quiet():
            self.net.save_pretrained(folder, state_dict=plain_weights(self.net))
        frontend.save(folder)
        settings = {name: getattr(speech, name) for name in ("language", "task", "proxy", "context")}
        save_settings(folder, {"normaliser": frontend.normaliser, **settings})


def _real(frames: torch.Tensor, most: int) -> torch.Tensor:
    """(batch, most) bool: which frames are of audio."""
    return torch.arange(most, device=frames.device) < frames[:, None]


def _prefixes(batch: Batch) -> list[list[int]]:
    return [[i for i in row if i != NO_TOKEN] for row in batch.inputs["prefix"].tolist()]
