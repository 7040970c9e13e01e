import random
import unicodedata
from dataclasses import replace
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechxfer.errors import ConfigError, ScoreError
from speechxfer.prediction import Prediction
from speechxfer.score import score, summarise
from speechxfer.scoring.diagnosis import Diagnosis, diagnose, diagnose_translation, table
from speechxfer.scoring.glossary import Form, Glossary, Term, read_glossary, words
from speechxfer.scoring.items import expect_same, extract
from speechxfer.scoring.items_file import read_items, write_items


@pytest.fixture
def read(tmp_path):
    def write_and_read(*lines, name="medical.tsv"):
        delimiter = "," if name.endswith(".csv") else "\t"
        rows = [line.replace(" -> ", delimiter) for line in ("source -> target", *lines)]
        (tmp_path / name).write_text("\n".join(rows), encoding="utf-8")
        return read_glossary(tmp_path / name)

    return write_and_read


TERMS = (
    "fever -> बुखार|ज्वर",
    "vaccin* -> टीक*|वैक्सीन",
    "face mask -> मास्क",
    "face -> चेहरा|चेहरे",
    "C++ -> C++",
    "COVID-19 -> कोविड-19|COVID-19",
)


def honoured(glossary, source, hypothesis):
    return sorted((term.written, right) for term, right in glossary.check(source, hypothesis))


@pytest.mark.parametrize(
    ("source", "hypothesis", "expected"),
    [
        ("He has a fever.", "उसे बुखार है।", [("fever", True)]),
        ("He has a FEVER!", "उसे “ज्वर” है", [("fever", True)]),
        ("He has a fever.", "उसे बुखारी है", [("fever", False)]),  # no prefix without a *
        ("feverish, hayfever", "बुखार", []),
        ("fever, then fever", "बुखार", [("fever", False), ("fever", True)]),
        ("fever, then fever", "ज्वर और बुखार", [("fever", True), ("fever", True)]),
        ("Vaccination", "टीकाकरण", [("vaccin*", True)]),
        ("vaccines", "टीके", [("vaccin*", True)]),
        ("vaccines", "वैक्सीनें", [("vaccin*", False)]),
        ("a face mask", "मास्क", [("face mask", True)]),  # and no face
        ("face, mask", "चेहरा", [("face", True)]),
        ("C++, not C", "C++", [("C++", True)]),
        ("C", "C", []),
        ("covid-19", "Covid-19", [("COVID-19", True)]),
        ("covid 19", "", []),
        ("nothing", "मास्क", []),
        ("", "", []),
    ],
)
def test_a_term_is_honoured_where_one_of_its_targets_stands(read, source, hypothesis, expected):
    for name in ("medical.tsv", "medical.csv"):
        assert honoured(read(*TERMS, name=name), source, hypothesis) == expected


def test_the_longest_term_goes_first_and_none_is_counted_twice(read):
    glossary = read("a b -> x", "b c d -> y", "d -> z", "a -> w", "a* -> v")
    assert honoured(glossary, "a b c d", "y w") == [("a", True), ("b c d", True)]
    assert honoured(glossary, "a b d", "x z") == [("a b", True), ("d", True)]
    assert honoured(glossary, "an", "v") == [("a*", True)]


def test_a_word_of_the_translation_honours_one_term_and_is_left_to_the_one_that_needs_it(read):
    glossary = read("doctor -> डॉक्टर", "physician -> डॉक्टर|चिकित्सक")
    assert sum(right for _, right in honoured(glossary, "physician, doctor", "डॉक्टर")) == 1
    assert honoured(glossary, "physician, doctor", "डॉक्टर, चिकित्सक") == [("doctor", True), ("physician", True)]


def test_scripts_without_spaces_have_terms_anywhere(read):
    glossary = read("virus -> 病毒", "ウイルス -> virus", "ไวรัส -> virus")
    assert honoured(glossary, "the virus", "新型病毒感染") == [("virus", True)]
    assert honoured(glossary, "新型ウイルスの", "the virus") == [("ウイルス", True)]
    assert honoured(glossary, "เชื้อไวรัสโคโรนา", "the virus") == [("ไวรัส", True)]


