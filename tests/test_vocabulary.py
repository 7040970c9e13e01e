"""The vocabulary against transformers' own tokenizer, and each folder that must be refused."""

import itertools
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Wav2Vec2CTCTokenizer

from speechxfer.errors import CheckpointError, ConfigError
from speechxfer.models.vocabulary import SPECIALS, Vocabulary, frames_needed

# facebook/wav2vec2-base-960h
ENGLISH_960H = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4} | {
    c: i for i, c in enumerate("ETAONIHSRDLUMWCFGYPBVK'XJQZ", 5)
}
HINDI = "क़लम की ज़रूरत है ड़ा ढ़ क्षेत्र ज्ञान विद्यार्थी ऑफ़िस"
HINDI_LETTERS = sorted(set(unicodedata.normalize("NFC", HINDI)) - {" "})


def texts(letters: str | list[str], most: int = 30) -> st.SearchStrategy[str]:
    """Words of these letters, single spaces between them."""
    return st.lists(st.text(letters, min_size=1, max_size=8), max_size=most // 8).map(" ".join)


def write(folder: Path, ids: dict, **files: dict) -> Path:
    """vocab.json and other JSON files, by name."""
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def refusal(folder: Path, blank: int = 0, rows: int = 100) -> str:
    with pytest.raises(CheckpointError) as error:
        Vocabulary.from_folder(folder, blank, rows)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


# --- text to ids and back --------------------------------------------------------------------------------------------


@given(texts("abcdefgh'é"))
def test_latin_round_trip(text):
    vocabulary = Vocabulary.from_texts(["abcdefgh'é"])
    ids = vocabulary.encode(text)
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.unknown(text) == []


@given(texts(HINDI_LETTERS))
def test_devanagari_round_trip(text):
    vocabulary = Vocabulary.from_texts([HINDI])
    assert vocabulary.unknown(text) == []
    assert vocabulary.decode(vocabulary.encode(text)) == text  # vowel signs, nukta and virama are tokens like any other


def test_devanagari_in_two_spellings_is_one_vocabulary():
    precomposed, decomposed = "\u0958\u0932\u092e", "\u0915\u093c\u0932\u092e"  # NFC takes the nukta apart
    assert Vocabulary.from_texts([precomposed]).ids == Vocabulary.from_texts([decomposed]).ids
    assert "\u093c" in Vocabulary.from_texts([precomposed]).ids


@given(texts("abcdefghijklmnopqrstuvwxyz'"))
def test_an_upper_case_vocabulary_takes_lower_case_text(text):
    vocabulary = Vocabulary(ENGLISH_960H)
    assert vocabulary.encode(text) == vocabulary.encode(text.upper())
    assert vocabulary.unknown(text) == []
    assert vocabulary.decode(vocabulary.encode(text)) == text.upper()


def test_a_vocabulary_with_both_cases_keeps_them_apart():
    vocabulary = Vocabulary.from_texts(["aAb"])
    assert vocabulary.decode(vocabulary.encode("aAbB")) == "aAbb"


def test_letters_whose_other_case_is_longer_are_left_alone():
    vocabulary = Vocabulary.from_texts(["ßs"])
    assert vocabulary.decode(vocabulary.encode("ßS")) == "ßs"
    assert vocabulary.encode("SS") == vocabulary.encode("ss")


@given(st.text("abch", max_size=30))
def test_tokens_of_several_characters_are_found_longest_first(text):
    vocabulary = Vocabulary({"<pad>": 0, "|": 1, "a": 2, "b": 3, "c": 4, "h": 5, "ch": 6, "bch": 7})
    expected, rest = [], text
    while rest:
        token = next(t for t in ("bch", "ch", "a", "b", "c", "h") if rest.startswith(t))
        expected.append(vocabulary.ids[token])
        rest = rest.removeprefix(token)
    assert vocabulary.encode(text) == expected
    assert vocabulary.decode(expected) == text


@given(st.text("abxy|. \n<", max_size=20))
def test_every_character_is_either_encoded_or_unknown(text):
    vocabulary = Vocabulary.from_texts(["ab"])
    known = [c for c in text if c in "ab "]
    assert vocabulary.unknown(text) == [c for c in text if c not in "ab "]  # each as often as it stands there
    assert [vocabulary.tokens[i] for i in vocabulary.encode(text)] == [c.replace(" ", "|") for c in known]


def test_special_tokens_cannot_be_written():
    vocabulary = Vocabulary.from_texts(["abs"])
    assert [vocabulary.tokens[i] for i in vocabulary.encode("<s>")] == ["s"]
    assert vocabulary.unknown("<pad>") == ["<", "p", "d", ">"]


def test_decode_leaves_out_blanks_specials_and_rows_without_a_token():
    vocabulary = Vocabulary.from_texts(["ab"])
    ids = vocabulary.ids
    path = [ids[t] for t in ("|", "a", "<pad>", "<unk>", "b", "|", "|", "</s>")] + [77, ids["a"], ids["|"]]
    assert vocabulary.decode(path) == "ab a"
    assert vocabulary.decode(np.array(path)) == "ab a"
    assert vocabulary.decode([]) == ""


# --- from the training text ------------------------------------------------------------------------------------------


def test_from_texts_puts_specials_first_then_characters_by_frequency():
    vocabulary = Vocabulary.from_texts(["bb a", "cb ca\t\n"])
    assert list(vocabulary.ids) == ["<pad>", "<s>", "</s>", "<unk>", "|", "b", "a", "c"]  # a before c: equally frequent
    assert list(vocabulary.ids.values()) == list(range(8))
    assert vocabulary.blank == 0
    assert vocabulary.specials == set(SPECIALS.values())


@given(st.lists(texts("abcdé"), min_size=1, max_size=6).filter(lambda lines: "".join(lines).strip()), st.randoms())
def test_from_texts_knows_no_order_of_the_texts(lines, random):
    shuffled = random.sample(lines, len(lines))
    assert Vocabulary.from_texts(lines).ids == Vocabulary.from_texts(iter(shuffled)).ids


def test_from_texts_refuses_what_cannot_be_a_vocabulary():
    with pytest.raises(ConfigError, match="training text is empty"):
        Vocabulary.from_texts(["", "  "])
    with pytest.raises(ConfigError, match=r"contains '\|', which stands for a space"):
        Vocabulary.from_texts(["a|b"])


def test_extended_keeps_every_id_and_adds_what_is_missing_at_the_end():
    old = Vocabulary(ENGLISH_960H)
    new = old.extended(["naïve café déjà vu", "é"])
    assert {token: new.ids[token] for token in old.ids} == old.ids
    assert {token: i for token, i in new.ids.items() if token not in old.ids} == {"é": 32, "à": 33, "ï": 34}
    assert new.decode(new.encode("naïve café")) == "NAïVE CAFé"
    assert old.extended(["no new letters"]) == old


def test_extended_takes_composed_characters():
    assert list(Vocabulary.from_texts(["caf"]).extended(["cafe\u0301"]).ids)[-1] == "é"


@pytest.mark.parametrize("special, text", [("|", "a|b"), ("_", "snake_case")])
def test_extended_does_not_give_away_a_special_token(special, text):
    vocabulary = Vocabulary({"_": 0, "|": 1, "a": 2}, roles={"pad_token": "_"})
    with pytest.raises(ConfigError) as error:
        vocabulary.extended([text])
    assert f"contains {special!r}" in str(error.value)


def test_counterparts_go_by_role_and_by_letter_in_either_case():
    roles = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    old = Vocabulary({"A": 0, " ": 1, "[UNK]": 2, "[PAD]": 3, "B": 4}, " ", roles)
    new = Vocabulary.from_texts(["abc"])
    named = {new.tokens[i]: old.tokens[j] for i, j in new.counterparts(old).items()}
    assert named == {"<pad>": "[PAD]", "<unk>": "[UNK]", "|": " ", "a": "A", "b": "B"}


# --- from a folder ---------------------------------------------------------------------------------------------------


def test_from_folder_reads_the_roles_of_a_hub_fine_tune(tmp_path):
    """As the XLSR fine-tuning tutorial leaves them: [PAD] last, <s> and </s> added behind vocab.json."""
    ids = {"b": 0, "a": 1, "|": 2, "[UNK]": 3, "[PAD]": 4}
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    added = {"<s>": 5, "</s>": 6}
    folder = write(tmp_path, ids, special_tokens_map=roles, added_tokens=added, tokenizer_config={"unk_token": "[UNK]"})
    vocabulary = Vocabulary.from_folder(folder, 4, rows=7)
    assert vocabulary.blank == 4
    assert vocabulary.ids == ids | added
    assert vocabulary.roles == roles
    assert vocabulary.decode([1, 4, 5, 3, 2, 0, 6]) == "a b"

    headless = Vocabulary.from_folder(folder, 4, rows=5)  # many such heads have no rows for the added two
    assert headless.ids == ids
    assert headless.roles == {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    assert headless.extended(["c"]).ids["c"] == 5


def test_from_folder_reads_added_tokens_decoder(tmp_path):
    """tokenizer_config.json since transformers 4.34; special tokens may be written out as objects."""
    decoder = {str(i): {"content": token, "special": True} for i, token in ((2, "[PAD]"), (3, "<s>"), (4, "[noise]"))}
    config = {"pad_token": {"content": "[PAD]", "special": True}, "added_tokens_decoder": decoder}
    folder = write(tmp_path, {"|": 0, "a": 1}, tokenizer_config=config)
    vocabulary = Vocabulary.from_folder(folder, 2, rows=5)
    assert vocabulary.ids == {"|": 0, "a": 1, "[PAD]": 2, "<s>": 3, "[noise]": 4}
    assert vocabulary.blank == 2
    assert vocabulary.specials == {"[PAD]", "<s>"}
    assert vocabulary.encode("a[noise]") == [1, 4]


def test_from_folder_takes_another_word_delimiter(tmp_path):
    folder = write(tmp_path, {"<pad>": 0, " ": 1, "a": 2}, tokenizer_config={"word_delimiter_token": " "})
    vocabulary = Vocabulary.from_folder(folder, 0, rows=3)
    assert vocabulary.encode("a a") == [2, 1, 2]
    assert vocabulary.decode([2, 1, 2]) == "a a"


def test_from_folder_without_a_tokenizer(tmp_path):
    assert Vocabulary.from_folder(tmp_path, 0, rows=32) is None


def test_no_padding_token(tmp_path):
    message = refusal(write(tmp_path, {"|": 0, "a": 1}))
    assert "vocab.json: has no padding token '<pad>', which is the CTC blank" in message


def test_wrong_blank(tmp_path):
    message = refusal(write(tmp_path, {"|": 0, "a": 1, "<pad>": 2}), blank=0)
    assert "wrong blank: config.json says pad_token_id 0, the vocabulary has '<pad>' as 2" in message
    assert "set pad_token_id" in message


@pytest.mark.parametrize("near", [" ", "▁", "_"])
def test_missing_word_delimiter_comes_with_a_hint(tmp_path, near):
    message = refusal(write(tmp_path, {"<pad>": 0, near: 1, "a": 2}))
    assert "the word delimiter '|' is not in the vocabulary" in message
    assert f"; the vocabulary has {near!r}: set word_delimiter_token to it" in message


def test_a_delimiter_that_the_tokenizer_added_but_the_head_lacks(tmp_path):
    decoder = {"3": {"content": "|", "special": True}}  # transformers 5 adds it when it saves such a tokenizer
    folder = write(tmp_path, {"<pad>": 0, " ": 1, "a": 2}, tokenizer_config={"added_tokens_decoder": decoder})
    assert "set word_delimiter_token to it" in refusal(folder, rows=3)
    assert Vocabulary.from_folder(folder, 0, rows=4).encode("a a") == [2, 3, 2]


def test_missing_word_delimiter_without_anything_near_it(tmp_path):
    assert refusal(write(tmp_path, {"<pad>": 0, "a": 2})).endswith("the word delimiter '|' is not in the vocabulary")


def test_one_vocabulary_per_language(tmp_path):
    message = refusal(write(tmp_path, {"eng": {"<pad>": 0, "|": 1}, "hin": {"<pad>": 0, "|": 1}}))
    assert "one vocabulary per language (eng, hin, ...)" in message


def test_a_vocabulary_beyond_the_head(tmp_path):
    message = refusal(write(tmp_path, {"<pad>": 0, "|": 1, "b": 5, "a": 3}), rows=3)
    assert "'b' has id 5, but the head has 3 rows" in message


def test_sentence_ends_beyond_the_head_are_left_out(tmp_path):
    folder = write(tmp_path, {"<pad>": 0, "|": 1, "a": 2, "<s>": 3, "</s>": 4})
    assert Vocabulary.from_folder(folder, 0, rows=3).ids == {"<pad>": 0, "|": 1, "a": 2}


@pytest.mark.parametrize("name", ["vocab", "tokenizer_config"])
def test_a_file_cut_short(tmp_path, name):
    write(tmp_path, {"<pad>": 0, "|": 1}, tokenizer_config={"pad_token": "<pad>"})
    file = tmp_path / f"{name}.json"
    file.write_text(file.read_text()[:-3])
    assert f"{name}.json: not JSON" in refusal(tmp_path)


# --- to a folder, with transformers as oracle ------------------------------------------------------------------------

KINDS = {
    "english 960h": Vocabulary(ENGLISH_960H),
    "hindi": Vocabulary.from_texts([HINDI]),
    "blank last": Vocabulary(
        {"b": 0, "a": 1, "|": 2, "[UNK]": 3, "[PAD]": 4}, roles={"unk_token": "[UNK]", "pad_token": "[PAD]"}
    ),
    "space as delimiter": Vocabulary({"<pad>": 0, " ": 1, "a": 2, "b": 3, "<unk>": 4}, " "),
    "no unknown token": Vocabulary({"<pad>": 0, "|": 1, "a": 2, "b": 3}, roles={"pad_token": "<pad>"}),
    "several characters": Vocabulary({"<pad>": 0, "|": 1, "s": 2, "c": 3, "h": 4, "sch": 5, "<unk>": 6}),
}


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory) -> tuple[Vocabulary, Path]:
    folder = tmp_path_factory.mktemp("saved") / "folder"
    KINDS[request.param].save(folder)
    return KINDS[request.param], folder


def test_saved_folder_is_read_back(saved):
    vocabulary, folder = saved
    again = Vocabulary.from_folder(folder, vocabulary.blank, rows=len(vocabulary.ids))
    assert again.ids == vocabulary.ids
    assert again.delimiter == vocabulary.delimiter
    assert again.roles == {role: token for role, token in vocabulary.roles.items() if token in vocabulary.ids}


def test_transformers_encodes_and_decodes_as_we_do(saved):
    vocabulary, folder = saved
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id == vocabulary.blank
    rng = np.random.default_rng(0)
    letters = [t for t in vocabulary.ids if t not in vocabulary.specials and t != vocabulary.delimiter]
    paths = []
    for _ in range(20):
        text = " ".join("".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(rng.integers(1, 4)))
        if max(map(len, letters)) == 1:  # transformers swallows the spaces beside a token of several characters
            assert tokenizer(text).input_ids == vocabulary.encode(text)
        # A path of a model: the ids with repeats and blanks between them. No token for unknown or sentence ends in it:
        # transformers writes those out, or, told to skip them, skips the blanks before it merges repeats.
        ids = [i for label in vocabulary.encode(text) for i in [vocabulary.blank, *[label] * rng.integers(1, 4)]]
        ids += [vocabulary.blank] * (50 - len(ids))
        paths.append(ids)
        assert tokenizer.decode(ids) == vocabulary.decode([i for i, _ in itertools.groupby(ids)]) == text
    assert tokenizer.batch_decode(np.array([p[:50] for p in paths])) == [
        vocabulary.decode([i for i, _ in itertools.groupby(p[:50])]) for p in paths
    ]


def test_vocab_json_holds_the_characters_themselves(tmp_path):
    Vocabulary.from_texts([HINDI]).save(tmp_path)
    assert '"क"' in (tmp_path / "vocab.json").read_text(encoding="utf-8")


# --- how many frames ------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 2), max_size=4))
def test_frames_needed_is_the_length_of_the_shortest_path(labels):
    def collapses(path: tuple[int, ...]) -> bool:
        return [i for i, _ in itertools.groupby(path) if i] == labels

    def possible(frames: int) -> bool:
        return any(collapses(path) for path in itertools.product(range(3), repeat=frames))

    needed = frames_needed(labels)
    assert possible(needed)
    assert needed == 0 or not possible(needed - 1)
