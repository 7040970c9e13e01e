"""Rules of text, of pairs and of the model: each finds its plant in a clean set, and nothing else is found anywhere."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import write_tiny_marian
from hypothesis import given, settings
from hypothesis import strategies as st

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.lint import model_rules, pair_rules, text_rules
from speechxfer.lint.homoglyphs import odd_word
from speechxfer.lint.limits import Limits, _ctc_labels, read_limits
from speechxfer.lint.rules import Subject
from speechxfer.lint.scripts import dominant, expected, script_of, scripts
from speechxfer.lint.texts import fingerprints, words
from speechxfer.manifest import Example, read_manifest
from speechxfer.models.pieces import DEFAULTS
from speechxfer.models.vocabulary import Vocabulary, frames_needed
from speechxfer.text import normalise

RULES = {rule.name: rule for rule in (*text_rules.RULES, *pair_rules.RULES, *model_rules.RULES)}
ENGLISH = "turn left at the old mill|we saw nobody there|the boat came in late|she reads a book by the window".split(
    "|"
)
HINDI = "बाएँ मुड़ जाओ|हमने वहाँ किसी को नहीं देखा|नाव देर से आई|वह खिड़की के पास किताब पढ़ती है".split("|")
ENDS = (
    "again|today|at noon|slowly|once more|in the rain|with him|for us|they say|of course|by day|at night|as ever".split(
        "|"
    )
)
HINDI_ENDS = "फिर|आज|दोपहर को|धीरे|एक बार|बारिश में|उसके साथ|हमारे लिए|सुना है|ज़रूर|दिन में|रात को|हमेशा".split("|")
LETTERS = "abcdefghijklmnopqrstuvwxyz'" + "".join(sorted(set("".join(HINDI + HINDI_ENDS)) - {" "}))
PLANT = 30  # the row that is planted


def spoken() -> list[dict]:
    """52 English transcripts."""
    lines = [f"{line} {end}" for line in ENGLISH for end in ENDS]
    return [{"audio": f"{i}.wav", "seconds": 5.0, "text": line, "lang": "en"} for i, line in enumerate(lines)]


def translated() -> list[dict]:
    """52 English sentences in Hindi."""
    pairs = list(zip(ENGLISH, HINDI, strict=True))
    ends = list(zip(ENDS, HINDI_ENDS, strict=True))
    return [{"source": f"{a} {b}", "text": f"{c} {d}", "lang": "hi"} for a, c in pairs for b, d in ends]


def subject(folder: Path, rows: list[dict], limits: Limits | None = None, name: str = "train") -> Subject:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Subject(name, read_manifest(path), limits)


def found(about: Subject) -> dict[str, list[int]]:
    """Rule -> the rows that it finds, each once; every message is one line that says something."""
    answers: dict[str, set[int]] = {}
    for name, rule in RULES.items():
        for one in rule.check(about):
            assert one.subject is about
            for place, row in enumerate([0] if one.rows is None else one.rows):
                assert 10 < len(one.message(place)) and "\n" not in one.message(place)
                answers.setdefault(name, set()).add(-1 if one.rows is None else int(row))
    return {name: sorted(rows) for name, rows in answers.items()}


def messages(about: Subject, rule: str) -> list[str]:
    return [one.message(i) for one in RULES[rule].check(about) for i in range(1 if one.rows is None else len(one.rows))]


def write_ctc(folder: Path, letters: str = LETTERS, **config) -> Path:
    folder.mkdir(exist_ok=True)
    vocabulary = Vocabulary.from_texts([letters])
    (folder / "vocab.json").write_text(json.dumps(vocabulary.ids), encoding="utf-8")
    fixed = {"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(fixed | {"vocab_size": len(vocabulary.ids)} | config))
    return folder


@pytest.fixture(scope="module")
def ctc(tmp_path_factory) -> Limits:
    return read_limits(write_ctc(tmp_path_factory.mktemp("ctc")))


@pytest.fixture(scope="module")
def marian_folder(tmp_path_factory) -> Path:
    """A Marian tokenizer of the clean pairs. Its vocabulary lacks pieces that sentencepiece knows: those with a q."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    folder = tmp_path_factory.mktemp("marian")
    ids = {"</s>": 0, "<unk>": 1, ">>hin<<": 2}
    for side, column in (("source", "source"), ("target", "text")):
        lines = [*(row[column] for row in translated()), "q q qq"]
        fixed = {"vocab_size": 90, "character_coverage": 1.0, "hard_vocab_limit": False, "minloglevel": 2}
        SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=str(folder / side), **fixed)
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        pieces = SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        for i in range(len(pieces)):
            if "q" not in pieces.id_to_piece(i):
                ids.setdefault(pieces.id_to_piece(i), len(ids))
    ids["<pad>"] = len(ids)
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    config = {"model_type": "marian", "max_position_embeddings": 64, "vocab_size": len(ids), "eos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": ids["<pad>"]}))
    return folder