def test_forms_are_equal_in_any_composition_and_case(read):
    glossary = read("café -> क़लम", "Straße -> d’eau")
    for source in ("CAFE\u0301", "Caf\u00e9"):
        assert honoured(glossary, source, "\u0958लम") == [("café", True)]
        assert honoured(glossary, source, "\u0915\u093cलम") == [("café", True)]
        assert honoured(glossary, source, "कलम") == [("café", False)]
    assert honoured(glossary, "STRASSE", "D'Eau") == [("Straße", True)]


@given(sentence=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40))
def test_words_are_all_of_a_text_but_its_spaces(sentence):
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", sentence).casefold())
    assert "".join(words(sentence)) == "".join(folded.replace("’", "'").split())


forms = st.builds(Form, st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), st.booleans())
glossaries = st.lists(forms, unique=True, min_size=1, max_size=6).map(
    lambda found: Glossary("g", tuple(Term(str(form), form, (form,)) for form in found))
)


@given(glossary=glossaries, sentence=st.lists(st.sampled_from(["a", "b", "c", "ab", "ca"]), max_size=12))
def test_against_slow_search_and_a_sentence_honours_itself(glossary, sentence):
    found = list(glossary.occurrences(" ".join(sentence)))
    taken, expected = [False] * len(sentence), []
    order = sorted(glossary.terms, key=lambda term: (-len(term.source.words), term.source.prefix))
    for length, prefix in dict.fromkeys((len(term.source.words), term.source.prefix) for term in order):
        for place in range(len(sentence)):
            for term in order:
                *first, last = term.source.words
                here = sentence[place : place + length]
                fits = here[:-1] == first and (here[-1:] == [last] or (prefix and "".join(here[-1:]).startswith(last)))
                same = (len(term.source.words), term.source.prefix) == (length, prefix)
                if same and len(here) == length and fits and not any(taken[place : place + length]):
                    taken[place : place + length] = [True] * length
                    expected.append(place)
    assert len(found) == len(expected)
    assert all(right for _, right in glossary.check(" ".join(sentence), " ".join(sentence)))
    assert not any(right for _, right in glossary.check(" ".join(sentence), "x y"))


# The file


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        (
            "a.tsv",
            "target\tsource\n\tfever\nx\t\nx\ta|b\nx|\tc\n-\td\n*\te\nx\t*\nx\tf\ny\tF\nx\n",
            [
                "2: target is empty; expected a term and its translation",
                "3: source is empty",
                "4: source is 'a|b'; expected one term",
                "5: target '' has no word",
                "6: target '-' has no word; expected letters or digits",
                "7: target '*' has no word",
                "8: source '*' has no word",
                "10: the term 'F' is that of line 9; write all of its targets in one line",
                "11: found 1 cells; expected 2",
            ],
        ),
        ("a.tsv", "fever\tबुखार\nface\tचेहरा\n", [" no column source and target in fever, बुखार; expected source and"]),
        ("a.csv", "source,to\nfever,x\n", [" no column target in source, to"]),
        ("a.csv", "source\ttarget\nfever\tx\n", ["1: found one column, 'source\\ttarget'; expected commas"]),
        ("a.csv", 'source,target\nx,"y\n', ["2: unexpected end of data"]),
        ("a.csv", "source,target,source\nx,y,z\n", ["1: columns ['source'] occur twice"]),
        ("a.tsv", "source\ttarget\n", [" no terms; expected a header"]),
        ("a.tsv", "", [" no terms"]),
        ("a.txt", "source\ttarget\n", [" expected a glossary in .tsv or .csv"]),
        ("b.tsv", None, [" no such file"]),
    ],
)
def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path, name, content, problems):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_glossary(tmp_path / name)
    lines = str(error.value).splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        place, _, text = problem.partition(" ")
        assert line.startswith(f"{tmp_path / name}:{place}") and text in line


