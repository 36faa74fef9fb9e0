"""Reading one image file of anyone's: what leaves here is upright 8-bit RGB that TensorFlow decodes.

A file that already is keeps its bytes. Everything else that Pillow reads is encoded anew: a JPEG as a JPEG, which the
original's losses allow, anything else as a PNG.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

# A decoder that is not asked cannot be attacked: Pillow knows dozens of formats that nobody photographs in.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
# MPO is what Pillow calls a JPEG that carries further images behind the first, as phones write.
_KEPT = {(kind, mode) for kind in ("JPEG", "MPO", "PNG") for mode in ("RGB", "L")}
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_ORIENTATION = 0x0112
_JPEG_QUALITY = 95


class Unusable(Exception):
    """The file is no image that can be used; the message says why, in a few words."""


@dataclass(frozen=True)
class ReadImage:
    """An image as a raw example holds it."""

    encoded: bytes
    """JPEG or PNG."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    digest: str
    """SHA-256 of size and decoded RGB pixels, in hexadecimal: equal pixels have equal digests in any format."""


def read_image(content: bytes, max_pixels: int) -> ReadImage:
    """Reads an image file.

    Args:
        content: The bytes of the file.
        max_pixels: Images with more pixels are refused before any is decoded.

    Raises:
        Unusable: Empty, no image, of an unknown format or mode, damaged, or too large.
    """
    if not content:
        raise Unusable("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is not used
            return _read(content, max_pixels)
    except Unusable:
        raise
    except Image.DecompressionBombError as error:
        raise Unusable("more pixels than any image should have") from error
    except UnidentifiedImageError as error:
        raise Unusable(f"not an image of a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # decoders raise almost anything on damaged files
        raise Unusable(f"damaged: {error}".splitlines()[0]) from error


def _read(content: bytes, max_pixels: int) -> ReadImage:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise Unusable(f"{width} x {height} pixels are more than data.max_pixels {max_pixels}")
        if image.mode not in _MODES:
            raise Unusable(f"pixels of mode {image.mode} are not supported")
        kept = (image.format, image.mode) in _KEPT and image.getexif().get(_ORIENTATION, 1) == 1
        lossy = image.format in ("JPEG", "MPO")
        rgb = _to_rgb(ImageOps.exif_transpose(image))
    encoded = content if kept and _tensorflow_decodes(content) else _encode(rgb, lossy)
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode())
    digest.update(rgb.tobytes())
    return ReadImage(encoded, rgb.width, rgb.height, digest.hexdigest())


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "PA", "RGBA"):  # what is behind transparent pixels is arbitrary: white, as paper is
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _encode(image: Image.Image, lossy: bool) -> bytes:
    buffer = io.BytesIO()
    if lossy:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _tensorflow_decodes(content: bytes) -> bool:
    """Pillow reads some files that TensorFlow refuses; those are encoded anew."""
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        return False
    return True
