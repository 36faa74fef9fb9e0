"""Image files as seeds for fuzzing the reader, and the ways of damaging them."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.helpers import nasty_images, photographs

_LARGEST = 100_000
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PNG = b"\x89PNG\r\n\x1a\n"


def _pixels(mode: str, width: int = 33, height: int = 21) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    rgb = np.stack([rows * 12, columns * 7, (rows + columns) * 4], axis=-1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray((rows * 1500 + columns * 900).astype(np.uint16))
    if mode == "F":
        return Image.fromarray((rows / height).astype(np.float32))
    image = Image.fromarray(rgb)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray((columns * 7).astype(np.uint8)))
        return image.convert(mode)
    if mode == "LAB":
        return ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    return image.convert(mode)


def _oriented(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def generated() -> dict[str, bytes]:
    """Return a small file of every format and mode that Pillow writes and the reader supports, by description."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made: dict[str, bytes] = {}

    def add(kind: str, mode: str, **options: object) -> None:
        buffer = io.BytesIO()
        _pixels(mode).save(buffer, kind, **options)
        made[" ".join([kind, mode, *options])] = buffer.getvalue()

    for mode in ("L", "RGB", "CMYK"):
        add("JPEG", mode)
        add("JPEG", mode, progressive=True)
        add("JPEG", mode, exif=_oriented(6), icc_profile=srgb)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        add("PNG", mode)
        add("PNG", mode, exif=_oriented(8), icc_profile=srgb)
    add("PNG", "P", transparency=3)
    add("PNG", "RGB", transparency=(1, 2, 3))
    add("PNG", "RGB", save_all=True, append_images=[_pixels("RGB").rotate(180)])
    for mode in ("L", "P", "RGB"):
        add("GIF", mode)
        add("BMP", mode)
    add("GIF", "RGB", save_all=True, append_images=[_pixels("RGB").rotate(180)])
    for mode in ("RGB", "RGBA"):
        add("WEBP", mode)
        add("WEBP", mode, lossless=True, exif=_oriented(3))
        add("AVIF", mode, speed=10)
    add("WEBP", "RGBA", save_all=True, append_images=[_pixels("RGBA").rotate(180)])
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "F"):
        add("TIFF", mode)
    for packing in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        add("TIFF", "RGB", compression=packing)
        made[f"TIFF RGB {packing}"] = made.pop("TIFF RGB compression")
    add("TIFF", "1", compression="group4")
    add("TIFF", "RGB", compression="tiff_lzw", tiffinfo={322: 16, 323: 16, 0x0112: 5})
    made["PNG RGB of 16 bits"] = _deep_png()
    return made


def _deep_png() -> bytes:
    """Return an RGB PNG with 16 bits per channel, which Pillow does not write."""
    rows = b"".join(b"\0" + struct.pack(">12H", *range(row * 15000, row * 15000 + 12)) for row in range(3))
    return (
        _PNG
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def all_seeds() -> list[bytes]:
    """Return generated and nasty files, and the smaller ones of EDGETUNE_TEST_DATA/nasty if it is set."""
    made = [content for content, _ in [*nasty_images.refused().values(), *nasty_images.accepted().values()]]
    base = os.environ.get(photographs.VARIABLE)
    made += [path.read_bytes() for path in sorted(Path(base, "nasty").glob("*"))] if base else []
    return [*generated().values(), *(content for content in made if 0 < len(content) <= _LARGEST)]


def damaged(seeds: list[bytes], number: int, seed: int) -> bytes:
    """Return the input of this number: a file with one to four kinds of damage."""
    dice = random.Random(f"{seed} {number}")
    content = damage(bytearray(dice.choice(seeds)), dice, seeds)
    if content[:8] == _PNG and dice.random() < 0.7:
        return _with_right_sums(bytes(content))
    return bytes(content)


def damage(content: bytearray, dice: random.Random, seeds: list[bytes]) -> bytearray:
    """Do one to four kinds of damage to a file, and return it."""
    for _ in range(dice.choice((1, 1, 2, 4))):
        if not content:
            break
        dice.choice(_WAYS)(content, dice, seeds)
    return content


def _flip(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    for _ in range(dice.choice((1, 1, 2, 8))):
        content[dice.randrange(len(content))] = dice.randrange(256)


def _flip_early(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    content[dice.randrange(min(len(content), 200))] ^= 1 << dice.randrange(8)


def _cut_end(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    del content[dice.randrange(len(content)) :]


def _cut_out(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    start = dice.randrange(len(content))
    del content[start : start + dice.choice((1, 2, 4, 16, 256))]


def _splice(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    other = dice.choice(seeds)
    content[dice.randrange(len(content)) :] = other[dice.randrange(len(other)) :]


def _double(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    start = dice.randrange(len(content))
    content[start:start] = content[start : start + dice.choice((1, 8, 64, 1024))] * dice.choice((1, 2, 50))


def _number(content: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    packed = struct.pack(dice.choice(("<H", ">H", "<I", ">I")), dice.choice(_NUMBERS[:10]))
    if dice.random() < 0.5:
        packed = struct.pack(dice.choice("<>") + "I", dice.choice(_NUMBERS))
    start = dice.randrange(min(len(content), 400))
    content[start : start + len(packed)] = packed


_WAYS: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    _flip,
    _flip_early,
    _cut_end,
    _cut_out,
    _splice,
    _double,
    _number,
)


def _with_right_sums(content: bytes) -> bytes:
    """Correct the checksums of a PNG as far as possible; otherwise no damage would get past them."""
    parts, position = [content[:8]], 8
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        if position + 12 + length > len(content):
            break
        parts.append(_chunk(content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    return b"".join([*parts, content[position:]])
