"""CTC models against transformers' own: frames, loss, masks, loading and saving; and every pitfall with its message."""

import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import RATE, tones, write_tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForCTC,
    AutoProcessor,
    HubertConfig,
    HubertForCTC,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMForCTC,
    WavLMModel,
    pipeline,
)

from speechxfer.errors import CheckpointError, ConfigError, SpeechxferError
from speechxfer.manifest import Example, Manifest, read_manifest
from speechxfer.models import load_checkpoint
from speechxfer.models.base import Batch
from speechxfer.models.ctc import Ctc, align
from speechxfer.models.ctc_frontend import CtcFrontend
from speechxfer.models.vocabulary import Vocabulary
from speechxfer.task import Decode

CONFIGS = {"wav2vec2": Wav2Vec2Config, "hubert": HubertConfig, "wavlm": WavLMConfig}
WITH_HEAD = {"wav2vec2": Wav2Vec2ForCTC, "hubert": HubertForCTC, "wavlm": WavLMForCTC}
RAGGED = ("ab c", "d", "abcd dcba", "cab", "bad cab dab", "a", "dd aa", "bcd")
GROUP_NORM = dict(feat_extract_norm="group", do_stable_layer_norm=False, conv_bias=False)


def write_kind(folder: Path, kind: type[PreTrainedModel], **changes) -> Path:
    """A tiny checkpoint as `write_tiny` makes it, of another architecture."""
    tiny = Wav2Vec2Config.from_pretrained(write_tiny(folder, **changes)).to_dict()
    config = kind.config_class(**{k: v for k, v in tiny.items() if k not in ("model_type", "architectures", "dtype")})
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    return folder


def outspoken(model: Ctc) -> Ctc:
    """In eval mode, with a head that is sure of something else in every frame, and never of a special token."""
    generator = torch.Generator().manual_seed(1)
    head, vocabulary = model.net.lm_head, model.frontend.vocabulary
    with torch.no_grad():
        head.weight.normal_(generator=generator)
        for token in vocabulary.specials - {vocabulary.roles["pad_token"]}:
            head.bias[vocabulary.ids[token]] = -1e3
    return model.eval()


