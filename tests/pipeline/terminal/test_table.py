"""Tables of plain text."""

from __future__ import annotations

import pytest

from edgetune.pipeline.terminal.table import table


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks():
    rows = [["", "images"], ["cat", "7"], ["a dog", "1,204"]]
    assert table(rows) == ["       images", "cat    7", "a dog  1,204"]
    assert table(rows, "<>") == ["       images", "cat         7", "a dog   1,204"]


def test_the_last_side_is_repeated_and_each_line_is_indented():
    assert table([["a", "1", "22", "x"], ["bb", "22", "3", "yy"]], "<><", "  ") == [
        "  a    1  22  x",
        "  bb  22  3   yy",
    ]


def test_a_character_that_takes_two_columns_counts_as_two():
    assert table([["猫", "1"], ["bird", "2"]]) == ["猫    1", "bird  2"]


def test_no_rows_are_no_lines_and_a_row_without_all_cells_is_an_error():
    assert table([]) == []
    with pytest.raises(ValueError, match="zip"):
        table([["a", "b"], ["c"]])
