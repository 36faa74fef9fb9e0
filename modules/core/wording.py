"""Numbers with their nouns in printed texts."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 image`, `1,234 images`.

    Args:
        number: How many.
        one: The noun for one.
        many: The noun for any other number; by default with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
