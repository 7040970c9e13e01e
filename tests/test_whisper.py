"""Whisper: what the encoder sees, what the decoder is told, what is refused, and the folder that is written."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RATE, write_tiny_whisper
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

import speechxfer
from speechxfer.errors import CheckpointError, ConfigError, ManifestError
from speechxfer.manifest import Example, read_manifest
from speechxfer.models import load_checkpoint
from speechxfer.models import whisper as module
from speechxfer.models.base import Noise
from speechxfer.models.labels import IGNORED
from speechxfer.models.whisper_decode import NO_FALLBACK
from speechxfer.predict import predict
from speechxfer.prediction import read_predictions
from speechxfer.task import Data, Decode, Speech

GREEDY = Decode(beams=1, guards=NO_FALLBACK)  # random weights fail all guards
TEXTS = [("hello world", "en"), ("नमस्ते दुनिया", "hi"), ("ab cad", "en"), ("", "en")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def english(tmp_path_factory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny.en", multilingual=False)


def trained(folder: Path, **speech):
    """The model as training loads it."""
    return load_checkpoint(folder, texts=(), speech=Speech(**speech)).eval()


@pytest.fixture(scope="module")
def model(folder):
    return trained(folder)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def batch_of(model, *rows):
    """rows: (Example, samples)"""
    return model.frontend.collate([model.frontend.features(example, samples) for example, samples in rows])


@pytest.fixture(scope="module")
def ragged(model):
    """Four examples of other lengths, one without a word."""
    lengths = (1.0, 2.53, 1.47, 0.6)
    examples = (Example(f"e{i}", text=text, lang=lang) for i, (text, lang) in enumerate(TEXTS))
    return [(e, noise(n, seed=i)) for i, (e, n) in enumerate(zip(examples, lengths, strict=True))]


# --- what the encoder sees -------------------------------------------------------------------------------------------


def test_thirty_seconds_give_the_bits_of_transformers(model):
    batch = batch_of(model, (Example("x", text="hello", lang="en"), noise(30)))
    with torch.no_grad():
        states, frames = model.encode(batch.inputs["samples"], batch.inputs["lengths"])
        features, _ = model.mel(batch.inputs["samples"], batch.inputs["lengths"])
        theirs = model.net(input_features=features, decoder_input_ids=batch.inputs["decoder_input_ids"])
        ours = model(batch).logits
    assert states.shape == (1, 1500, 32) and frames.tolist() == [1500]
    assert torch.equal(states, theirs.encoder_last_hidden_state)
    assert torch.equal(ours, theirs.logits[batch.labels != IGNORED])


def test_the_full_context_is_what_transformers_makes_of_short_audio(folder):
    model = trained(folder, context="full")
    sound = noise(2)
    batch = batch_of(model, (Example("x", text="hello", lang="en"), sound))
    features = WhisperFeatureExtractor.from_pretrained(folder)(sound, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        theirs = model.net(**features, decoder_input_ids=batch.inputs["decoder_input_ids"]).logits
        assert torch.allclose(model(batch).logits, theirs[batch.labels != IGNORED], atol=1e-3)
    assert (batch.size, batch.padded) == (2.0, 30.0), "the silence is padding, and the log says so"


def test_short_audio_costs_its_own_length(model):
    batch = batch_of(model, (Example("x", text="hello", lang="en"), noise(2)))
    states, frames = model.encode(batch.inputs["samples"], batch.inputs["lengths"])
    assert states.shape[1] == 100 and frames.tolist() == batch.inputs["encoder_lengths"].tolist() == [100]


def test_neighbours_in_a_batch_change_nothing(model, ragged):
    together = batch_of(model, *ragged)
    with torch.no_grad():
        losses = model(together).losses
        alone = torch.cat([model(batch_of(model, row)).losses for row in ragged])
        written = model.generate(together, GREEDY)
        single = [model.generate(batch_of(model, row), GREEDY)[0] for row in ragged]
    assert torch.allclose(losses, alone, rtol=1e-5)
    assert [one.text for one in written] == [one.text for one in single]
    assert [one.words for one in written] == [one.words for one in single]


def test_masks_are_needed_for_that(model, ragged, monkeypatch):
    together = batch_of(model, *ragged)
    with torch.no_grad():
        right = model(together).losses
        monkeypatch.setattr(type(model), "mask", lambda *_: None)
        assert not torch.allclose(model(together).losses, right, rtol=1e-5)


def test_eager_attention_agrees_with_sdpa(folder, ragged):
    losses = []
    for attention in ("sdpa", "eager"):
        model = trained(folder)
        model.net.set_attn_implementation(attention)
        with torch.no_grad():
            losses.append(model(batch_of(model, *ragged)).losses)
    assert torch.allclose(*losses, rtol=1e-5)


def test_gradients_are_the_same_with_layers_computed_again(folder, ragged):
    found = []
    for again in (False, True):
        model = trained(folder).train()
        if again:
            model.net.gradient_checkpointing_enable()
        model(batch_of(model, *ragged)).loss_sum.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
    assert torch.allclose(*found, rtol=1e-4, atol=1e-6)


def test_all_that_is_no_formula_learns(folder, ragged):
    model = trained(folder).train()
    model(batch_of(model, *ragged)).loss_sum.backward()
    fixed = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert fixed == {"net.model.encoder.embed_positions.weight"}


def test_layers_are_dropped_for_the_whole_step(folder, ragged):
    model = load_checkpoint(folder, texts=(), changes={"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5}).train()
    batch, losses = batch_of(model, *ragged), set()
    for step in range(12):
        model.draw(np.random.default_rng(step))
        with torch.no_grad():
            first, second = float(model(batch).loss_sum), float(model(batch).loss_sum)
        assert first == second, "micro-batches of a step drop the same layers"
        losses.add(first)
    assert len(losses) > 3, "steps drop different ones"


def test_specaugment_hides_some_of_the_audio_in_training_alone(folder, ragged):
    changes = {"apply_spec_augment": True, "mask_time_prob": 0.5, "mask_time_length": 5}
    model = load_checkpoint(folder, texts=(), changes=changes)
    batch = batch_of(model, *ragged)
    with torch.no_grad():
        heard, again = float(model.eval()(batch).loss_sum), float(model(batch).loss_sum)
        hidden = float(model.train()(batch).loss_sum)
    assert heard == again != hidden


# --- what the decoder is told ----------------------------------------------------------------------------------------


def shown(model, item) -> tuple[str, str]:
    """What the decoder is given, and what is asked of it."""
    tokens = model.frontend.tokens
    return tokens.show(item.inputs), tokens.show([i for i in item.labels if i != IGNORED])


def test_labels_are_the_prefix_of_generation_then_text_and_end(model, ragged):
    example, samples = ragged[1]
    item = model.frontend.features(example, samples)
    given, asked = shown(model, item)
    assert given == "<|startoftranscript|><|hi|><|transcribe|><|notimestamps|> नमस्ते दुनिया"
    assert asked == "<|hi|><|transcribe|><|notimestamps|> नमस्ते दुनिया<|endoftext|>"
    assert item.inputs[: len(item.prefix)] == item.prefix, "decoding starts from what training gave"
    assert len(item.inputs) == len(item.labels)
    assert model.frontend.collate([item]).tokens == len(item.labels)


def test_where_nothing_is_said_the_model_learns_to_say_so(model, ragged):
    example, samples = ragged[3]
    given, asked = shown(model, model.frontend.features(example, samples))
    assert given == "<|startoftranscript|><|nospeech|>" and asked == "<|nospeech|><|endoftext|>"


def test_a_prompt_is_given_and_not_asked_for(model):
    example = Example("x", text="hello", lang="en", prompt="cad dd")
    item = model.frontend.features(example, noise(1))
    given, asked = shown(model, item)
    assert given == "<|startofprev|> cad dd<|startoftranscript|><|en|><|transcribe|><|notimestamps|> hello"
    assert asked == "<|en|><|transcribe|><|notimestamps|> hello<|endoftext|>"
    long = model.frontend.features(replace(example, prompt="abcd " * 400), noise(1))
    assert len(long.prefix) == 1 + 223 + 4, "the end of a long prompt, at most half of the positions"
    assert model.frontend.tokens.decode(long.prefix[1:224]).endswith("abcd")


def test_a_prompt_takes_the_room_that_the_text_leaves(model):
    example = Example("x", text="x" * 400, lang="en", prompt="abcd " * 400)
    item = model.frontend.features(example, noise(1))
    assert len(item.inputs) == 448 and item.inputs[0] == model.frontend.tokens.previous


def test_times_that_have_no_room_are_not_learnt(model):
    times = [("ab", i * 0.18, i * 0.18 + 0.1) for i in range(160)]
    example = Example("x", text=" ".join(text for text, *_ in times), lang="en")
    show = model.frontend.tokens.show
    item = model.frontend.features(example, noise(25), times)
    assert len(item.inputs) <= 448 and "<|notimestamps|> ab ab" in show(item.inputs)
    assert "<|0.00|> ab<|0.10|>" in show(model.frontend.features(example, noise(1), times[:50]).inputs)


def test_a_translation_is_english_whatever_is_spoken(folder):
    for spoken in ("ja", "hi"):
        frontend = trained(folder, task="translate", language=spoken).frontend
        item = frontend.features(Example("x", text="hello", lang="en"), noise(1))
        assert frontend.tokens.show(item.inputs).endswith("<|translate|><|notimestamps|> hello")


@pytest.mark.parametrize(
    ("speech", "example", "told"),
    [
        ({}, {"lang": "hi"}, ("hi", "transcribe")),
        ({}, {"lang": "Hindi"}, ("hi", "transcribe")),
        ({"language": "en"}, {"lang": "hi"}, ("hi", "transcribe")),  # the row knows better
        ({"language": "en"}, {}, ("en", "transcribe")),
        ({}, {}, (None, "transcribe")),  # to be found
        ({"task": "translate", "language": "hi"}, {"lang": "en"}, ("hi", "translate")),  # the audio's
        ({"task": "translate"}, {"lang": "en"}, (None, "translate")),  # the text's says nothing of the audio
        ({}, {"lang": "hi", "task": "translate"}, ("hi", "translate")),
        ({"proxy": "hi"}, {"lang": "bho"}, ("hi", "transcribe")),
        ({}, {"lang": "hi", "task": "asr"}, ("hi", "transcribe")),  # as NeMo's manifests say
        ({"language": "de"}, {"lang": "en", "task": "ast"}, ("de", "translate")),
    ],
)
def test_language_and_task_of_an_example(folder, speech, example, told):
    assert trained(folder, **speech).frontend.told(Example("x", **example)) == told


def test_an_english_checkpoint_is_told_no_language_and_translates_nothing(english):
    frontend = trained(english).frontend
    item = frontend.features(Example("x", text="hello", lang="en"), noise(1))
    assert frontend.tokens.show(item.inputs) == "<|startoftranscript|><|notimestamps|> hello"
    for wrong in ({"task": "translate"}, {"lang": "hi"}):
        with pytest.raises(ValueError, match="English alone"):
            frontend.told(Example("x", **wrong))


def write(folder: Path, *rows: dict) -> Path:
    """A manifest of rows of a second of tones each, unless they say more."""
    import soundfile

    for number, row in enumerate(rows):
        file = f"{number}.wav"
        soundfile.write(folder / file, noise(row.pop("lasts", 1.0), seed=number), RATE)
        row["audio"] = file
    manifest = folder / "set.jsonl"
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return manifest


def test_a_share_of_the_examples_with_times_learns_them(folder, tmp_path):
    row = {"text": "hello world", "lang": "en", "segments": [["hello", 0.1, 0.5], ["world", 0.6, 0.93]]}
    example = read_manifest(write(tmp_path, row))[0]
    timed = "<|0.10|> hello<|0.50|><|0.60|> world<|0.92|>"
    for share, expected in ((0.0, 0), (0.5, 100), (1.0, 200)):
        frontend = trained(folder, timestamps=share).frontend
        noises = (Noise(Data(), 1.0, np.random.default_rng(i)) for i in range(200))
        found = [frontend.tokens.show(frontend.load(example, one).inputs) for one in noises]
        count = sum(timed in one for one in found)
        assert abs(count - expected) <= 25 and (expected or not count)
        assert all("<|notimestamps|> hello world" in one for one in found if timed not in one)
    assert "<|notimestamps|>" in frontend.tokens.show(frontend.load(example).inputs), "dev is scored without"


def test_times_follow_the_speed(folder, tmp_path):
    row = {"text": "hello", "lang": "en", "segments": [["hello", 0.2, 0.8]]}
    example = read_manifest(write(tmp_path, row))[0]
    frontend = trained(folder, timestamps=1.0).frontend
    item = frontend.load(example, Noise(Data(), 2.0, np.random.default_rng(0)))
    assert "<|0.10|> hello<|0.40|>" in frontend.tokens.show(item.inputs) and len(item.samples) == RATE // 2


def test_a_stitched_example_has_its_pieces_times_or_none(folder, tmp_path):
    rows = [{"text": text, "lang": "en", "lasts": n} for text, n in (("hello", 1.0), ("cad", 0.5), ("dd", 2.0))]
    pieces = tuple(read_manifest(write(tmp_path, *rows)))
    stitched = Example("x", text="hello cad dd", lang="en", seconds=3.5, pieces=pieces)
    frontend = trained(folder, timestamps=0.5).frontend
    items = [frontend.load(stitched, Noise(Data(), 1.0, np.random.default_rng(i))) for i in range(100)]
    assert all(len(item.samples) == 3.5 * RATE for item in items)
    told = Counter(frontend.tokens.show(item.inputs).split("<|transcribe|>")[1] for item in items)
    timed = "<|0.00|> hello<|1.00|><|1.00|> cad<|1.50|><|1.50|> dd<|3.50|>"
    assert set(told) == {timed, "<|notimestamps|> hello cad dd"} and 30 < told[timed] < 70


def test_files_that_are_longer_than_the_manifest_says(folder, tmp_path):
    rows = [{"text": "cad", "lang": "en", "lasts": 10.3} for _ in range(3)]
    pieces = tuple(replace(e, seconds=10.0) for e in read_manifest(write(tmp_path, *rows)))
    stitched = Example("x", text="cad cad cad", lang="en", seconds=30.0, pieces=pieces)
    frontend, training = trained(folder).frontend, Noise(Data(), 1.0, np.random.default_rng(0))
    item = frontend.load(stitched, training)
    assert len(item.samples) == 2 * 10.3 * RATE and frontend.tokens.show(item.inputs).count("cad") == 2
    (long,) = read_manifest(write(tmp_path, {"text": "cad", "lang": "en", "lasts": 32.0}))
    with pytest.raises(ManifestError, match="example .*: its audio lasts 32.00 s, and the manifest says 29.5"):
        frontend.load(replace(long, seconds=29.5), training)
    assert len(frontend.load(long).samples) == 32 * RATE, "to be transcribed"


def test_pieces_that_the_labels_have_no_room_for_are_left_to_other_examples(folder, tmp_path):
    long = "नमस्ते दुनिया " * 12
    rows = [{"text": long, "lang": "hi", "lasts": 0.5} for _ in range(4)]
    pieces = tuple(read_manifest(write(tmp_path, *rows)))
    frontend = trained(folder, timestamps=1.0).frontend
    stitched = Example("x", text=" ".join(p.text for p in pieces), lang="hi", seconds=2.0, pieces=pieces)
    item = frontend.load(stitched, Noise(Data(), 1.0, np.random.default_rng(0)))
    kept = len(item.samples) / RATE / 0.5
    assert kept in (1, 2, 3) and len(item.labels) <= 448
    one = len(frontend.tokens.encode(long, "hi")) + 2
    assert 448 - len(item.labels) < one, "as many as fit"


# --- what is refused -------------------------------------------------------------------------------------------------


def test_all_that_is_unfit_is_said_with_its_line(folder, tmp_path):
    rows = [
        {"text": "hello", "lang": "en"},
        {"text": "too long for it", "lang": "en", "lasts": 31.0},
        {"text": "x" * 600, "lang": "en"},
        {"text": "हे", "lang": "bho"},
        {"text": "who knows"},
        {"text": "who cares", "lang": "en", "task": "summarise"},
    ]
    manifest = read_manifest(write(tmp_path, *rows))
    frontend = trained(folder).frontend
    problems = frontend.problems(manifest, frontend.lengths(manifest))
    assert len(problems) == 5
    found = "\n".join(problems)
    assert "set.jsonl:2: 31.0 s of audio with one text; the model hears 30 s at once" in found
    assert "set.jsonl:3: the text is" in found and "the model has 448 positions" in found
    assert "set.jsonl:4: language is 'bho', which the checkpoint does not know; near: hi" in found
    assert "set.jsonl:5: the language of the text is not said" in found
    assert "set.jsonl:6: task is 'summarise'; expected transcribe or translate" in found
    assert frontend.unfit(manifest, manifest.seconds) == [p for p in problems if "bho" in p or "summarise" in p], (
        "audio of any length goes"
    )
    proxied = trained(folder, proxy="hi", language="en").frontend
    assert len(proxied.problems(manifest, manifest.seconds)) == 3


def test_counts_of_labels_are_those_of_the_labels(model, ragged):
    for example, samples in ragged[:3]:
        item = model.frontend.features(example, samples)
        (count,) = model.frontend.tokens.counts([example.text]) + len(item.prefix) + 1
        assert count == len(item.labels) + 1  # with the start


def test_settings_of_no_use_are_refused(folder, toy, tmp_path):
    with pytest.raises(ConfigError, match="speech.* settings are for Whisper"):
        load_checkpoint(toy / "tiny", speech=Speech(language="hi"))
    with pytest.raises(ConfigError, match="pieces spell every text"):
        load_checkpoint(folder, texts=(), vocabulary="rebuild")
    with pytest.raises(ConfigError, match="speech.task is 'summarise'.*\n?.*speech.timestamps is 2"):
        Speech(task="summarise", timestamps=2)


def test_a_feature_extractor_of_another_checkpoint_is_refused(folder, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    settings = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps(settings | {"feature_size": 128}))
    with pytest.raises(CheckpointError, match="feature_size is 128; expected 80"):
        load_checkpoint(other)
    (other / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="has no preprocessor_config.json"):
        load_checkpoint(other)


# --- decoding --------------------------------------------------------------------------------------------------------


def test_times_of_phrases_where_they_are_asked_for(model, ragged):
    batch = batch_of(model, *ragged)
    for one, (_, samples) in zip(model.generate(batch, replace(GREEDY, timestamps=True)), ragged, strict=True):
        for _, start, end in one.segments:
            assert 0 <= start <= end <= len(samples) / RATE
    assert all(not one.segments for one in model.generate(batch, GREEDY))


def test_times_of_phrases_stand_in_predictions(folder, tmp_path):
    manifest = write(tmp_path, {"text": "hello", "lang": "en"}, {"text": "cad", "lang": "en", "lasts": 2.0})
    timed = replace(GREEDY, timestamps=True)
    speech, data = Speech(context="own"), Data(workers=0)
    found = read_predictions(predict(folder, manifest, tmp_path / "p.jsonl", data=data, speech=speech, decode=timed))
    assert any(one.segments for one in found)
    model = speechxfer.load(folder, device="cpu", speech=speech)
    for one, row in zip(found, read_manifest(manifest), strict=True):
        assert model.transcribe(row.audio, lang="en", decode=timed).segments == one.segments
    untimed = predict(folder, manifest, tmp_path / "q.jsonl", data=data, speech=speech, decode=GREEDY)
    assert "segments" not in untimed.read_text()


# --- from Python -----------------------------------------------------------------------------------------------------


def test_language_task_and_beam_reach_the_model(folder, monkeypatch):
    seen, generate = [], module.Whisper.generate

    def watched(self, batch, settings):
        seen.append((self.frontend.tokens.show([i for i in batch.inputs["prefix"][0].tolist() if i >= 0]), settings))
        return generate(self, batch, settings)

    monkeypatch.setattr(module.Whisper, "generate", watched)
    model, sound = speechxfer.load(folder, device="cpu", speech=Speech(context="own")), (noise(1), RATE)
    beam = Decode(beams=2, n_best=2, guards=NO_FALLBACK)
    assert len(model.transcribe(sound, lang="hi", decode=beam).n_best) == 2
    assert seen[-1] == ("<|startoftranscript|><|hi|><|transcribe|><|notimestamps|>", beam)
    with pytest.raises(ConfigError, match="^language is 'tlh', which the checkpoint does not know"):
        model.transcribe(sound, lang="tlh")
    told = Speech(language="hi", task="translate", context="own")
    translator = speechxfer.load(folder, device="cpu", speech=told)
    text = translator.translate(sound, decode=GREEDY)
    assert seen[-1][0] == "<|startoftranscript|><|hi|><|translate|><|notimestamps|>"
    assert text == translator.transcribe(sound, decode=GREEDY).text
    assert translator.translate([sound, sound], decode=GREEDY) == [text, text]


# --- the folder ------------------------------------------------------------------------------------------------------


def test_plain_transformers_writes_what_this_does(folder, tmp_path):
    model = trained(folder, context="full", language="hi")
    model.net.generation_config.forced_decoder_ids = [[1, 50259]]  # as older recipes left it
    model.save(tmp_path / "saved")
    net = WhisperForConditionalGeneration.from_pretrained(tmp_path / "saved").eval()
    processor = WhisperProcessor.from_pretrained(tmp_path / "saved")
    assert net.generation_config.forced_decoder_ids is None
    assert (net.generation_config.language, net.generation_config.task) == ("<|hi|>", "transcribe")
    sound = noise(2)
    features = processor(sound, sampling_rate=RATE, return_tensors="pt").input_features
    theirs = net.generate(features, max_new_tokens=12)
    ours = model.generate(batch_of(model, (Example("x", lang="hi"), sound)), GREEDY)[0].text
    text = processor.batch_decode(theirs, skip_special_tokens=True)[0].strip()
    assert text and ours.startswith(text.rstrip("\ufffd"))
    state = load_checkpoint(tmp_path / "saved").net.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.net.state_dict().items())


def test_a_checkpoint_is_heard_as_it_was_trained(folder, tmp_path):
    assert not load_checkpoint(folder).frontend.own_length, "one of the hub knows 30 s alone"
    trained(folder, language="hi", proxy="ne").save(tmp_path / "saved")
    written = json.loads((tmp_path / "saved/speechxfer.json").read_text())
    assert written == {"normaliser": "nfc", "language": "hi", "task": "transcribe", "proxy": "ne", "context": "own"}
    frontend = load_checkpoint(tmp_path / "saved").frontend
    assert frontend.own_length and (frontend.speech.language, frontend.speech.proxy) == ("hi", "ne")
    assert not load_checkpoint(tmp_path / "saved", speech=Speech(context="full")).frontend.own_length


def test_layers_are_named_from_bottom_to_top(model):
    names = [name for name, _ in model.layers()]
    assert names == [
        "convolutions",
        "encoder 0",
        "encoder 1",
        "encoder norm",
        "embedding",
        "decoder 0",
        "decoder 1",
        "decoder norm",
    ]
    held = {id(p) for _, layer in model.layers() for p in layer.parameters()}
    left = {name for name, p in model.named_parameters() if id(p) not in held}
    assert left == {"net.model.encoder.embed_positions.weight"}
