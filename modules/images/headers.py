"""Inspect the headers of an image file before any decoder processes it.

Pillow checks an image's size only after it has opened the file, when some libraries have already reserved memory.
"""

from __future__ import annotations

import re
import struct

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
"""Beginnings of files."""
EXIF_IN_JPEG, XMP_IN_JPEG, ICC_IN_JPEG = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
XMP_IN_PNG, TEXT_PROFILE_IN_PNG = b"XML:com.adobe.xmp\0", b"Raw profile type "
MOST_SEGMENTS, MOST_CHUNKS = 1000, 9999
"""Most parts of a file: phones write a few dozen segments, and extended XMP takes one for each 64 kB."""
# Optimisers write a dozen. Each scan costs a pass over the whole image, however few bytes it has.
MAX_SCANS = 100
_MOST_EXIF = 1 << 16
# Behind the offset of four bytes with which it begins (ISO/IEC 23008-12, A.2.1).
_EXIF_ITEM = re.compile(rb"\x00\x00\x00[\x00\x06](?:Exif\x00\x00)?(?:II\*\x00|MM\x00\*)")
_HOLE = 64
_META = 1 << 16  # bytes at the beginning of an AVIF or HEIC in which its properties are
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)

_SIGNATURES = (
    (b"version https://git-lfs.github.com/", "a Git LFS pointer, not the image itself: run `git lfs pull`"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000, which is not supported: save it as JPEG or PNG"),
    (b"\xff\x4f\xff\x51", "JPEG 2000, which is not supported: save it as JPEG or PNG"),
    (b"\xff\x0a", "JPEG XL, which is not supported: save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL, which is not supported: save it as JPEG or PNG"),
    (b"%PDF", "a PDF document, not an image"),
    (b"8BPS", "a Photoshop document, which is not supported: save it as JPEG or PNG"),
    (b"PK\x03\x04", "a zip archive, not an image"),
)
_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP, whose library reserves memory for the whole image at once; else None."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        low, high = struct.unpack_from("<HB", content, 24), struct.unpack_from("<HB", content, 27)
        return 1 + low[0] + (low[1] << 16), 1 + high[0] + (high[1] << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def webp_frame(content: bytes) -> tuple[int, int, int, int] | None:
    """Return the box of the first frame of an animated WebP (RIFF container, ANMF): left, top, right, lower; else None.

    Where a frame leaves its canvas out, and no frame has transparency, libwebp has black.
    """
    if webp_size(content) is None or content[12:16] != b"VP8X" or not content[20] & 2:
        return None
    at = 12
    while at + 24 <= len(content):
        name, length = struct.unpack_from("<4sI", content, at)
        if name == b"ANMF":
            x, y, width, height = (
                int.from_bytes(content[at + 8 + 3 * n : at + 11 + 3 * n], "little") for n in range(4)
            )
            return 2 * x, 2 * y, 2 * x + width + 1, 2 * y + height + 1
        at += 8 + length + length % 2
    return None


def has_hole(content: bytes) -> bool:
    """Return whether the picture of a WebP, AVIF or HEIC has a run of zeros that is no compressed data.

    A file that a program has reserved and not filled ends in zeros. In HEIC's data three zeros do not follow each other
    (ITU-T H.265, 7.4.2), and AVIF and lossless WebP have no long runs. EXIF has, so it is left out. Lossy WebP codes a
    flat area as zeros, in less than a byte for each block of 16 x 16 pixels: of these, a run has to be longer.
    """
    is_webp = content[:4] == b"RIFF"
    at = 12 if is_webp else 0
    while at + 16 <= len(content):
        if is_webp:
            name, length = struct.unpack_from("<4sI", content, at)
            length += 8 + length % 2
        else:
            length, name = struct.unpack_from(">I4s", content, at)
            length = struct.unpack_from(">Q", content, at + 8)[0] if length == 1 else length or len(content)
        if name in (b"VP8 ", b"VP8L", b"mdat"):
            body = content[at + 16 : at + length]
            exif = _EXIF_ITEM.search(body) if name == b"mdat" else None
            hole = bytes(_HOLE)
            if name == b"VP8 " and (size := webp_size(content)) is not None:
                hole = bytes(max(_HOLE, -(-size[0] // 16) * -(-size[1] // 16)))
            parts = (body[: exif.start()], body[exif.start() + _MOST_EXIF :]) if exif else (body,)
            if any(hole in part for part in parts):
                return True
        if length < 8:
            break
        at += length
    return False


def too_many_scans(content: bytes) -> bool:
    """Return whether a JPEG has more than `MAX_SCANS` scans: a few bytes that take minutes to decode."""
    if content.count(b"\xff\xda") <= MAX_SCANS:  # true for most files
        return False
    scans, position = 0, 2
    while found := _MARKER.search(content, position):
        marker, position = content[found.start() + 1], found.end()
        if marker == 0xD9:  # end of the image; images after it are never decoded
            break
        if marker not in (0x01, 0xD8) and position + 2 <= len(content):
            position += struct.unpack_from(">H", content, position)[0]
        scans += marker == 0xDA
    return scans > MAX_SCANS


def is_heif(content: bytes) -> bool:
    """Return whether a file is a HEIC or HEIF image, as recent phones write."""
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS


def other_colors(content: bytes) -> str | None:
    """Return why an AVIF or HEIC is refused that states other colors than those of sRGB; None if it does not.

    Its box `colr` has a profile, which counts, or codes of ITU-T H.273. Codes 5 and 6 are those of analogue television,
    whose primaries differ little, and 1, 6, 14 and 15 are one curve, which viewers take for that of sRGB.
    """
    start = content.find(b"colrnclx", 0, _META)
    if start < 0 or content.find(b"colrprof", 0, _META) >= 0 or content.find(b"colrrICC", 0, _META) >= 0:
        return None
    primaries, curve = struct.unpack_from(">HH", content.ljust(start + 12, b"\0"), start + 8)
    if primaries in (1, 2, 5, 6) and curve in (1, 2, 6, 13, 14, 15):
        return None
    return f"its colors are not those of sRGB (primaries {primaries}, curve {curve} of H.273): save it as sRGB"


def recognise(content: bytes) -> str | None:
    """Describe a file that is not a supported image, in a few words; return None for an unknown kind of file."""
    for start, description in _SIGNATURES:
        if content.startswith(start):
            return description
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image: the download failed"
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096].lower():
        return "a drawing (SVG), which is not supported: save it as PNG"
    if content[4:8] == b"ftyp" and content[8:12] not in _BRANDS | {b"avif", b"avis"}:
        return "a video, not an image"
    if content.startswith(b"\xff\xd8\xff") and _jpeg_precision(content) > 8:
        return f"a JPEG with {_jpeg_precision(content)} bits a channel, which is not supported: save it with 8"
    return None


def _jpeg_precision(content: bytes) -> int:
    position = 2
    while position + 5 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return content[position + 4]
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return 8
