"""Look at one image without TensorFlow: whether it can be read, its format and its size.

Each is read as `modules.images.pillow_read` reads it at ingest, a JPEG or PNG scaled down, in a process that may die.
At ingest the graph of `graph_read` reads most JPEGs and PNGs, by the same rules.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from PIL import Image

from edgetune.modules.core.threads import Budget
from edgetune.modules.images import headers, pillow_process, png_chunks
from edgetune.modules.images.pillow_read import Unusable, check_size, faults
from edgetune.modules.images.reading import Reading

_BEGINNINGS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II": "TIFF",
    b"MM": "TIFF",
}
_SMALL = 64
"""Pixels of a JPEG's or PNG's longer side, of which only the checks are of use."""
_pixels = Budget()


@dataclass(frozen=True)
class Look:
    """What an image is."""

    format: str
    width: int
    """Pixels, as stored in the file."""
    height: int


def look(content: bytes, reading: Reading) -> Look:
    """Decode an image.

    Args:
        content: The bytes of the file.
        reading: Options; the image is not scaled.

    Raises:
        Unusable: The file is empty, not an image, damaged, too large, or of a format that is not read.
    """
    if not content:
        raise Unusable("the file is empty")

    def hold(number: int) -> AbstractContextManager[None]:
        return _pixels.spend(number, reading.max_pixels)

    kind = _format(content)
    if kind in ("JPEG", "PNG"):
        with faults(content, reading), Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            check_size(image.size, reading.max_pixels)
        # A PNG of this kind is read by the graph alone.
        is_deep = kind == "PNG" and png_chunks.depth_and_color(content) == (16, 2)
        is_keyed = is_deep and png_chunks.may_be_keyed(content)
        pillow_process.read(content, replace(reading, max_side=_SMALL), hold, verify=is_keyed)
    else:
        height, width, _ = pillow_process.read(content, replace(reading, max_side=None), hold).shape
    return Look(kind, width, height)


def _format(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        return "HEIC" if headers.is_heif(content) else "AVIF"
    return next((name for start, name in _BEGINNINGS.items() if content.startswith(start)), "unknown")
