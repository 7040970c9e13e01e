"""Whisper's tokens on small tokenizers with the special tokens of the public ones, in their order."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperForConditionalGeneration, WhisperProcessor, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models import whisper_tokens
from speechxfer.models.whisper_languages import add_language, match
from speechxfer.models.whisper_random import Size, write_random
from speechxfer.models.whisper_tokens import Segment, Tokens

ZWJ, NUKTA = "\u200d", "\u093c"
ENGLISH, HINDI, CHINESE = "hello there, friend", f"क{NUKTA}लम और क्{ZWJ}ष हैं।", "你好，世界"
TEXTS = [ENGLISH, HINDI, CHINESE, "said the old cat to the other one"]


def write_tokenizer(folder: Path, languages: int = 99, no_speech: str = "nospeech", form: str = "new") -> Path:
    """As the hub has it. form: "new" is tokenizer.json; "old" vocab.json, merges.txt and added_tokens.json without
    times; "config" the same with times, and the added tokens in tokenizer_config.json."""
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [f" {text}" for text in TEXTS], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.model.save(str(folder))  # vocab.json, merges.txt
    codes = list(LANGUAGES)[:languages]
    names = ["endoftext", "startoftranscript", *codes, "translate", "transcribe", "startoflm", "startofprev", no_speech]
    special = [f"<|{name}|>" for name in [*names, "notimestamps"]]
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    tokenizer.add_special_tokens(special)
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        "unk_token": "<|endoftext|>",
        "additional_special_tokens": special,
    }
    if form != "old":
        tokenizer.add_tokens([AddedToken(time, normalized=False) for time in times])
    ids = {token.content: i for i, token in tokenizer.get_added_tokens_decoder().items()}
    if form == "new":
        tokenizer.save(str(folder / "tokenizer.json"))
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink()
    elif form == "old":
        (folder / "added_tokens.json").write_text(json.dumps(ids))
    else:
        settings["added_tokens_decoder"] = {
            str(i): {"content": name, "special": name not in times, "normalized": False} for name, i in ids.items()
        }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokens") / "new")


@pytest.fixture(scope="module")
def tokens(folder) -> Tokens:
    return Tokens.from_folder(folder)


@pytest.fixture(scope="module")
def english(tmp_path_factory) -> Tokens:
    """OpenAI's English checkpoints have the language tokens too: only generation_config says that none is used."""
    folder = write_tokenizer(tmp_path_factory.mktemp("tokens") / "en")
    (folder / "generation_config.json").write_text('{"is_multilingual": false}')
    return Tokens.from_folder(folder)


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["new", "old", "config"])
@pytest.mark.parametrize(("languages", "no_speech"), [(99, "nocaptions"), (100, "nospeech")])
def test_every_form_of_a_tokenizer_has_the_ids_that_transformers_gives_its_names(
    tmp_path: Path, form: str, languages: int, no_speech: str
):
    folder = write_tokenizer(tmp_path / "t", languages, no_speech, form)
    tokens, oracle = Tokens.from_folder(folder), WhisperTokenizer.from_pretrained(folder)
    found = [tokens.start, tokens.end, tokens.transcribe, tokens.translate, tokens.previous, tokens.no_timestamps]
    found += [tokens.no_speech, tokens.languages["hi"]]
    names = [
        "startoftranscript",
        "endoftext",
        "transcribe",
        "translate",
        "startofprev",
        "notimestamps",
        no_speech,
        "hi",
    ]
    assert found == [oracle.convert_tokens_to_ids(f"<|{name}|>") for name in names]
    assert list(tokens.languages) == list(LANGUAGES)[:languages]
    assert (tokens.first_timestamp, tokens.last_timestamp) == (tokens.no_timestamps + 1, tokens.no_timestamps + 1501)
    assert len(tokens) == tokens.last_timestamp + 1
    for text in TEXTS:
        assert tokens.encode(text, "en") == oracle.encode(f" {text}", add_special_tokens=False)


def test_a_saved_tokenizer_is_the_same_files(folder: Path, tokens: Tokens, tmp_path: Path):
    tokens.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert all(file.read_bytes() == (folder / file.name).read_bytes() for file in tmp_path.iterdir())


