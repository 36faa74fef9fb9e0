"""What a row about a file that was not accepted is: rejected, left out on purpose, or not an image at all.

Files in are accepted, rejected or not images, and each is exactly one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgetune.components.image_example_gen.raw_example import rejected
from edgetune.modules.data import class_folders
from edgetune.modules.data.not_images import not_image, with_hint

NOT_IMAGE = "not_image"
"""Key of the kind of a file that is not an image: its ending, or that it is hidden."""
LEFT_OUT = "left_out"
"""Key that is true for a rejected image that is left out on purpose, which `data.max_rejected` does not count."""


def file_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row about a file of a class folder that cannot be read, as the kind of row that it is."""
    path, reason = row["path"], row["reason"]
    if kind := not_image(path, reason):
        return {**row, NOT_IMAGE: kind}
    return {**row, "reason": with_hint(path, reason)}


def other_rows(base: str, patterns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows about all files under `base` that are not in the class folders of the patterns."""
    for other in class_folders.others(base, patterns):
        row = rejected(other.path.removeprefix(base).lstrip("/"), other.reason).value
        yield {**row, NOT_IMAGE: other.kind} if other.kind else {**row, LEFT_OUT: other.set_aside}
