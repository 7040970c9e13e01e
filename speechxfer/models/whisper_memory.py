"""The memory that training a Whisper takes, by formula: before a GPU is rented.

    python -m speechxfer.models.whisper_memory
    python -m speechxfer.models.whisper_memory --lora 16 --checkpointing

What is counted: weights, gradients, the two moments of AdamW, and what autograd keeps of the forward pass for each
second of audio. What is not: the CUDA context and its libraries (0.5 to 1 GiB), the allocator's unused blocks, buffers
of single operations. The terms are checked in tests/test_whisper_memory.py against what torch saves, and holds while it
computes a layer again; `python benchmarks/whisper_sizes.py` compares whole training steps with the formula.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speechxfer.models.whisper_public import public

FRAMES = 50  # of the encoder in a second of audio; the features have twice as many
TOKENS = 4.0  # of English text in a second of read speech, with the special ones
FP32, BF16 = 4, 2  # bytes


@dataclass(frozen=True)
class Memory:
    """Bytes; activations are of one second of audio. As trained here: with each example's own length, no dropout."""

    parameters: int  # their number, with those that do not learn
    trainable: int
    weights: int
    gradients: int
    moments: int
    activations: float  # per second
    passing: float  # what one layer takes beside its input while it is computed again; 0 without checkpointing

    @property
    def fixed(self) -> int:
        """What is there however small the batch."""
        return self.weights + self.gradients + self.moments

    def total(self, seconds: float) -> float:
        """Of a batch with so many seconds of audio, padding included."""
        return self.fixed + (self.activations + self.passing) * seconds


def parameters(config: dict[str, Any]) -> tuple[int, int]:
    """(all, trainable) of a WhisperConfig: the sinusoids of the encoder's positions do not learn.

    Per layer (transformers' modeling_whisper.py): attention has four d x d projections, of which k has no bias;
    feed-forward has d x f and f x d with biases; a norm has 2 d. An encoder layer has one attention and two norms, a
    decoder layer two and three. The output layer is the embedding.
    """
    d, mels = config["d_model"], config["num_mel_bins"]
    attention, norm = 4 * d * d + 3 * d, 2 * d

    def feed_forward(f: int) -> int:
        return 2 * d * f + f + d

    convolutions = 3 * mels * d + d + 3 * d * d + d
    encoder = config["encoder_layers"] * (attention + feed_forward(config["encoder_ffn_dim"]) + 2 * norm)
    decoder = config["decoder_layers"] * (2 * attention + feed_forward(config["decoder_ffn_dim"]) + 3 * norm)
    embeddings = (config["vocab_size"] + config["max_target_positions"]) * d
    trainable = convolutions + encoder + decoder + embeddings + 2 * norm
    return trainable + config["max_source_positions"] * d, trainable


def lora_parameters(config: dict[str, Any], rank: int) -> int:
    """Of low-rank matrices beside the four projections of every attention: A is r x d, B is d x r."""
    attentions = config["encoder_layers"] + 2 * config["decoder_layers"]
    return attentions * 4 * 2 * rank * config["d_model"]


def memory(
    config: dict[str, Any],
    *,
    bf16: bool = True,
    lora: int = 0,
    checkpointing: bool = False,
    tokens: float = TOKENS,
) -> Memory:
    """The memory of training. Weights, gradients and moments are float32 either way.

    bf16: activations under autocast (residuals, norms and the loss stay float32). lora: the rank of matrices beside
    every attention, the rest fixed; 0 trains everything. checkpointing: of every layer only its input is kept, and the
    rest computed again when the gradient gets there. tokens: of text, per second of audio.
    """
    everything, trainable = parameters(config)
    if lora:
        trainable = lora_parameters(config, lora)
        everything += trainable
    kept, passing = _activations(config, bf16, lora, checkpointing, tokens)
    weights = FP32 * everything
    if bf16:
        weights += BF16 * (_fixed_copies(config) if lora and checkpointing else everything)
    return Memory(everything, trainable, weights, FP32 * trainable, 2 * FP32 * trainable, kept, passing)


def _fixed_copies(config: dict[str, Any]) -> int:
    """How many of the weights that do not learn have their copy in bf16 at one time, with layers computed again.

    Autocast keeps the copies of weights that learn, and autograd those that a gradient has to pass; but a layer that
    is computed again has its own no longer than that takes. Left are the output layer's and those of one decoder layer.
    """
    d = config["d_model"]
    return config["vocab_size"] * d + 8 * d * d + 2 * d * config["decoder_ffn_dim"]


