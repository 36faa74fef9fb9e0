"""Small ICC profiles with an obvious effect, made from the one that comes with Pillow, or by hand."""

from __future__ import annotations

import struct

from PIL import ImageCms

_HEADER, _TAG = 128, 12


def srgb() -> bytes:
    """sRGB itself."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def red_is_green() -> bytes:
    """Return an RGB profile with red and green swapped relative to sRGB."""
    return srgb().replace(b"rXYZ", b"----", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"----", b"gXYZ", 1)


def with_tables() -> bytes:
    """Return an RGB profile that has a table, which goes before curves and a matrix."""
    return srgb().replace(b"chad", b"A2B0", 1).replace(b"wtpt", b"A2B0", 1)


def linear_grey() -> bytes:
    """Return a grey profile with linear light: its 128 is 188 in sRGB."""
    profile = bytearray(srgb().replace(b"rTRC", b"kTRC", 1))
    profile[16:20] = b"GRAY"
    entry = profile.index(b"kTRC", _HEADER)
    (offset,) = struct.unpack_from(">I", profile, entry + 4)
    curve = struct.pack(">4sIIH", b"curv", 0, 1, 0x0100)
    profile[offset : offset + len(curve)] = curve
    struct.pack_into(">I", profile, entry + 8, len(curve))
    return bytes(profile)


def cyan_is_black() -> bytes:
    """Return a CMYK profile in which only cyan is ink: it goes from white to black, and the other three do nothing."""
    tables = bytes(range(256))
    white, black = bytes((255, 128, 128)), bytes((0, 128, 128))  # L, a, b
    identity = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    lut = struct.pack(">4sIBBBB", b"mft1", 0, 4, 3, 2, 0) + identity
    lut += tables * 4 + white * 8 + black * 8 + tables * 3
    point = struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)  # D50
    tags = ((b"A2B0", lut), (b"wtpt", point))
    offset = _HEADER + 4 + _TAG * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(content))
        body += padded
    header = bytearray(_HEADER)
    struct.pack_into(">I", header, 0, offset + len(body))
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = b"prtrCMYKLab "
    header[36:40] = b"acsp"
    struct.pack_into(">3i", header, 68, 63190, 65536, 54061)
    return bytes(header) + table + body


def with_tags(tags: dict[bytes, bytes]) -> bytes:
    """Return sRGB with other data for some of its tags."""
    profile = bytearray(srgb())
    for name, content in tags.items():
        entry = profile.index(name, _HEADER)
        struct.pack_into(">II", profile, entry + 4, len(profile), len(content))
        profile += content + bytes(-len(content) % 4)
    struct.pack_into(">I", profile, 0, len(profile))
    return bytes(profile)


def _fixed(kind: bytes, *numbers: float) -> bytes:
    return kind + bytes(4) + struct.pack(f">{len(numbers)}i", *(round(65536 * number) for number in numbers))


def with_primaries(*columns: tuple[float, float, float]) -> dict[bytes, bytes]:
    """Return the tags of red, green and blue as X, Y and Z."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    return {name: _fixed(b"XYZ ", *column) for name, column in zip(names, columns, strict=True)}


def with_curve(curve: bytes) -> dict[bytes, bytes]:
    """Return the tags of the three tone curves."""
    return dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)


def curv(*entries: int) -> bytes:
    """Return a curve as a list of numbers of 16 bits."""
    return struct.pack(f">4sII{len(entries)}H", b"curv", 0, len(entries), *entries)


def para(function: int, *parameters: float) -> bytes:
    """Return a curve as one of the five formulas."""
    return b"para" + bytes(4) + struct.pack(">HH", function, 0) + _fixed(b"", *parameters)[4:]


P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
"""Primaries of Display P3, which phones write, adapted to D50."""
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
"""Primaries of Adobe RGB (1998), adapted to D50."""


def display_p3() -> bytes:
    """Return Display P3: wider primaries with the curve of sRGB."""
    return with_tags(with_primaries(*P3))


def adobe_rgb() -> bytes:
    """Return Adobe RGB (1998), whose gamma is 563 / 256."""
    return with_tags({**with_primaries(*ADOBE), **with_curve(curv(563))})