def test_a_pickled_copy_works_alike(tokens: Tokens):
    copy = pickle.loads(pickle.dumps(tokens))
    ids = [*copy.prefix("hi"), *copy.encode(HINDI, "hi"), copy.end]
    assert ids == [*tokens.prefix("hi"), *tokens.encode(HINDI, "hi"), tokens.end] and copy.decode(ids) == HINDI


def test_reading_loads_no_torch(folder: Path):
    code = (
        "import sys; from speechxfer.models.whisper_tokens import Tokens;"
        "assert not {'transformers', 'tokenizers', 'langcodes'} & set(sys.modules);"
        f"t = Tokens.from_folder({str(folder)!r}); t.code('Hindi'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_size_of_openais_english_vocabulary_tells_it_where_nothing_else_does(tmp_path: Path, monkeypatch):
    folder = write_tokenizer(tmp_path / "t", form="old")
    monkeypatch.setattr(whisper_tokens, "ENGLISH_SIZE", len(Tokens.from_folder(folder)))
    assert not Tokens.from_folder(folder).multilingual
    (folder / "generation_config.json").write_text('{"lang_to_id": {}}')
    assert Tokens.from_folder(folder).multilingual


def test_tokenizers_that_are_none_of_whisper_are_refused(folder: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"vocab\.json and merges\.txt"):
        Tokens.from_folder(tmp_path)
    content = (folder / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content[:2000])
    with pytest.raises(CheckpointError, match="cut short"):
        Tokens.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content.replace("<|startoftranscript|>", "<s>"))
    with pytest.raises(CheckpointError, match=r"no <\|startoftranscript\|>"):
        Tokens.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content.replace("<|0.04|>", "<|0.05|>"))
    with pytest.raises(CheckpointError, match=r"times are not"):
        Tokens.from_folder(tmp_path)


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "text", "space"),
    [("en", ENGLISH, " "), ("hi", HINDI, " "), ("zh", CHINESE, ""), ("ja", CHINESE, ""), ("cmn-Hans", CHINESE, "")],
)
def test_label_ids_decoded_back_are_exactly_what_generation_writes(tokens: Tokens, lang: str, text: str, space: str):
    code = tokens.code(lang)
    plain = [*tokens.prefix(code), *tokens.encode(text, lang), tokens.end]
    assert tokens.show(plain) == (
        f"<|startoftranscript|><|{code}|><|transcribe|><|notimestamps|>{space}{text}<|endoftext|>"
    )
    timed = [*tokens.prefix(code, "translate", timestamps=True), *tokens.labels([Segment(text, 0, 0.52)], lang)]
    assert tokens.show(timed) == f"<|startoftranscript|><|{code}|><|translate|><|0.00|>{space}{text}<|0.52|>"
    assert tokens.decode(plain) == tokens.decode(timed) == text


def test_an_english_checkpoint_is_told_neither_language_nor_task(english: Tokens):
    assert not english.multilingual
    assert english.show(english.prefix(None)) == "<|startoftranscript|><|notimestamps|>"
    assert english.show(english.prefix("en", timestamps=True)) == "<|startoftranscript|>"
    assert english.code("English") == english.code("eng") == english.code("hi", "en") == "en"
    with pytest.raises(ValueError, match="English alone"):
        english.code("hi")
    with pytest.raises(ValueError, match="English alone"):
        english.prefix(None, "translate")


def test_a_language_still_to_be_found_is_shown_as_one(tokens: Tokens):
    assert tokens.prefix(None)[1] == -1
    assert tokens.show(tokens.prefix(None)) == "<|startoftranscript|><|?|><|transcribe|><|notimestamps|>"
    with pytest.raises(ValueError, match="transcribe, translate"):
        tokens.prefix("en", "translation")


def test_a_prompt_is_no_part_of_what_was_said(tokens: Tokens):
    ids = [tokens.previous, *tokens.encode("the cat", "en"), *tokens.prefix("en"), *tokens.encode(ENGLISH, "en")]
    ids += [tokens.end, tokens.end, *tokens.encode("rest", "en")]
    assert tokens.decode(ids) == ENGLISH
    assert tokens.segments(ids) == (Segment(ENGLISH, 0.0, None),)
    assert tokens.show(ids).startswith("<|startofprev|> the cat<|startoftranscript|><|en|>")


# `<|` and `|>` often, so that texts spell special tokens
written = st.lists(
    st.one_of(st.sampled_from(["<|", "|>", "<|en|>", "<|0.00|>", "<|endoftext|>", " "]), st.text(max_size=4))
).map(lambda parts: " ".join("".join(parts).replace("\x00", "").split()))