def test_bytes_that_are_not_utf_8_are_named(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"source\ttarget\nfever\t\xff\n")
    with pytest.raises(ConfigError, match=r"a\.tsv:2: not UTF-8"):
        read_glossary(tmp_path / "a.tsv")


def test_the_signature_is_of_the_terms_alone(read):
    one = read("fever -> बुखार|ज्वर", "Face mask -> मास्क*")
    same = read("face  MASK -> मास्क*", "fever -> ज्वर | बुखार", name="medical.csv")
    assert one.signature == same.signature and one.signature.startswith("medical.")
    others = [("fever -> बुखार", "face mask -> मास्क*"), ("fever -> बुखार|ज्वर", "face mask -> मास्क"), ("fever -> ज्वर",)]
    assert len({one.signature, *(read(*lines).signature for lines in others)}) == 4


# The metric

ROWS = [
    Prediction("1", "बुखार", "उसे बुखार है", source="a fever"),
    Prediction("2", "मास्क", "नकाब", source="a face mask and a fever"),
    Prediction("3", "हाँ", "हाँ", source="yes"),
]


def test_the_score_is_of_all_occurrences_and_says_which_glossary(read, tmp_path):
    glossary = read(*TERMS)
    items = extract(ROWS, ["glossary", "kept", "chrf"], "basic", glossary=glossary)
    one = summarise(items)["glossary"]
    assert one.value == pytest.approx(1 / 3) and one.sums == {"honoured": 1, "terms": 3} and one.unit == "rate"
    assert score(ROWS, ["glossary"], glossary=glossary)["glossary"].value == one.value
    assert f"terms:{glossary.signature}|" in one.signature
    write_items(tmp_path / "a.npz", items)
    assert summarise(read_items(tmp_path / "a.npz")) == summarise(items)
    better = extract([ROWS[0], replace(ROWS[1], hyp="मास्क", ref="x"), ROWS[2]], ["glossary"], "basic", None, glossary)
    expect_same(items, better, "glossary")  # references play no part
    with pytest.raises(ScoreError, match="glossary was counted in two ways"):
        expect_same(items, extract(ROWS, ["glossary"], "basic", None, read("fever -> बुखार")), "glossary")


def test_what_is_missing_is_said(read):
    with pytest.raises(ConfigError, match="glossary: no file of terms was given; expected one"):
        extract(ROWS, ["glossary"], "basic")
    with pytest.raises(ScoreError, match=r"1 items have no source, which 'glossary' needs \('x'\)"):
        extract([*ROWS, Prediction("x", "a", "a")], ["glossary"], "basic", None, read(*TERMS))


def test_misses_are_listed_by_term(read):
    rows = [*ROWS, Prediction("4", "", "", source="Fever and vaccine"), Prediction("5", "", "चेहरा", source="face")]
    found = diagnose_translation(rows, glossary=read(*TERMS))
    assert found.terms == (("fever", 1, 3), ("face mask", 0, 1), ("vaccin*", 0, 1))
    whole = replace(diagnose([]), translation=found)
    assert Diagnosis.from_json(whole.to_json()) == whole
    assert table(whole).splitlines()[-1] == "terms       fever 1/3, face mask 0/1, vaccin* 0/1"


def test_ten_thousand_terms_are_looked_up_in_no_time():
    rng = random.Random(0)
    named = [Form(tuple(f"w{rng.randrange(3000)}" for _ in range(rng.randint(1, 3))), False) for _ in range(10_000)]
    glossary = Glossary("g", tuple(Term(str(form), form, (form,)) for form in dict.fromkeys(named)))
    sentences = [" ".join(f"w{rng.randrange(3000)}" for _ in range(20)) for _ in range(500)]
    began = process_time()
    assert all(right for one in sentences for _, right in glossary.check(one, one))
    rate = len(sentences) / (process_time() - began)
    print(f"{rate:.0f} sentences a second")
    assert rate > 200
