"""Every kind of Whisper on the hub: loaded, trained, decoded, saved, and loaded again, by folder and by hub name.

Weights are random and layers few and narrow; ids, vocabulary, mels and special tokens are those of the hub.
"""

import numpy as np
import pytest
import torch
from conftest import RATE, write_tiny_whisper
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

from speechxfer.errors import CheckpointError
from speechxfer.manifest import Example
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.whisper_public import NAMES, public
from speechxfer.models.whisper_random import write_public
from speechxfer.task import Speech

# name -> mels, vocabulary, decoder layers (of at most 4), <|startoftranscript|>, <|notimestamps|>
KINDS = {
    "tiny": (80, 51_865, 4, 50_258, 50_363),
    "tiny.en": (80, 51_864, 4, 50_257, 50_362),
    "large-v3": (128, 51_866, 4, 50_258, 50_364),
    "turbo": (128, 51_866, 4, 50_258, 50_364),
    "distil-large-v3": (128, 51_866, 2, 50_258, 50_364),
    "distil-small.en": (80, 51_864, 4, 50_257, 50_362),
}
TEXTS = ("Hello world.", "How are you?")


def batch_of(model: torch.nn.Module) -> Batch:
    """Two sentences of noise, 0.8 and 1.1 s."""
    rng = np.random.default_rng(0)
    sounds = [(0.1 * rng.standard_normal(int(s * RATE))).astype(np.float32) for s in (0.8, 1.1)]
    rows = [(Example(str(i), text=text), sound) for i, (text, sound) in enumerate(zip(TEXTS, sounds, strict=True))]
    return model.frontend.collate([model.frontend.features(*row) for row in rows])


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_learns_writes_and_comes_back(real_data, tmp_path, name):
    mels, vocabulary, decoder_layers, start, no_timestamps = KINDS[name]
    tokenizer = real_data / "whisper" / "tokenizer_hf"
    folder = write_public(tmp_path / "hub", name, tokenizer, size=(64, 4))
    speech = Speech() if name.endswith(".en") else Speech(language="en")
    model = load_checkpoint(folder, texts=TEXTS, speech=speech).train()
    config, tokens = model.net.config, model.frontend.tokens
    assert (config.num_mel_bins, config.vocab_size, config.decoder_layers) == (mels, vocabulary, decoder_layers)
    assert (tokens.start, tokens.no_timestamps, len(tokens)) == (start, no_timestamps, vocabulary)
    assert tokens.multilingual == (not name.endswith(".en"))
    if tokens.multilingual:
        assert ("yue" in tokens.languages) == (mels == 128)

    batch = batch_of(model)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    losses = []
    for _ in range(12):
        output = model(batch)
        (output.loss_sum / batch.tokens).backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(output.loss_sum.detach()) / batch.tokens)
    assert losses[0] == pytest.approx(np.log(vocabulary), abs=0.5), "of random weights: as good as none"
    assert losses[-1] < 0.5 * losses[0]
    output, written = model.eval().evaluate(batch)
    assert all(written), "texts, if not yet the right ones"

    model.save(tmp_path / "saved")
    net = WhisperForConditionalGeneration.from_pretrained(tmp_path / "saved")
    processor = WhisperProcessor.from_pretrained(tmp_path / "saved")
    assert net.config.vocab_size == vocabulary and processor.feature_extractor.feature_size == mels
    told = processor.tokenizer(TEXTS[0]).input_ids  # with the prefix that transformers puts there
    assert told[0] == start and processor.tokenizer.decode(told, skip_special_tokens=True) == TEXTS[0]
    again = load_checkpoint(tmp_path / "saved", speech=Speech(context="own")).eval()
    with torch.no_grad():
        assert torch.equal(again(batch_of(again)).logits, output.logits)


# Of the model cards, in millions.
DISTILLED = {"distil-small.en": 166, "distil-medium.en": 394, "distil-large-v2": 756, "distil-large-v3": 756}
DISTILLED |= {"distil-large-v3.5": 756}


def test_distilled_ones_have_their_parameters():
    assert {name for name in NAMES if name.startswith("distil")} == DISTILLED.keys()
    for name, millions in DISTILLED.items():
        with torch.device("meta"):
            net = WhisperForConditionalGeneration(WhisperConfig(**public(name)))
        assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions, name


@pytest.mark.parametrize("name", ["openai/whisper-tiny", "distil-whisper/distil-small.en"])
def test_a_hub_name_finds_what_was_downloaded(tmp_path, monkeypatch, name):
    repository = tmp_path / f"models--{name.replace('/', '--')}"
    written = write_tiny_whisper(tmp_path / "m", multilingual=not name.endswith(".en"))
    commit = "0123456789" * 4
    (repository / "snapshots").mkdir(parents=True)
    written.rename(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = load_checkpoint(name)
    assert not model.frontend.own_length, "it has only seen 30 s"
    assert model.frontend.tokens.multilingual == (not name.endswith(".en"))
    with pytest.raises(CheckpointError, match="openai/whisper-tinny: neither a folder here nor a hub checkpoint"):
        load_checkpoint("openai/whisper-tinny")