@settings(deadline=None, max_examples=50)
@given(text=written, lang=st.sampled_from(["en", "hi", "zh"]))
def test_any_text_comes_back_and_is_never_a_special_token(tokens: Tokens, text: str, lang: str):
    ids = tokens.encode(text, lang)
    assert not set(ids) & tokens.controls.keys()
    assert tokens.decode([*tokens.prefix(lang), *ids, tokens.end]) == text


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(written, max_size=6))
def test_counts_are_those_of_one_text_after_the_other(tokens: Tokens, texts: list[str]):
    assert tokens.counts(texts).tolist() == [len(tokens.encode(text, "en")) for text in texts]


# --- times -----------------------------------------------------------------------------------------------------------

times = st.lists(st.integers(0, 1500), min_size=2, max_size=12).map(sorted)
said = st.text("abcdeक你", min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(ticks=times, data=st.data(), cut=st.booleans(), lang=st.sampled_from(["en", "zh"]))
def test_segments_are_the_inverse_of_labels(
    tokens: Tokens, ticks: list[int], data: st.DataObject, cut: bool, lang: str
):
    ends = zip(ticks[::2], ticks[1::2], strict=False)
    segments = [Segment(data.draw(said), start / 50, end / 50) for start, end in ends]
    if cut:
        segments[-1] = segments[-1]._replace(end=None)
    ids = tokens.labels(segments, lang)
    assert tokens.segments(ids) == tuple(segments)
    assert tokens.segments([*tokens.prefix(lang, timestamps=True), *ids, tokens.end]) == tuple(segments)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-5, 40), st.floats(-5, 40)), min_size=1, max_size=6))
def test_times_are_rounded_and_clipped_and_never_go_back(tokens: Tokens, ends: list[tuple[float, float]]):
    ids = tokens.labels([Segment("a", start, end) for start, end in ends])
    found = [second for i in ids if (second := tokens.seconds(i)) is not None]
    assert len(found) == 2 * len(ends) and found == sorted(found)
    highest = 0.0
    for asked, second in zip((time for pair in ends for time in pair), found, strict=True):
        highest = max(highest, asked)
        assert second == pytest.approx(min(highest, 30.0), abs=0.01 + 1e-9)


def test_segments_without_text_say_only_where_speech_goes_on(tokens: Tokens):
    segments = [Segment("a", 0, 1), Segment(" ", 1, 2), Segment("", 2.5, None)]
    assert tokens.show(tokens.labels(segments)) == "<|0.00|> a<|1.00|><|2.50|>"


def test_segments_with_lacking_times_are_read_all_the_same(tokens: Tokens):
    def parse(*parts: str | float) -> list[tuple]:
        ids = [
            i
            for part in parts
            for i in (tokens.encode(part) if isinstance(part, str) else [tokens.first_timestamp + round(part * 50)])
        ]
        return [tuple(segment) for segment in tokens.segments(ids)]

    assert parse(0.0, "a", 1.0, "b", 2.0) == [("a", 0.0, 1.0), ("b", 1.0, 2.0)]  # one time between two texts
    assert parse("a", 1.0, 1.0, "b") == [("a", 0.0, 1.0), ("b", 1.0, None)]
    assert parse(0.5, "a", 1.0, 1.0) == [("a", 0.5, 1.0)]
    assert parse() == [] and parse(1.0) == []


def test_no_other_token_is_a_time(tokens: Tokens):
    assert [tokens.seconds(i) for i in (tokens.first_timestamp, tokens.last_timestamp)] == [0.0, 30.0]
    assert tokens.seconds(tokens.no_timestamps) is tokens.seconds(tokens.last_timestamp + 1) is None


# --- languages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "code"),
    [
        *[(lang, "hi") for lang in ("hi", "HI", "hin", "Hindi", "hi-IN", "hi_IN", "hi-Latn")],
        *[("jv", "jw"), ("Javanese", "jw"), ("nb-NO", "no"), ("fil", "tl"), ("iw", "he"), ("cmn", "zh"), ("arb", "ar")],
        *[("Haitian Creole", "ht"), ("haw", "haw"), ("zh-TW", "zh"), ("en-GB", "en")],
    ],
)
def test_a_language_is_known_by_any_of_its_names(tokens: Tokens, lang: str, code: str):
    assert tokens.code(lang) == code