# --- clean sets, and texts that look odd and are not ------------------------------------------------------------------


def test_nothing_is_found_in_a_clean_set_of_speech(tmp_path, ctc):
    assert found(subject(tmp_path, spoken())) == {}
    assert found(subject(tmp_path, spoken(), ctc)) == {}


def test_nothing_is_found_in_a_clean_set_of_pairs(tmp_path, ctc):
    assert found(subject(tmp_path, translated())) == {}
    assert found(subject(tmp_path, translated(), ctc)) == {}


def test_nothing_is_found_in_rows_that_are_marked_as_without_speech(tmp_path, ctc):
    rows = [*spoken(), {"audio": "rain.wav", "seconds": 4.0, "text": "", "group": {"speech": "no"}}]
    assert found(subject(tmp_path, rows, ctc)) == {}


UNUSUAL = [
    "می\u200cروم به خانه",  # Persian: the non-joiner stands in most sentences
    "సాఫ్ట్\u200cవేర్\u200c కొన్నాను",  # Telugu: after a virama, inside and at the end of a word
    "दर्\u200dया खोऱ्यातून",  # Marathi eyelash ra
    "র\u200d্যাম কিনেছি",  # Bengali ra with ya-phalaa
    "അവന് പാലു് വേണം",  # Malayalam: a virama after the vowel sign u
    "ഞാൻ Facebookൽ കണ്ടു",  # a loan with an ending
    "он послал мне SMSку вчера вечером",
    "обновил свой iPhoneа и доволен",
    "the layer is 5 μm thick and TNFα rose by ΔT",
    "मैंने WhatsAppपर भेजा",
    "昨日Tシャツを買いました",
    "ใช้Facebookทุกวัน\u200bครับ",  # Thai: spaces of no width are word breaks
    "שלום \u200fABC\u200e עולם",  # marks of direction in right-to-left text
    "voilà\u00a0» dit-il, São Paulo” était là…",
    "family 👨\u200d👩\u200d👧 and 1\ufe0f\u20e3 and ❤\ufe0f",
    "I <3 you & 3 < 4 > 2, Tom & Jerry; AT&T",
    "really??? what?!",
    "he said (of course) that it rained",
    "নৌকা দেরিতে এল, কৌতূহল",  # two-part vowel signs
    "கொள்கை போகிறேன்",
    "ਸ਼ਹਿਰ ਵਿੱਚ ਪੰਜਾਬੀ",
    "l’été à Genève, Ångström Œuvre",
    "समय 5:30 बजे, अनुपात 3:1",
]


def test_texts_that_are_unusual_and_right_are_left_alone(tmp_path):
    rows = [{"source": f"{i} two three four", "text": text} for i, text in enumerate(UNUSUAL)]
    assert found(subject(tmp_path, rows)) == {}


# --- plants ----------------------------------------------------------------------------------------------------------

SPEECH_PLANTS = {
    "text-empty": [{"text": " "}, {"text": None}, {"text": ""}],
    "text-nonspeech": [{"group": {"speech": "no"}}],
    "text-mojibake": [
        {"text": "the cafÃ© was closed"},
        {"text": "we went \ufffd home"},
        {"text": "the naÃ¯ve one"},
        {"text": "???? ?? ????"},
    ],
    "text-mixed-scripts": [
        {"text": "the bоat came in"},
        {"text": "we sаw nobody"},
        {"text": "हमने वहाँ कiसी को", "lang": "hi"},
    ],
    "text-wrong-script": [
        {"text": "यह वाक्य हिन्दी में लिखा है"},
        {"text": "mujhe yeh nahi pata tha", "lang": "hi-IN"},
        {"text": "ya ne znayu etogo", "lang": "rus"},
    ],
    "text-not-nfc": [{"text": "the cafe\u0301 was closed"}, {"text": "\u0958लम \u095bरा", "lang": "hi"}],
    "text-stray-marks": [
        {"text": "घडी\u093c देखो", "lang": "hi"},
        {"text": "सापों\u0902 से डरो", "lang": "hi"},
        {"text": "वह \u093eया था", "lang": "hi"},
        {"text": "लि\u0947 जाओ", "lang": "hi"},
    ],
    "text-lookalikes": [{"text": "नि:शुल्क है यह", "lang": "hi"}, {"text": "वह घर गया |", "lang": "hi"}],
    "text-stray-joiners": [
        {"text": "फुट\u200dबॉल खेलो", "lang": "hi"},
        {"text": "we saw\u200c nobody"},
        {"text": "\u200dहम गए", "lang": "hi"},
    ],
    "text-invisible": [
        {"text": "we saw\u200bnobody"},
        {"text": "\ufeffwe saw nobody"},
        {"text": "we saw\x07 nobody"},
        {"text": "so\u00adbody saw"},
        {"text": "we \u202esaw nobody"},
    ],
    "text-markup": [
        {"text": "we <unk> nobody"},
        {"text": "we saw [noise] nobody"},
        {"text": "we saw nobody (laughs)"},
        {"text": "salt &amp; pepper"},
        {"text": "<i>we</i> saw nobody"},
        {"text": "[door slams] we saw nobody"},
        {"text": "<|en|> we saw nobody"},
    ],
    "text-unspoken": [
        {"text": "we saw 12 men"},
        {"text": "it is 5 % more"},
        {"text": "salt & pepper"},
        {"text": "see www.example.org for more"},
        {"text": "मेरे पास १२ हैं", "lang": "hi"},
    ],
    "text-spaces": [
        {"text": " we saw nobody"},
        {"text": "we saw  nobody"},
        {"text": "we saw\tnobody"},
        {"text": "we saw "},
    ],
}


