"""Files of one small photograph with everything that cameras, phones and programs do to it.

It is bright at the top, so a turned image is another one.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edgetune.modules.images.reading import Reading
from tests.helpers import icc_profiles

READING = Reading(max_pixels=40_000, max_side=64, background=(255, 128, 0))
"""Options with which the large files are scaled down."""
ORIENTATION = 0x0112
# Stored so, an image stands upright in the orientation.
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
LITTLE = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
BIG = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def pixels(width: int = 48, height: int = 40) -> np.ndarray:
    """Return an image that is bright at the top, and a little brighter at the left: uint8 `[height, width, 3]`."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    bright = 230 - 190 * rows - 30 * columns
    return np.stack([bright, bright * 0.8, 40 + bright * 0.3], axis=-1).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str, upright: np.ndarray | None = None, **options: object) -> bytes:
    """Return a file that says that it is turned, of this image or the one above."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(STORED[orientation](pixels() if upright is None else upright), kind, exif=exif, **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(image: np.ndarray, depth: int, passes: tuple[tuple[int, int, int, int], ...] = ()) -> bytes:
    """Return an RGB PNG with 8 or 16 bits, in one pass or in those of its interlacing: Pillow writes neither."""
    height, width, _ = image.shape
    rows = b""
    for top, left, down, right in passes or ((0, 0, 1, 1),):
        part = image[top::down, left::right].astype(">u2" if depth == 16 else np.uint8)
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, len(passes) > 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def jpeg_with(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + encoded(pixels(), "JPEG")[2:]


def png_with(*chunks: bytes, behind: bytes = b"") -> bytes:
    content = png(pixels(), 8)
    end = content.rindex(b"IEND") - 4
    return content[:33] + b"".join(chunks) + content[33:end] + behind + content[end:]


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def alpha(mode: str, upright: np.ndarray | None = None) -> Image.Image:
    """Return this image, or the one above, with a transparent half, under which the colours say something else."""
    image = Image.fromarray(pixels() if upright is None else upright)
    mask = np.zeros((image.height, image.width), np.uint8)
    mask[: image.height // 2] = np.linspace(255, 40, image.width)
    image.putalpha(Image.fromarray(mask))
    return image.convert(mode)


@functools.cache
def features() -> dict[str, bytes]:
    """Return files of the image above that the server reads, by what is special about them."""
    return features_of(pixels())


def features_of(upright: np.ndarray) -> dict[str, bytes]:
    """Return the same files of another image, uint8 `[height, width, 3]`."""
    height, width = upright.shape[:2]
    image, deep = Image.fromarray(upright), upright.astype(np.uint16) * 257
    # Three times the longest side of `READING`: its decoder halves a JPEG.
    large = image.resize((200, round(200 * height / width)), Image.Resampling.BICUBIC)
    xmp = PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", (XMP % 6).decode())
    side = STORED[6](upright)
    return {
        "RGBA": encoded(alpha("RGBA", upright), "PNG"),
        "LA": encoded(alpha("LA", upright), "PNG"),
        "palette": encoded(image.quantize(32), "PNG"),
        "palette with alpha": encoded(image.quantize(32), "PNG", transparency=bytes(range(0, 256, 8))),
        "a transparent color": encoded(image, "PNG", transparency=tuple(upright[0, 0].tolist())),
        "grey PNG": encoded(image.convert("L"), "PNG"),
        "grey JPEG": encoded(image.convert("L"), "JPEG"),
        "black and white": encoded(image.convert("1"), "PNG"),
        "16-bit grey": encoded(deep[..., 0], "PNG"),
        "16-bit RGB": png(deep, 16),
        "interlaced": png(upright, 8, ADAM7),
        "progressive": encoded(image, "JPEG", progressive=True),
        "CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "P3 JPEG": encoded(image, "JPEG", icc_profile=icc_profiles.display_p3()),
        "P3 RGBA": encoded(alpha("RGBA", upright), "PNG", icc_profile=icc_profiles.display_p3()),
        "Adobe RGB": encoded(image, "JPEG", icc_profile=icc_profiles.adobe_rgb()),
        "sRGB profile": encoded(image, "JPEG", icc_profile=icc_profiles.srgb()),
        "grey profile": encoded(image.convert("L"), "PNG", icc_profile=icc_profiles.linear_grey()),
        "XMP in JPEG": encoded(side, "JPEG", xmp=XMP % 6),
        "XMP in PNG": encoded(side, "PNG", pnginfo=xmp),
        "animated": encoded(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        "several images": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "large JPEG": encoded(large, "JPEG"),
        "large PNG": encoded(large, "PNG"),
        "large turned": encoded(large.rotate(90, expand=True), "JPEG", exif=LITTLE),
        "large P3 JPEG": encoded(large, "JPEG", icc_profile=icc_profiles.display_p3()),
        "large P3 turned": encoded(
            large.rotate(90, expand=True), "JPEG", exif=LITTLE, icc_profile=icc_profiles.display_p3()
        ),
        "large grey profile": encoded(large.convert("L"), "JPEG", icc_profile=icc_profiles.linear_grey()),
        "Exif in Motorola's order": encoded(side, "JPEG", exif=BIG),
    }  # fmt: skip


def with_profile(packed: bytes) -> bytes:
    """Return a PNG with these bytes as its packed color profile."""
    return png_with(chunk(b"iCCP", b"P3\0\0" + packed))


_PACKED = zlib.compress(icc_profiles.display_p3())
DAMAGED_PROFILE = with_profile(_PACKED[:60] + bytes(20) + _PACKED[80:])
WITHOUT_THE_LAST_BYTES = {kind: encoded(pixels(), kind)[:-2] for kind in ("JPEG", "PNG")}
"""Files that Pillow reads and TensorFlow's decoders do not."""

