"""Names that others gave are text to a terminal, a spreadsheet and Markdown, and keep what their language needs."""

from __future__ import annotations

import csv
import io
import sys

import pytest

from edgetune.modules.core.untrusted_text import (
    as_cell,
    as_markdown,
    for_terminal,
    is_printable,
    of_cell,
    printable,
)

PERSIAN, HINDI = "می\u200cخواهم", "क्\u200dष"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize("name", ["oak", "Größe 2", "日本", PERSIAN, HINDI, FAMILY, "❤️\u200d🔥", "a b", ""])
def test_names_of_all_languages_can_be_printed(name):
    assert is_printable(name) and printable(name) == name == for_terminal(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb", "a\\nb"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\u200doak", "\\u200doak"),
        ("oak\u200c", "oak\\u200c"),
        ("oak \u200d elm", "oak \\u200d elm"),
        ("a\u200d\u200cb", "a\\u200d\\u200cb"),
        ("a\x9b31m", "a\\x9b31m"),
        ("a\xadb", "a\\xadb"),
    ],
)
def test_what_cannot_be_printed_is_an_escape(name, shown):
    assert not is_printable(name) and printable(name) == shown


def test_a_terminal_gets_lines_and_no_control_characters():
    acting = "".join(chr(code) for code in range(sys.maxunicode + 1) if for_terminal(chr(code)) != chr(code))
    assert set(map(chr, range(32))) - {"\t", "\n"} <= set(acting)
    assert {"\x7f", "\x9b", "\u202e", "\u2066"} <= set(acting) and len(acting) == 30 + 33 + 5 + 4
    assert for_terminal("one\ttwo\n\x1b]0;title\x07") == "one\ttwo\n\\x1b]0;title\\x07"


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@SUM(A1)", "\ta", "\ra", "\na", "＝1", "'=1", "''-a"])  # noqa: RUF001
def test_a_formula_in_a_cell_begins_with_an_apostrophe(name):
    cell = as_cell(name)
    assert cell == f"'{name}" and of_cell(cell) == name
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([cell])
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [cell]


@pytest.mark.parametrize("name", ["oak/1.jpg", "'oak'", "a=b", "", "''"])
def test_other_cells_stay_as_they_are(name):
    assert as_cell(name) == name == of_cell(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("![x](http://e.org/a.png)", r"\!\[x\](http\://e.org/a.png)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("a|b", r"a\|b"),
        ("`a`", r"\`a\`"),
        (r"a\!b", r"a\\\!b"),
        ("https://e.org", r"https\://e.org"),
        ("www.e.org", r"www\.e.org"),
        ("&lt;", r"\&lt;"),
        ("black_bird *1*", r"black\_bird \*1\*"),
        ("v1.5: 3 of 4 (75 %)", "v1.5: 3 of 4 (75 %)"),
    ],
)
def test_markdown_shows_a_name_as_text(name, text):
    assert as_markdown(name) == text
