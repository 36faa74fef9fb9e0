"""Say what the header of an image file states, in well under a millisecond: no pixel is decoded.

It is the first look at a folder. What only the pixels show, such as damage in their data, is found at ingest.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image

from edgetune.modules.images import headers, jpeg_scans, pillow_read, plain, tiff_pages
from edgetune.modules.images.headers import PNG
from edgetune.modules.images.reading import Reading

# Formats of which Pillow reads the header in Python; the libraries of others would read the file at once.
_HEADERS = ("JPEG", "PNG", "GIF", "BMP", "TIFF")
_ORIENTATION = 0x0112
_SIDES_SWAPPED = range(5, 9)


@dataclass(frozen=True)
class Facts:
    """What the header of a file states."""

    format: str
    """As Pillow names it, such as `JPEG`; empty if it is unknown."""
    width: int = 0
    """Pixels, upright; 0 if it is unknown."""
    height: int = 0
    """Pixels, upright; 0 if it is unknown."""
    orientation: int = 1
    """1..8 as in EXIF; 1 if none is stated."""
    refusal: str = ""
    """Why ingest rejects the file, as far as its header shows; else empty."""


def facts(content: bytes, reading: Reading) -> Facts:
    """Return what the header of a file states.

    Args:
        content: The bytes of the file.
        reading: Options.
    """
    if not content:
        return Facts("", refusal="the file is empty")
    header = plain.inspect(content)
    if header is not None:
        found = Facts("PNG" if content.startswith(PNG) else "JPEG", header.width, header.height)
    elif content[:4] == b"RIFF" or content[4:8] == b"ftyp":
        found = _of_container(content)
    else:
        try:
            with pillow_read.faults(content, reading):
                found = _by_pillow(content)
        except pillow_read.Unusable as error:
            return Facts("", refusal=str(error))
    if found.refusal or not found.width:
        return found
    try:
        pillow_read.check_size((found.width, found.height), reading.max_pixels)
    except pillow_read.Unusable as error:
        return Facts(found.format, found.width, found.height, found.orientation, str(error))
    return found


def _by_pillow(content: bytes) -> Facts:
    with Image.open(io.BytesIO(content), formats=_HEADERS) as image:
        name = "JPEG" if image.format == "MPO" else image.format or ""
        orientation = 1
        if name in ("JPEG", "TIFF") or (name == "PNG" and b"eXIf" in content):
            stated = image.getexif().get(_ORIENTATION, 1)
            orientation = stated if isinstance(stated, int) and 1 <= stated <= 8 else 1
        # Pillow has turned the size of a TIFF already.
        turned = orientation in _SIDES_SWAPPED and name != "TIFF"
        width, height = image.size[::-1] if turned else image.size
        refusal = ""
        if name == "JPEG":
            if headers.too_many_scans(content):
                refusal = f"a JPEG of more than {headers.MAX_SCANS} scans, which takes minutes to decode"
            elif not jpeg_scans.scans(content).is_complete:
                refusal = f"damaged: it {jpeg_scans.CUT}"
        elif name == "TIFF":
            refusal = tiff_pages.refusal(content) or ""
        return Facts(name, width, height, orientation, refusal)


def _of_container(content: bytes) -> Facts:
    """Return the facts of a WebP, AVIF or HEIC, whose libraries read it whole."""
    if (size := headers.webp_size(content)) is not None:
        (length,) = struct.unpack_from("<I", content, 4)
        cut = "damaged: cut off" if length + 8 > len(content) else ""
        return Facts("WEBP", *size, refusal=cut)
    known = "AVIF" if content[8:12] in (b"avif", b"avis") else "HEIF" if headers.is_heif(content) else ""
    if not known:
        return Facts("", refusal=headers.recognise(content) or "not an image of a known format")
    if known == "HEIF" and not pillow_read.extra_formats():
        return Facts(known, refusal=f"a HEIC image, which needs an extra: {pillow_read.HEIF_INSTALL}")
    # The largest of its pictures, which may consist of tiles and have a preview (ISO/IEC 23008-12, 6.5.3).
    sizes = [struct.unpack_from(">II", content, at + 8) for at in _all(content, b"ispe") if at + 16 <= len(content)]
    width, height = max(sizes, default=(0, 0), key=lambda one: one[0] * one[1])
    return Facts(known, width, height, refusal=headers.other_colors(content) or "")


def _all(content: bytes, word: bytes) -> list[int]:
    places: list[int] = []
    at = content.find(word, 0, 1 << 16)
    while at >= 0 and len(places) < 100:
        places.append(at)
        at = content.find(word, at + 1, 1 << 16)
    return places