def _activations(
    config: dict[str, Any], bf16: bool, lora: int, checkpointing: bool, tokens: float
) -> tuple[float, float]:
    """(kept, passing) bytes per second of audio."""
    low = BF16 if bf16 else FP32
    d, mels = config["d_model"], config["num_mel_bins"]
    # Autocast makes a copy of its input for each matrix; without it the three of an attention share one.
    copies = 3 if bf16 else 1
    encoder_layer = _attention(d, config["encoder_attention_heads"], copies, 4, low, lora)
    encoder_layer += _feed_forward(d, config["encoder_ffn_dim"], low, lora)
    # The second attention of a decoder layer has queries and result of the text; keys and values are of the audio.
    decoder_layer = _attention(d, config["decoder_attention_heads"], copies, 4, low, lora)
    decoder_layer += _attention(d, config["decoder_attention_heads"], 1, 2, low, lora)
    decoder_layer += _feed_forward(d, config["decoder_ffn_dim"], low, lora)
    cross = (2 * d + 2 * lora) * low + (copies - 1) * d * low
    # Features; both sides of the first GELU on 100 frames; the second's input on 50. With LoRA all this is fixed.
    stem = 0 if lora else 2 * FRAMES * (mels + 2 * d) * low + FRAMES * d * low
    # Input and output of the last norms.
    norms = FRAMES * 2 * FP32 * d + tokens * (FP32 + low) * d
    # log-softmax, which the loss keeps, and the logits themselves, which the caller holds.
    logits = tokens * config["vocab_size"] * (FP32 + low)
    layers = (config["encoder_layers"], config["decoder_layers"])
    if checkpointing:
        kept = FP32 * d * (layers[0] * FRAMES + layers[1] * tokens)
        above = FP32 * d  # the input, which is kept
        passing = max(FRAMES * (encoder_layer - above), tokens * (decoder_layer - above) + FRAMES * cross)
    else:
        kept = layers[0] * FRAMES * encoder_layer + layers[1] * (tokens * decoder_layer + FRAMES * cross)
        passing = 0.0
    return kept + stem + norms + logits, passing


def _attention(d: int, heads: int, copies: int, tensors: int, low: int, lora: int) -> float:
    """Bytes that autograd keeps of an attention and its norm, per frame or token.

    The input of the norm (float32), its output as the matrices take it, and `tensors` of queries, keys, values and the
    result, with a log-sum-exp per head, as scaled_dot_product_attention keeps them.
    """
    return FP32 * d + copies * low * d + tensors * (d + lora) * low + FP32 * heads


def _feed_forward(d: int, f: int, low: int, lora: int) -> float:
    """Likewise: the input of its norm, what it is for the first matrix, both sides of the GELU.

    Where the matrices are fixed, only the inputs of the norm and of the GELU: what those two derive needs no more.
    """
    return FP32 * d + (low * f if lora else low * d + 2 * low * f)


def table(
    names: Sequence[str] = ("tiny", "base", "small", "medium", "large-v3", "turbo"),
    *,
    bf16: bool = True,
    lora: int = 0,
    checkpointing: bool = False,
) -> str:
    """A Markdown table, in GiB; activations in MiB per second of audio."""
    gib, mib = 2**30, 2**20
    lines = [
        "| checkpoint | parameters | trained | weights | gradients | AdamW | activations per s | 80 s in a batch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        m = memory(public(name), bf16=bf16, lora=lora, checkpointing=checkpointing)
        cells = [name, f"{m.parameters / 1e6:.1f} M", f"{m.trainable / 1e6:.1f} M"]
        cells += [f"{part / gib:.2f}" for part in (m.weights, m.gradients, m.moments)]
        cells += [f"{(m.activations + m.passing) / mib:.1f} MiB", f"{m.total(80) / gib:.1f} GiB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The memory that training a Whisper takes, in GiB.")
    parser.add_argument("names", nargs="*", default=["tiny", "base", "small", "medium", "large-v3", "turbo"])
    parser.add_argument("--lora", type=int, default=0, metavar="RANK", help="low-rank matrices of this rank")
    parser.add_argument(
        "--checkpointing", action="store_true", help="compute activations again instead of keeping them"
    )
    parser.add_argument("--fp32", action="store_true", help="without autocast to bf16")
    given = parser.parse_args()
    print(table(given.names, bf16=not given.fp32, lora=given.lora, checkpointing=given.checkpointing))
