"""Tell files that are no images by name and content from images that cannot be read."""

from __future__ import annotations

from edgetune.modules.data import class_folders
from edgetune.modules.images.pillow_read import NO_IMAGE

_NO_CONTENT = ("the file is empty", "larger than the ")


def not_image(path: str, reason: str) -> str | None:
    """Return the ending of a file that is not an image; None of an image that cannot be read, which is rejected.

    Args:
        path: Of a file in a class folder.
        reason: Why it cannot be read.
    """
    if class_folders.may_be_image(path) or not ("not an image" in reason or reason.startswith(_NO_CONTENT)):
        return None
    return class_folders.ending(path)


def with_hint(path: str, reason: str) -> str:
    """Return the reason, with a hint if the ending is of a format that is not read."""
    return reason + class_folders.to_convert(path) if reason.startswith(NO_IMAGE) else reason