def planted(rows: list[dict], plants: list[dict]) -> tuple[list[dict], list[int]]:
    """The rows with plants in some of them, and where those are."""
    places = list(range(PLANT, PLANT + len(plants)))
    for place, plant in zip(places, plants, strict=True):
        rows[place] = rows[place] | plant
    return rows, places


@pytest.mark.parametrize("rule", SPEECH_PLANTS)
def test_plants_in_speech_are_found_by_their_rule_alone(rule, tmp_path):
    rows, places = planted(spoken(), SPEECH_PLANTS[rule])
    assert found(subject(tmp_path, rows)) == {rule: places}


@pytest.mark.parametrize("rule", ["text-not-nfc", "text-stray-joiners", "text-invisible", "text-spaces"])
def test_what_the_models_normaliser_mends_is_not_reported(rule, tmp_path, ctc):
    rows, places = planted(spoken(), SPEECH_PLANTS[rule])
    everything = replace(ctc, characters=None)
    assert found(subject(tmp_path, rows, everything)) == {}
    assert found(subject(tmp_path, rows, replace(everything, normaliser="none"))) == {rule: places}


def test_a_set_without_any_text_is_found_as_a_whole(tmp_path):
    rows = [{"audio": "a.wav", "seconds": 1.0}] * 2
    rows = [row | {"id": str(i)} for i, row in enumerate(rows)]
    assert found(subject(tmp_path, rows)) == {"text-empty": [-1]}


def test_digits_are_the_custom_of_a_set_that_is_full_of_them(tmp_path):
    rows = [row | {"text": f"{row['text']} {i}"} for i, row in enumerate(spoken())]
    assert found(subject(tmp_path, rows)) == {}


def test_digits_of_written_text_are_nothing_to_be_spoken(tmp_path):
    rows = translated()
    rows[PLANT] |= {"source": "we saw 12 men there", "text": "हमने वहाँ 12 आदमी देखे"}
    assert found(subject(tmp_path, rows)) == {}


def test_one_text_in_many_rows_is_found_in_train_only(tmp_path):
    rows = spoken() + [{"audio": f"n{i}.wav", "seconds": 3.0, "text": "thank you"} for i in range(25)]
    assert found(subject(tmp_path, rows)) == {"text-repeated": list(range(52, 77))}
    assert messages(subject(tmp_path, rows), "text-repeated")[0] == "'thank you' is the text of 25 of 77 rows"
    assert found(subject(tmp_path, rows, name="test")) == {}


def test_few_texts_that_are_all_repeated_are_a_closed_set(tmp_path):
    rows = [{"audio": f"{i}.wav", "seconds": 3.0, "text": ENGLISH[i % 4]} for i in range(200)]
    assert found(subject(tmp_path, rows)) == {}


def test_capitalised_names_are_no_wrong_script(tmp_path):
    rows = translated()
    rows[PLANT] |= {"source": "Microsoft Excel Word Outlook", "text": "Microsoft Excel Word Outlook"}
    assert found(subject(tmp_path, rows)) == {}


PAIR_PLANTS = {
    "pair-source-empty": [{"source": " "}, {"source": ""}],
    "pair-wrong-side": [
        {"source": "नाव देर से आई", "text": "the boat came in late", "lang": None},
        {"source": "वह किताब पढ़ती है", "lang": "hi"},
        {"text": "she reads a book by the window now", "lang": None},
    ],
    "pair-twice": [{"source": f"{ENGLISH[0]} {ENDS[0]}", "text": f"{HINDI[0]} {HINDI_ENDS[0]}"}],
    "text-mojibake": [{"source": "she saidâ€¦ nothing at all"}],
    "text-mixed-scripts": [{"source": "the bоat came in late"}],
    "text-markup": [{"source": "salt &amp; pepper and more"}],
    "text-invisible": [{"source": "we saw\u200bnobody there again"}],
    "text-spaces": [{"source": "we saw  nobody there"}],
}


