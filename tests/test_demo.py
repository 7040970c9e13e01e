"""The demo's grammar, voices and corpus."""

import hashlib
import json
import os
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechxfer.demo import corpus as corpus_module
from speechxfer.demo import grammar as grammar_module
from speechxfer.demo import phrases
from speechxfer.demo.corpus import ACCENTS, SAMPLE_RATE, VARIANTS, CorpusSpec, record, speakers, write_corpus
from speechxfer.demo.grammar import SPLITS, conjugate, plural, sentence, sentence_of, split_of
from speechxfer.demo.voices import Engine, Speaker
from speechxfer.errors import ConfigError
from speechxfer.manifest import read_manifest

TEXT = "we would rather walk past the old harbour and take a bath"


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    rng = random.Random(0)
    return [sentence(rng) for _ in range(30_000)]


@pytest.fixture
def engine() -> Engine:
    pytest.importorskip("espeakng_loader", reason="the demo extra is not installed")
    return Engine()


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- grammar


def test_sentences_are_lowercase_words_of_the_stated_length(sentences):
    for text in sentences:
        assert re.fullmatch(r"[a-z']+( [a-z']+){1,15}", text), text
    lengths = [len(text.split()) for text in sentences]
    assert np.mean([3 <= length <= 10 for length in lengths]) > 0.8


def test_the_language_is_wide(sentences):
    words = Counter(word for text in sentences for word in text.split())
    assert len(words) >= 3000
    assert len(set(sentences)) > 0.9 * len(sentences)
    assert sum(count >= 3 for count in words.values()) >= 3000  # and learnable: not a tail of words said once


def test_patterns_and_word_lists_fit_together():
    rules = grammar_module._rules()
    named = {
        kind
        for alternatives, _, are_words in rules.values()
        for pattern in ([] if are_words else alternatives)
        for kind in re.findall(r"<(\w+)", pattern)
    }
    assert named == set(rules) - {"sentence"}
    for kind, (alternatives, _, are_words) in rules.items():
        assert not are_words or len(set(alternatives)) == len(alternatives), kind


def test_articles_agree_with_the_next_word(sentences):
    pairs = {match for text in sentences for match in re.findall(r"\ban? \w+", text)}
    assert {"an honest", "an umbrella", "an ugly", "a used", "a uniform"} <= pairs
    for pair in pairs - {"a m"}:
        article, word = pair.split()
        if not re.match("hour|honest|uni|use|usu|euro|one|ukr", word):
            assert (article == "an") == (word[0] in "aeiou"), pair


def test_same_seed_same_sentences():
    first, second = random.Random(5), random.Random(5)
    assert [sentence(first) for _ in range(50)] == [sentence(second) for _ in range(50)]
    assert sentence(random.Random(6)) != sentence(random.Random(5))


def test_every_sentence_belongs_to_one_split(sentences):
    shares = Counter(map(split_of, sentences))
    assert set(shares) == set(SPLITS)
    assert shares["train"] / len(sentences) == pytest.approx(0.8, abs=0.03)
    for split in SPLITS:
        rng = random.Random(1)
        assert {split_of(sentence_of(split, rng)) for _ in range(50)} == {split}


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("walk", "walks walked walking"),
        ("carry", "carries carried carrying"),
        ("play", "plays played playing"),
        ("stop", "stops stopped stopping"),
        ("open", "opens opened opening"),
        ("travel", "travels travelled travelling"),
        ("wash", "washes washed washing"),
        ("tie", "ties tied tying"),
        ("agree", "agrees agreed agreeing"),
        ("pour", "pours poured pouring"),
        ("fix", "fixes fixed fixing"),
    ],
)
def test_regular_verbs(verb, forms):
    assert [conjugate(verb, form) for form in "sdg"] == forms.split()


def test_phrases_inflect_where_they_should():
    assert conjugate("pick up", "d") == "picked up"
    assert conjugate("go", "s") == "goes"
    assert plural("bus stop") == "bus stops"
    assert [plural(noun) for noun in ("box", "city", "key", "potato", "radio", "church")] == [
        "boxes", "cities", "keys", "potatoes", "radios", "churches",
    ]  # fmt: skip


# --- voices


def test_every_voice_speaks_at_a_human_pace(engine):
    for variant in sum(VARIANTS.values(), []):
        samples = engine.speak(TEXT, Speaker("en-us", variant, 160, 50, 50))
        assert 10 < len(TEXT) / (len(samples) / 22_050) < 26, variant
        assert np.abs(samples.astype(int)).max() > 3000, variant
        assert (np.abs(samples.astype(int)) >= 32_767).sum() < 5, variant


def test_a_new_engine_speaks_the_same_samples_whatever_was_said_before(engine):
    """Flutter and noise run on within an engine, so only a fresh one repeats itself."""
    for variant in sum(VARIANTS.values(), []):
        engine.speak("something else", Speaker("en-us", variant, 150, 40, 40))
    first = Engine()
    time.sleep(1.1)  # espeak-ng seeds its noise with the second of the clock unless told otherwise
    second = Engine()
    for variant in sum(VARIANTS.values(), []):
        speaker = Speaker("en-us", variant, 160, 50, 50)
        np.testing.assert_array_equal(first.speak(TEXT, speaker), second.speak(TEXT, speaker), err_msg=variant)


