"""wav2vec2, HuBERT, WavLM and their kin with a CTC head, as `transformers` has them.

The decision worth knowing: LayerDrop is drawn once per step for all micro-batches and ranks (`draw`), where
transformers draws it per forward pass. So gradient accumulation, ranks and resumed runs all drop the same layers.
"""

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCTC, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.base import Batch, Output, Transcript
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.models.vocabulary import Vocabulary

VOCABULARY_CHOICES = ("keep", "extend", "rebuild")


class Ctc(nn.Module):
    """A CTC recogniser: `net` is the transformers model, `frontend` what stands before it."""

    def __init__(self, net: PreTrainedModel, frontend: CtcFrontend):
        super().__init__()
        self.net = net
        self.frontend = frontend
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
    def generate(self, batch: Batch) -> list[Transcript]:
        """Best-path decoding, with confidence and word times from the alignment of the best path."""
        logits = self(batch).logits.float()
        return [
            self.transcript(logits[row, :frames].log_softmax(-1))
            for row, frames in enumerate(batch.inputs["lengths"].tolist())
        ]

    def transcript(self, log_probs: torch.Tensor) -> Transcript:
        """log_probs: (frames, vocabulary) of one recording."""
        vocabulary = self.frontend.vocabulary
        path = torch.unique_consecutive(log_probs.argmax(-1))
        ids = [i for i in path.tolist() if i != vocabulary.blank]
        if not ids:
            blanks = log_probs[:, vocabulary.blank]  # none where the recording is shorter than a frame
            return Transcript("", confidence=float(blanks.mean().exp()) if len(blanks) else None)
        spans = align(log_probs, ids, vocabulary.blank)
        confidence = float(np.exp(np.mean([log_prob for *_, log_prob in spans])))
        return Transcript(vocabulary.decode(ids), confidence, tuple(self._words(ids, spans)))

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
            with _quiet():
                self.net.save_pretrained(folder)
        finally:
            self.net.config.layerdrop = 0.0
        self.frontend.save(folder)
        (folder / "speechxfer.json").write_text(json.dumps({"normaliser": self.frontend.normaliser}) + "\n")


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


def load_ctc(
    folder: Path,
    *,
    texts: Iterable[str] | None = None,
    vocabulary: str = "keep",
    normaliser: str | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Ctc:
    """Load a checkpoint folder as float32.

    `texts` (normalised) and `vocabulary` settle the head: "keep" takes the checkpoint's characters, "extend" adds
    the ones that the texts need, "rebuild" keeps only those of the texts; rows of characters that stay are kept.
    A self-supervised checkpoint has no head, though some come with a vocab.json: its vocabulary is always built
    from the texts.
    Raises CheckpointError, ConfigError.
    """
    if vocabulary not in VOCABULARY_CHOICES:
        raise ConfigError(f"data.vocabulary is {vocabulary!r}; expected one of {', '.join(VOCABULARY_CHOICES)}")
    config = changed(AutoConfig.from_pretrained(folder), changes)
    if getattr(config, "add_adapter", False):
        raise CheckpointError(f"{folder}: checkpoints with a convolutional adapter (add_adapter) are not supported")
    has_head = any(name.endswith("ForCTC") for name in config.architectures or ["ForCTC"])
    old = Vocabulary.from_folder(folder, config.pad_token_id, config.vocab_size) if has_head else None
    if old is None and texts is None:
        lacks = "vocabulary (vocab.json)" if has_head else f"CTC head ({', '.join(config.architectures)})"
        raise CheckpointError(
            f"{folder}: has no {lacks}: a self-supervised checkpoint must be fine-tuned before it can"
            " transcribe; `speechxfer train` builds its vocabulary from the training text"
        )
    if vocabulary != "keep" and texts is None:
        raise ConfigError(f"data.vocabulary is {vocabulary!r}, which needs the training text")
    if old is None or vocabulary == "rebuild":
        new = Vocabulary.from_texts(texts)
    else:
        new = old.extended(texts) if vocabulary == "extend" else old
    frontend = _frontend(folder, config, new)
    saved = folder / "speechxfer.json"
    if normaliser is None and saved.is_file():
        normaliser = json.loads(saved.read_text())["normaliser"]
    if normaliser is not None:
        frontend = replace(frontend, normaliser=normaliser)
    config.vocab_size = max(new.ids.values()) + 1 if new is not old else config.vocab_size
    config.pad_token_id = new.blank
    config.ctc_loss_reduction, config.ctc_zero_infinity = "sum", True
    net, missing = _load_net(folder, config)
    missing -= {"lm_head.weight", "lm_head.bias"} if new is not old else set()
    missing = {name for name in missing if not name.endswith("masked_spec_embed")}  # only drawn on by time masking
    if missing:
        raise CheckpointError(f"{folder}: weights are missing: {', '.join(sorted(missing))}; the model would be partly random")
    if old is not None and new is not old:
        _keep_rows(net.lm_head, folder, old, new)
    return Ctc(net, frontend)


def changed(config: PretrainedConfig, changes: Mapping[str, Any]) -> PretrainedConfig:
    """The config with fields set. Raises ConfigError for a field that it does not have, or of another type."""
    for name, value in changes.items():
        if not hasattr(config, name):
            near = difflib.get_close_matches(name, config.to_dict(), n=1)
            raise ConfigError(f"no field config.{name} in a {config.model_type} checkpoint" + f"; did you mean {near[0]}?" * len(near))
        now = getattr(config, name)
        if now is not None and not isinstance(value, (int, float) if isinstance(now, float) else type(now)):
            raise ConfigError(f"config.{name} is {value!r}; expected {type(now).__name__}, as in {now!r}")
        setattr(config, name, value)
    return config


def _load_net(folder: Path, config: PretrainedConfig) -> tuple[PreTrainedModel, set[str]]:
    """The transformers model, and the names of weights that the folder does not have: those are random."""
    try:
        with _quiet():
            net, found = AutoModelForCTC.from_pretrained(
                folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
            )
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder}: no weights that transformers can load: {reason}") from error
    mismatched = {key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]}
    return net, {*found["missing_keys"], *mismatched}


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and tables of transformers: what matters in them is reported here."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _frontend(folder: Path, config: PretrainedConfig, vocabulary: Vocabulary) -> CtcFrontend:
    file = folder / "preprocessor_config.json"
    settings = json.loads(file.read_text()) if file.is_file() else {}
    layer_norm = config.feat_extract_norm == "layer"
    return CtcFrontend(
        vocabulary=vocabulary,
        rate=settings.get("sampling_rate", 16000),
        kernels=tuple(config.conv_kernel),
        strides=tuple(config.conv_stride),
        standardise=settings.get("do_normalize", True),
        mask=layer_norm,
        least_frames=config.mask_time_length + 1 if getattr(config, "apply_spec_augment", False) else 1,
    )


def _keep_rows(head: nn.Linear, folder: Path, old: Vocabulary, new: Vocabulary) -> None:
    """Copy the head's rows of what both vocabularies have; the others start anew."""
    config = AutoConfig.from_pretrained(folder)
    source = _load_net(folder, config)[0].lm_head
    with torch.no_grad():
        # A new head of the old size was loaded with the old rows, which stood for other characters.
        head.weight.normal_(std=config.initializer_range)
        head.bias.zero_()
        for row, old_row in new.counterparts(old).items():
            head.weight[row] = source.weight[old_row]
            head.bias[row] = source.bias[old_row]