@pytest.mark.parametrize("rule", PAIR_PLANTS)
def test_plants_in_pairs_are_found_by_their_rule_alone(rule, tmp_path):
    rows, places = planted(translated(), PAIR_PLANTS[rule])
    assert found(subject(tmp_path, rows)) == {rule: places}


def german() -> list[dict]:
    """Pairs in one script."""
    middles = "Boot Haus Kind Buch Bild Dorf Feld Glas Hemd Jahr Kleid Land Messer".split()
    ends = "war alt;kam an;blieb da;ging verloren".split(";")
    english = "was old;came here;stayed there;was lost".split(";")
    things = "boat house child book picture village field glass shirt year dress land knife".split()
    pairs = zip(middles, things, strict=True)
    return [
        {"source": f"the {b} {d} again", "text": f"das {a} {c} wieder"}
        for a, b in pairs
        for c, d in zip(ends, english, strict=True)
    ]


def test_copies_are_found_and_names_are_not(tmp_path):
    rows = german()
    assert found(subject(tmp_path, rows)) == {}
    rows[3] = {"source": "the boat was lost again", "text": "The boat was lost again."}
    rows[7] = {"source": "New York Times", "text": "New York Times"}
    rows[9] = {"source": "taxi", "text": "Taxi"}
    rows[11] = {"source": "12 - 34", "text": "12 - 34"}
    rows[13] = {"source": "hotel bar", "text": "Hotel Bar"}
    assert found(subject(tmp_path, rows)) == {"pair-untranslated": [3]}


def test_what_is_far_shorter_or_longer_than_usual_is_found(tmp_path):
    rows = german()
    rows[3] = {"source": "we went home slowly in the rain and saw nobody there", "text": "ja"}
    rows[9] = {"source": "yes they say", "text": " ".join(["sie gingen langsam im Regen heim"] * 3)}
    about = subject(tmp_path, rows)
    assert found(about) == {"pair-length": [3, 9]}
    assert messages(about, "pair-length")[0].startswith("52 characters became 2: ")
    assert found(subject(tmp_path, rows[:30])) == {}  # too few to say what is usual


def test_a_source_with_very_many_translations_is_found(tmp_path):
    words = "gute arme liebe alte junge dicke kleine graue rote".split()
    few = german() + [{"source": "the dog was here again", "text": f"der {word} Hund war da"} for word in words]
    many = [*few, {"source": "the dog was here again", "text": "der blaue Hund war da"}]
    assert found(subject(tmp_path, few)) == {}
    assert found(subject(tmp_path, many)) == {"pair-many-targets": list(range(52, 62))}


def test_the_same_pair_is_found_at_its_second_place_with_the_first_one_named(tmp_path):
    rows = german()
    rows[40] = rows[5]
    about = subject(tmp_path, rows)
    assert found(about) == {"pair-twice": [40]}
    assert messages(about, "pair-twice")[0].endswith(f"{about.manifest.name}:6 too")


# --- the model -------------------------------------------------------------------------------------------------------


def test_characters_that_the_vocabulary_lacks_are_counted_by_character_with_a_suggestion(tmp_path, ctc):
    rows = spoken()
    rows[3]["text"] = "Déjà vu: no, it’s a café!"
    rows[PLANT]["text"] = "she reads a résumé"
    about = subject(tmp_path, rows, ctc)
    assert found(about) == {"model-characters": [3, PLANT]}
    first, _, second = messages(about, "model-characters")
    assert first == f"text: {ctc.name} lacks 'é' (U+00E9) in 2 rows; normaliser english writes it as 'e'"
    assert second == f"text: {ctc.name} lacks 'à' (U+00E0) in 1 row; normaliser english writes it as 'a'"
    assert found(subject(tmp_path, rows, replace(ctc, characters=None))) == {}  # the vocabulary will be extended


def test_no_normaliser_is_suggested_where_none_helps(tmp_path, ctc):
    rows = spoken()
    rows[3]["text"] = "a 漢 there"
    about = subject(tmp_path, rows, ctc)
    assert messages(about, "model-characters") == [f"text: {ctc.name} lacks '漢' (U+6F22) in 1 row"]