def make_batch(frontend: CtcFrontend, texts: tuple[str, ...] = RAGGED) -> Batch:
    rng = np.random.default_rng(0)
    return frontend.collate(
        [frontend.features(Example(id=f"{i}", text=text), tones(text, rng)) for i, text in enumerate(texts)]
    )


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Equal up to the order of float32 sums: every gradient by its norm, or that of all where it is about zero."""
    assert found.keys() == expected.keys()
    total = torch.stack([g.norm() for g in expected.values()]).norm()
    for name, gradient in expected.items():
        difference = (found[name] - gradient).norm()
        assert difference <= 1e-3 * gradient.norm() + 1e-6 * total, name


def gradients(model: Ctc) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("ctc") / "tiny")


@pytest.fixture
def model(tiny) -> Ctc:
    return outspoken(load_checkpoint(tiny))


# --- frames and samples ----------------------------------------------------------------------------------------------

REAL = dict(conv_kernel=(10, 3, 3, 3, 3, 2, 2), conv_stride=(5, 2, 2, 2, 2, 2, 2), conv_dim=(8,) * 7)


@pytest.mark.parametrize("changes", [{}, REAL | {"num_feat_extract_layers": 7}], ids=["tiny", "real"])
def test_frames_are_those_of_transformers(tmp_path, changes):
    model = load_checkpoint(write_tiny(tmp_path, **changes))
    lengths = [*range(1200), 16_000, 123_457]
    expected = model.net._get_feat_extract_output_lengths(torch.tensor(lengths)).clamp(min=0).tolist()
    assert [model.frontend.frames(n) for n in lengths] == expected
    for frames in (1, 2, 3, 17, 400):
        least = model.frontend.samples(frames)
        assert model.frontend.frames(least) == frames
        assert model.frontend.frames(least - 1) == frames - 1
    assert model.frontend.hop == 0.02


def test_the_network_makes_as_many_frames_as_the_frontend_says(model):
    batch = make_batch(model.frontend)
    assert model(batch).logits.shape[1] == batch.inputs["lengths"].max()


def test_batches_are_those_of_the_feature_extractor(model, tiny):
    rng = np.random.default_rng(0)
    recordings = [tones(text, rng) * scale + 0.1 for text, scale in zip(RAGGED, (1, 0.01) * 4, strict=True)]
    items = [model.frontend.features(Example(id="x"), samples) for samples in recordings]
    assert all(item.samples.dtype == np.float32 for item in items)
    ours = model.frontend.collate(items)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(tiny)
    theirs = extractor(recordings, sampling_rate=RATE, padding=True, return_tensors="pt")
    torch.testing.assert_close(ours.inputs["input_values"], theirs["input_values"], atol=1e-5, rtol=0)
    assert torch.equal(ours.inputs["attention_mask"], theirs["attention_mask"].long())
    assert ours.size == pytest.approx(sum(map(len, recordings)) / RATE)


def test_a_checkpoint_that_does_not_standardise(tmp_path):
    folder = write_tiny(tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"do_normalize": False}))
    samples = noise(4000) + 0.5
    item = load_checkpoint(folder).frontend.features(Example(id="x"), samples)
    np.testing.assert_array_equal(item.samples, samples)


@pytest.mark.parametrize("samples", [50, 400, 1600])
@pytest.mark.parametrize("changes", [{}, GROUP_NORM], ids=["layer norm", "group norm"])
def test_time_masking_on_very_short_clips(tmp_path, samples, changes):
    folder = write_tiny(tmp_path, mask_time_length=10, mask_time_prob=0.9, **changes)
    model = load_checkpoint(folder).train()
    item = model.frontend.features(Example(id="short", text="a"), noise(samples))
    batch = model.frontend.collate([item])
    output = model(batch)
    output.loss_sum.backward()
    assert batch.inputs["lengths"].tolist() == [model.frontend.frames(samples)]
    assert all(torch.isfinite(g).all() for g in gradients(model).values())
    if samples > 325:  # transformers fails on the bare clip, which is why it is padded
        with pytest.raises(ValueError, match="mask_length"):
            model(replace(model.frontend, least_frames=1).collate([item]))


# --- loss ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_transformers(model):
    batch = make_batch(model.frontend)
    labels = torch.full((len(RAGGED), 20), -100)
    for row, text in zip(labels, RAGGED, strict=True):
        ids = model.frontend.encode(text)
        row[: len(ids)] = torch.tensor(ids)
    output = model(batch)
    names = ("input_values", "attention_mask")
    theirs = model.net(**{name: batch.inputs[name] for name in names}, labels=labels)
    torch.testing.assert_close(output.loss_sum, theirs.loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(output.logits, theirs.logits)
    torch.testing.assert_close(output.losses.sum(), output.loss_sum)
    assert not output.losses.requires_grad
    assert output.tokens == sum(map(len, RAGGED))


@pytest.mark.parametrize("sizes", [(1,) * 8, (4, 4), (1, 5, 2)], ids=str)
def test_losses_and_gradients_add_over_any_split_of_a_ragged_batch(model, sizes):
    rng = np.random.default_rng(0)
    items = [model.frontend.features(Example(id=text, text=text), tones(text, rng)) for text in RAGGED]
    whole = model(model.frontend.collate(items))
    (whole.loss_sum / whole.tokens).backward()
    expected, loss, tokens, rest = gradients(model), 0.0, 0, iter(items)
    for size in sizes:
        part = model(model.frontend.collate(list(itertools.islice(rest, size))))
        (part.loss_sum / whole.tokens).backward()
        loss, tokens = loss + part.loss_sum.item(), tokens + part.tokens
    assert tokens == whole.tokens
    assert loss == pytest.approx(whole.loss_sum.item(), rel=1e-5)
    assert_same(gradients(model), expected)


def test_an_utterance_that_no_alignment_fits_counts_zero(model):
    frontend = model.frontend
    fits = frontend.features(Example(id="fits", text="ab c"), noise(16_000))
    long = frontend.features(Example(id="long", text="abcd" * 10), noise(1600))
    repeats = frontend.features(Example(id="repeats", text="aaaa"), noise(1600))  # 4 frames, but 3 blanks as well
    alone = model(frontend.collate([fits])).loss_sum
    alone.backward()
    expected = gradients(model)
    output = model(frontend.collate([fits, long, repeats]))
    output.loss_sum.backward()
    assert output.losses[1:].tolist() == [0, 0]
    assert output.loss_sum.item() == pytest.approx(alone.item(), rel=1e-5)
    assert_same(gradients(model), expected)


def test_the_loss_is_taken_in_float32_under_autocast(model):
    batch = make_batch(model.frontend)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
    assert output.logits.dtype == torch.bfloat16
    assert output.losses.dtype == torch.float32
    assert float(output.loss_sum.detach()) == pytest.approx(float(model(batch).loss_sum.detach()), rel=0.1)


# --- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITH_HEAD.values(), ids=WITH_HEAD)
def test_a_padded_batch_says_the_same_as_each_utterance_alone(tmp_path, kind):
    model = outspoken(load_checkpoint(write_kind(tmp_path, kind)))
    assert type(model.net) is kind
    batch = make_batch(model.frontend)
    together, transcripts = model(batch).logits, model.generate(batch, Decode())
    rng = np.random.default_rng(0)
    for row, text in enumerate(RAGGED):
        alone = model.frontend.collate([model.frontend.features(Example(id="x"), tones(text, rng))])
        frames = int(alone.inputs["lengths"][0])
        torch.testing.assert_close(model(alone).logits[0, :frames], together[row, :frames], atol=1e-4, rtol=0)
        (transcript,) = model.generate(alone, Decode())
        assert transcript.text == transcripts[row].text
        assert transcript.words == transcripts[row].words
        assert transcript.confidence == pytest.approx(transcripts[row].confidence, abs=1e-4)
    assert len({t.text for t in transcripts} - {""}) > 4  # the comparison is of something


def test_group_norm_models_see_the_padding(tmp_path):
    """Their feature encoder averages over the whole padded batch, and they were trained so: no mask can undo it."""
    model = outspoken(load_checkpoint(write_tiny(tmp_path, **GROUP_NORM)))
    batch = make_batch(model.frontend)
    assert "attention_mask" not in batch.inputs
    rng = np.random.default_rng(0)
    recordings = [tones(text, rng) for text in RAGGED]
    # One by one, then padded with zeros, as these models were trained. Given all at once, the extractor (told to
    # return no mask) takes mean and variance over the padding as well.
    extractor = AutoProcessor.from_pretrained(tmp_path).feature_extractor
    assert not extractor.return_attention_mask
    single = [torch.from_numpy(extractor(r, sampling_rate=RATE)["input_values"][0]) for r in recordings]
    together = model(batch).logits
    theirs = model.net(torch.nn.utils.rnn.pad_sequence(single, batch_first=True)).logits
    torch.testing.assert_close(together, theirs, atol=1e-3, rtol=0)
    alone = model(model.frontend.collate([model.frontend.features(Example(id="x"), recordings[1])])).logits[0]
    assert (alone - together[1, : len(alone)]).abs().max() > 0.1


# --- loading ---------------------------------------------------------------------------------------------------------


def test_half_precision_folders_load_as_float32(tmp_path, tiny):
    net = AutoModelForCTC.from_pretrained(tiny).half()
    net.save_pretrained(write_tiny(tmp_path))
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16}
    model = load_checkpoint(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(model.net.lm_head.weight, stored["lm_head.weight"].float())
    model.save(tmp_path / "saved")
    assert {t.dtype for t in safetensors.torch.load_file(tmp_path / "saved" / "model.safetensors").values()} == {
        torch.float32
    }


SELF_SUPERVISED = (Wav2Vec2Model, Wav2Vec2ForPreTraining, HubertModel, WavLMModel)


@pytest.mark.parametrize("kind", SELF_SUPERVISED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("with_vocabulary", [False, True], ids=["bare", "with a vocab.json"])
def test_self_supervised_checkpoints_build_their_vocabulary_from_the_text(tmp_path, kind, with_vocabulary):
    folder = write_kind(tmp_path, kind, num_codevectors_per_group=4, codevector_dim=8, proj_codevector_dim=8)
    if not with_vocabulary:
        (folder / "vocab.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="must be fine-tuned before it can transcribe; `speechxfer train` builds"):
        load_checkpoint(folder)
    texts = ["क़लम की ज़रूरत", "cafe\u0301 है"]
    model = load_checkpoint(folder, texts=iter(texts))
    assert model.frontend.vocabulary == Vocabulary.from_texts(texts)
    assert {"é", "\u093c"} <= model.frontend.vocabulary.ids.keys()
    assert model.net.lm_head.out_features == len(model.frontend.vocabulary.ids)
    assert set(model.fresh) == {name for name, _ in model.net.named_parameters() if name.startswith("lm_head")}
    trained = kind.from_pretrained(folder).state_dict()
    name = "encoder.layers.2.attention.k_proj.weight"
    (weight,) = (w for n, w in trained.items() if n.endswith(name))
    assert torch.equal(model.net.base_model.get_parameter(name), weight)
    items = [model.frontend.features(Example(id=t, text=t), noise(9000)) for t in ("क़लम की", "है")]
    batch = model.frontend.collate(items)
    assert batch.tokens == len("\u0915\u093cलम की") + len("है")
    assert (model.train()(batch).losses > 0).all()
    model.save(folder / "tuned")
    assert load_checkpoint(folder / "tuned").frontend.vocabulary.ids == model.frontend.vocabulary.ids


def rows(model: Ctc) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    head = model.net.lm_head
    return {t: (head.weight[i].detach(), head.bias[i].detach()) for t, i in model.frontend.vocabulary.ids.items()}


def same(one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def write_upper(folder: Path) -> Path:
    """An upper-case checkpoint with the blank last and its own special tokens, and a head of random biases."""
    write_tiny(folder, pad_token_id=6, vocab_size=7, bos_token_id=None, eos_token_id=None)
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "vocab.json").unlink()
    Vocabulary({"A": 0, "B": 1, "C": 2, "D": 3, "|": 4, "[UNK]": 5, "[PAD]": 6}, roles=roles).save(folder)
    net = Wav2Vec2ForCTC.from_pretrained(folder)
    torch.nn.init.normal_(net.lm_head.bias, generator=torch.Generator().manual_seed(2))
    net.save_pretrained(folder)
    return folder


def test_extend_keeps_every_row_and_adds_the_new(tmp_path):
    folder = write_upper(tmp_path)
    old = rows(load_checkpoint(folder))
    model = load_checkpoint(folder, texts=["bad café", "é"], vocabulary="extend")
    new = rows(model)
    assert list(new) == [*old, "é", "f"]
    assert all(same(new[token], old[token]) for token in old)
    assert not any(same(new["é"], row) for row in old.values())
    assert model.frontend.vocabulary.blank == model.net.config.pad_token_id == 6
    assert model.frontend.vocabulary.decode(model.frontend.encode("Bad café")) == "BAD CAfé"
    model.save(tmp_path / "saved")
    again = rows(load_checkpoint(tmp_path / "saved"))
    assert again.keys() == new.keys() and all(same(again[token], new[token]) for token in new)


def test_rebuild_keeps_the_rows_of_what_both_have_and_no_others(tmp_path):
    """Letters in either case, the blank and the word delimiter, whatever they were called."""
    folder = write_upper(tmp_path)
    old = rows(load_checkpoint(folder))
    new = rows(load_checkpoint(folder, texts=["bad zoo"], vocabulary="rebuild"))
    assert set(new) == {"<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "d", "z", "o"}
    kept = {"<pad>": "[PAD]", "<unk>": "[UNK]", "|": "|", "a": "A", "b": "B", "d": "D"}
    assert all(same(new[token], old[name]) for token, name in kept.items())
    assert not any(same(new[token], row) for token in ("z", "o", "<s>") for row in old.values())


@pytest.mark.parametrize(
    ("vocabulary", "text", "begins"),
    [
        ("keep", "bad zoo", False),
        ("extend", "bad", False),
        ("extend", "bad zoo", True),
        ("rebuild", "bad", False),  # <s> and </s> are new there, and nothing writes them
        ("rebuild", "bad zoo", True),
    ],
)
def test_a_head_with_rows_for_new_characters_is_fresh(tmp_path, vocabulary, text, begins):
    model = load_checkpoint(write_upper(tmp_path), texts=[text], vocabulary=vocabulary)
    assert model.fresh == (("lm_head.weight", "lm_head.bias") if begins else ())


def test_rebuild_to_the_same_size_gives_no_row_to_another_character(tiny):
    old = rows(load_checkpoint(tiny))
    new = rows(load_checkpoint(tiny, texts=["abcz"], vocabulary="rebuild"))
    assert len(new) == len(old)
    assert all(same(new[token], old[token]) for token in new.keys() & old.keys())
    assert not any(same(new["z"], row) for row in old.values())


def test_keep_takes_the_checkpoint_as_it_is(tiny):
    old, new = rows(load_checkpoint(tiny)), rows(load_checkpoint(tiny, texts=["zoo"]))
    assert new.keys() == old.keys() and all(same(new[token], old[token]) for token in old)


def test_normaliser_of_the_checkpoint(tiny, tmp_path):
    load_checkpoint(tiny, normaliser="english").save(tmp_path / "saved")
    assert load_checkpoint(tmp_path / "saved").frontend.normaliser == "english"
    assert load_checkpoint(tmp_path / "saved", normaliser="none").frontend.normaliser == "none"


@pytest.mark.parametrize("choice", ["kept", ""])
def test_unknown_vocabulary_choice(tiny, choice):
    with pytest.raises(ConfigError, match=f"data.vocabulary is '{choice}'; expected one of keep, extend, rebuild"):
        load_checkpoint(tiny, texts=["a"], vocabulary=choice)


@pytest.mark.parametrize("choice", ["extend", "rebuild"])
def test_vocabulary_choices_that_need_text(tiny, choice):
    with pytest.raises(ConfigError, match="needs the training text"):
        load_checkpoint(tiny, vocabulary=choice)


def without_weight(folder: Path, name: str) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights[name]
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def change_config(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


DAMAGE = {
    "neither a folder here nor a hub checkpoint": lambda folder: folder.rename(folder.with_name("moved")),
    "has no config.json": lambda folder: (folder / "config.json").unlink(),
    "config.json: not JSON": lambda folder: truncate(folder / "config.json"),
    "model_type 't5'; expected one of wav2vec2, hubert, wavlm": lambda f: change_config(f, model_type="t5"),
    "model_type None": lambda folder: (folder / "config.json").write_text("{}"),
    "no weights that transformers can load": lambda folder: (folder / "model.safetensors").unlink(),
    "can load: Error while deserializing": lambda folder: truncate(folder / "model.safetensors"),
    "weights are missing: lm_head.weight;": lambda folder: without_weight(folder, "lm_head.weight"),
    "weights are missing: wav2vec2.encoder.layer_norm.bias;": lambda folder: without_weight(
        folder, "wav2vec2.encoder.layer_norm.bias"
    ),
    "weights are missing: lm_head.bias, lm_head.weight": lambda folder: change_config(folder, vocab_size=12),
    "wrong blank: config.json says pad_token_id 3": lambda folder: change_config(folder, pad_token_id=3),
    "convolutional adapter (add_adapter)": lambda folder: change_config(folder, add_adapter=True),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_unusable_checkpoints_are_refused_in_one_line(tmp_path, monkeypatch, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = write_tiny(tmp_path / "model")
    DAMAGE[message](folder)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    assert message in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hub_name_out_of_reach(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="^no-such/model: neither a folder here nor a hub checkpoint") as error:
        load_checkpoint("no-such/model")
    assert "\n" not in str(error.value)


# --- saving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITH_HEAD.values(), ids=WITH_HEAD)
@pytest.mark.parametrize("changes", [{}, GROUP_NORM], ids=["layer norm", "group norm"])
def test_plain_transformers_loads_what_we_save_and_hears_the_same(tmp_path, kind, changes):
    model = outspoken(load_checkpoint(write_kind(tmp_path / "tiny", kind, **changes)))
    model.save(tmp_path / "saved")
    model.save(tmp_path / "saved")  # a second time over the first
    samples = tones("abcd dcba", np.random.default_rng(0))
    batch = model.frontend.collate([model.frontend.features(Example(id="x"), samples)])
    (transcript,) = model.generate(batch, Decode())
    assert len(transcript.text) > 3

    net = AutoModelForCTC.from_pretrained(tmp_path / "saved")
    processor = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert type(net) is kind
    extractor = processor.feature_extractor
    assert (extractor.return_attention_mask, extractor.do_normalize) == (not changes, True)
    assert extractor.sampling_rate == RATE
    inputs = processor(samples, sampling_rate=RATE, return_tensors="pt")
    logits = net.eval()(**inputs).logits
    torch.testing.assert_close(logits, model(batch).logits, atol=1e-4, rtol=0)
    recogniser = pipeline("automatic-speech-recognition", model=str(tmp_path / "saved"), device="cpu")
    for theirs in (*processor.batch_decode(logits.argmax(-1)), recogniser(samples)["text"]):
        assert " ".join(theirs.split()) == transcript.text  # delimiter, blank, delimiter: two spaces for them


def test_layerdrop_survives_saving_though_it_is_zero_inside(tiny, tmp_path):
    model = load_checkpoint(tiny)
    assert (model.layerdrop, model.net.config.layerdrop) == (0.2, 0)
    model.save(tmp_path / "saved")
    assert AutoConfig.from_pretrained(tmp_path / "saved").layerdrop == 0.2
    assert model.net.config.layerdrop == 0
    assert load_checkpoint(tmp_path / "saved").layerdrop == 0.2


# --- LayerDrop -------------------------------------------------------------------------------------------------------


def idle_layers(model: Ctc, batch: Batch, seed: int) -> set[int]:
    """Layers without a gradient in a step whose noise is drawn from this seed."""
    model.draw(np.random.default_rng(seed))
    model.train()(batch).loss_sum.backward()
    found = gradients(model)
    return {i for i in range(len(model.encoder.layers)) if not any(f"encoder.layers.{i}." in name for name in found)}


@pytest.mark.parametrize("kind", WITH_HEAD.values(), ids=WITH_HEAD)
def test_layerdrop_is_a_function_of_the_rng(tmp_path, kind):
    changes = dict(num_hidden_layers=6, layerdrop=0.5, apply_spec_augment=False)
    model = load_checkpoint(write_kind(tmp_path, kind, **changes))
    batch = make_batch(model.frontend, RAGGED[:2])
    dropped = [idle_layers(model, batch, seed) for seed in range(10)]
    assert [idle_layers(model, batch, seed) for seed in (7, 3)] == [dropped[7], dropped[3]]
    assert len(set(map(frozenset, dropped))) > 5
    droppable = 5 if kind is WavLMForCTC else 6  # WavLM's first layer computes the position bias of all
    assert set.union(*dropped) == set(range(6 - droppable, 6))
    assert 0.3 < np.mean([len(d) for d in dropped]) / droppable < 0.7


def test_dropped_layers_are_skipped_in_training_and_only_there(tmp_path):
    still = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0)
    changes = dict(num_hidden_layers=6, layerdrop=0.5, apply_spec_augment=False, final_dropout=0.0, **still)
    model = load_checkpoint(write_tiny(tmp_path, **changes)).eval()
    batch = make_batch(model.frontend, RAGGED[:3])
    whole = model(batch).logits
    idle = idle_layers(model, batch, 3)
    assert 0 < len(idle) < 6
    short = copy.deepcopy(model).eval()
    short.net.wav2vec2.encoder.layers = torch.nn.ModuleList(
        layer for i, layer in enumerate(short.encoder.layers) if i not in idle
    )
    torch.testing.assert_close(model.train()(batch).logits, short(batch).logits)
    torch.testing.assert_close(model.eval()(batch).logits, whole)
    assert len(model.encoder.layers) == 6


def test_layers_hold_every_weight_once_from_bottom_to_top(model):
    layers = dict(model.layers())
    assert list(layers) == ["feature encoder", "projection", "layer 0", "layer 1", "layer 2", "norm", "head"]
    held = [p for layer in layers.values() for p in layer.parameters()]
    others = {id(p) for n, p in model.named_parameters() if n.endswith("masked_spec_embed")}
    assert len(held) == len(set(map(id, held)))
    assert {id(p) for p in model.parameters()} - {id(p) for p in held} == others


# --- what in a manifest cannot be trained on -------------------------------------------------------------------------


def manifest(folder: Path, *lines: tuple[str, float]) -> Manifest:
    file = folder / "m.jsonl"
    rows = ({"id": f"{i}", "audio": "x.wav", "text": text, "seconds": s} for i, (text, s) in enumerate(lines))
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return read_manifest(file)


def problems(model, manifest: Manifest) -> list[str]:
    return model.frontend.problems(manifest, model.frontend.lengths(manifest))


def test_a_sound_manifest_has_no_problems(model, tmp_path):
    assert problems(model, manifest(tmp_path, ("Ab, c!", 1.0), ("DAD", 0.5))) == []


def test_labels_longer_than_the_frames(model, tmp_path):
    enough = model.frontend.samples(4) / RATE  # four frames
    lines = (("abcd", enough), ("abcda", enough), ("abba", enough), ("aaab", enough + 0.02))
    found = problems(model, manifest(tmp_path, *lines))
    assert [p.split(": ")[0] for p in found] == [f"{tmp_path}/m.jsonl:{line}" for line in (2, 3, 4)]
    assert "5 labels need 5 frames" in found[0]
    assert "4 labels need 5 frames (with a blank between equal neighbours) but 0.08 s give only 4" in found[1]
    assert "4 labels need 6 frames" in found[2] and "0.10 s give only 5" in found[2]


@pytest.mark.parametrize("text", ["abcd", "abba", "aa b", "a"])
def test_what_is_called_alignable_has_a_loss_and_what_is_not_has_none(model, tmp_path, text):
    for frames in range(1, 8):
        samples = model.frontend.samples(frames)
        found = problems(model, manifest(tmp_path, (text, samples / RATE)))
        item = model.frontend.features(Example(id="x", text=text), noise(samples))
        assert (float(model(model.frontend.collate([item])).loss_sum.detach()) == 0) == bool(found)


def test_characters_outside_the_vocabulary_are_counted_and_placed(model, tmp_path):
    lines = (("abcd", 2.0), ("bass", 2.0), ("sad é", 2.0))
    found = problems(model, manifest(tmp_path, *lines))
    assert len(found) == 2
    assert found[0].startswith(f"{tmp_path}/m.jsonl:2: character 's' (U+0073) is not in the model's vocabulary")
    assert "(3 times in " in found[0] and "--set data.vocabulary=extend" in found[0]
    assert found[1].startswith(f"{tmp_path}/m.jsonl:3: character 'é' (U+00E9)") and "(1 times in " in found[1]


def test_text_that_is_empty_after_normalisation(model, tmp_path):
    (problem,) = problems(model, manifest(tmp_path, ("abc", 2.0), ("?!", 2.0)))
    assert problem == f"{tmp_path}/m.jsonl:2: the text '?!' is empty after normaliser basic"


# --- from log probabilities to words ---------------------------------------------------------------------------------


def collapse(path: list[int], vocabulary: Vocabulary) -> str:
    """Merge repeats, remove blanks, write the rest: the slow and plain way."""
    text, previous = "", None
    for i in path:
        if i != previous and vocabulary.tokens[i] not in vocabulary.specials:
            text += " " if vocabulary.tokens[i] == "|" else vocabulary.tokens[i]
        previous = i
    return " ".join(text.split())


def spans(path: list[int], log_probs: torch.Tensor, blank: int) -> list[tuple[int, int, float]]:
    """Runs of a path that are not blank: (first frame, frame after the last, mean log probability)."""
    runs, frame = [], 0
    for i, run in itertools.groupby(path):
        length = len(list(run))
        if i != blank:
            runs.append((frame, frame + length, float(log_probs[frame : frame + length, i].mean())))
        frame += length
    return runs


def test_words_and_times_of_a_path_made_by_hand(model):
    ids = model.frontend.vocabulary.ids
    tokens = "| <pad> a a <pad> a | | <pad> <unk> b <pad> d d d | <pad>".split()
    log_probs = torch.full((len(tokens), len(ids)), 0.1 / (len(ids) - 1)).log()
    for frame, token in enumerate(tokens):
        log_probs[frame, ids[token]] = np.log(0.9)
    transcript = model.transcript(log_probs)
    assert transcript.text == "aa bd"
    assert transcript.confidence == pytest.approx(0.9)
    assert transcript.words == (("aa", 0.04, 0.12), ("bd", 0.18, 0.3))  # the unknown token belongs to its word


def test_a_transcript_of_blanks_is_empty(model):
    log_probs = torch.full((7, 9), 0.05).log()
    log_probs[:, model.frontend.vocabulary.blank] = np.log(0.6)
    transcript = model.transcript(log_probs)
    assert (transcript.text, transcript.words) == ("", ())
    assert transcript.confidence == pytest.approx(0.6)


def test_a_recording_shorter_than_a_frame_has_no_confidence(model):
    batch = model.frontend.collate([model.frontend.features(Example(id="x"), noise(100))])
    (transcript,) = model.generate(batch, Decode())
    assert (transcript.text, transcript.confidence, transcript.words) == ("", None, ())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.5, 8))
def test_greedy_decoding_is_the_plain_collapse_and_the_best_alignment(shared, seed, frames, sharpness):
    vocabulary, generator = shared.frontend.vocabulary, torch.Generator().manual_seed(seed)
    log_probs = (torch.randn(frames, len(vocabulary.ids), generator=generator) * sharpness).log_softmax(-1)
    path = log_probs.argmax(-1).tolist()
    transcript = shared.transcript(log_probs)
    assert transcript.text == shared.text(path) == collapse(path, vocabulary)

    expected = spans(path, log_probs, vocabulary.blank)
    ids = [path[start] for start, *_ in expected]
    found = align(log_probs, ids, vocabulary.blank) if ids else []
    assert [span[:2] for span in found] == [span[:2] for span in expected]  # forced alignment takes the greedy path
    np.testing.assert_allclose([span[2] for span in found], [span[2] for span in expected], atol=1e-4)
    if ids:
        assert transcript.confidence == pytest.approx(np.exp(np.mean([s[2] for s in expected])), abs=1e-4)
    assert 0 <= transcript.confidence <= 1

    assert " ".join(word for word, *_ in transcript.words) == transcript.text
    times = [time for _, start, end in transcript.words for time in (start, end)]
    assert times == sorted(times) and all(start < end for _, start, end in transcript.words)
    assert all(0 <= time <= frames * 0.02 + 1e-9 for time in times)


@pytest.fixture(scope="module")
def shared(tiny) -> Ctc:
    return load_checkpoint(tiny).eval()


def test_align_takes_the_best_of_all_paths(shared):
    """Against every path of six frames."""
    log_probs = torch.randn(6, 9, generator=torch.Generator().manual_seed(5)).log_softmax(-1)
    ids = [5, 5, 6]
    paths = [
        path
        for path in itertools.product((0, 5, 6), repeat=6)
        if [i for i, _ in itertools.groupby(path) if i != 0] == ids
    ]
    best = max(paths, key=lambda path: float(sum(log_probs[frame, i] for frame, i in enumerate(path))))
    assert [s[:2] for s in align(log_probs, ids, 0)] == [s[:2] for s in spans(list(best), log_probs, 0)]


def test_align_refuses_too_few_frames():
    with pytest.raises(ConfigError, match="3 labels cannot be aligned to 3 frames") as error:
        align(torch.zeros(3, 4).log_softmax(-1), [1, 1, 2], 0)
    assert isinstance(error.value, SpeechxferError)


def test_evaluate_is_forward_and_generate_in_one_pass(model):
    batch = make_batch(model.frontend)
    output, texts = model.evaluate(batch)
    assert texts == [t.text for t in model.generate(batch, Decode())]
    torch.testing.assert_close(output.loss_sum, model(batch).loss_sum)
    assert not output.loss_sum.requires_grad
