"""Tables of plain text, whose columns stand below each other in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len


def table(rows: Sequence[Sequence[str]], columns: str = "<", indent: str = "") -> list[str]:
    """Return a line for each row, with two blanks between columns and none at its end.

    Args:
        rows: Cells, as many in each row. Some characters, such as Chinese ones, take two columns of a terminal.
        columns: `<` or `>` for each column: its cells stand to the left or to the right; the last one is repeated.
        indent: Before each line.
    """
    sides = [columns[min(number, len(columns) - 1)] for number in range(len(rows[0]) if rows else 0)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def padded(cell: str, width: int, side: str) -> str:
        blanks = " " * (width - cell_len(cell))
        return cell + blanks if side == "<" else blanks + cell

    return [indent + "  ".join(map(padded, row, widths, sides)).rstrip() for row in rows]
