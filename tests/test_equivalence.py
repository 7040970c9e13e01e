import random
import subprocess
import sys
from dataclasses import FrozenInstanceError
from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speechxfer.errors import ConfigError
from speechxfer.scoring.equivalence import read_equivalences


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, normaliser="basic", name="pairs.txt"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return read_equivalences(tmp_path / name, normaliser)

    return write_and_read


LIST = """\ufeff# spellings
colour = color
going to = gonna   # casual speech
Kitab! = किताब

5 = five = पाँच
25 = twenty five = twenty-fifth
के लिए = केलिए
उसके = उस के
"""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("the color of colour colors", "the colour of colour colors"),
        ("gonna go going home going to", "going to go going home going to"),
        ("मेरी किताब", "मेरी kitab"),
        ("five twenty five पाँच twenty", "5 25 5 twenty"),
        ("twenty fifth", "25"),
        ("उस केलिए उस के", "उसके लिए उसके"),
        ("nothing  here", "nothing  here"),
        ("colour  and", "colour  and"),
        ("", ""),
    ],
)
def test_every_form_becomes_the_first_of_its_class(read, text, expected):
    assert read(LIST).apply(text) == expected


def test_the_longest_form_wins_and_a_first_form_is_left_whole(read):
    equal = read("nyc = new york = new york city\nyorkshire = york\nkeep it = x y\nq = it")
    assert equal.apply("new york city new york york new") == "nyc nyc yorkshire new"
    assert equal.apply("keep it it") == "keep it q"


def test_forms_are_normalised_as_the_texts_are(read):
    content = "Café = COFFEE\nक़लम = kalam\nकक्षा १२ = class 12"
    assert read(content, "english").apply("coffee") == "cafe"
    assert read(content, "none").apply("coffee COFFEE") == "coffee Café"
    assert read(content, "indic+latin-digits").apply("class 12 kalam") == "कक्षा 12 \u0915\u093cलम"
    # forms that become equal are no fault: the file may serve another normaliser too
    assert read("Café = cafe", "english").apply("cafe") == "cafe"


def test_signature_is_of_the_classes_alone(read):
    one = read("a = b = c\nd = e\n")
    again = read("# comment\r\nd = E  # e\r\n\r\na = c\na = b", name="pairs.eq")
    assert one.signature == again.signature
    stem, digits = one.signature.split(".")
    assert stem == "pairs" and len(digits) == 8 and int(digits, 16) >= 0
    others = [read(text).signature for text in ("a = b = c", "b = a = c\nd = e", "a b = c\nd = e", "a = b c\nd = e")]
    assert len({one.signature, *others}) == 5
    assert read("a = b = c\nd = e", name="other.txt").signature == f"other.{digits}"
    with pytest.raises(FrozenInstanceError):
        one.name = "x"


def test_all_problems_of_a_file_at_once_with_their_lines(read, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read("fine = good\nlonely\nuh = ?!\nuh =\na = b\nb = c\na=b\nnew york = york\nx = y\ny2 = x2 = good\n")
    where = f"{tmp_path}/pairs.txt"
    assert str(caught.value).split("\n") == [
        f"{where}:2: one form, 'lonely'; expected two or more with ' = ' between them",
        f"{where}:3: form '?!' is empty after normaliser basic; expected words",
        f"{where}:4: an empty form; expected words",
        f"{where}:6: 'b' becomes 'a' by line 5 and 'b' by this one; make the two lines one, "
        "or take 'b' out of one of them",
        f"{where}:7: one form, 'a=b'; expected two or more with ' = ' between them",
        f"{where}:8: 'york' becomes 'new york', which holds all of its words and could go on growing; "
        "put the shorter form first",
        f"{where}:10: 'good' becomes 'fine' by line 1 and 'y2' by this one; make the two lines one, "
        "or take 'good' out of one of them",
    ]


@pytest.mark.parametrize(
    "content, message",
    [
        ("a b = c\nc d = a\n", r":2: together with line 1 this could rewrite a text without end \(c -> a -> c\)"),
        ("उसके = उस के\nउस के लिए = उसके लिए", ":2: together with line 1 .*all joined or all apart"),
        ("a b = b a", ":1: 'b a' becomes 'a b', which is only another order of its words"),
        ("a b = a a = b b", ":1: this could rewrite a text without end"),
    ],
)  # fmt: skip
def test_classes_that_could_rewrite_without_end_are_refused(read, content, message):
    with pytest.raises(ConfigError, match=message):
        read(content)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"none.txt: cannot be read \(No such file"):
        read_equivalences(tmp_path / "none.txt", "basic")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_equivalences(tmp_path, "basic")
    (tmp_path / "latin1.txt").write_bytes("a = b\ncafé = coffee\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin1.txt:2: not UTF-8"):
        read_equivalences(tmp_path / "latin1.txt", "basic")
    (tmp_path / "fine.txt").write_text("a = b")
    with pytest.raises(ConfigError, match="did you mean basic"):
        read_equivalences(tmp_path / "fine.txt", "basics")


FORM = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3).map(" ".join)
CLASS = st.lists(FORM, min_size=2, max_size=3, unique=True)


@given(
    classes=st.lists(CLASS, min_size=1, max_size=5),
    texts=st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join), min_size=5, max_size=5),
)
def test_applying_twice_is_applying_once_and_always_ends(tmp_path_factory, classes, texts):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text("\n".join(map(" = ".join, classes)))
    try:
        equal = read_equivalences(path, "basic")
    except ConfigError:
        assume(False)
    for text in texts + [form for forms in classes for form in forms]:
        once = equal.apply(text)
        assert equal.apply(once) == once
    for first, *others in classes:
        if len(first.split()) == 1:  # a longer one may be rewritten by what stands in it
            assert {equal.apply(form) for form in others} == {equal.apply(first)}


def test_thousands_of_classes_cost_no_more_than_a_few(read):
    lines = [f"first{i} = form{i} = two words{i}" for i in range(5000)]
    few, many = read("\n".join(lines[:10])), read("\n".join(lines))
    draw = random.Random(0)
    texts = [" ".join(f"word{draw.randrange(9999)}" for _ in range(12)) + " form3" for _ in range(5000)]

    def cost(equal):
        begin = process_time()
        assert equal.apply(texts[0]).endswith("first3")
        for text in texts:
            equal.apply(text)
        return process_time() - begin

    assert min(cost(many) for _ in range(3)) < 5 * min(cost(few) for _ in range(3))


def test_needs_no_heavy_library():
    code = "import sys, speechxfer.scoring.equivalence; print({'torch', 'numpy', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
