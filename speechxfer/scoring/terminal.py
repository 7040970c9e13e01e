"""Text of any script in a terminal of 80 columns: what it takes there, cut, padded and wrapped to fit."""

import unicodedata

WIDTH = 80


def columns(text: str) -> int:
    """Columns of a terminal: marks and joiners take none, wide letters two."""
    return sum(map(_taken, text))


def _taken(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def printable(text: str) -> str:
    """Without what would move the cursor or colour the terminal; joiners of Indic scripts and emoji stay."""
    return "".join("\ufffd" if unicodedata.category(letter) == "Cc" else letter for letter in text)


def start(text: str, room: int) -> str:
    """As much as fits, with the marks of the last letter."""
    taken = 0
    for i, letter in enumerate(text):
        taken += _taken(letter)
        if taken > room:
            return text[:i]
    return text


def cell(text: str, room: int) -> str:
    """`room` columns of it, padded or with the middle left out: long names often differ at their ends alone.

    >>> cell("accent=scottish-highlands-rural", 20), cell("all", 5)
    ('accent=sc...ds-rural', 'all  ')
    """
    text = printable(text)
    if columns(text) > room:
        first = start(text, (room - 2) // 2)
        end = len(text)
        while columns(first) + 3 + columns(text[end - 1 :]) <= room:
            end -= 1
        while unicodedata.category(text[end : end + 1] or " ")[0] == "M":  # a mark is nothing without its letter
            end += 1
        text = f"{first}...{text[end:]}"
    return text + " " * (room - columns(text))


def wrapped(text: str, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """Lines of at most `width` columns, which begin with `first` and `rest`; words that are longer are broken."""
    lines, line, begun = [], first, False
    for word in map(printable, text.split()):
        if begun and columns(f"{line} {word}") > width:
            lines.append(line)
            line = rest + word
        else:
            line = f"{line} {word}" if begun else line + word
        while columns(line) > width:
            lines.append(start(line, width))
            line = rest + line[len(lines[-1]) :]
        begun = True
    return [*lines, line] if begun else []