def test_a_code_of_every_language_is_itself(tokens: Tokens):
    assert [tokens.code(code) for code in tokens.languages] == list(tokens.languages)


def test_unknown_languages_are_refused_with_those_that_are_near(tokens: Tokens):
    for lang, near in {
        "bho": "near: hi, mr, sa",
        "yue": "near: zh",
        "gsw": "near: de",
        "Hindii": r"hindi \(hi\)",
    }.items():
        with pytest.raises(ValueError, match=f"{lang}.*{near}"):
            tokens.code(lang)
    for lang in ("", "xx", "und"):
        with pytest.raises(ValueError, match="en, zh, de"):
            tokens.code(lang)


def test_a_proxy_stands_only_for_a_language_that_is_not_known(tokens: Tokens):
    assert tokens.code("bho", "Hindi") == "hi" and tokens.code("xx", "hi") == "hi"
    assert tokens.code("mr", "hi") == "mr"
    with pytest.raises(ValueError, match="'bho'"):
        tokens.code("mai", "bho")


def test_cantonese_is_its_own_language_where_the_checkpoint_has_it(tmp_path: Path):
    assert Tokens.from_folder(write_tokenizer(tmp_path / "v3", 100)).code("yue") == "yue"


# --- a new language --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    size = Size(pieces=300, d_model=32, encoder_layers=1, decoder_layers=1, heads=2, ffn=32, audio_positions=1500)
    return write_random(tmp_path_factory.mktemp("models") / "parent", size, TEXTS)


@pytest.fixture(scope="module")
def child(parent: Path) -> Path:
    return add_language(parent, "bho", parent.parent / "child", like="Hindi")


def test_a_new_language_moves_the_ids_behind_it_and_nothing_else(parent: Path, child: Path):
    old, new = Tokens.from_folder(parent), Tokens.from_folder(child)
    assert new.languages == {**old.languages, "bho": old.translate} and new.code("bho-IN") == "bho"
    before = {name: i for i, name in old.controls.items()}
    after = {name: i for i, name in new.controls.items()}
    assert after.pop("<|bho|>") == old.translate
    assert after == {name: i + (i >= old.translate) for name, i in before.items()}
    assert len(new) == len(old) + 1 and new.seconds(new.last_timestamp) == 30.0
    assert new.encode(HINDI, "bho") == old.encode(HINDI, "hi")
    a, b = (json.loads((folder / "generation_config.json").read_text()) for folder in (parent, child))
    for name in ("suppress_tokens", "begin_suppress_tokens", "no_timestamps_token_id", "prev_sot_token_id"):
        listed = [value if isinstance(value, list) else [value] for value in (a[name], b[name])]
        assert [old.show([i]) for i in listed[0]] == [new.show([i]) for i in listed[1]], name
    assert b["task_to_id"] == {"translate": new.translate, "transcribe": new.transcribe}
    assert b["lang_to_id"] == {f"<|{code}|>": i for code, i in new.languages.items()}


def test_a_new_language_starts_as_the_one_that_it_is_like(parent: Path, child: Path):
    nets = [WhisperForConditionalGeneration.from_pretrained(folder).eval() for folder in (parent, child)]
    old, new = Tokens.from_folder(parent), Tokens.from_folder(child)
    assert nets[1].config.vocab_size == len(new)
    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given = [tokens.prefix(code) for tokens, code in ((old, "hi"), (new, "bho"))]
        logits = [
            net(features, decoder_input_ids=torch.tensor([ids])).logits[0] for net, ids in zip(nets, given, strict=True)
        ]
    at = new.languages["bho"]
    torch.testing.assert_close(torch.cat([logits[1][:, :at], logits[1][:, at + 1 :]], 1), logits[0])
    torch.testing.assert_close(logits[1][:, at], logits[0][:, old.languages["hi"]])


