"""Recognise, outside of any graph, files that the graph of `graph_read` only decodes and scales down.

These are most photographs, and everything that ingest has encoded. Reading them needs no tracing, which takes a second.
The rules are exact, not a guess: a file with anything that they do not know is not plain, and is read by the graph.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from edgetune.modules.images import jpeg_scans, png_chunks
from edgetune.modules.images.headers import (
    EXIF_IN_JPEG,
    ICC_IN_JPEG,
    JPEG,
    MAX_SCANS,
    MOST_CHUNKS,
    PNG,
    TEXT_PROFILE_IN_PNG,
    XMP_IN_JPEG,
    XMP_IN_PNG,
)

_MOST_SEGMENTS, _MOST_ENTRIES = 100, 100
_SCAN, _EXIF_OR_XMP, _ICC = 0xFFDA, 0xFFE1, 0xFFE2
_FRAMES = (0xFFC0, 0xFFC1, 0xFFC2)  # baseline, extended and progressive, with Huffman codes
# Huffman and quantization tables, restart interval, comment, and what programs add.
_SEGMENTS = (*_FRAMES, 0xFFC4, 0xFFDB, 0xFFDD, 0xFFFE, *range(0xFFE0, 0xFFF0))
_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME")
_COLORS = (b"sRGB", b"gAMA", b"cHRM")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3


class Plain(NamedTuple):
    """What the header of a plain file says."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    channels: int
    """1 for grey, 3 for color."""
    profile: bytes = b""
    """An ICC profile: the file is plain if it does not change the colors. Empty if there is none."""


def inspect(content: bytes) -> Plain | None:
    """Return the header of a plain file; None for any other.

    A plain file is a JPEG, grey or RGB with 8 bits a channel, or a PNG, grey, RGB or with a palette and at most 8 bits;
    it is stored upright, and has no transparency.
    """
    try:
        if content.startswith(PNG):
            return _png(content)
        return _jpeg(content) if content.startswith(JPEG) else None
    except struct.error:  # it ends too early
        return None


def _jpeg(content: bytes) -> Plain | None:
    at, frames, exifs, profiles, xmp = 2, [], [], [], b""
    for _ in range(_MOST_SEGMENTS):
        marker, length = struct.unpack_from(">HH", content, at)
        if marker == _SCAN:
            break
        if marker not in _SEGMENTS or length < 2:
            return None
        body = content[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            frames.append(struct.unpack_from(">BHHB", body))
        elif marker == _EXIF_OR_XMP and body.startswith(EXIF_IN_JPEG):
            exifs.append(body.removeprefix(EXIF_IN_JPEG))
        elif marker == _EXIF_OR_XMP and body.startswith(XMP_IN_JPEG):
            xmp += body
        elif marker == _ICC and body.startswith(ICC_IN_JPEG):
            profiles.append(body.removeprefix(ICC_IN_JPEG))
        at += 2 + length
    else:
        return None
    is_whole = len(profiles) <= 1 and all(part.startswith(b"\1\1") for part in profiles)  # part 1 of 1
    if len(frames) != 1 or len(exifs) > 1 or not is_whole or content.count(b"\xff\xda") > MAX_SCANS:
        return None
    bits, height, width, channels = frames[0]
    states = [_states_upright(exif) for exif in exifs]
    is_upright = states == [True] or (None not in states and b"Orientation" not in xmp)
    if bits != 8 or channels not in (1, 3) or not height or not width or not is_upright:
        return None
    if not jpeg_scans.scans(content).is_complete:
        return None
    return Plain(height, width, channels, profiles[0][2:] if profiles else b"")


def _states_upright(exif: bytes) -> bool | None:
    """Return whether a TIFF header's first directory says that the image is upright; None if it says anything else."""
    order = _ORDERS.get(exif[:4])
    if order is None:
        return None
    (directory,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, directory)
    if count > _MOST_ENTRIES:
        return None
    entries = [struct.unpack_from(f"{order}HHIHH", exif, directory + 2 + 12 * entry) for entry in range(count)]
    stated = {(kind, number, value) for tag, kind, number, value, _ in entries if tag == _ORIENTATION}
    return None if stated - {(_SHORT, 1, 1)} else bool(stated)


def _png(content: bytes) -> Plain | None:
    length, name, width, height, bits, color = struct.unpack_from(">I4sIIBB", content, len(PNG))
    if (length, name) != (13, b"IHDR") or bits > 8 or color not in (0, 2, 3) or not width or not height:
        return None
    at = len(PNG)
    found: dict[bytes, bytes] = {}
    for _ in range(MOST_CHUNKS):
        length, name = struct.unpack_from(">I4s", content, at)
        body = at + 8
        at = body + length + 4
        found.setdefault(name, content[body : body + length] if name in _COLORS else b"")
        if name == b"IEND":
            break
        is_harmless = name in _TEXTS and not content.startswith((TEXT_PROFILE_IN_PNG, XMP_IN_PNG), body)
        if name not in _CHUNKS and not is_harmless:
            return None
    # The graph looks behind the end, too.
    is_whole = b"IDAT" in found and b"IEND" in found and at == len(content)
    is_whole &= color != 3 or b"PLTE" in found
    return Plain(height, width, 1 if color == 0 else 3) if is_whole and png_chunks.is_srgb(found) else None
