"""MarianMT, as `transformers` has it: a Transformer from source to target pieces (Vaswani et al. 2017)."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig, MarianMTModel

from speechxfer.models.base import Batch, Hypothesis, Output
from speechxfer.models.folder import save_settings
from speechxfer.models.labels import cross_entropy
from speechxfer.models.marian_frontend import MarianFrontend
from speechxfer.models.pretrained import plain_weights, quiet
from speechxfer.task import Decode

GREEDY = Decode(beams=1)


class Marian(nn.Module):
    """A translator: `net` is the transformers model, `frontend` what stands before it."""

    silence = "the end of the sentence"

    def __init__(self, net: MarianMTModel, frontend: MarianFrontend):
        super().__init__()
        self.net = net
        self.frontend = frontend
        self.label_smoothing = 0.0  # while training: see adapt.label_smoothing
        for side in (net.model.encoder, net.model.decoder):  # sinusoids: a formula, not something to learn
            side.embed_positions.weight.requires_grad_(False)

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing is shared by the batches of a step: Marian has no LayerDrop."""

    def forward(self, batch: Batch) -> Output:
        """Summed cross-entropy over the real target tokens, in float32 whatever the autocast."""
        hidden = self.net.model(**batch.inputs).last_hidden_state
        smoothing = self.label_smoothing if self.training else 0.0
        losses, logits = cross_entropy(self._head, hidden, batch.labels, smoothing)
        return Output(losses.sum(), batch.tokens, losses.detach(), logits, hidden)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> tuple[Output, list[str]]:
        """Loss, and the text of a greedy search."""
        return self(batch), [self.text(ids) for ids in self._search(batch, GREEDY).tolist()]

    @torch.no_grad()
    def generate(self, batch: Batch, decode: Decode) -> list[Hypothesis]:
        """Beam search, or drawn tokens. What is drawn hangs on the seed and on what is in the batch."""
        written = self._search(batch, decode)
        confidence = self._confidence(batch, written, decode.n_best)
        ids, found = written.tolist(), []
        for row in range(len(batch.ids)):
            span = range(row * decode.n_best, (row + 1) * decode.n_best)
            beam = tuple((self.text(ids[i]), confidence[i]) for i in span)
            if decode.temperature:  # a beam comes best first, draws come as they come
                beam = tuple(sorted(beam, key=lambda drawn: -drawn[1]))
            found.append(Hypothesis(*beam[0], n_best=beam if decode.n_best > 1 else ()))
        return found

    def text(self, ids: list[int]) -> str:
        """The text of ids up to their end, without what is special."""
        frontend = self.frontend
        ids = ids[: ids.index(frontend.end)] if frontend.end in ids else ids
        return frontend.target.decode([i for i in ids if i not in (frontend.pad, frontend.start)])

    def _search(self, batch: Batch, decode: Decode) -> torch.Tensor:
        """(batch x n_best, tokens), the start left out."""
        frontend, inputs = self.frontend, batch.inputs
        longest = inputs["input_ids"].shape[1]
        drawn = decode.temperature > 0
        config = GenerationConfig(
            num_beams=1 if drawn else decode.beams,
            num_return_sequences=decode.n_best,
            do_sample=drawn,
            temperature=decode.temperature if drawn else None,
            top_k=decode.top_k if drawn else None,
            top_p=decode.top_p if drawn else None,
            length_penalty=None if drawn or decode.beams == 1 else decode.length_penalty,
            max_new_tokens=min(frontend.positions - 1, 3 * longest + 20),  # a hypothesis that does not end runs away
            decoder_start_token_id=frontend.start,
            eos_token_id=frontend.end,
            pad_token_id=frontend.pad,
            bad_words_ids=[[frontend.pad]],
        )
        with torch.random.fork_rng(devices=_cuda(inputs["input_ids"])), quiet():
            torch.manual_seed(_seed(decode.seed, batch.ids))
            found = self.net.generate(
                inputs["input_ids"], attention_mask=inputs["attention_mask"], generation_config=config
            )
        return found[:, 1:]

    def _confidence(self, batch: Batch, written: torch.Tensor, n_best: int) -> list[float]:
        """Of each hypothesis the geometric mean of its tokens' probabilities: one more pass, and no scores are kept."""
        frontend, inputs = self.frontend, batch.inputs
        ended = (written == frontend.end).long().cumsum(1)
        real = (ended == 0) | ((written == frontend.end) & (ended == 1))
        before = torch.full_like(written, frontend.start)
        before[:, 1:] = written[:, :-1]
        hidden = self.net.model(
            input_ids=inputs["input_ids"].repeat_interleave(n_best, 0),
            attention_mask=inputs["attention_mask"].repeat_interleave(n_best, 0),
            decoder_input_ids=before,
        ).last_hidden_state
        found = []
        for states, ids, mask in zip(hidden, written, real, strict=True):  # row by row: vocabularies are large
            log_probs = self._head(states[mask]).float().log_softmax(-1).gather(1, ids[mask][:, None])
            found.append(float(log_probs.mean().exp()))
        return found

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        return self.net.lm_head(states) + self.net.final_logits_bias

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Source embedding, encoder layers, target embedding (which is the head as well), decoder layers."""
        encoder, decoder = self.net.model.encoder, self.net.model.decoder
        below = [(f"encoder {i}", layer) for i, layer in enumerate(encoder.layers)]
        above = [(f"decoder {i}", layer) for i, layer in enumerate(decoder.layers)]
        return [("source embedding", encoder.embed_tokens), *below, ("target embedding", decoder.embed_tokens), *above]

    def save(self, folder: Path) -> None:
        """Write config, float32 weights and tokenizer: plain transformers loads the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.net.save_pretrained(folder, state_dict=plain_weights(self.net))
        self.frontend.save(folder)
        save_settings(folder, {"normaliser": self.frontend.normaliser})


def _seed(seed: int, ids: tuple[str, ...]) -> int:
    digest = hashlib.sha256("\n".join((str(seed), *ids)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _cuda(tensor: torch.Tensor) -> list[torch.device]:
    return [tensor.device] if tensor.device.type == "cuda" else []
