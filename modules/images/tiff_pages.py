"""Refuse TIFFs whose pixels Pillow would read wrongly, or not as the picture that is meant.

TIFF 6.0 has the tags; sizes of 64 bits are BigTIFF's. Pillow refuses further kinds by itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_STRIPS, _CHANNELS, _ROWS, _STRIP_BYTES, _MAX_VALUE, _PLANAR = 273, 277, 278, 279, 281, 284
_COLORS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SUB_PAGES = 320, 322, 323, 324, 325, 330
_INK_SET, _EXTRA, _FORMAT, _DNG = 332, 338, 339, 50706
_TABLES, _FILL_ORDER = 347, 266
_TAGS = frozenset(
    (_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _ROWS, _STRIP_BYTES)
) | {_MAX_VALUE, _PLANAR, _COLORS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SUB_PAGES}
_TAGS |= {_INK_SET, _EXTRA, _FORMAT, _DNG, _TABLES, _FILL_ORDER}
_TYPES = {1: "B", 7: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_PAGES, _MOST_ENTRIES, _MOST_VALUES, _MOST_STRIPS, _MOST_CHANNELS = 1000, 1000, 1024, 1 << 20, 8
_MOST_TABLES = 1 << 16
_OF_STRIPS = (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES)
_REDUCED, _MASK = 1, 4  # bits of _KIND
_OLD_REDUCED = 2
_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 2, 3, 5, 6, 8
_COLOR_CHANNELS = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _LAB: 3}
_NONE, _RLE, _GROUP_3, _GROUP_4, _OLD_JPEG, _JPEG = 1, 2, 3, 4, 6, 7
# Codes of ITU-T T.4 and T.6: behind a strip, and before each of its rows.
_END_OF_BLOCK, _END_OF_LINE = "000000000001" * 2, re.compile("0{11}1")
_UNSIGNED, _FLOAT = 1, 3
_ASSOCIATED = 1
_SMALL = 4  # a page of so many times fewer pixels is a preview, not another picture

Page = Mapping[int, tuple[int, ...]]


def is_white_zero(page: Page) -> bool:
    """Return whether the lowest value of a grey page is white."""
    return _one(page, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO


def bits(page: Page) -> int:
    """Return the number of bits of a channel."""
    return _one(page, _BITS, 1)


def pages(content: bytes) -> list[Page]:
    """Return the chain of pages of a TIFF, each as the values of the tags that are used here.

    Raises:
        ValueError: The chain is damaged or too long.
    """
    order = "<" if content[:2] == b"II" else ">"
    is_big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    try:
        (at,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", content, 8 if is_big else 4)
        found: list[Page] = []
        seen: set[int] = set()
        while at:
            if at in seen or len(found) >= _MOST_PAGES:
                raise ValueError("its pages refer to each other, or are too many")
            seen.add(at)
            page, at = _page(content, at, order, is_big, is_first=not found)
            found.append(page)
        return found
    except struct.error as error:
        raise ValueError("cut off: its list of tags lies behind its end") from error


def _page(content: bytes, at: int, order: str, is_big: bool, is_first: bool) -> tuple[Page, int]:
    number, offset, entry = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    (count,) = struct.unpack_from(order + number, content, at)
    if count > _MOST_ENTRIES:
        raise ValueError(f"{count} tags in a page")
    at += struct.calcsize(order + number)
    values: dict[int, tuple[int, ...]] = {}
    for place in range(at, at + count * entry, entry):
        tag, kind, many = struct.unpack_from(f"{order}HH{offset}", content, place)
        most = (
            (_MOST_STRIPS if is_first else 0) if tag in _OF_STRIPS else _MOST_TABLES if tag == _TABLES else _MOST_VALUES
        )
        if tag not in _TAGS or kind not in _TYPES or not 0 < many <= most:
            continue
        form = f"{order}{many}{_TYPES[kind]}"
        where = place + entry - struct.calcsize(order + offset)
        if struct.calcsize(form) > struct.calcsize(order + offset):
            (where,) = struct.unpack_from(order + offset, content, where)
        values[tag] = struct.unpack_from(form, content, where)
    return values, struct.unpack_from(order + offset, content, at + count * entry)[0]


def refusal(content: bytes) -> str | None:
    """Return why a TIFF is refused, in a few words; None if its first page is the picture, and Pillow reads it right.

    Args:
        content: The bytes of the file, whose width and height are checked already.
    """
    try:
        chain = pages(content)
    except ValueError as error:
        return f"damaged: {error}"
    if not chain:
        return "damaged: a TIFF without pages"
    first, *others = chain
    return _is_other_picture(content, first, others) or _layout(first) or _cut(content, first)


def _one(page: Page, tag: int, default: int = 0) -> int:
    return page.get(tag, (default,))[0]


def _area(page: Page) -> int:
    return _one(page, _WIDTH) * _one(page, _HEIGHT)


def _is_reduced(page: Page) -> bool:
    return bool(_one(page, _KIND) & _REDUCED) or _one(page, _OLD_KIND) == _OLD_REDUCED


def _is_other_picture(content: bytes, first: Page, others: list[Page]) -> str | None:
    if _DNG in first:
        return "a camera's raw file (DNG), which is not supported: export it as JPEG or PNG"
    if _is_reduced(first) or _one(first, _KIND) & _MASK:
        return "a TIFF whose first page is a preview or a mask, as of a camera's raw file: export the picture itself"
    if content[8:10] == b"CR":
        return "a camera's raw file (CR2), which is not supported: export it as JPEG or PNG"
    order, is_big = ("<" if content[:2] == b"II" else ">"), content[2:4] in (b"\x2b\0", b"\0\x2b")
    try:
        below = [_page(content, at, order, is_big, is_first=False)[0] for at in first.get(_SUB_PAGES, ())]
    except (struct.error, ValueError):
        return "damaged: a TIFF whose list of further pictures is cut off"
    if any(_area(page) > _area(first) for page in below):
        return "a TIFF whose first page is a preview of a larger picture: export that picture itself"
    pictures = [page for page in others if not _is_reduced(page) and not _one(page, _KIND) & _MASK]
    if any(_SMALL * _area(page) > _area(first) for page in pictures):
        return f"a TIFF of {1 + len(others)} pages, of which none is known to be meant: save each as a file"
    return None


def _layout(page: Page) -> str | None:
    photometric, bits = _one(page, _PHOTOMETRIC, 1), page.get(_BITS, (1,))
    channels = _one(page, _CHANNELS, 1)
    extra, colors = page.get(_EXTRA, ()), _COLOR_CHANNELS.get(photometric, 1)
    formats = set(page.get(_FORMAT, (_UNSIGNED,)))
    if _FLOAT in formats:
        return "floating-point pixels have no defined white; save it with 8 or 16 bits a channel"
    if formats != {_UNSIGNED}:
        return "its samples are signed or of no stated kind, so black and white are not defined: save it as unsigned"
    if _one(page, _COMPRESSION, 1) == _RLE:
        return "its compression (CCITT RLE) does not show whether rows are missing: save it with another one"
    if max(bits) > 16:
        return "32-bit integers have no defined white; save it with 8 or 16 bits a channel"
    if len(set(bits)) > 1:
        return "its channels have different numbers of bits: save it with 8 or 16 bits a channel"
    if (
        bits[0] >= 8
        and photometric != _PALETTE
        and any(_is_white(value, bits[0]) for value in page.get(_MAX_VALUE, ()))
    ):
        return f"its {bits[0]}-bit samples are said to end at {page[_MAX_VALUE][0]}: save it with their full range"
    if channels > _MOST_CHANNELS:
        return f"it has {channels} channels: save it as RGB"
    is_planar = channels > 1 and _one(page, _PLANAR, 1) == 2
    if is_planar and (bits[0] != 8 or photometric != _RGB or _ASSOCIATED in extra):
        return "its channels are stored apart (planar), which is only read as RGB of 8 bits: save it interleaved"
    if channels != colors + len(extra) and _one(page, _COMPRESSION, 1) != _OLD_JPEG:
        return f"it has {channels} channels and does not say what each is (ExtraSamples): save it as RGB"
    if len(extra) and max(extra) > 2:
        return "it has a channel of an unknown kind (ExtraSamples): save it as RGB"
    if photometric == _CMYK and _one(page, _INK_SET, 1) != 1:
        return "its inks are not those of CMYK: save it as RGB"
    if photometric == _YCBCR and _one(page, _COMPRESSION, 1) in (_NONE, _OLD_JPEG):
        return "YCbCr without compression, or with that of an old JPEG, is not supported: save it as RGB"
    if photometric == _PALETTE and 0 < max(page.get(_COLORS, (0,))) < 256:
        return "its palette has values of 8 bits instead of 16: save it as RGB"
    return None


def _is_white(highest: int, bits: int) -> bool:
    """Return whether a `MaxSampleValue` may be meant as white.

    By the standard it is the highest value that a picture happens to have, and says nothing about white. But programs
    state the range of their samples with it, which is then one of fewer bits, or so low that the picture is dark.
    """
    full = (1 << bits) - 1
    return highest < full and (2 * highest < full or (bits > 8 and not highest & (highest + 1)))


def _cut(content: bytes, page: Page) -> str | None:
    """Return a reason if a strip or tile does not lie within the file, or has fewer bytes than its rows need."""
    offsets, counts = page.get(_STRIPS, page.get(_TILES, ())), page.get(_STRIP_BYTES, page.get(_TILE_BYTES, ()))
    if not offsets:
        return "damaged: a TIFF without pixels"
    down = across = 1
    if _TILES in page and _STRIPS not in page:
        width, rows = _one(page, _TILE_WIDTH), _one(page, _TILE_HEIGHT)
        across, down = -(-_one(page, _WIDTH) // max(width, 1)), -(-_one(page, _HEIGHT) // max(rows, 1))
        heights = [rows] * min(across * down, _MOST_STRIPS)
    else:
        width, height = _one(page, _WIDTH), _one(page, _HEIGHT)
        rows = max(1, min(_one(page, _ROWS, height) or height, height))
        down = -(-height // rows)
        heights = [min(rows, height - rows * place) for place in range(min(down, _MOST_STRIPS))]
    if across * down > _MOST_STRIPS:
        return f"it has more than {_MOST_STRIPS} strips or tiles: save it with larger ones"
    is_planar = _one(page, _PLANAR, 1) == 2
    if is_planar:
        heights *= _one(page, _CHANNELS, 1)
    if len(offsets) < len(heights) or (counts and len(counts) < len(heights)):
        return "damaged: it lacks some of its strips or tiles"
    in_row = -(-width * _one(page, _BITS, 1) * (1 if is_planar else _one(page, _CHANNELS, 1)) // 8)
    compression = _one(page, _COMPRESSION, 1)
    is_plain = compression == _NONE
    for place, (offset, height) in enumerate(zip(offsets, heights, strict=False)):
        needed, stated = in_row * height if is_plain else 1, counts[place] if counts else None
        if offset + max(stated or 0, needed) > len(content) or (stated is not None and stated < needed):
            return "damaged: cut off, or its strips are shorter than their rows"
        if compression in (_GROUP_3, _GROUP_4) and not _is_whole_fax(
            content[offset : offset + (stated or 0)], page, height
        ):
            return "damaged: cut off, its compressed rows are not complete"
    return None


def _is_whole_fax(strip: bytes, page: Page, rows: int) -> bool:
    """Return whether a strip of Group 3 has as many ends of lines as rows, or one of Group 4 its end of a block."""
    order: Literal["little", "big"] = "little" if _one(page, _FILL_ORDER, 1) == 2 else "big"
    is_group_4 = _one(page, _COMPRESSION) == _GROUP_4
    data = np.frombuffer(strip[-8:] if is_group_4 else strip, np.uint8)
    bits = (np.unpackbits(data, bitorder=order) + ord("0")).tobytes().decode()
    if is_group_4:
        return _END_OF_BLOCK in bits
    return len(_END_OF_LINE.findall(bits)) >= rows


def jpegs(content: bytes) -> Iterator[bytes]:
    """Yield the strips or tiles of the first page of a TIFF that `refusal` accepts, if they are JPEGs, each as a file.

    Their tables are in a tag (Adobe, TIFF Technical Note 2).
    """
    page = pages(content)[0]
    if _one(page, _COMPRESSION, 1) != _JPEG:
        return
    tables = bytes(page.get(_TABLES, ()))[:-2]  # without the marker of their end
    offsets, counts = page.get(_STRIPS, page.get(_TILES, ())), page.get(_STRIP_BYTES, page.get(_TILE_BYTES, ()))
    for offset, count in zip(offsets, counts, strict=False):
        strip = content[offset : offset + count]
        yield tables + strip[2:] if tables else strip
