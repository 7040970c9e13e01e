"""wav2vec2, HuBERT, WavLM and their kin with a CTC head, as `transformers` has them.

The decision worth knowing: LayerDrop is drawn once per step for all micro-batches and ranks (`draw`), where
transformers draws it per forward pass. So gradient accumulation, ranks and resumed runs all drop the same layers.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from speechxfer.errors import ConfigError
from speechxfer.models.base import Batch, Hypothesis, Output
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.models.folder import save_settings
from speechxfer.models.pretrained import plain_weights, quiet
from speechxfer.task import Decode


class Ctc(nn.Module):
    """A CTC recogniser: `net` is the transformers model, `frontend` what stands before it.

    `fresh` names the parameters of `net` that begin as random numbers, or have rows that do: they must learn.
    """

    silence = "all blank"

    def __init__(self, net: PreTrainedModel, frontend: CtcFrontend, fresh: tuple[str, ...] = ()):
        super().__init__()
        self.net = net
        self.frontend = frontend
        self.fresh = fresh
        self.layerdrop = getattr(net.config, "layerdrop", 0.0)
        net.config.layerdrop = 0.0  # drawn in `draw` instead; `save` writes it back
        self._dropped: frozenset[int] = frozenset()

    @property
    def encoder(self) -> nn.Module:
        return self.net.base_model.encoder

    def draw(self, rng: np.random.Generator) -> None:
        """Choose the layers that this step skips."""
        drawn = rng.random(len(self.encoder.layers)) < self.layerdrop
        # WavLM computes the position bias of all layers in its first one.
        first = 1 if self.net.config.model_type == "wavlm" else 0
        self._dropped = frozenset(int(i) for i in np.flatnonzero(drawn) if i >= first)

    @contextmanager
    def _kept_layers(self) -> Iterator[None]:
        """The encoder without the layers that this step drops."""
        layers = self.encoder.layers
        if self.training and self._dropped:
            self.encoder.layers = nn.ModuleList(x for i, x in enumerate(layers) if i not in self._dropped)
        try:
            yield
        finally:
            self.encoder.layers = layers

    def forward(self, batch: Batch) -> Output:
        """Summed CTC loss, in float32 whatever the autocast. An utterance that no alignment fits counts as zero."""
        # transformers lets gradients flow through the feature encoder unless told, also when all of it is frozen.
        extractor = self.net.base_model.feature_extractor
        extractor._requires_grad = any(p.requires_grad for p in extractor.parameters())
        inputs = {name: batch.inputs[name] for name in ("input_values", "attention_mask") if name in batch.inputs}
        with self._kept_layers():
            hidden = self.net.base_model(**inputs)[0]
        logits = self.net.lm_head(self.net.dropout(hidden))
        with torch.autocast(logits.device.type, enabled=False):
            log_probs = logits.float().log_softmax(-1).transpose(0, 1)
            losses = F.ctc_loss(
                log_probs,
                batch.labels,
                batch.inputs["lengths"],
                batch.inputs["label_lengths"],
                blank=self.frontend.vocabulary.blank,
                reduction="none",
                zero_infinity=True,
            )
        return Output(losses.sum(), batch.tokens, losses.detach(), logits, hidden)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> tuple[Output, list[str]]:
        """Loss and best-path text from one pass."""
        output = self(batch)
        paths = output.logits.argmax(-1).tolist()
        frames = batch.inputs["lengths"].tolist()
        return output, [self.text(path[:n]) for path, n in zip(paths, frames, strict=True)]

    def text(self, path: list[int]) -> str:
        """The text of a path of one id per frame: repeats merged, blanks removed."""
        return self.frontend.vocabulary.decode([i for i, _ in itertools.groupby(path)])

    @torch.no_grad()
    def generate(self, batch: Batch, decode: Decode) -> list[Hypothesis]:
        """Best-path decoding, whatever `decode` says. Confidence and word times are of the best path's alignment."""
        logits = self(batch).logits.float()
        return [
            self.transcript(logits[row, :frames].log_softmax(-1))
            for row, frames in enumerate(batch.inputs["lengths"].tolist())
        ]

    def transcript(self, log_probs: torch.Tensor) -> Hypothesis:
        """log_probs: (frames, vocabulary) of one recording."""
        vocabulary = self.frontend.vocabulary
        path = torch.unique_consecutive(log_probs.argmax(-1))
        ids = [i for i in path.tolist() if i != vocabulary.blank]
        if not ids:
            blanks = log_probs[:, vocabulary.blank]  # none where the recording is shorter than a frame
            return Hypothesis("", confidence=float(blanks.mean().exp()) if len(blanks) else None)
        spans = align(log_probs, ids, vocabulary.blank)
        confidence = float(np.exp(np.mean([log_prob for *_, log_prob in spans])))
        return Hypothesis(vocabulary.decode(ids), confidence, tuple(self._words(ids, spans)))

    def _words(self, ids: list[int], spans: list[tuple[int, int, float]]) -> Iterator[tuple[str, float, float]]:
        vocabulary, hop = self.frontend.vocabulary, self.frontend.hop
        delimiter = vocabulary.ids[vocabulary.delimiter]
        word: list[int] = []
        for place in range(len(ids) + 1):
            if place < len(ids) and ids[place] != delimiter:
                word.append(place)
                continue
            written = vocabulary.decode([ids[i] for i in word])
            if written:
                yield written, round(spans[word[0]][0] * hop, 3), round(spans[word[-1]][1] * hop, 3)
            word = []

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Feature encoder, projection (with the position embedding), transformer layers, head."""
        base = self.net.base_model
        projection = nn.ModuleList([base.feature_projection, self.encoder.pos_conv_embed])
        transformer = [(f"layer {i}", layer) for i, layer in enumerate(self.encoder.layers)]
        top = [("norm", self.encoder.layer_norm), ("head", self.net.lm_head)]
        return [("feature encoder", base.feature_extractor), ("projection", projection), *transformer, *top]

    def save(self, folder: Path) -> None:
        """Write config, float32 weights, tokenizer and preprocessor: plain transformers loads the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.net.config.layerdrop = self.layerdrop
        try:
            with quiet():
                self.net.save_pretrained(folder, state_dict=plain_weights(self.net))
        finally:
            self.net.config.layerdrop = 0.0
        self.frontend.save(folder)
        save_settings(folder, {"normaliser": self.frontend.normaliser})


def align(log_probs: torch.Tensor, ids: list[int], blank: int) -> list[tuple[int, int, float]]:
    """Where each id stands: (first frame, frame after the last, mean log probability), by forced alignment.

    log_probs: (frames, vocabulary). Raises ConfigError when the frames are too few for the ids.
    """
    from torchaudio.functional import forced_align

    targets = torch.tensor([ids], dtype=torch.int32, device=log_probs.device)
    try:
        path, scores = forced_align(log_probs[None], targets, blank=blank)
    except RuntimeError as error:
        raise ConfigError(f"{len(ids)} labels cannot be aligned to {len(log_probs)} frames: {error}") from error
    path, scores = path[0].tolist(), scores[0].tolist()
    spans, start = [], 0
    for frame in range(1, len(path) + 1):
        if frame == len(path) or path[frame] != path[start]:
            if path[start] != blank:
                spans.append((start, frame, sum(scores[start:frame]) / (frame - start)))
            start = frame
    return spans