def test_accents_differ_in_phonemes_and_in_sound(engine):
    phonemes = {accent: engine.phonemes(TEXT, voice) for accent, voice in ACCENTS.items()}
    assert len(set(phonemes.values())) == len(ACCENTS)
    assert "ɚ" in phonemes["american"] and "ɚ" not in phonemes["scottish"]  # rather
    assert "r" in phonemes["scottish"] and "r" not in phonemes["rp"]  # harbour: a trill, and none
    waves = {a: Engine().speak(TEXT, Speaker(v, "f2", 160, 50, 50)).tobytes() for a, v in ACCENTS.items()}
    assert len(set(waves.values())) == len(ACCENTS)


def test_text_is_no_markup(engine):
    speaker = Speaker("en-us", "f2", 160, 50, 50)
    assert len(engine.speak("walk <break time='9s'/> on", speaker)) > len(engine.speak("walk on", speaker))
    assert len(engine.speak("walk <break time='9s'/> on", speaker)) < 6 * 22_050


def test_an_unknown_voice_and_a_missing_library_say_what_to_do(engine, monkeypatch):
    with pytest.raises(ConfigError, match="no voice 'xx-nowhere"):
        engine.speak("hello", Speaker("xx-nowhere", "f2", 160, 50, 50))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r'pip install "speechxfer\[demo\]"'):
        Engine()


# --- corpus


def test_speakers_are_many_and_disjoint():
    people = {
        (accent, split): speakers(CorpusSpec(accent, split, 1, speakers=150 if split == "train" else 20))
        for accent in ACCENTS
        for split in SPLITS
    }
    assert len({speaker.name for speaker in people["american", "train"]}) == 150
    assert len({speaker.variant for speaker in people["american", "train"]}) >= 25
    for split in SPLITS:
        names = {tuple(speaker.name for speaker in people[accent, split]) for accent in ACCENTS}
        assert len(names) == 1  # the same persons, whatever the accent
        for other in set(SPLITS) - {split}:
            variants = {speaker.variant for speaker in people["american", split]}
            assert not variants & {speaker.variant for speaker in people["scottish", other]}
    assert [s.name for s in speakers(CorpusSpec("rp", "dev", 1, speakers=5))] == [
        s.name for s in people["rp", "dev"][:5]
    ]


