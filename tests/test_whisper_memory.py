"""The memory table: parameters against torch's own count, activations against the tensors that torch saves."""

from contextlib import nullcontext

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from transformers import WhisperConfig, WhisperForConditionalGeneration

from speechxfer.models.whisper_memory import BF16, FP32, lora_parameters, memory, parameters, table
from speechxfer.models.whisper_public import NAMES, public


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_that_torch_counts(name):
    config = public(name)
    with torch.device("meta"):
        net = WhisperForConditionalGeneration(WhisperConfig(**config))
    learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert parameters(config) == (sum(p.numel() for p in net.parameters()), learning)


def measured(config: dict, seconds: int, tokens: int, bf16: bool, rank: int) -> int:
    """Bytes of all tensors that autograd saves in one forward pass, each memory once, no weights; and the logits."""
    from peft import LoraConfig, inject_adapter_in_model

    config = config | {"max_source_positions": 50 * seconds}  # the encoder takes no other length
    net = WhisperForConditionalGeneration(WhisperConfig(**config)).train()
    if rank:
        targets = ["q_proj", "k_proj", "v_proj", "out_proj"]
        inject_adapter_in_model(LoraConfig(r=rank, target_modules=targets), net)
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    matrices = [p for name, p in net.named_parameters() if p.ndim > 1 and "embed_positions" not in name]
    sizes = {p.shape for p in matrices} | {p.T.shape for p in matrices if p.ndim == 2}
    saved = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        cast = tensor.dtype == torch.bfloat16 and tensor.shape in sizes  # autocast's copy of a weight
        if storage.data_ptr() not in weights and not cast:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    features = torch.randn(1, config["num_mel_bins"], 100 * seconds)
    labels = torch.randint(0, 50_000, (1, tokens))
    cast = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
    with saved_tensors_hooks(pack, lambda tensor: tensor), cast:
        logits = net(features, decoder_input_ids=labels, use_cache=False).logits
        with torch.autocast("cpu", enabled=False):
            loss = F.cross_entropy(logits[0].float(), labels[0])  # noqa: F841  (what it saves must live)
    saved[logits.untyped_storage().data_ptr()] = logits.untyped_storage().nbytes()
    return sum(saved.values())


@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.parametrize("bf16", [False, True])
def test_activations_of_tiny_are_what_torch_saves(bf16, rank):
    config, seconds, tokens = public("tiny"), 6, 24
    # On the CPU, though not on a GPU, the result of an attention is copied once more: four of the five per cent.
    expected = memory(config, bf16=bf16, lora=rank, tokens=tokens / seconds).activations * seconds
    assert expected == pytest.approx(measured(config, seconds, tokens, bf16, rank), rel=0.05)


def test_low_rank_matrices_are_counted():
    from peft import LoraConfig, inject_adapter_in_model

    config = public("tiny")
    with torch.device("meta"):
        net = WhisperForConditionalGeneration(WhisperConfig(**config))
        inject_adapter_in_model(LoraConfig(r=8, target_modules=["q_proj", "k_proj", "v_proj", "out_proj"]), net)
    assert sum(p.numel() for n, p in net.named_parameters() if "lora_" in n) == lora_parameters(config, 8)


def test_what_is_trained_less_takes_less():
    config = public("small")
    full, lora = memory(config), memory(config, lora=16)
    again = memory(config, checkpointing=True)
    assert full.gradients == FP32 * full.trainable and full.moments == 2 * full.gradients
    assert full.weights == (FP32 + BF16) * full.parameters
    assert lora.fixed < 0.6 * full.fixed and lora.activations < full.activations
    assert again.activations + again.passing < 0.4 * full.activations and again.fixed == full.fixed
    assert memory(config, bf16=False).activations > 1.4 * full.activations
    assert full.total(80) == full.fixed + 80 * full.activations


def test_the_table_has_a_row_for_each_name():
    lines = table(["tiny", "large-v3"]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| tiny", "| large-v3"]
    assert "1543.5 M" in lines[3] and len({line.count("|") for line in lines}) == 1
