"""Read an untrusted image file, and decide what a raw example stores of it.

What the exported graph reads itself (`graph_read`) is read by it here as well, and keeps its bytes if it is not too
large. Larger images, and all others that Pillow reads, are stored as the upright 8-bit sRGB pixels, in a PNG: an image
is never compressed with a loss a second time.

HEIC needs `pillow-heif`, which brings its own codecs; AVIF needs a Pillow built with it, as its wheels are.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image, TiffTags, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from edgetune.modules.core.threads import Budget, SharedContext, without_warnings
from edgetune.modules.images import graph_read, headers, perceptual_hash
from edgetune.modules.images.colour import UnknownColours, check_mode, to_8_bits, to_srgb
from edgetune.modules.images.reading import Reading

# A decoder that is never called cannot be attacked: Pillow knows dozens of formats that are not used for photographs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
HEIF_INSTALL = "pip install pillow-heif"
# Pillow's name for a JPEG with further images after the first, as phones write, is MPO.
_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112
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
# zlib's fastest level: a twentieth larger than its default level, in a third of the time (benchmarks/ingest/stored.py).
_PNG_LEVEL = 1
# Cheap scaling steps stop at this multiple of the final size, so that the last step determines the quality.
_GAP = 2
# The same for scaling by the JPEG decoder.
_DRAFT_GAP = 1.5
# TensorFlow's PNG decoder refuses images of so many pixels.
_TOO_MANY_PIXELS = 1 << 29
# All reading threads together hold the pixels of at most one image of data.max_pixels.
_pixels = Budget()


class Unusable(Exception):
    """A file is not a usable image; the message says why, in a few words."""


@dataclass(frozen=True)
class ReadImage:
    """An image as stored in a raw example."""

    encoded: bytes
    """JPEG or PNG."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    digest: str
    """SHA-256 of the size and RGB pixels that the exported graph reads from `encoded`, in hexadecimal. Equal pixels
    have equal digests in any lossless format, and reading `encoded` again gives the same digest."""
    appearance: perceptual_hash.Appearance
    """What the search for duplicates and the statistics use of the image."""


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Make Pillow refuse images of more than twice `max_pixels`, even before an image's size is available."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


_limit = SharedContext(_pillow_limit)


def read_image(content: bytes, reading: Reading) -> ReadImage:
    """Read an image file.

    Args:
        content: The bytes of the file.
        reading: Options.

    Raises:
        Unusable: The file is empty, not an image, of an unsupported format or mode, damaged, or too large.
    """
    if not content:
        raise Unusable("the file is empty")
    try:
        with _limit(reading.max_pixels), without_warnings():  # Pillow warns about odd metadata, which is not used
            return _read(content, reading)
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


def _read(content: bytes, reading: Reading) -> ReadImage:
    _check_size(headers.webp_size(content), reading.max_pixels)
    with Image.open(io.BytesIO(content), formats=(*FORMATS, *_extra_formats())) as image:
        _check_size(image.size, reading.max_pixels)
        with _pixels.spend(image.width * image.height, reading.max_pixels):
            return _read_opened(image, content, reading)


def _read_opened(image: Image.Image, content: bytes, reading: Reading) -> ReadImage:
    pixels = _by_graph(content, reading) if image.format in (*_JPEG, "PNG") else None
    if pixels is not None and max(image.size) <= reading.side:
        return _describe(content, pixels)
    if pixels is None:
        pixels = _by_pillow(image, content, reading)
        if pixels.size >= _TOO_MANY_PIXELS * graph_read.CHANNELS:
            raise Unusable("it has more pixels than TensorFlow can decode; set data.max_side")
    return _describe(_as_png(pixels), pixels)


def _by_graph(content: bytes, reading: Reading) -> np.ndarray | None:
    """Return the pixels that the exported graph reads, uint8 `[height, width, 3]`; None if it refuses the image.

    It refuses files that Pillow reads and TensorFlow's decoders do not, such as those that lack their last bytes.
    """
    try:
        fault, pixels = graph_read.attempt(content, reading)
    except tf.errors.InvalidArgumentError as error:  # Pillow would hide that no server can read such photographs
        raise Unusable("the exported graph fails on it, though TensorFlow decodes it: a bug in edgetune") from error
    return None if fault else pixels


def _by_pillow(image: Image.Image, content: bytes, reading: Reading) -> np.ndarray:
    if isinstance(image, TiffImageFile):  # a tile may be larger than its image, and is decoded whole
        _check_size(tuple(image.tag_v2.get(tag, 1) for tag in _TILE), reading.max_pixels)
    if image.format in _JPEG and headers.too_many_scans(content):
        raise Unusable(f"a JPEG of more than {headers.MAX_SCANS} scans, which takes minutes to decode")
    check_mode(image.mode)
    return np.asarray(_upright_srgb(image, _orientation(image, content), reading))


def _check_size(size: tuple[int, ...] | None, max_pixels: int) -> None:
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise Unusable(f"damaged: {width} x {height} pixels")
    if width * height > max_pixels:
        raise Unusable(f"{width} x {height} pixels are more than data.max_pixels {max_pixels}")


def _upright_srgb(image: Image.Image, orientation: int, reading: Reading) -> Image.Image:
    size = _size_within(image.size, reading.side)
    if size != image.size and image.format in _JPEG:
        # libjpeg can decode to an eighth, a quarter or a half of the size, at a proportional cost.
        image.draft(image.mode, (int(size[0] * _DRAFT_GAP), int(size[1] * _DRAFT_GAP)))
    profile = image.info.get("icc_profile")
    pixels = to_8_bits(image)
    if pixels.size != size:
        # As good as bicubic for scaling down, in half the time of Lanczos; the model's input is scaled down once more.
        pixels = pixels.resize(size, Image.Resampling.HAMMING, reducing_gap=_GAP)
    pixels = to_srgb(pixels, profile, "#{:02x}{:02x}{:02x}".format(*reading.background))
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


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
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata raises all kinds of errors, and is not essential
        return 1


def _as_png(pixels: np.ndarray) -> bytes:
    return bytes(tf.io.encode_png(pixels, _PNG_LEVEL).numpy())


def _describe(encoded: bytes, pixels: np.ndarray) -> ReadImage:
    """Describe an image by the pixels that all later components read from it."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return ReadImage(encoded, width, height, digest.hexdigest(), perceptual_hash.appearance(pixels))


@functools.cache
def _extra_formats() -> tuple[str, ...]:
    try:
        import pillow_heif
    except ImportError:
        return ()
    pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


def _unidentified(content: bytes) -> str:
    if headers.is_heif(content) and not _extra_formats():
        return f"a HEIC image, which needs an extra: {HEIF_INSTALL}"
    return headers.recognise(content) or f"not an image of a known format ({', '.join((*FORMATS, *_extra_formats()))})"
