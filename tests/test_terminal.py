from hypothesis import given
from hypothesis import strategies as st

from speechxfer.scoring.terminal import cell, columns, printable, start, wrapped

texts = st.text(st.sampled_from("ab -\n\x1b[क्षिہ气🙂\u200d\u0301"), max_size=120)


def test_columns_of_scripts():
    assert [columns(text) for text in ("ab", "气", "नि", "ক্ষ", "e\u0301", "🙂", "")] == [2, 2, 2, 2, 1, 2, 0]


@given(texts, st.integers(6, 40))
def test_a_cell_is_as_wide_as_it_should_be(text, room):
    shown = cell(text, room)
    assert columns(shown) == room and not set(shown) & {"\n", "\x1b"}
    assert shown.rstrip() == printable(text).rstrip() or "..." in shown


def test_what_is_left_out_of_a_cell_is_its_middle_and_no_mark_stands_alone():
    assert cell("accent=scottish-highlands-urban", 20) == "accent=sc...ds-urban"
    assert cell("abcdefgh" + "क" + "ि" * 9, 12) == "abcde...    "


@given(texts, st.integers(8, 40))
def test_lines_are_wrapped_to_their_width_and_lose_nothing(text, width):
    lines = wrapped(text, "- ", "  ", width)
    assert all(columns(line) <= width for line in lines)
    assert "".join(line[2:] for line in lines).replace(" ", "") == printable("".join(text.split())).replace(" ", "")


@given(texts, st.integers(0, 40))
def test_a_start_takes_the_marks_of_its_last_letter(text, room):
    head = start(text, room)
    assert text.startswith(head) and columns(head) <= room
    assert head == text or columns(text[: len(head) + 1]) > room