def test_plain_transformers_generates_in_the_new_language_and_writes_it_again(child: Path, tmp_path: Path):
    net, processor = WhisperForConditionalGeneration.from_pretrained(child), WhisperProcessor.from_pretrained(child)
    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    asked = dict(language="<|bho|>", task="transcribe", max_new_tokens=4, do_sample=False)
    ids = net.generate(features, **asked, force_unique_generate_call=True)[0].tolist()
    shown = Tokens.from_folder(child).show(ids)
    assert shown.startswith("<|startoftranscript|><|bho|><|transcribe|><|notimestamps|>")
    assert re.sub(r"<\|\d+\.\d\d\|>", "", shown) == processor.tokenizer.decode(ids)  # which leaves out times
    label = "<|startoftranscript|><|bho|><|transcribe|><|0.00|> hello<|30.00|><|endoftext|>"
    for save in (net, processor):
        save.save_pretrained(tmp_path)
    again = Tokens.from_folder(tmp_path)
    assert again.controls == Tokens.from_folder(child).controls
    ids = WhisperTokenizer.from_pretrained(tmp_path).encode(label, add_special_tokens=False)
    assert again.show(ids) == label and again.segments(ids) == (Segment("hello", 0.0, 30.0),)
    with pytest.raises(ValueError, match="Unsupported language"):
        WhisperTokenizer.from_pretrained(child, language="bho")


@pytest.mark.parametrize("form", ["old", "config"])
def test_a_new_language_is_in_the_older_files_too(parent: Path, tmp_path: Path, form: str):
    folder = write_tokenizer(tmp_path / "old", form=form)
    for file in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / file).write_bytes((parent / file).read_bytes())
    old = Tokens.from_folder(folder)
    new = Tokens.from_folder(add_language(folder, "bho", tmp_path / "new"))
    assert new.languages["bho"] == old.translate and new.first_timestamp == old.first_timestamp + 1
    oracle = WhisperTokenizer.from_pretrained(tmp_path / "new")
    for name in ("bho", "su", "translate", "notimestamps"):
        assert oracle.convert_tokens_to_ids(f"<|{name}|>") in new.controls
        assert new.controls[oracle.convert_tokens_to_ids(f"<|{name}|>")] == f"<|{name}|>"
    assert old.languages["su"] + 1 == new.languages["bho"] in oracle.all_special_ids


def test_add_language_refuses_what_is_known_or_is_no_code(parent: Path, child: Path, tmp_path: Path, capsys):
    assert add_language(child, "bho", tmp_path / "x") == child and "already" in capsys.readouterr().err
    for code, message in {"hin": "'hi'", "Bhojpuri": "ISO 639", "nb": "'no'"}.items():
        with pytest.raises(ConfigError, match=message):
            add_language(parent, code, tmp_path / "x")
    with pytest.raises(ConfigError, match="near: hi, mr, sa"):
        add_language(parent, "mai", tmp_path / "x", like="bho")
    with pytest.raises(ConfigError, match="something here"):
        add_language(parent, "mai", child)
    assert not (tmp_path / "x").exists()


def test_a_language_may_have_a_code_of_nobodys(parent: Path, tmp_path: Path):
    tokens = Tokens.from_folder(add_language(parent, "xx", tmp_path / "xx"))
    assert tokens.code("xx") == "xx" and tokens.code("hi-IN") == "hi"


# --- the real one ----------------------------------------------------------------------------------------------------


def test_the_public_tokenizer_gives_the_public_ids(real_data: Path):
    folder = real_data / "whisper" / "tokenizer_hf"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    tokens, oracle = Tokens.from_folder(folder), WhisperTokenizer.from_pretrained(folder)
    assert len(tokens) == 51_865 and len(tokens.languages) == 99
    for code in ("en", "hi", "zh"):
        oracle.set_prefix_tokens(language=code, task="translate", predict_timestamps=False)
        assert tokens.prefix(code, "translate") == oracle.prefix_tokens
    for text in TEXTS:
        ids = [*tokens.prefix("hi"), *tokens.encode(text, "hi"), tokens.end]
        assert tokens.show(ids) == oracle.decode(ids) and tokens.encode(text) == oracle.encode(
            f" {text}", add_special_tokens=False
        )
    ids = tokens.labels([Segment(ENGLISH, 0.0, 1.24), Segment("friend", 1.5, 2.0)])
    assert tokens.show(ids) == f"<|0.00|> {ENGLISH}<|1.24|><|1.50|> friend<|2.00|>"
    assert (tokens.start, tokens.first_timestamp, tokens.last_timestamp, tokens.no_speech) == (
        50258,
        50364,
        51864,
        50362,
    )


def test_codes_of_iso_and_names_match_alike():
    codes = tuple(LANGUAGES)
    assert all(match(name, codes) == code for code, name in LANGUAGES.items())