def test_a_recording_has_room_level_and_noise():
    clean = (8000 * np.sin(2 * np.pi * 300 * np.arange(22_050) / 22_050)).astype(np.int16)
    peaks, floors = [], []
    for seed in range(40):
        samples = record(clean, np.random.default_rng(seed)).astype(float) / 32768
        assert 1.1 * SAMPLE_RATE - 2 <= len(samples) <= 1.8 * SAMPLE_RATE + 2
        peaks.append(20 * np.log10(np.abs(samples).max()))
        floors.append(20 * np.log10(samples[:700].std() / samples[SAMPLE_RATE // 2 : SAMPLE_RATE].std()))
    assert -25.1 < min(peaks) < -20 and -8 < max(peaks) < -2.9
    assert -55 < min(floors) < -40 and -26 < max(floors) < -15


def test_corpus_is_complete_and_plausible(engine, tmp_path):
    spec = CorpusSpec("scottish", "test", minutes=1.5, speakers=6)
    manifest = write_corpus(tmp_path, spec, progress=False)
    assert manifest == tmp_path / "scottish-test.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert 90 <= sum(row["seconds"] for row in rows) < 100
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["group"]["accent"] for row in rows} == {"scottish"}
    assert {row["group"]["speaker"] for row in rows} == {speaker.name for speaker in speakers(spec)}
    assert {split_of(row["text"]) for row in rows} == {"test"}
    paces = []
    for row in rows:
        samples, rate = soundfile.read(tmp_path / row["audio"])
        assert (rate, samples.ndim) == (16_000, 1)
        assert row["seconds"] == pytest.approx(len(samples) / rate, abs=1e-3)
        assert 0.05 < np.abs(samples).max() < 0.71
        paces.append(len(row["text"]) / (row["seconds"] - 0.45))
    assert 12 < np.median(paces) < 19
    assert len(list((tmp_path / "audio" / "scottish-test").iterdir())) == len(rows)


def test_the_bytes_depend_on_the_spec_alone(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "CHUNK_SECONDS", 10.0)  # here; a spawned worker is told its length
    spec = CorpusSpec("american", "train", minutes=0.5, speakers=12)
    write_corpus(tmp_path / "one", spec, progress=False, workers=1)
    write_corpus(tmp_path / "two", spec, progress=False, workers=2)
    assert len(digest(tmp_path / "one")) > 8
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    rows = [json.loads(line) for line in (tmp_path / "one" / "american-train.jsonl").read_text().splitlines()]
    assert len({row["id"].split("-")[2] for row in rows}) == 3  # three chunks
    assert len({row["text"] for row in rows}) == len(rows)  # and each says something else
    texts = {}
    for seed in (0, 1):
        manifest = write_corpus(
            tmp_path / str(seed), CorpusSpec("american", "train", 0.5, seed, 12, "wav"), progress=False, workers=1
        )
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        assert all(row["audio"].endswith(".wav") for row in rows)
        texts[seed] = {row["text"] for row in rows}
    assert not texts[0] & texts[1]


def test_a_manifest_stands_for_a_whole_corpus(engine, tmp_path, monkeypatch):
    spec = CorpusSpec("rp", "dev", minutes=0.3, speakers=3)
    real, calls = soundfile.write, []

    def full_disk(*args, **kwargs):
        calls.append(args[0])
        if len(calls) == 4:
            raise OSError("No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(corpus_module.soundfile, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_corpus(tmp_path, spec, progress=False, workers=1)
    assert len(calls) == 4 and not (tmp_path / "rp-dev.jsonl").exists()
    monkeypatch.setattr(corpus_module.soundfile, "write", real)
    manifest = write_corpus(tmp_path, spec, progress=False, workers=1)
    untouched = write_corpus(tmp_path / "untouched", spec, progress=False, workers=1)
    assert digest(tmp_path / "audio") == digest(untouched.parent / "audio")  # nothing of the first try is left

    os.utime(manifest, (1, 1))
    write_corpus(tmp_path, spec, progress=False, workers=1)
    assert manifest.stat().st_mtime == 1  # the same spec: nothing is written
    write_corpus(tmp_path, CorpusSpec("rp", "dev", minutes=0.1, speakers=3), progress=False, workers=1)
    assert len(manifest.read_text().splitlines()) == len(list((tmp_path / "audio" / "rp-dev").iterdir())) < 6


@pytest.mark.parametrize(("language", "script"), [("hi", r"[\u0900-\u097f ]+"), ("de", r"[A-Za-zäöüÄÖÜß ]+")])
def test_a_translated_corpus_speaks_english_and_writes_the_language(engine, tmp_path, monkeypatch, language, script):
    spoken, speak = [], Engine.speak

    def heard(self, text: str, speaker: Speaker) -> np.ndarray:
        spoken.append(text)
        return speak(self, text, speaker)

    monkeypatch.setattr(Engine, "speak", heard)
    spec = CorpusSpec("scottish", "dev", minutes=0.5, speakers=3, translated=language)
    manifest = write_corpus(tmp_path, spec, progress=False, workers=1)
    assert manifest == tmp_path / f"scottish-{language}-dev.jsonl"
    rows = read_manifest(manifest, require=("audio", "source", "text"))
    assert len(rows) > 5 and [row.source for row in rows] == spoken
    rng = random.Random(0)
    languages = {pair.en: getattr(pair, language) for pair in (phrases.pair(rng) for _ in range(20_000))}
    known = [row for row in rows if row.source in languages]
    assert known and all(row.text == languages[row.source] for row in known)
    for row in rows:
        assert re.fullmatch("[a-z' ]+", row.source) and re.fullmatch(script, row.text), row
        assert split_of(row.source) == "dev" and row.lang == language
        assert row.audio.parent == tmp_path / "audio" / f"scottish-{language}-dev" and row.audio.is_file()
        assert row.group.keys() == {"accent", "speaker"}


def test_a_translated_corpus_is_of_its_phrases(engine, tmp_path, monkeypatch):
    """Other phrases make it anew, another grammar does not; of a corpus without a language the reverse is true."""
    made = []
    monkeypatch.setattr(corpus_module, "_write_chunk", lambda *_: made.append(1) or [{"seconds": 1.0}])

    def writes(language: str) -> bool:
        made.clear()
        write_corpus(tmp_path, CorpusSpec("rp", "dev", 0.1, translated=language), progress=False, workers=1)
        return bool(made)

    assert [writes(language) for language in ("hi", "de", "")] == [True] * 3
    assert [writes(language) for language in ("hi", "de", "")] == [False] * 3, "each under its own name"
    with monkeypatch.context() as patch:
        patch.setattr(phrases, "fingerprint", lambda: "other phrases")
        assert [writes(language) for language in ("hi", "de", "")] == [True, True, False]
        assert [writes(language) for language in ("hi", "de", "")] == [False] * 3
    monkeypatch.setattr(corpus_module, "fingerprint", lambda: "another grammar")
    assert [writes(language) for language in ("hi", "de", "")] == [True] * 3  # back to the phrases as they were
    assert not writes("hi") and not writes("")


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        CorpusSpec("klingon", "training", minutes=0, container="mp3", translated="fr")
    message = str(caught.value)
    for part in ("'klingon'; expected one of 'american'", "'training'", "minutes is 0; expected > 0", "'mp3'"):
        assert part in message
    assert "translated is 'fr'; expected one of '', 'de', 'hi'" in message
