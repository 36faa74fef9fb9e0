"""Refuse PNGs that Pillow would read with wrong colors, or without a part of their pixels.

Chunks are those of W3C, Portable Network Graphics, third edition, where cICP counts before iCCP, iCCP before sRGB, and
sRGB before gAMA and cHRM.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

SRGB_CODE = (1, 13, 0, 1)
"""The value of cICP that means sRGB: its primaries and curve, no matrix, full range (ITU-T H.273)."""
SRGB_VALUES = (45455, 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""The values of gAMA and cHRM that mean sRGB, in 1/100,000 (13.2.3 of the standard)."""
SRGB_WITHIN = (2273, *[1000] * 8)
"""How far they may be off: libpng converts nothing within 5 % (`PNG_GAMMA_THRESHOLD_FIXED`), and rounds colors to
.01 as most files have them."""
OTHER_COLORS = "states other colors than those of sRGB (gAMA, cHRM or cICP): save it as sRGB"
"""Fault, as the end of a sentence that begins with the image."""
NO_PALETTE = "has no palette for its indices of colors"
"""The same."""

_COLORS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Of interlaced PNGs, seven passes: first column, first row, distance of columns, of rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def depth_and_color(content: bytes) -> tuple[int, int]:
    """Return the bit depth and the color type that the header of a PNG states (11.2.1); zeros if it is cut off."""
    return (content[24], content[25]) if len(content) > 25 else (0, 0)


def may_be_keyed(content: bytes) -> bool:
    """Return whether a PNG in grey or RGB may have one transparent color: its bytes have the name of that chunk."""
    return depth_and_color(content)[1] in (0, 2) and b"tRNS" in content


def is_srgb(chunks: Mapping[bytes, bytes]) -> bool:
    """Return whether the chunks of a PNG do not ask for other colors than those of sRGB or of its profile."""
    if b"cICP" in chunks:
        return tuple(chunks[b"cICP"]) == SRGB_CODE and b"iCCP" not in chunks
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return True
    gamma, primaries = chunks.get(b"gAMA"), chunks.get(b"cHRM")
    stated = (gamma or struct.pack(">I", SRGB_VALUES[0])) + (primaries or struct.pack(">8I", *SRGB_VALUES[1:]))
    if len(stated) != 36:
        return False
    values = struct.unpack(">9I", stated)
    return all(abs(a - b) <= most for a, b, most in zip(values, SRGB_VALUES, SRGB_WITHIN, strict=True))


def refusal(content: bytes) -> str | None:
    """Return why a PNG is refused, in a few words; None if Pillow reads it."""
    chunks: dict[bytes, bytes] = {}
    packed = []
    for name, body in _chunks(content):
        if name == b"IDAT":
            packed.append(body)
        else:
            chunks.setdefault(name, body)
    if wrong := wrong_checksum(content):
        return wrong
    if b"CgBI" in chunks:
        return "a PNG in Apple's own form (CgBI), which is not supported: save it as PNG"
    if len(chunks.get(b"IHDR", b"")) != 13:
        return "damaged: its header is missing"
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if not is_srgb(chunks):
        return f"it {OTHER_COLORS}"
    if bits == 16 and color == 2 and b"tRNS" in chunks:
        return "a PNG of 16 bits with a transparent color is not supported in this form: save it with an alpha channel"
    if color == 3 and not _is_palette(chunks.get(b"PLTE", b""), bits):
        return f"damaged: it {NO_PALETTE}"
    depth = bits * _COLORS.get(color, 4)
    return _fault(packed, _needed(width, height, depth, bool(interlaced)))


def _is_palette(body: bytes, bits: int) -> bool:
    return len(body) >= 3 and len(body) % 3 == 0 and len(body) // 3 <= 1 << bits


def wrong_checksum(content: bytes) -> str | None:
    """Return which chunk of a PNG has a wrong checksum, in a few words; None if none of those that are whole has."""
    at = 8
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        stop = at + 8 + length
        if stop + 4 > len(content):
            return None
        if zlib.crc32(memoryview(content)[at + 4 : stop]) != struct.unpack_from(">I", content, stop)[0]:
            return f"damaged: the checksum of its chunk {name.decode('latin-1')} is wrong"
        if name == b"IEND":
            return None
        at = stop + 4
    return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        yield name, content[at + 8 : at + 8 + length]
        at += 12 + length


def _needed(width: int, height: int, depth: int, interlaced: bool) -> int:
    """Return the number of bytes of all rows, each with the byte of its filter."""
    sizes = [(width, height)]
    if interlaced:
        sizes = [
            (-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PASSES if x < width and y < height
        ]
    return sum(rows * (1 + -(-columns * depth // 8)) for columns, rows in sizes)


def _fault(packed: list[bytes], needed: int) -> str | None:
    """Return what is wrong with packed bytes that should unpack to as many as are needed, without holding them."""
    unpack = zlib.decompressobj()
    count = 0
    try:
        for part in packed:
            while part:
                count += len(unpack.decompress(part, 1 << 20))
                part = unpack.unconsumed_tail
        count += len(unpack.flush())
    except zlib.error as error:
        if "data check" in str(error):
            return "damaged: the checksum (Adler-32) of its pixels is wrong"
        if count >= needed:
            return None
        return "damaged: its pixels cannot be unpacked"
    return None if count >= needed else "damaged: its pixels are cut off"