def test_many_missing_characters_are_reported_in_bounded_space(tmp_path, ctc):
    rows = spoken()
    for row in rows[:20]:
        row["text"] = "абвгдежзиклмнопрстуф"
    answers = list(RULES["model-characters"].check(subject(tmp_path, rows, ctc)))
    assert len(answers) == model_rules.APART + 1
    assert all(one.rows.tolist() == list(range(20)) for one in answers)
    assert "lacks 10 more characters" in answers[-1].message(0)


def test_a_text_of_which_nothing_is_left(tmp_path, ctc):
    rows = spoken()
    rows[PLANT]["text"] = "— … —"
    assert found(subject(tmp_path, rows, ctc)) == {"model-text-vanishes": [PLANT]}
    assert found(subject(tmp_path, rows)) == {}


def test_frames_fit_exactly_or_are_found(tmp_path, ctc):
    text, rows = "aabb cc", spoken()  # 7 labels and 3 blanks between equal neighbours
    least = next(n for n in range(16_000) if ctc.frames(np.array([n]))[0] == 10)
    rows[PLANT] |= {"text": text, "seconds": least / 16_000}
    assert found(subject(tmp_path, rows, ctc)) == {}
    rows[PLANT] |= {"seconds": (least - 1) / 16_000}
    about = subject(tmp_path, rows, ctc)
    assert found(about) == {"model-frames": [PLANT]}
    expected_words = "7 labels need 10 frames (with a blank between equal neighbours), but 0.20 s give 9"
    assert messages(about, "model-frames")[0].startswith(expected_words)


def test_audio_that_is_missing_is_left_to_the_rules_of_audio(tmp_path, ctc):
    rows = spoken()
    del rows[0]["seconds"]
    rows[1]["seconds"] = 0.01
    assert found(subject(tmp_path, rows, ctc)) == {"model-frames": [1]}


def test_marian_finds_what_is_too_long_on_either_side(tmp_path, marian_folder):
    limits, rows = read_limits(marian_folder), translated()
    assert found(subject(tmp_path, rows, limits)) == {}
    assert (limits.most_labels, limits.most_source_labels, limits.seconds) == (64, 64, None)
    rows[PLANT] |= {"source": " ".join([ENGLISH[3]] * 4), "text": " ".join([HINDI[3]] * 4)}
    about = subject(tmp_path, rows, limits)
    assert found(about) == {"model-labels": [PLANT]}
    assert [message.partition(":")[0] for message in messages(about, "model-labels")] == ["text", "source"]


def test_marian_finds_unknown_characters_and_texts_in_another_language(tmp_path, marian_folder):
    limits, rows = read_limits(marian_folder), translated()
    rows[5]["source"] += " ñ"
    rows[7]["source"] = ">>xyz<< " + rows[7]["source"]
    rows[8]["source"] = ">>hin<< " + rows[8]["source"]
    rows[PLANT] |= {"text": "漢 字 漢 字 漢", "lang": None}
    about = subject(tmp_path, rows, limits)
    assert found(about) == {"model-unknown-pieces": [5, 7], "model-mostly-unknown": [PLANT]}
    assert "lacks 'ñ' (U+00F1) in 1 row" in messages(about, "model-unknown-pieces")[0]


# --- limits ----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("abBé'’-. \u200d\u0301!ñकिा़्Σσ।|5"), max_size=30)
WRITTEN = ("basic", "english", "indic", "indic+drop-joiners", "nfc+danda", "nfc+latin-digits+full-stop")


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(WRITTEN))
def test_ctc_labels_are_those_of_training_plus_what_the_vocabulary_lacks(texts, normaliser):
    vocabulary = Vocabulary.from_texts(["abe'क ि."])
    labels = _ctc_labels(vocabulary.spell, normaliser, texts)
    for i, text in enumerate(texts):
        normalised = normalise(normaliser, text)
        spelt = vocabulary.spell(normalised)
        assert labels.count[i] == len(spelt) == len(vocabulary.encode(normalised)) + len(vocabulary.unknown(normalised))
        assert labels.unknown[i] == len(vocabulary.unknown(normalised))
        assert labels.frames[i] == frames_needed(spelt)


