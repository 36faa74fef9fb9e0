"""Small files of kinds that decoders read wrongly without a word, each with the right pixels or a refusal."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
_LEVELS = np.linspace(20, 235, WIDTH).astype(np.uint8)
GREY = np.tile(_LEVELS, (HEIGHT, 1))
RGB = np.stack([GREY, np.tile(np.linspace(20, 235, HEIGHT).astype(np.uint8)[:, None], (1, WIDTH)), 255 - GREY], -1)
WHITE = (255, 255, 255)
ALPHA = np.tile(np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None], (1, WIDTH))


@dataclass(frozen=True)
class Kind:
    """A file, and what is right."""

    content: bytes
    right: np.ndarray | str
    """uint8 `[height, width, 3]`, or words of the reason for which it is refused."""
    within: int = 1
    """Largest difference of a level from what is right, of ours."""
    by_libvips: int | None = 1
    """The same from what libvips reads; None if it reads something else, or does not know the format."""


def three(grey: np.ndarray) -> np.ndarray:
    """Return grey pixels `[height, width]` as RGB."""
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def over_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return RGB with alpha `[height, width]` over white."""
    opaque = alpha[..., np.newaxis] / 255
    return np.round(colors * opaque + 255 * (1 - opaque)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of a file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(
    planes: Sequence[bytes],
    bits: int,
    photometric: int,
    channels: int = 1,
    *tags: tuple[int, int, list[int]],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rows: int | None = None,
    order: str = "<",
    following: bytes = b"",
) -> bytes:
    """Return a TIFF; `planes` are its strips, as stored, and `following` a page made with `page_at`."""
    width, height = size
    entries = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [1]), 262: (3, [photometric]),
        273: (4, [0] * len(planes)), 277: (3, [channels]), 278: (4, [rows or height]),
        279: (4, [len(plane) for plane in planes]),
    }  # fmt: skip
    entries.update({tag: (kind, values) for tag, kind, values in tags})
    data = 8 + 2 + 12 * len(entries) + 4
    forms = {1: "B", 3: "H", 4: "I"}

    def packed(tag: int) -> bytes:
        kind, values = entries[tag]
        return struct.pack(f"{order}{len(values)}{forms[kind]}", *values)

    at = data + sum(len(packed(tag)) for tag in entries if len(packed(tag)) > 4)
    places = []
    for plane in planes:
        places.append(at)
        at += len(plane)
    entries[273] = (4, places)
    lines = far = b""
    for tag in sorted(entries):
        kind, values = entries[tag]
        value = packed(tag)
        lines += struct.pack(f"{order}HHI", tag, kind, len(values))
        lines += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", data + len(far))
        far += value if len(value) > 4 else b""
    after = struct.pack(f"{order}I", at if following else 0)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    whole = start + struct.pack(f"{order}H", len(entries)) + lines + after + far + b"".join(planes)
    return whole + (_moved(following, at) if following else b"")


def _moved(other: bytes, at: int) -> bytes:
    """Return the first page of a little-endian TIFF, as it has to be to stand `at` bytes behind the beginning."""
    whole = bytearray(other[8:])
    (count,) = struct.unpack_from("<H", whole, 0)
    sizes = {1: 1, 3: 2, 4: 4}
    for place in range(2, 2 + 12 * count, 12):
        tag, kind, many, value = struct.unpack_from("<HHII", whole, place)
        is_far = many * sizes[kind] > 4
        if is_far or tag == 273:
            struct.pack_into("<I", whole, place + 8, value + at - 8)
        if tag == 273 and is_far:
            for number in range(many):
                (old,) = struct.unpack_from("<I", whole, value - 8 + 4 * number)
                struct.pack_into("<I", whole, value - 8 + 4 * number, old + at - 8)
    return bytes(whole)


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(pixels: np.ndarray, depth: int, color: int, *chunks: tuple[bytes, bytes], rows: int | None = None) -> bytes:
    """Return a PNG of samples `[height, width, channels]`, of which only some rows may be stored."""
    height, width = pixels.shape[:2]
    lines = []
    for row in pixels[:rows].reshape(len(pixels[:rows]), -1):
        if depth == 16:
            lines.append(row.astype(">u2").tobytes())
        else:
            unpacked = np.unpackbits(row.astype(np.uint8)[:, np.newaxis], axis=1)[:, 8 - depth :]
            lines.append(np.packbits(unpacked.ravel()).tobytes())
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunk(*one) for one in chunks)
        + body
        + chunk(b"IEND", b"")
    )


def bmp(
    data: bytes, bits: int, compression: int, masks: Sequence[int] = (), palette: bytes = b"", down: bool = True
) -> bytes:
    """Return a BMP, with a header of version 4 if it has masks."""
    length = 108 if masks else 40
    head = struct.pack(
        "<IiiHHIIiiII", length, WIDTH, -HEIGHT if down else HEIGHT, 1, bits, compression, len(data), 0, 0,
        len(palette) // 4, 0,
    )  # fmt: skip
    head += struct.pack("<4I", *masks) + b"BGRs" + bytes(48) if masks else b""
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def gif(
    first: np.ndarray, left: int, top: int, transparent: int | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    """Return a GIF whose only frame, palette indices `[height, width]`, stands somewhere on its canvas."""
    whole = Image.fromarray(first, "P")
    whole.putpalette([value for level in range(256) for value in (level, 255 - level, 7)])
    options = {} if transparent is None else {"transparency": transparent}
    content = bytearray(saved(whole, "GIF", optimize=False, **options))
    place = content.index(b"\x2c" + struct.pack("<HHHH", 0, 0, first.shape[1], first.shape[0]))
    struct.pack_into("<HH", content, place + 1, left, top)
    struct.pack_into("<HH", content, 6, *size)
    return bytes(content)


def gif_colors(indices: np.ndarray) -> np.ndarray:
    """Return the RGB of indices of `gif`."""
    return np.stack([indices, 255 - indices, np.full_like(indices, 7)], -1)


def photograph() -> Image.Image:
    """Return a smooth picture of 96 x 64 pixels, no part of which is grey of 128."""
    small = np.random.default_rng(5).integers(140, 250, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 64), Image.Resampling.BICUBIC)


def segments(content: bytes) -> Iterable[tuple[int, int]]:
    """Yield marker and position of the segments of a JPEG, among them those behind scans."""
    at = 2
    while at < len(content):
        at = content.index(b"\xff", at)
        marker = content[at + 1]
        if marker in (0, 0xFF, *range(0xD0, 0xD8)):
            at += 1 if marker == 0xFF else 2
            continue
        yield marker, at
        if marker == 0xD9:
            return
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]


def cut_jpeg(content: bytes, share: float) -> bytes:
    """Return the first part of a JPEG, with the marker of its end."""
    return content[: int(len(content) * share)] + b"\xff\xd9"


def without_scans(content: bytes, kept: int) -> bytes:
    """Return a JPEG with its first scans, and the marker of its end."""
    places = [at for marker, at in segments(content) if marker == 0xDA]
    return content[: places[kept]] + b"\xff\xd9"


def without_adobe(content: bytes) -> bytes:
    """Return a JPEG without its APP14 segment."""
    for marker, at in segments(content):
        if marker == 0xEE:
            return content[:at] + content[at + 2 + struct.unpack_from(">H", content, at + 2)[0] :]
    raise ValueError("it has none")