SEND = "send JPEG or PNG"
REFUSED = {
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", f"is a HEIC image: {SEND}"),
    "AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", f"is an AVIF image: {SEND}"),
    "WebP": (encoded(pixels(), "WEBP"), f"is a WebP image: {SEND}"),
    "GIF": (encoded(pixels(), "GIF"), f"is a GIF image: {SEND}"),
    "BMP": (encoded(pixels(), "BMP"), f"is a BMP image: {SEND}"),
    "TIFF": (encoded(pixels(), "TIFF"), f"is a TIFF image: {SEND}"),
    "PDF": (b"%PDF-1.7", f"is a PDF document: {SEND}"),
    "web page": (b"\n<!DOCTYPE html><html>404", f"is a web page: {SEND}"),
    "text": (b"some notes \xff\xfe", f"is not an image that can be read: {SEND}"),
    "nothing": (b"", f"is empty: {SEND}"),
    "CMYK with a profile": (
        encoded(Image.new("CMYK", (9, 9)), "JPEG", icc_profile=icc_profiles.cyan_is_black()),
        "is CMYK with a color profile: send it as sRGB",
    ),
    "12 bits": (
        b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x08\0\x08\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9",
        "is a JPEG with more than 8 bits a channel: send one with 8",
    ),
    "JPEG with too many segments": (
        jpeg_with(*[segment(0xEB, b"")] * 1000),
        "is a JPEG of more than 1000 segments: send one with fewer",
    ),
    "PNG with too many chunks": (
        png_with(*[chunk(b"tEXt", b"a\0b")] * 9997),
        "is a PNG of more than 9999 chunks: send one with fewer",
    ),
    "profile with tables": (
        encoded(pixels(), "PNG", icc_profile=icc_profiles.with_tables()),
        "has a color profile with tables: send it with an sRGB profile or none",
    ),
    "profile in parts": (
        jpeg_with(*[segment(0xE2, b"ICC_PROFILE\0" + bytes((part, 2)) + b"x") for part in (1, 2)]),
        "has a large color profile: send it as sRGB",
    ),
    "large profile": (with_profile(bytes(17 << 10)), "has a large color profile: send it as sRGB"),
    "compressed XMP": (
        png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP % 6))),
        "is a PNG with compressed XMP: send it without",
    ),
    "IPTC as text": (
        png_with(chunk(b"zTXt", b"Raw profile type iptc\0\0x")),
        "is a PNG with EXIF or another profile as text: send it without",
    ),
    "two channels": (
        jpeg_with(segment(0xC0, b"\x08\0\x28\0\x30\2\1\x11\0\2\x11\0")),
        "is a JPEG that is not grey, RGB or CMYK: send RGB",
    ),
    "no scan": (
        encoded(pixels(), "JPEG").partition(b"\xff\xda")[0],
        "cannot be decoded: its header is damaged",
    ),
    "too many scans": (
        encoded(pixels(), "JPEG", progressive=True) + b"\xff\xda\0\2" * 100,
        "is a JPEG of more than 100 scans: send one with fewer",
    ),
    "too large": (encoded(Image.new("L", (201, 200)), "PNG"), "has more than 40000 pixels: send fewer"),
}
