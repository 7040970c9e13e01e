"""Random Whisper checkpoints: plain transformers loads them, and unused pieces do not change what a model says."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

from speechxfer.errors import ConfigError
from speechxfer.models.whisper_folder import TIMES
from speechxfer.models.whisper_padding import lift, pad_vocabulary
from speechxfer.models.whisper_public import NAMES, public
from speechxfer.models.whisper_random import Size, write_public, write_random

TEXTS = [
    "the weather is good today (she said)",
    "how are you my friend",
    "नमस्ते दुनिया",
    "आज मौसम अच्छा है",
] * 5
SMALL = Size(pieces=330, d_model=32, encoder_layers=1, decoder_layers=2, heads=2, ffn=64, audio_positions=50)
LAST = "<|notimestamps|>"


def plain(folder: Path) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    net = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return net.eval(), WhisperProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def compact(tmp_path_factory) -> Path:
    """A folder whose weights are moved to where training would have them: norms off 1 and 0, rows with a mean."""
    folder = write_random(tmp_path_factory.mktemp("whisper") / "compact", SMALL, TEXTS)
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    for name, tensor in weights.items():
        if "layer_norm" in name:
            tensor += 0.15 * torch.randn(tensor.shape, generator=generator)
        elif name.endswith("embed_tokens.weight"):
            tensor *= 2
            tensor += 0.3 * torch.randn(tensor.shape[-1], generator=generator)
        elif "decoder.embed_positions" in name:
            tensor *= 20  # so that greedy text does not stand still
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def padded(compact) -> Path:
    return pad_vocabulary(compact, compact.with_name("padded"))


def padded_ids(ids: torch.Tensor, pieces: int) -> torch.Tensor:
    """Ids of the compact vocabulary as the padded one has them."""
    return torch.where(ids < pieces, ids, ids - pieces + 50_257)


# --- a folder of its own ----------------------------------------------------------------------------------------------


def test_the_vocabulary_is_the_public_one_behind_the_pieces(compact, real_data):
    _, processor = plain(compact)
    real = json.loads((real_data / "whisper/tokenizer_hf/tokenizer.json").read_text())["added_tokens"]
    expected = [t["content"].replace("nocaptions", "nospeech") for t in real]
    tokenizer = processor.tokenizer
    pieces = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert len(expected) == 1608 and len(tokenizer) == pieces + 1608 <= 330 + 1608
    assert tokenizer.convert_ids_to_tokens(range(pieces, pieces + 1608)) == expected


@pytest.mark.parametrize("text", [*TEXTS[:4], "Ünïcode “quotes” 123 <|en|", "日本語"])
def test_text_comes_back_and_times_are_read(compact, padded, text):
    for folder in (compact, padded):
        tokenizer = WhisperProcessor.from_pretrained(folder).tokenizer
        ids = tokenizer.encode(f" {text}", add_special_tokens=False)
        assert max(ids) < 330  # never a filler
        assert tokenizer.decode(ids) == f" {text}"
        start, end = tokenizer.convert_tokens_to_ids([TIMES[0], TIMES[60]])
        assert tokenizer.decode([start, *ids, end], decode_with_timestamps=True) == f"<|0.00|> {text}<|1.20|>"


def test_generate_of_transformers_takes_language_and_task(compact):
    net, processor = plain(compact)
    features = processor.feature_extractor(
        torch.randn(8000).numpy(), sampling_rate=16000, return_tensors="pt", padding="max_length", max_length=16000
    ).input_features
    assert features.shape == (1, 80, 100)
    settings = dict(max_new_tokens=5, return_timestamps=False)
    written = net.generate(features, language="hi", task="translate", **settings)
    detected = net.detect_language(features)
    codes = net.generation_config.lang_to_id
    assert len(codes) == 99 and detected.item() in codes.values()
    never = set(net.generation_config.suppress_tokens)
    assert written.shape[1] >= 1 and not never & set(written[0, 4:].tolist())
    assert getattr(net.generation_config, "forced_decoder_ids", None) is None
    dots = processor.tokenizer.convert_tokens_to_ids(["(", ")", "<|startoftranscript|>", "<|translate|>"])
    assert set(dots) <= never
    assert not {*range(256)} & never - set(processor.tokenizer.convert_tokens_to_ids(list('"#()*+/:;<=>@[\\]^_`{|}~')))


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    folders = [write_random(tmp_path / name, SMALL, TEXTS, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    names = sorted(file.name for file in folders[0].iterdir())
    assert "generation_config.json" in names and "preprocessor_config.json" in names
    first, same, other = ([(folder / name).read_bytes() for name in names] for folder in folders)
    assert first == same
    assert [a == b for a, b in zip(first, other, strict=True)].count(False) == 1  # the weights alone


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="one for each byte"):
        write_random(tmp_path / "a", Size(pieces=200), TEXTS)
    with pytest.raises(ConfigError, match="2 x heads"):
        write_random(tmp_path / "a", Size(d_model=30, heads=4), TEXTS)
    with pytest.raises(ConfigError, match="no texts"):
        write_random(tmp_path / "a", Size(), [" "])
    assert not list(tmp_path.iterdir())


def test_an_english_one_has_neither_languages_nor_tasks_to_choose(tmp_path):
    net, _ = plain(write_random(tmp_path / "en", dataclasses.replace(SMALL, multilingual=False), TEXTS))
    settings = net.generation_config.to_dict()
    assert settings["is_multilingual"] is False and "lang_to_id" not in settings and "task_to_id" not in settings


# --- padding the vocabulary -------------------------------------------------------------------------------------------


def test_padded_special_tokens_have_their_public_ids(padded):
    net, processor = plain(padded)
    config, asked = net.config, net.generation_config
    assert config.vocab_size == len(processor.tokenizer) == net.proj_out.weight.shape[0] == 51_865
    assert net.proj_out.weight is net.model.decoder.embed_tokens.weight
    assert (config.eos_token_id, config.decoder_start_token_id) == (50_257, 50_258)
    assert processor.tokenizer.convert_tokens_to_ids(["<|en|>", LAST, "<|30.00|>"]) == [50_259, 50_363, 51_864]
    assert (asked.lang_to_id["<|hi|>"], asked.task_to_id["translate"]) == (50_276, 50_358)
    assert asked.no_timestamps_token_id == 50_363 and asked.begin_suppress_tokens == [220, 50_257]


def states(net: WhisperForConditionalGeneration, real: torch.Tensor) -> torch.Tensor:
    """Last hidden states (n, d) of the decoder: random ones, and those at which the real logits are lowest."""
    norm = net.model.decoder.layer_norm
    z = torch.randn(500, len(norm.weight), generator=torch.Generator().manual_seed(0)) * 3
    swing = norm.weight * real.mean(0)
    worst = torch.stack([-swing, swing]) * 100
    return norm(torch.cat([z, worst]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_unused_pieces_have_no_probability_at_any_state(compact, padded, dtype):
    pieces = plain(compact)[0].config.eos_token_id
    net, _ = plain(padded)
    net.to(dtype).float()  # what a file of half precision has
    rows = net.proj_out.weight
    real = torch.cat([rows[:pieces], rows[50_257:]])
    hidden = states(net, real)
    unused = hidden @ rows[pieces]
    assert torch.equal(rows[pieces:50_257], rows[pieces].expand(50_257 - pieces, -1))
    assert unused.std() < (1e-4 if dtype == torch.float32 else 0.5)  # the same whatever the state
    mass = (unused + math.log(50_257 - pieces) - (hidden @ real.T).logsumexp(-1)).exp()
    assert mass.max() < {torch.float32: 3e-9, torch.float16: 4e-9, torch.bfloat16: 2e-8}[dtype]
    assert mass[:500].median() < 1e-10


def test_real_tokens_keep_probabilities_and_greedy_text(compact, padded):
    (small, _), (large, _) = plain(compact), plain(padded)
    pieces = small.config.eos_token_id
    features = torch.randn(2, 80, 100, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, small.config.vocab_size, (2, 12), generator=generator)
    with torch.no_grad():
        ours = small(input_features=features, decoder_input_ids=ids).logits.log_softmax(-1)
        theirs = large(input_features=features, decoder_input_ids=padded_ids(ids, pieces)).logits.log_softmax(-1)
    kept = torch.cat([theirs[..., :pieces], theirs[..., 50_257:]], -1)
    torch.testing.assert_close(kept, ours, atol=2e-5, rtol=0)
    settings = dict(language="en", task="transcribe", max_new_tokens=30)
    texts = [net.generate(features, **settings) for net in (small, large)]
    assert len(set(texts[0].flatten().tolist())) > 5
    assert torch.equal(padded_ids(texts[0], pieces), texts[1])


def test_a_norm_without_bias_is_refused(compact, tmp_path):
    net, _ = plain(compact)
    for file in compact.iterdir():
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / file.name).write_bytes(file.read_bytes())
    torch.nn.init.zeros_(net.model.decoder.layer_norm.bias)
    net.save_pretrained(tmp_path / "flat")
    with pytest.raises(ConfigError, match="reaches 0.00 along 1 / gain; expected 0.2"):
        pad_vocabulary(tmp_path / "flat", tmp_path / "padded")
    assert not (tmp_path / "padded").exists()


@pytest.mark.parametrize("reach", [0.5, 2.0])
def test_a_lifted_bias_has_its_reach_and_gives_the_same_probabilities(compact, tmp_path, reach):
    lifted = lift(compact, tmp_path / "lifted", reach)
    assert {file.name for file in lifted.iterdir()} == {file.name for file in compact.iterdir()}
    nets = [plain(folder)[0] for folder in (compact, lifted)]
    norm = nets[1].model.decoder.layer_norm
    inverse = 1 / norm.weight
    assert (inverse @ norm.bias / inverse.norm()).item() == pytest.approx(reach, abs=1e-4)
    torch.manual_seed(0)
    z = torch.randn(50, len(norm.weight))
    told = [(net.model.decoder.layer_norm(z) @ net.proj_out.weight.T).log_softmax(-1) for net in nets]
    torch.testing.assert_close(*told, atol=1e-4, rtol=0)
    assert not torch.allclose(*(net.proj_out.weight for net in nets), atol=1e-2)


# --- public sizes -----------------------------------------------------------------------------------------------------

# Of the model cards and of OpenAI's table, in millions.
MILLIONS = {"tiny": 37.8, "base": 72.6, "small": 241.7, "medium": 763.9, "large-v2": 1543.3, "large-v3": 1543.5}
MILLIONS |= {"turbo": 808.9, "distil-large-v3": 756.4, "tiny.en": 37.8, "medium.en": 763.9}


@pytest.mark.parametrize("name", NAMES)
def test_public_sizes_have_their_parameters(name):
    with torch.device("meta"):
        net = WhisperForConditionalGeneration(WhisperConfig(**public(name)))
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert count == pytest.approx(MILLIONS.get(name, count), abs=0.06)


@pytest.mark.parametrize("name", ["tiny", "tiny.en"])
def test_a_public_size_has_public_ids(real_data, tmp_path, name):
    net, processor = plain(write_public(tmp_path / "w", name, real_data / "whisper/tokenizer_hf"))
    config, tokenizer = net.config, processor.tokenizer
    named = [tokenizer.eos_token, "<|startoftranscript|>"]
    assert tokenizer.convert_tokens_to_ids(named) == [config.eos_token_id, config.decoder_start_token_id]
    assert len(tokenizer) == config.vocab_size == net.proj_out.weight.shape[0]
    assert net.generation_config.alignment_heads[-1] == ([3, 5] if name == "tiny" else [3, 4])
    rows = net.proj_out.weight
    assert rows.std().item() == pytest.approx(0.02, rel=0.02) and len(rows[::50].unique(dim=0)) == len(rows[::50])
    if name == "tiny":
        from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS_MULTI

        suppressed = {i for i in net.generation_config.suppress_tokens if i < 50_257}
        assert suppressed == {i for i in NON_SPEECH_TOKENS_MULTI if i < 50_257}


def test_a_size_that_does_not_exist_or_another_tokenizer_is_refused(compact, tmp_path):
    with pytest.raises(ConfigError, match="tinny"):
        public("tinny")
    with pytest.raises(ConfigError, match="expected the 50257"):
        write_public(tmp_path / "w", "tiny", compact)
