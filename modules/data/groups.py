"""Groups of images that no split may separate, as `data.group` names them: of a patient, a site, a video."""

from __future__ import annotations

import re

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.columns import GROUP, is_pattern
from edgetune.modules.settings.data import DataSettings

MOST = 0.5
"""Largest share of all images that one group may have: no splits can be made of such data."""
UNMATCHED = "data.group does not match its path"


def list_columns(settings: DataSettings) -> dict[str, str]:
    """Return the columns of a list by role, for `modules.data.manifests.read_manifest`."""
    return {**settings.columns.given, **({GROUP: settings.group} if settings.group else {})}


def check_kind(group: str | None, kind: str) -> None:
    """Check that data of a kind can have groups.

    Args:
        group: `data.group`.
        kind: `modules.data.sources.Source.kind`.

    Raises:
        DataError: It names a column, and class folders have none.
    """
    if group and kind == "images" and not is_pattern(group):
        raise DataError(
            f"data.group {group} names a column, but the data are class folders, which have none",
            "give a regular expression with one group in parentheses, such as 'patient([0-9]+)_'",
        )


def matched(pattern: str, path: str) -> str | None:
    """Return the group of a path by a regular expression; None if there is none.

    Args:
        pattern: `data.group`.
        path: Relative to the data's folder.
    """
    found = re.search(pattern, path)
    return (found[1] or None) if found else None


def check_largest(size: int, images: int, file: str) -> None:
    """Check that no group has most of the images.

    Args:
        size: Number of images in the largest group.
        images: Number of all images.
        file: One of the group.

    Raises:
        DataError: It has more than `MOST` of them.
    """
    if size > MOST * images:
        raise DataError(
            f"one group of data.group has {size} of {images} images, among them {file}: it would be one split",
            "correct data.group; near-duplicates connect groups too, see data.duplicate_distance",
        )
