"""Commands and cells of the documentation, as tests run them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"(?:\S*/)?edgetune")
_BETWEEN = {"&&", "||", "|", ";", ">", "&"}


def to_run(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each command in the `sh` blocks of a page; not of those marked `interactive`."""
    for language, mark, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "sh" and mark.strip() != "interactive":
            yield from calls(block)


def calls(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of edgetune that begins a line, or follows another command on it."""
    for line in text.replace("\\\n", " ").splitlines():
        if not re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:\S*/)?edgetune [a-z]", line):
            continue
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), ";"]:
            if word not in _BETWEEN:
                words.append(word)
                continue
            while words and "=" in words[0]:
                words.pop(0)
            if words and _PROGRAM.fullmatch(words[0]):
                yield words[1:]
            words = []


def cells(notebook: Path) -> list[tuple[str, bool]]:
    """Return the source of each cell of code, and whether it has the tag `parameters`."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), "parameters" in cell["metadata"].get("tags", ()))
        for cell in found
        if cell["cell_type"] == "code"
    ]