def test_how_sentences_end_is_seen_in_whole_texts(tmp_path):
    """A full stop behind a word is a danda at a text's end alone, so words by themselves would tell another story."""
    rows = spoken()
    letters = LETTERS + HINDI[0] + "".join(row["text"] for row in rows)
    for row, text in ((1, "वह डॉ. राव है."), (2, "यह है ।"), (3, "यह है।")):
        rows[row]["text"], rows[row]["lang"] = text, "hi"
    letters = "".join(set(letters + "".join(row["text"] for row in rows)) - set(".।"))

    def lacks(name: str, more: str, normaliser: str) -> dict[str, list[int]]:
        about = subject(tmp_path, rows, read_limits(write_ctc(tmp_path / name, letters + more), normaliser))
        return {
            re.search("lacks '(.)'", f.message(0))[1]: f.rows.tolist() for f in RULES["model-characters"].check(about)
        }

    assert lacks("danda", "।", "nfc+danda") == {".": [1]}  # of the abbreviation
    assert lacks("stop", ".", "nfc+full-stop") == {}
    assert lacks("none", "", "nfc+full-stop") == {".": [1, 2, 3]}
    about = subject(tmp_path, rows, read_limits(write_ctc(tmp_path / "stop", letters + "."), "nfc"))
    (message,) = {f.message(0) for f in RULES["model-characters"].check(about)}
    assert message.endswith("lacks '।' (U+0964) in 2 rows; normaliser nfc+full-stop writes these texts without it")
    about = subject(tmp_path, rows, read_limits(write_ctc(tmp_path / "danda", letters + "।"), "nfc"))
    (message,) = {f.message(0) for f in RULES["model-characters"].check(about)}
    assert "lacks '.' (U+002E) in 1 row; normaliser basic takes it out" in message  # danda leaves that of डॉ.


def test_ctc_limits_are_what_training_uses(tmp_path):
    from speechxfer.models.ctc_frontend import CtcFrontend

    limits = read_limits(write_ctc(tmp_path / "a", "abcd", conv_kernel=[10, 8, 8], conv_stride=[5, 8, 8]))
    frontend = CtcFrontend(Vocabulary.from_texts(["abcd"]), 16_000, (10, 8, 8), (5, 8, 8))
    samples = np.arange(0, 40_000, 37)
    assert limits.frames(samples).tolist() == [frontend.frames(int(n)) for n in samples]
    assert limits.labels(["abca dd", ""]).frames.tolist() == [frames_needed(frontend.encode("abca dd")), 0]
    assert limits.characters == frozenset("abcdABCD ")
    assert (limits.family, limits.rate, limits.seconds, limits.most_labels) == ("ctc", 16_000, None, None)


def test_the_normaliser_is_the_named_one_or_the_checkpoints_own(tmp_path):
    folder = write_ctc(tmp_path / "a")
    assert read_limits(folder).normalised("É!") == "é"
    (folder / "speechxfer.json").write_text('{"normaliser": "english"}')
    assert read_limits(folder).normalised("É!") == "e"
    assert read_limits(folder, normaliser="nfc").normalised("É!") == "É!"
    with pytest.raises(ConfigError, match="did you mean indic"):
        read_limits(folder, normaliser="indc")


def test_a_self_supervised_checkpoint_lacks_no_character(tmp_path, ctc):
    folder = write_ctc(tmp_path / "a", architectures=["Wav2Vec2ForPreTraining"])
    limits = read_limits(folder)
    assert limits.characters is None
    assert limits.labels(["Été, oui"]).count.tolist() == [7]


