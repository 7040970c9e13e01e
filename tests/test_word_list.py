"""speechxfer.models.word_list: which word means which, from sentence pairs."""

import random

import pytest

from speechxfer.errors import ConfigError
from speechxfer.models.graft import read_mapping
from speechxfer.models.word_list import lexicon, word_list, write_word_list

ENGLISH = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(120)]
HINDI = {word: f"ह{i}" for i, word in enumerate(ENGLISH)}
GERMAN = {word: f"De{i}" for i, word in enumerate(ENGLISH)}


def corpus(words, table, n, seed):
    """Sentences of 3 to 8 words, the other side in another order and with a particle that means nothing."""
    rng = random.Random(seed)
    for _ in range(n):
        said = rng.sample(words, rng.randint(3, 8))
        other = [table[word] for word in said]
        rng.shuffle(other)
        yield " ".join(said), " ".join([*other, "nun"]) + "."


def test_words_that_stand_together_are_each_others_translations():
    found = lexicon(corpus(ENGLISH, GERMAN, 800, seed=1))
    others = list(found.others)
    best = {word: others[found.table[[i]].indices[found.table[[i]].data.argmax()]] for word, i in found.words.items()}
    right = sum(best[word] == GERMAN[word].lower() for word in ENGLISH)
    assert right >= 0.97 * len(ENGLISH)
    assert best[""] == "nun"  # what no word explains


def test_two_languages_meet_in_the_third_and_are_listed_as_they_are_written():
    new = corpus(ENGLISH[:80], HINDI, 800, seed=2)
    parent = corpus(ENGLISH[40:], GERMAN, 800, seed=3)
    found = dict(word_list(new, parent))
    expected = {HINDI[word]: GERMAN[word] for word in ENGLISH[40:80]}
    right = sum(found.get(word) == other for word, other in expected.items())
    assert right >= 0.95 * len(expected)
    unknown = {HINDI[word] for word in ENGLISH[:40]}  # whose English the parent's pairs do not have
    assert len(unknown & set(found)) <= 2


def test_every_form_of_a_new_word_gets_the_commonest_form_of_its_translation():
    pairs = [("dog", "Hund"), ("dog", "Hund"), ("dog", "HUND"), ("cat", "Katze")]
    assert word_list([("dog", "Ku"), ("dog", "ku"), ("cat", "mi")], pairs) == [
        ("Ku", "Hund"),
        ("ku", "Hund"),
        ("mi", "Katze"),
    ]


def test_the_file_is_what_graft_reads_and_the_same_again(tmp_path):
    new, parent = list(corpus(ENGLISH, HINDI, 300, seed=4)), list(corpus(ENGLISH, GERMAN, 300, seed=5))
    first = write_word_list(tmp_path / "a.tsv", new, parent)
    second = write_word_list(tmp_path / "b.tsv", iter(new), iter(parent))
    assert first.read_bytes() == second.read_bytes()
    assert read_mapping(first) == word_list(new, parent)


def test_corpora_that_share_no_word_are_refused():
    with pytest.raises(ConfigError, match="share no words of the source language"):
        word_list([("dog", "ku")], [("cat", "Katze")])
    with pytest.raises(ConfigError, match="no sentence pair has words"):
        lexicon([("dog", "..."), ("", "")])
