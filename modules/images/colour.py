"""Convert the colours of any image file to 8-bit sRGB: depth, palette, alpha, CMYK, LAB and embedded ICC profiles.

There are two steps, so that a large image can be scaled down between them: `to_8_bits` returns 8 bits a channel in a
mode whose neighbouring pixels can be averaged, `to_srgb` returns RGB over a background.

Pixels count as sRGB, as in viewers, if the file has no ICC profile, a damaged one, or one for another kind of pixels.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms, TiffTags

from edgetune.modules.core import bounds

_BITS_PER_SAMPLE = next(number for number, tag in TiffTags.TAGS_V2.items() if tag.name == "BitsPerSample")
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_MODES_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
DARKEST_WHITE = 1 << 14
"""Of 16 bits: if next to no value is as large, it is taken for a picture of 10, 12 or 14, whose white is unknown."""
FEW = 1000
"""One of so many pixels may be brighter: a hot pixel of a sensor, or a mark."""
INVISIBLE = "is fully transparent: nothing of its picture can be seen"
"""Fault, as the end of a sentence that begins with the image."""
UNKNOWN_WHITE = (
    f"its values of 16 bits are nearly all below {DARKEST_WHITE}, as those of 10, 12 or 14 bits are, so that its white "
    "is unknown: save it with 8 bits, or with the full range of 16"
)
_SUPPORTED = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", *_MODES_16)
# A profile that differs from sRGB by at most this many of 255 levels counts as sRGB: such differences are rounding.
_ROUNDING = 2
_ROWS_PER_STEP = 256


class UnknownColours(Exception):
    """The pixels cannot be converted, because their black and white levels are undefined."""


def check_mode(mode: str) -> None:
    """Check that `to_8_bits` supports a mode.

    Raises:
        UnknownColours: Floating-point or otherwise unusual pixels.
    """
    if mode == "F":
        raise UnknownColours("floating-point pixels have no defined white; save it with 8 or 16 bits a channel")
    if mode not in _SUPPORTED:
        raise UnknownColours(f"pixels of mode {mode} are not supported; save it as RGB")


def to_8_bits(image: Image.Image, is_white_zero: bool = False, is_deep: bool = False) -> Image.Image:
    """Convert an opened image to 8 bits a channel without a palette: mode L, LA, RGB, RGBA, CMYK, YCbCr or LAB.

    16-bit values are scaled by their full range, not by the range that the image uses, because brightness carries
    meaning.

    Args:
        image: The image.
        is_white_zero: Whether the lowest value of 16-bit grey is white.
        is_deep: Whether the file has 16 bits a channel, of which Pillow keeps 8 if it has color.

    Raises:
        UnknownColours: 32-bit integers beyond 16 bits, or 16 bits of which only the lower ones are used.
    """
    if image.mode in _MODES_16:
        return _from_16_bits(image, is_white_zero)
    if is_deep and not _has_white(_brightest(image), DARKEST_WHITE >> 8):  # of black, the lower bits are lost
        raise UnknownColours(UNKNOWN_WHITE)
    if "transparency" in image.info or image.mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    if image.mode in ("P", "RGBX"):
        return image.convert("RGB")
    if image.mode == "La":
        return image.convert("LA")
    return image.convert("L") if image.mode == "1" else image


def to_srgb(image: Image.Image, profile: bytes | None, background: str) -> Image.Image:
    """Convert an image that `to_8_bits` returned to RGB in sRGB.

    Args:
        image: The pixels.
        profile: The file's ICC profile; None if it has none.
        background: Colour shown behind transparent pixels, as Pillow names colours, in sRGB.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if image.mode == "LAB":
        opaque = _lab_transform().apply(image)
    else:
        opaque = _opaque(image)
        transform = _transform(profile, opaque.mode) if profile else None
        opaque = transform.apply(opaque) if transform else opaque.convert("RGB")
    opaque.info.clear()
    if alpha is None:
        return opaque
    paper = Image.new("RGB", image.size, background)
    paper.paste(opaque, mask=alpha)
    return paper


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.getchannel("L") if image.mode == "LA" else image.convert("RGB")


def _brightest(image: Image.Image) -> np.ndarray:
    """Return the highest value of all channels but alpha, `[height, width]`."""
    bands = [np.asarray(image.getchannel(band)) for band in image.getbands() if band not in "Aa"]
    return functools.reduce(np.maximum, bands)


def _has_white(levels: np.ndarray, least: int) -> bool:
    """Return whether more than a few levels reach the least one of white."""
    return int(np.count_nonzero(levels >= least)) > levels.size // FEW


def _from_16_bits(image: Image.Image, is_white_zero: bool) -> Image.Image:
    white = 65535
    tags = getattr(image, "tag_v2", None)
    if tags is not None and image.mode != "I" and tags.get(_BITS_PER_SAMPLE, (16,))[0] == 12:
        white = 4095
    deep = np.asarray(image)
    if image.mode == "I" and (deep.min() < 0 or deep.max() > white):
        raise UnknownColours("32-bit integers have no defined white; save it with 8 or 16 bits a channel")
    if white == 65535 and deep.any() and not _has_white(deep, DARKEST_WHITE):
        raise UnknownColours(UNKNOWN_WHITE)
    scaled = np.empty(deep.shape, np.uint8)
    for row in range(0, len(deep), _ROWS_PER_STEP):  # in steps, to avoid a wider copy of the whole image
        part = np.minimum(deep[row : row + _ROWS_PER_STEP].astype(np.uint32), white)
        part = white - part if is_white_zero else part
        scaled[row : row + _ROWS_PER_STEP] = (part * 255 + white // 2) // white
    grey = Image.fromarray(scaled)
    key = image.info.get("transparency")
    if isinstance(key, int):  # the one level that a 16-bit PNG declares transparent
        grey.putalpha(Image.fromarray(np.where(deep == key, 0, 255).astype(np.uint8)))
    return grey


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB, or None if it changes nothing or the profile is for other pixels."""
    if len(profile) > bounds.MAX_PROFILE:
        raise UnknownColours(
            f"its color profile has {len(profile)} bytes, more than {bounds.MAX_PROFILE}; save it as sRGB"
        )
    return (_of_small if len(profile) <= bounds.SMALL_PROFILE else _of_large)(profile, mode)


def _built(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES.get(mode):
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


# Building a transform takes longer than decoding an image. The profiles are the keys: large ones would fill the memory.
_of_small = functools.lru_cache(bounds.SMALL_PROFILES)(_built)
_of_large = functools.lru_cache(bounds.LARGE_PROFILES)(_built)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform leaves a grid of colours unchanged. Profile names do not tell: sRGB has hundreds."""
    levels: np.ndarray = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "RGB":
        levels = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    before = Image.fromarray(np.atleast_2d(levels))
    after = np.asarray(transform.apply(before), dtype=int)
    return bool(np.abs(after - np.asarray(before.convert("RGB"), dtype=int)).max() <= _ROUNDING)


@functools.cache
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
