"""Read an untrusted image file with Pillow to upright 8-bit sRGB pixels.

Nothing here imports TensorFlow: `pillow_process` runs it in a small process, which a fault in a decoder may end.

HEIC needs `pillow-heif`, which brings its own codecs; AVIF needs a Pillow built with it, as its wheels are.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from PIL import Image, TiffTags, UnidentifiedImageError
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from edgetune.modules.core.threads import SharedContext, without_warnings
from edgetune.modules.images import headers, jpeg_scans, png_chunks, tiff_pages
from edgetune.modules.images.colour import INVISIBLE, UnknownColours, check_mode, to_8_bits, to_srgb
from edgetune.modules.images.reading import Reading

# A decoder that is never called cannot be attacked: Pillow knows dozens of formats that are not used for photographs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
HEIF_INSTALL = "pip install pillow-heif"
NO_IMAGE = "not an image of a known format"
"""Beginning of the reason for content that does not begin as an image of any format does."""
# Pillow's name for a JPEG with further images after the first, as phones write, is MPO.
_JPEG = ("JPEG", "MPO")
_BEGINNINGS = {
    rb"\xff\xd8\xff": "a JPEG",
    rb"\x89PNG": "a PNG",
    rb"GIF8": "a GIF",
    rb"RIFF....WEBP": "a WebP",
}
_ORIENTATION = 0x0112
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RLE8, _RLE4 = 1, 2
_TILE = tuple(n for n, tag in TiffTags.TAGS_V2.items() if tag.name in ("TileWidth", "TileLength"))
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Cheap scaling steps stop at this multiple of the final size, so that the last step determines the quality.
_GAP = 2
# The same for scaling by the JPEG decoder.
_DRAFT_GAP = 1.5


class Unusable(Exception):
    """A file is not a usable image; the message says why, in a few words."""


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse images of more than twice `max_pixels`, even before an image's size is available."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


_limit = SharedContext(_pillow_limit)


@contextmanager
def faults(content: bytes, reading: Reading) -> Iterator[None]:
    """Turn what decoders raise inside the context into `Unusable`, and apply Pillow's own limit on pixels.

    Args:
        content: The bytes of the file.
        reading: Options.
    """
    try:
        with _limit(reading.max_pixels), without_warnings():  # Pillow warns about odd metadata, which is not used
            yield
    except Unusable:
        raise
    except UnknownColours as error:
        raise Unusable(str(error)) from error
    except Image.DecompressionBombError as error:
        raise Unusable(f"more pixels than data.max_pixels {reading.max_pixels}") from error
    except UnidentifiedImageError as error:
        raise Unusable(_unidentified(content)) from error
    except MemoryError as error:
        raise Unusable("decoding it needs more memory than is available; lower data.max_pixels") from error
    except Exception as error:  # decoders raise almost anything on damaged files
        raise Unusable(f"damaged: {str(error) or type(error).__name__}".splitlines()[0]) from error


def pixels(content: bytes, reading: Reading, hold: Callable[[int], AbstractContextManager[None]]) -> np.ndarray:
    """Read an image file.

    Args:
        content: The bytes of the file.
        reading: Options.
        hold: Called with the number of pixels of the file, before any is decoded; they are decoded in its context.

    Returns:
        uint8 `[height, width, 3]`, RGB in sRGB, upright, at most `reading.side` long.

    Raises:
        Unusable: The file is not an image, of an unsupported format or mode, damaged, or too large.
    """
    with faults(content, reading):
        check_size(headers.webp_size(content), reading.max_pixels)
        with Image.open(io.BytesIO(content), formats=(*FORMATS, *extra_formats())) as image:
            check_size(image.size, reading.max_pixels)
            with hold(image.width * image.height):
                return _opened(image, content, reading)


def verify(content: bytes, reading: Reading, hold: Callable[[int], AbstractContextManager[None]]) -> np.ndarray:
    """Decode all data of a JPEG or PNG, of a JPEG to an eighth of its size, which is faster.

    Args:
        content: The bytes of the file.
        reading: Options.
        hold: As of `pixels`.

    Returns:
        No pixels, uint8 `[0, 0, 3]`.

    Raises:
        Unusable: It cannot be decoded.
    """
    with faults(content, reading), Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        check_size(image.size, reading.max_pixels)
        if image.format in _JPEG and headers.too_many_scans(content):
            raise Unusable(f"a JPEG of more than {headers.MAX_SCANS} scans, which takes minutes to decode")
        with hold(image.width * image.height):
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
    return np.zeros((0, 0, 3), np.uint8)


def check_size(size: tuple[int, ...] | None, max_pixels: int) -> None:
    """Check width and height of an image, if they are known.

    Raises:
        Unusable: It has no pixels, or too many.
    """
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise Unusable(f"damaged: {width} x {height} pixels")
    if width * height > max_pixels:
        raise Unusable(f"{width} x {height} pixels are more than data.max_pixels {max_pixels}")


@functools.cache
def extra_formats() -> tuple[str, ...]:
    """Return the formats that an installed extra adds, and make Pillow know them."""
    try:
        import pillow_heif
    except ImportError:
        return ()
    pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


def _opened(image: Image.Image, content: bytes, reading: Reading) -> np.ndarray:
    if isinstance(image, TiffImageFile):  # a tile may be larger than its image, and is decoded whole
        check_size(tuple(image.tag_v2.get(tag, 1) for tag in _TILE), reading.max_pixels)
    if image.format in _JPEG and headers.too_many_scans(content):
        raise Unusable(f"a JPEG of more than {headers.MAX_SCANS} scans, which takes minutes to decode")
    if (reason := _refusal(image, content)) is not None:
        raise Unusable(reason)
    check_mode(image.mode)
    return np.asarray(_upright_srgb(image, content, reading))


def _refusal(image: Image.Image, content: bytes) -> str | None:
    """Return why a file is refused whose pixels Pillow would read wrongly; None if it reads them right."""
    if image.format == "TIFF":
        return tiff_pages.refusal(content)
    if image.format == "PNG":
        return png_chunks.refusal(content)
    if image.format == "BMP":
        return _bmp_refusal(image, content)
    if image.format in _JPEG and image.mode == "CMYK" and "adobe" not in image.info:
        return f"it {jpeg_scans.UNKNOWN_INKS}: save it as RGB"
    if image.format in ("WEBP", "AVIF", "HEIF") and headers.has_hole(content):
        return "damaged: a part of its data is zeros, as in a file that was not copied completely"
    return headers.other_colors(content) if image.format in ("AVIF", "HEIF") else None


def _bmp_refusal(image: Image.Image, content: bytes) -> str | None:
    compression = image.info.get("compression")
    (start,) = struct.unpack_from("<I", content, 10)
    # Pillow reads pairs of an odd number of pixels wrongly, and aligns to the beginning of the file.
    if compression == _RLE4 or (compression == _RLE8 and start % 2):
        return "a BMP compressed with RLE of 4 bits is not supported: save it as PNG"
    return None


def _upright_srgb(image: Image.Image, content: bytes, reading: Reading) -> Image.Image:
    orientation = _orientation(image, content)
    size = _size_within(image.size, reading.side)
    drafted = None
    if size != image.size and image.format in _JPEG:
        # libjpeg can decode to an eighth, a quarter or a half of the size, at a proportional cost.
        drafted = int(size[0] * _DRAFT_GAP), int(size[1] * _DRAFT_GAP)
        image.draft(image.mode, drafted)
    profile = image.info.get("icc_profile")
    if image.format in _JPEG:
        _check_whole(image, content, drafted)
    elif image.format == "TIFF":
        _check_strips(content, reading.max_pixels)
    converted = to_8_bits(*_meant(image, content))
    has_alpha = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") and "transparency" not in image.info
    if has_alpha and converted.mode in ("RGBA", "LA") and not converted.getchannel("A").getextrema()[1]:
        raise Unusable(f"it {INVISIBLE}")
    if converted.size != size:
        # As good as bicubic for scaling down, in half the time of Lanczos; the model's input is scaled down once more.
        converted = converted.resize(size, Image.Resampling.HAMMING, reducing_gap=_GAP)
    converted = to_srgb(converted, profile, "#{:02x}{:02x}{:02x}".format(*reading.background))
    return converted.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else converted


def _check_whole(image: Image.Image, content: bytes, drafted: tuple[int, int] | None) -> None:
    """Check that a JPEG was not cut off, as `jpeg_scans` says.

    Raises:
        Unusable: It was.
    """

    def decode(other: bytes, is_full: bool) -> np.ndarray:
        with Image.open(io.BytesIO(other), formats=("JPEG",)) as opened:
            if drafted and not is_full:
                opened.draft(image.mode, drafted)
            return np.asarray(opened)

    if not jpeg_scans.is_whole(content, jpeg_scans.scans(content), np.asarray(image), decode):
        raise Unusable(f"damaged: it {jpeg_scans.CUT}")


def _check_strips(content: bytes, most: int) -> None:
    """Check that the strips or tiles of a TIFF that are JPEGs have all their data, as `jpeg_scans` says.

    Raises:
        Unusable: One lacks a part.
    """

    def decode(other: bytes, is_full: bool) -> np.ndarray:
        with Image.open(io.BytesIO(other), formats=("JPEG",)) as opened:
            return np.asarray(opened)

    for strip in tiff_pages.jpegs(content):
        with Image.open(io.BytesIO(strip), formats=("JPEG",)) as opened:
            check_size(opened.size, most)
        if not jpeg_scans.is_whole(strip, jpeg_scans.scans(strip), decode(strip, True), decode):
            raise Unusable(f"damaged: it {jpeg_scans.CUT}")


def _meant(image: Image.Image, content: bytes) -> tuple[Image.Image, bool, bool]:
    """Return the picture that a file means where Pillow has another one, and the options of `to_8_bits`."""
    if image.format == "TIFF":
        page = tiff_pages.pages(content)[0]
        return image, tiff_pages.is_white_zero(page), tiff_pages.bits(page) == 16
    if image.format == "PNG":
        bits, color = png_chunks.depth_and_color(content)
        key = image.info.get("transparency")
        if color == 0 and bits < 8 and isinstance(key, int):  # Pillow scales the pixels and not the key
            image = image.convert("L")
            image.info["transparency"] = (key & (1 << bits) - 1) * 255 // ((1 << bits) - 1)
        return image, False, bits == 16
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB"), False, False  # no picture is meant to be invisible: the fourth byte is not used
    box = image.tile[0][1] if isinstance(image, GifImageFile) and image.tile else headers.webp_frame(content)
    if box is not None and box != (0, 0, *image.size):  # what the first frame leaves out is transparent
        canvas = Image.new("RGBA", image.size)
        canvas.paste(image.convert("RGBA").crop(box), box[:2])
        return canvas, False, False
    return image, False, False


def _size_within(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    longest = max(size)
    if longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _orientation(image: Image.Image, content: bytes) -> int:
    """Return the orientation number of EXIF or XMP; 1, upright, if there is none that can be read."""
    if image.format == "TIFF":
        return 1  # Pillow rotates TIFFs itself
    if image.format == "PNG" and not any(word in content for word in (b"eXIf", b"exif", b"xmp")):
        return 1  # Pillow would decode the whole PNG to look for metadata at its end
    try:
        stated = image.getexif().get(_ORIENTATION, 1)
        return stated[0] if isinstance(stated, bytes) else int(stated)  # of one byte in some files
    except Exception:  # noqa: BLE001 - damaged metadata raises all kinds of errors, and is not essential
        return 1


def _unidentified(content: bytes) -> str:
    if headers.is_heif(content) and not extra_formats():
        return f"a HEIC image, which needs an extra: {HEIF_INSTALL}"
    if content.startswith(_TIFF):
        return tiff_pages.refusal(content) or "a TIFF of a kind that is not supported: save it as RGB of 8 bits"
    if named := headers.recognise(content):
        return named
    if content.startswith(headers.PNG) and (wrong := png_chunks.wrong_checksum(content)):
        return wrong
    if begun := next((name for start, name in _BEGINNINGS.items() if re.match(start, content, re.DOTALL)), None):
        return f"damaged: it begins as {begun}, and its header cannot be read"
    return f"{NO_IMAGE} ({', '.join((*FORMATS, *extra_formats()))})"
