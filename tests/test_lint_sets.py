"""Rules between sets and on balance: each finds what is planted for it in clean sets, and no other rule does."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.lint import balance, leakage, near, twins
from speechxfer.lint.rules import Subject
from speechxfer.lint.sound import Sound
from speechxfer.manifest import read_manifest
from speechxfer.text import basic

SETS = {"train": 60, "dev": 24, "test": 24, "retain": 24}
WORDS = ["".join(letters) for letters in np.random.default_rng(0).choice(list("abdegiklmnoprstu"), (4000, 5))]


def sentence(rng: np.random.Generator, words: int = 9) -> str:
    return " ".join(rng.choice(WORDS, words))


def speech() -> dict[str, list[dict]]:
    """Clean sets of speech: by speaker and by sentence, six speakers and two accents each."""
    rng = np.random.default_rng(1)
    return {
        name: [
            {
                "id": f"{name}-{i}",
                "audio": f"audio/{name}-{i}.wav",
                "text": sentence(rng),
                "seconds": 2.0 + i / 100,
                "group": {"speaker": f"{name}{i % 6}", "accent": ("welsh", "irish")[i % 2], "age": f"{20 + i}"},
            }
            for i in range(count)
        ]
        for name, count in SETS.items()
    }


def parallel() -> dict[str, list[dict]]:
    """Clean sets of sentence pairs. Their ids are numbers, the same ones in every set."""
    rng = np.random.default_rng(2)
    return {
        name: [{"id": f"{i}", "source": sentence(rng), "text": sentence(rng)} for i in range(count)]
        for name, count in SETS.items()
    }


def subjects(folder: Path, rows: dict[str, list[dict]], digests: dict[str, np.ndarray] | None = None) -> list[Subject]:
    found = []
    for name, of_set in rows.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in of_set), encoding="utf-8")
        manifest = read_manifest(path)
        found.append(Subject(name, manifest, None, sound(manifest, digests[name]) if digests else None))
    return found


def sound(manifest, digests: np.ndarray) -> Sound:
    ones = np.ones(len(manifest))
    floats = {name: ones for name in ("peak", "rms", "offset", "clipped", "bandwidth", "speech")}
    whole = {name: ones.astype(int) for name in ("rate", "channels")}
    return Sound(np.full(len(ones), ""), **whole, **floats, seconds=manifest.seconds, digest=digests)


def all_found(sets: list[Subject]) -> dict[tuple[str, str], list[int] | None]:
    """(rule, set) -> the rows that it names, None for the set as a whole. Every message is asked for."""
    found: dict[tuple[str, str], list[int] | None] = {}
    asked = [(rule, sets) for rule in (*leakage.RULES, *near.RULES)]
    asked += [(rule, subject) for subject in sets for rule in balance.RULES]
    for rule, about in asked:
        for one in rule.check(about):
            key = (rule.name, one.subject.name)
            if one.rows is None:
                assert one.message(0)
                found[key] = None
            elif len(one.rows):
                assert all(one.message(i) for i in range(len(one.rows)))
                found[key] = sorted({*(found.get(key) or []), *one.rows.tolist()})
    return found


@pytest.mark.parametrize("clean", [speech, parallel])
def test_nothing_is_found_in_clean_sets(tmp_path, clean):
    assert all_found(subjects(tmp_path, clean())) == {}


# Each plants a fault in clean sets of speech; what must be found then, and nothing else.


def a_file_of_test_is_in_train(sets):
    sets["train"][3] |= {"audio": "audio/../audio//test-5.wav"}
    return {("leak-utterance", "train"): [3]}


def an_utterance_of_dev_was_copied_into_train(sets):
    sets["train"][7] |= {key: sets["dev"][2][key] for key in ("id", "text", "seconds")}
    return {("leak-utterance", "train"): [7]}


def a_piece_of_a_long_file_overlaps_one_of_test(sets):
    sets["train"][4] |= {"audio": "audio/long.wav", "start": 10.0, "seconds": 4.0}
    sets["test"][4] |= {"audio": "audio/long.wav", "start": 11.0, "seconds": 4.0}
    return {("leak-utterance", "train"): [4]}


def other_channels_and_pieces_of_a_file_are_no_leak_but_of_one_recording(sets):
    for name, starts in {"train": (0.0, 20.0), "test": (10.0, 30.0)}.items():
        for i, start in enumerate(starts):
            sets[name][i] |= {"audio": "audio/call.wav", "start": start, "seconds": 5.0, "channel": i}
    for name in ("dev", "retain"):
        sets[name][0] |= {"start": 0.0}
    return {("leak-speaker", "train"): [0, 1]}


def a_sentence_of_test_is_read_in_train(sets):
    sets["train"][9]["text"] = sets["test"][1]["text"].upper() + "!"
    return {("leak-sentence", "train"): [9]}


def a_sentence_of_dev_is_in_test(sets):
    sets["dev"][8]["text"] = sets["test"][3]["text"]
    return {("leak-sentence", "dev"): [8]}


def a_word_is_added_to_a_sentence_of_test(sets):
    sets["train"][11]["text"] = sets["test"][2]["text"] + " ago"
    return {("leak-near", "train"): [11]}


def a_command_is_in_all_sets(sets):
    for name in SETS:
        sets[name][0]["text"] = "turn it off"
    return {("leak-short", "train"): [0]}


def one_speaker_of_test_is_in_train(sets):
    sets["train"][6]["group"]["speaker"] = "test0"
    return {("leak-speaker", "train"): [6]}


def dev_is_split_by_utterance(sets):
    for row in sets["dev"]:
        row["group"]["speaker"] = row["group"]["speaker"].replace("dev", "train")
    return {("split-by-utterance", "dev"): None}


def numbered_speakers_of_another_corpus_are_others(sets):
    for name in ("train", "retain"):
        for row in sets[name]:
            row["group"]["speaker"] = row["group"]["speaker"].removeprefix(name)
    return {}


def ids_repeat_by_chance(sets):
    for name in SETS:
        for i, row in enumerate(sets[name]):
            row |= {"id": f"{i}", "seconds": 2.0}
    sets["train"][0]["text"] = sets["test"][0]["text"] = "yes"
    return {("leak-short", "train"): [0]}


def test_has_an_accent_that_train_lacks(sets):
    for row in sets["test"][::2]:
        row["group"]["accent"] = "scottish"
    return {("group-unseen", "test"): list(range(0, 24, 2))}


def a_group_is_small(sets):
    sets["test"] = [row for i, row in enumerate(sets["test"]) if i % 2 or i < 12]
    return {("group-small", "test"): None}


def an_accent_is_one_speaker(sets):
    for i, row in enumerate(sets["test"]):
        row["group"] |= {"accent": ("welsh", "irish")[i < 10], "speaker": "test0" if i < 10 else f"test{1 + i % 5}"}
    return {("group-of-one", "test"): None}


def there_are_few_speakers(sets):
    for i, row in enumerate(sets["test"]):
        row["group"]["speaker"] = f"test{i % 5}"
    return {("few-speakers", "test"): None}


def there_is_one_speaker(sets):
    for row in sets["test"]:
        row["group"]["speaker"] = "test0"
    return {("one-speaker", "test"): None}


def a_speaker_is_missing(sets):
    del sets["dev"][5]["group"]["speaker"]
    return {("speaker-missing", "dev"): [5]}


def a_speaker_dominates(sets):
    for row in sets["train"][:30:2]:
        row |= {"seconds": 20.0, "group": row["group"] | {"speaker": "train0"}}
    return {("speaker-dominates", "train"): None}


def an_accent_is_rare(sets):
    sets["train"] = [row for row in sets["train"] if row["group"]["accent"] == "irish"] * 4
    for i, row in enumerate(sets["train"]):
        sets["train"][i] = row | {"id": f"train-{i}", "audio": f"audio/train-{i}.wav"}
    sets["train"][1] = sets["train"][1] | {"group": sets["train"][1]["group"] | {"accent": "welsh"}}
    return {("group-uneven", "train"): None}


SPEECH = [
    a_file_of_test_is_in_train,
    an_utterance_of_dev_was_copied_into_train,
    a_piece_of_a_long_file_overlaps_one_of_test,
    other_channels_and_pieces_of_a_file_are_no_leak_but_of_one_recording,
    a_sentence_of_test_is_read_in_train,
    a_sentence_of_dev_is_in_test,
    a_word_is_added_to_a_sentence_of_test,
    a_command_is_in_all_sets,
    one_speaker_of_test_is_in_train,
    dev_is_split_by_utterance,
    numbered_speakers_of_another_corpus_are_others,
    ids_repeat_by_chance,
    test_has_an_accent_that_train_lacks,
    a_group_is_small,
    an_accent_is_one_speaker,
    there_are_few_speakers,
    there_is_one_speaker,
    a_speaker_is_missing,
    a_speaker_dominates,
    an_accent_is_rare,
]
for _plant in SPEECH:
    _plant.__test__ = False  # pytest would take those that begin with "test" for tests


@pytest.mark.parametrize("plant", SPEECH, ids=lambda plant: plant.__name__)
def test_what_is_planted_in_speech_is_found_and_nothing_else(tmp_path, plant):
    sets = speech()
    expected = plant(sets)
    assert all_found(subjects(tmp_path, sets)) == expected


def the_source_of_a_test_sentence_is_in_train(sets):
    sets["train"][2]["source"] = sets["test"][6]["source"].title() + "."
    return {("leak-source", "train"): [2]}


def a_translation_of_test_is_in_train(sets):
    sets["train"][3]["text"] = sets["test"][7]["text"] + "!"
    return {("leak-target", "train"): [3]}


def a_pair_of_retain_is_rehearsed(sets):
    sets["train"][3] |= {key: sets["retain"][7][key] for key in ("source", "text")}
    return {("leak-source", "train"): [3]}


def a_greeting_is_in_train_and_test(sets):
    sets["train"][3] |= {"source": "Thank you.", "text": "धन्यवाद।"}
    sets["test"][3] |= {"source": "Thank you!", "text": "धन्यवाद"}
    return {("leak-short", "train"): [3]}


def dev_and_test_share_a_source(sets):
    sets["dev"][3]["source"] = sets["test"][7]["source"]
    return {("dev-in-test", "dev"): [3]}


def a_source_is_nearly_one_of_test(sets):
    sets["train"][40]["source"] = sets["test"][7]["source"] + " ago"
    return {("leak-near", "train"): [40]}


def a_translation_is_nearly_one_of_test(sets):
    sets["train"][40]["text"] = sets["test"][7]["text"] + " ago"
    return {("leak-near", "train"): [40]}


PARALLEL = [
    the_source_of_a_test_sentence_is_in_train,
    a_translation_of_test_is_in_train,
    a_pair_of_retain_is_rehearsed,
    a_greeting_is_in_train_and_test,
    dev_and_test_share_a_source,
    a_source_is_nearly_one_of_test,
    a_translation_is_nearly_one_of_test,
]


@pytest.mark.parametrize("plant", PARALLEL, ids=lambda plant: plant.__name__)
def test_what_is_planted_in_parallel_text_is_found_and_nothing_else(tmp_path, plant):
    sets = parallel()
    expected = plant(sets)
    assert all_found(subjects(tmp_path, sets)) == expected


@pytest.mark.parametrize("clean", [speech, parallel])
@pytest.mark.parametrize("other, rule", [("test", "leak-set"), ("dev", "leak-set"), ("retain", "leak-set")])
def test_train_that_is_another_set_is_said_once(tmp_path, clean, other, rule):
    sets = clean()
    sets[other] = sets["train"]
    found = all_found(subjects(tmp_path, sets))
    assert found == {(rule, "train"): None}


def test_dev_that_is_test_is_a_warning_of_its_own(tmp_path):
    sets = parallel() | {"dev": parallel()["test"]}
    assert all_found(subjects(tmp_path, sets)) == {("dev-is-test", "dev"): None}
    severity = {rule.name: rule.severity for rule in leakage.RULES}
    assert (severity["dev-is-test"], severity["leak-set"]) == ("warning", "error")


def test_the_same_rows_beside_other_audio_are_another_set(tmp_path):
    rows = speech()["test"]
    folders = [tmp_path / name for name in ("clean", "noisy")]
    sets = []
    for name, folder in zip(("train", "test"), folders, strict=True):
        folder.mkdir()
        sets += subjects(folder, {name: rows})
    assert ("leak-set", "train") not in all_found(sets)


def test_the_same_samples_under_another_name_are_found_and_silence_is_not(tmp_path):
    sets = speech()
    digests = {name: np.arange(len(rows), dtype=np.uint64) + 1000 * i for i, (name, rows) in enumerate(sets.items())}
    digests["train"][[5, 6]] = digests["test"][9]
    digests["dev"][4] = digests["test"][8]
    digests["train"][20] = digests["dev"][20] = 9999
    found = subjects(tmp_path, sets, digests)
    found[0].sound.peak[20] = 0.0  # digital silence: ones are shared by all arrays of a set
    assert all_found(found) == {("leak-audio", "train"): [5, 6], ("dev-in-test", "dev"): [4]}


def test_a_file_is_the_same_by_every_spelling_of_its_path(tmp_path):
    (tmp_path / "real" / "audio").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "link")
    sets = speech()
    sets["test"][0]["audio"] = str(tmp_path / "link" / "audio" / "train-0.wav")
    sets["test"][1]["audio"] = "./audio/train-1.wav"
    sets["test"][2]["audio"] = "../real/audio/train-2.wav"
    found = all_found(subjects(tmp_path / "real", sets))
    assert found == {("leak-utterance", "train"): [0, 1, 2]}


def test_a_message_says_where_the_twin_is_and_how_many_there_are(tmp_path):
    sets = speech()
    for i in range(3):
        sets["train"][i]["text"] = sets["test"][2 * i]["text"]
    rule = next(rule for rule in leakage.RULES if rule.name == "leak-sentence")
    found = [one for one in rule.check(subjects(tmp_path, sets)) if len(one.rows)]
    assert len(found) == 1
    message = found[0].message(2)
    assert f"{tmp_path / 'test.jsonl'}:5" in message
    assert "3 of 24 sentences of test" in message
    assert sets["test"][4]["text"] in message


def test_braces_in_a_text_do_no_harm(tmp_path):
    sets = speech()
    sets["train"][0]["text"] = sets["test"][0]["text"] = "say {0} and {} to the five of us"
    (found,) = [one for one in leakage.leak_sentence(subjects(tmp_path, sets)) if len(one.rows)]
    assert "say {0} and {} to" in found.message(0)


@given(st.text("aB'’ -.!é\u0301क़ाम्\u200d今日ไทย1", max_size=20), st.text("aB'’ -.!é\u0301क今日1", max_size=20))
def test_sentences_that_are_one_to_the_normaliser_are_one_here(one, other):
    assert twins.fold(one) == twins.fold(twins.fold(one))
    assert (twins.fold(one) == twins.fold(other)) or basic(one) != basic(other)


def test_length_is_in_words_and_a_character_without_spaces_is_half_a_word():
    texts = [
        "one two three four five",
        "one two three four",
        "今日はとても良い天",
        "今日はとても良い天気",
        "yes",
        "a 今日 b c d",
    ]
    assert twins.are_long(pa.array([*map(twins.fold, texts), None])).tolist() == [1, 0, 0, 1, 0, 1, 0]


def edited(text: str, edit: str, rng: np.random.Generator) -> str:
    words = text.split()
    at = int(rng.integers(len(words)))
    if edit == "changed":
        words[at] = rng.choice(WORDS)
    elif edit == "added":
        words.insert(at, rng.choice(WORDS))
    elif edit == "left out":
        del words[at]
    else:
        words.insert(int(rng.integers(len(words) - 1)), words.pop(at))
    return " ".join(words)


@pytest.mark.parametrize("edit", ["changed", "added", "left out", "moved"])
def test_minhash_finds_what_brute_force_finds(edit):
    rng = np.random.default_rng(3)
    held = [sentence(rng, int(rng.integers(5, 25))) for _ in range(150)]
    texts = [edited(held[i], edit, rng) for i in range(len(held))]
    texts = [text for text in texts if len(text.split()) >= twins.WORDS and text not in held]
    index = near.build(held)
    brute = {
        (i, j)
        for i in range(len(texts))
        for j in range(len(held))
        if near.similarity(texts[i].split(), held[j].split(), index.bits) >= near.SIMILAR
    }
    found = set(near.search(index, texts))
    assert len(brute) > 50
    assert found <= brute
    assert len(found) >= 0.97 * len(brute)


def test_sentences_of_one_pattern_are_not_near():
    rng = np.random.default_rng(4)
    pattern = "how far is it from here to the {}"
    held = [pattern.format(word) for word in rng.choice(WORDS, 100, replace=False)]
    index = near.build([*held, "how far was it from there to the old bridge"])
    others = [pattern.format(word) for word in rng.choice(WORDS, 100)]
    assert not list(near.search(index, [text for text in others if text not in held]))
    assert list(near.search(index, ["how far is was it from there to the old bridge"])) == [(0, 100)]


def test_a_row_near_two_sets_is_found_for_both_but_not_where_it_is_exact(tmp_path):
    sets = parallel()
    one = sets["train"][0]["source"]
    sets["dev"][1]["source"], sets["test"][2]["source"], sets["retain"][3]["source"] = one + " a", one + " e", one
    found = {s.name: s.manifest for s in subjects(tmp_path, sets)}
    pairs = near.near_twins(found["train"], [found[name] for name in ("dev", "test", "retain")], "source")
    assert [(of.rows.tolist(), of.others.tolist()) for of in pairs] == [([0], [1]), ([0], [2]), ([], [])]


def test_the_table_of_balance_adds_up(tmp_path):
    (subject,) = subjects(tmp_path, {"train": speech()["train"]})
    whole, *groups = balance.balance(subject)
    assert (whole.rows, whole.sentences, whole.speakers) == (60, 60, 6)
    assert whole.hours == pytest.approx(sum(2.0 + i / 100 for i in range(60)) / 3600)
    assert [(share.key, share.value, share.rows, share.speakers) for share in groups] == [
        ("accent", "irish", 30, 3),
        ("accent", "welsh", 30, 3),
    ]  # ages are numbers, speakers what intervals are drawn over
    assert sum(share.hours for share in groups) == pytest.approx(whole.hours)


def test_the_table_of_text_has_neither_hours_nor_speakers(tmp_path):
    (subject,) = subjects(tmp_path, {"train": parallel()["train"]})
    assert balance.balance(subject) == [balance.Share("", "", 60, 60, None, None)]


def test_real_sets_hold_no_surprises(real_data):
    """What was judged by eye to be true, and nothing else."""
    folder = real_data / "text" / "tico19-en-hi"
    sets = [Subject(name, read_manifest(folder / f"{name}.jsonl")) for name in ("train", "dev", "test")]
    assert all_found(sets) == {
        ("leak-source", "train"): [852, 854],
        ("leak-near", "train"): [889, 914, 920, 924, 937, 956, 1308],
    }
    folder = real_data / "speech" / "speechocean762"
    sets = [Subject(name, read_manifest(folder / f"{name}.jsonl")) for name in ("train", "dev")]
    assert all_found(sets) == {}