@pytest.mark.parametrize(
    "config, problem",
    [
        ({"model_type": "bert"}, "model_type 'bert'; expected one of wav2vec2, hubert, wavlm, whisper, marian"),
        ({"model_type": "marian"}, "has no source.spm and no target.spm and no vocab.json"),
        ({"model_type": "whisper"}, "has no tokenizer.json; expected it, or vocab.json and merges.txt"),
        ({"model_type": "wavlm", "add_adapter": True}, "convolutional adapter"),
    ],
)
def test_folders_that_cannot_be_linted_for_are_refused_in_one_line(config, problem, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as error:
        read_limits(tmp_path)
    assert problem in str(error.value) and "\n" not in str(error.value)


def test_marian_labels_are_those_of_transformers(marian_folder):
    from transformers import MarianTokenizer

    tokenizer, limits = MarianTokenizer.from_pretrained(marian_folder), read_limits(marian_folder)
    pairs = [(row["source"], row["text"]) for row in translated()]
    pairs += [("q like ñ", "किताब ñ"), (">>hin<< we saw qq", "漢字"), (">>xyz<< we", "q"), ("नाव", "boat")]
    sources, targets = zip(*pairs, strict=True)
    uncoded = [not source.startswith(">>hin<<") for source in sources]  # training tells the model its language
    for labels, encoded, told in (
        (limits.source_labels(sources), tokenizer(list(sources)).input_ids, uncoded),
        (limits.labels(targets), tokenizer(text_target=list(targets)).input_ids, [False] * len(pairs)),
    ):
        assert labels.count.tolist() == [len(ids) + one for ids, one in zip(encoded, told, strict=True)]
        assert labels.unknown.tolist() == [ids.count(tokenizer.unk_token_id) for ids in encoded]
        assert labels.unknown.sum() > 0
    assert (
        "ñ" not in limits.source_characters and "q" not in limits.source_characters and "a" in limits.source_characters
    )


@pytest.mark.parametrize("form", ["joint", "separate", "with codes"])
def test_marian_labels_are_those_of_training(tmp_path, marian_folder, form):
    """Whether the sides share a vocabulary is what config.json says: old tokenizers have no word for it."""
    from transformers import AutoConfig

    from speechxfer.models.marian_checkpoint import read_frontend

    folder = marian_folder
    if form != "with codes":
        folder = write_tiny_marian(tmp_path / form, joint=form == "joint")
        (folder / "tokenizer_config.json").unlink()
    limits, frontend = read_limits(folder), read_frontend(folder, AutoConfig.from_pretrained(folder), "nfc")
    pairs = [("ab ba ñ cad", "पानी घर"), ("पानी", "ab q"), (">>hin<< ab", "क़लम।"), (">>xyz<< ab q", "x")]
    items = [frontend.load(Example(id="1", source=a, text=b, lang="hi")) for a, b in pairs]
    sides = (
        (limits.source_labels([a for a, _ in pairs]), [item.source for item in items], frontend.source),
        (limits.labels([b for _, b in pairs]), [item.labels for item in items], frontend.target),
    )
    for labels, ids, pieces in sides:
        assert labels.count.tolist() == [len(one) for one in ids]
        assert labels.unknown.tolist() == [one.count(pieces.unknown) for one in ids]
    assert (limits.most_labels, limits.most_source_labels) == (frontend.positions, frontend.positions)


def test_a_tokenizer_that_does_not_fit_its_config_is_refused_before_training(tmp_path, marian_folder):
    folder = shutil.copytree(marian_folder, tmp_path / "marian")
    config = json.loads((folder / "config.json").read_text())
    for changes, message in (
        ({"vocab_size": 50}, r"vocab.json: its ids end at \d+; config has 50 rows"),
        ({"share_encoder_decoder_embeddings": False}, "has no target_vocab.json; expected the files of a Marian"),
        ({"pad_token_id": 5}, "pad_token_id is 5 in config.json, and <pad> is"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(CheckpointError, match=message):
            read_limits(folder)


def test_what_a_config_does_not_say_is_what_transformers_takes():
    from transformers import MarianConfig

    assert DEFAULTS | {"decoder_vocab_size": DEFAULTS["vocab_size"]} == {
        name: getattr(MarianConfig(), name) for name in DEFAULTS
    }


@pytest.fixture
def whisper(tmp_path, real_data) -> Path:
    config = {"model_type": "whisper", "vocab_size": 51865, "max_target_positions": 448}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").symlink_to(real_data / "whisper" / "tokenizer_hf" / "tokenizer.json")
    return tmp_path


def test_whisper_labels_are_those_of_transformers_with_its_prompt(whisper, real_data):
    from transformers import WhisperTokenizer

    folder = real_data / "whisper" / "tokenizer_hf"
    tokenizer = WhisperTokenizer.from_pretrained(folder, language="hindi", task="transcribe")
    texts = [row["text"] for row in translated()[:10]] + ["", "Hello, World! 5 %", "漢字 ñ"]
    limits = read_limits(whisper)
    spaced = [" " + text if text else "" for text in texts]  # as OpenAI's words begin
    assert limits.labels(texts).count.tolist() == [len(ids) for ids in tokenizer(spaced).input_ids]
    assert limits.labels(texts).unknown.sum() == 0
    assert (limits.most_labels, limits.seconds, limits.rate, limits.characters) == (448, 30.0, 16_000, None)

    from tokenizers import Tokenizer

    whole = Tokenizer.from_file(str(whisper / "tokenizer.json"))
    whole.model.save(str(whisper))  # as older checkpoints have it
    added = {token.content: i for i, token in whole.get_added_tokens_decoder().items()}
    (whisper / "added_tokens.json").write_text(json.dumps(added))
    (whisper / "tokenizer.json").unlink()
    assert read_limits(whisper).labels(texts).count.tolist() == limits.labels(texts).count.tolist()
    (whisper / "generation_config.json").write_text(json.dumps({"is_multilingual": False}))
    assert read_limits(whisper).labels(["a"]).count[0] == limits.labels(["a"]).count[0] - 2  # no language, no task


def test_whisper_finds_what_its_decoder_has_no_place_for(tmp_path, whisper):
    limits, rows = read_limits(whisper), spoken()
    fits = "a" + " a" * 442
    assert limits.labels([fits]).count[0] == 448
    rows[3]["text"] = fits
    assert found(subject(tmp_path, rows, limits)) == {}
    rows[PLANT]["text"] = fits + " a"
    about = subject(tmp_path, rows, limits)
    assert found(about) == {"model-labels": [PLANT]}
    assert messages(about, "model-labels") == [
        f"text: 449 labels; {limits.name} takes at most 448, start and end included"
    ]


def test_no_limits_load_torch(tmp_path, marian_folder):
    folders = [str(write_ctc(tmp_path / "a")), str(marian_folder)]
    code = (
        "import sys\nfrom speechxfer.lint.limits import read_limits\n"
        f"for folder in {folders!r}: read_limits(folder).labels(['a b'])\n"
        "from speechxfer.lint import model_rules, pair_rules, text_rules\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- what the rules stand on -----------------------------------------------------------------------------------------


@given(st.lists(st.text("ab é\n", max_size=12), max_size=6))
def test_words_put_together_again_are_the_texts(texts):
    found_words = words(pa.array(texts, pa.string()))
    by_row = [[] for _ in texts]
    for word, row in zip(found_words.word, found_words.row, strict=True):
        by_row[row].append(found_words.distinct[word])
    assert by_row == [[word for word in text.split(" ") if word] for text in texts]


@given(st.lists(st.text("abяшक ा1ñ", max_size=12), max_size=6))
def test_the_dominant_script_has_the_most_characters(texts):
    numbers = dominant(pa.chunked_array([pa.array(texts, pa.string())]))
    for text, number in zip(texts, numbers, strict=True):
        counts = {name: sum(script_of(c) == name for c in text) for name in ("Latn", "Cyrl", "Deva")}
        most = max(counts.values())
        assert (number == 0) == (most == 0)
        assert most == 0 or counts[scripts().names[number]] == most


def test_fingerprints_are_equal_where_texts_are():
    column = pa.chunked_array([["a", "b"], ["a", None, ""]])
    prints = fingerprints(column)
    assert prints[0] == prints[2] and prints[3] == prints[4] and len(set(prints.tolist())) == 3


@pytest.mark.parametrize(
    "lang, names",
    [
        *[("hi", "Deva"), ("hi-IN", "Deva"), ("hin_Deva", "Deva"), ("hi_in", "Deva"), ("hi-Latn", "Latn")],
        *[("eng", "Latn"), ("ja", "Hani Hira Kana"), ("ko", "Hang Hani"), ("sr", "Cyrl Latn"), ("sr-Latn", "Latn")],
        *[("ta", "Taml"), ("sat", "Beng Deva Latn Olck Orya"), ("brx", "Deva"), ("as", "Beng"), ("pa", "Arab Guru")],
        *[("xx", ""), ("english", ""), ("mis", ""), ("", "")],
    ],
)
def test_the_scripts_of_a_language(lang, names):
    assert expected(lang) == frozenset(names.split())


@pytest.mark.parametrize(
    "text, word",
    [
        ("он рaботал", "рaботал"),  # a Latin a
        ("Mocква стоит", "Mocква"),
        ("buy a сar now", "сar"),  # a Cyrillic es
        ("hellо world", "hellо"),  # a Cyrillic o at the end
        ("the Οld man", "Οld"),  # a Greek omicron
        ("कaम करो", "कaम"),
        ("ক\u093e দেখ", "ক\u093e"),  # Bengali with a Devanagari sign
    ],
)
def test_words_that_mix_scripts(text, word):
    start, end = odd_word(text)
    assert text[start:end] == word


# --- real data -------------------------------------------------------------------------------------------------------


def test_real_speech_is_clean_for_a_model_of_english(real_data, tmp_path):
    limits = read_limits(write_ctc(tmp_path / "a", "abcdefghijklmnopqrstuvwxyz'"))
    for name in ("speechocean762/train", "speechocean762/dev", "fsdd/train", "fsdd/test"):
        manifest = read_manifest(real_data / "speech" / f"{name}.jsonl")
        assert found(Subject("train", manifest, limits)) == {}, name


def test_what_is_wrong_with_real_pairs(real_data):
    """Looked at by eye: each of them is wrong, and they are all that is found."""
    counted = {}
    for name in ("tatoeba-en-hi/train", "tico19-en-hi/train", "tico19-en-hi/test"):
        manifest = read_manifest(real_data / "text" / f"{name}.jsonl")
        counted[name] = {rule: len(rows) for rule, rows in found(Subject("train", manifest)).items()}
    assert counted["tatoeba-en-hi/train"] == {
        "text-not-nfc": 45,
        "text-stray-marks": 3,
        "text-stray-joiners": 1,
        "text-lookalikes": 1,
    }
    assert counted["tico19-en-hi/train"] == {
        "text-not-nfc": 81,
        "text-stray-marks": 1,
        "text-invisible": 10,
        "text-markup": 4,
        "text-spaces": 6,
    }
    assert counted["tico19-en-hi/test"] == {
        "text-not-nfc": 35,
        "text-lookalikes": 4,
        "text-spaces": 2,
        "pair-length": 1,
    }
