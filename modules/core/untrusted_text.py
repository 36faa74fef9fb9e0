"""Names of files and classes as data: others give them, and terminals, spreadsheets and Markdown would act on some."""

from __future__ import annotations

import re

# All control characters but tab and line feed, and those that turn the direction of the text behind them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Persian and Hindi need the joiners inside words, and emoji of families consist of several.
_JOINERS = "\u200c\u200d"
# Of a cell, what spreadsheets take for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|!~&$]")
# What GitHub makes a link without any markup.
_LINK = re.compile(r"(?<=[a-z]):(?=//)|(?<=\bwww)\.", re.IGNORECASE)


def is_printable(text: str) -> bool:
    """Return whether a name has only characters that can be printed, and joiners inside words."""
    return all(character.isprintable() or _joins(text, place) for place, character in enumerate(text))


def printable(text: str) -> str:
    """Return a name on one line, with escapes for all that cannot be printed."""
    return "".join(
        c if c.isprintable() or _joins(text, place) else c.encode("unicode_escape").decode()
        for place, c in enumerate(text)
    )


def for_terminal(text: str) -> str:
    """Return text of several lines, with escapes for all that a terminal would act on."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def as_cell(text: str) -> str:
    """Return a text for a cell of a CSV file, with an apostrophe before what a spreadsheet would compute."""
    return f"'{text}" if _FORMULA.match(text) else text


def of_cell(cell: str) -> str:
    """Return the text of which `as_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def as_markdown(text: str) -> str:
    """Return a name for Markdown, where it is text: no image, link, markup or HTML, and no further cell of a table."""
    return _LINK.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\g<0>", text))


def _joins(text: str, place: int) -> bool:
    beside = text[place - 1 : place] + text[place + 1 : place + 2]
    return text[place] in _JOINERS and len(beside) == 2 and beside.isprintable() and not re.search(r"\s", beside)
