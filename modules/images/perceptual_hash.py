"""Compute perceptual signatures: 80 bytes that are similar for near-duplicates and different for other images.

The hash is the DCT hash (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010) with 256
bits instead of 64: of the luma at 64 x 64 pixels, the 16 x 16 lowest frequencies without the constant ones, one bit
each for above or below their median. 64 bits are too few for small or plain images: of the 1,797 digits of 8 x 8
pixels, 370 pairs are within 6 of 64 bits of each other, and none is within 24 of 256.

The hash ignores colour and brightness, so a signature also has a grid of 4 x 4 means: the same shape in red and in blue
makes two different images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import fft

from edgetune.modules.images.picture_facts import PictureFacts, picture_facts

BITS = 256
GRID = 4 * 4 * 3
SIGNATURE = BITS // 8 + GRID
"""Bytes of a signature: the hash, then luma and the two chromas of the grid, each 0..255."""
MAX_DISTANCE = 24
"""Largest number of different bits for which the search for candidates is fast."""

_SIDE, _FREQUENCIES = 64, 16
# Coefficients of the orthonormal DCT below this are rounding and compression, not content.
_MIN_COEFFICIENT = 1.0
# With fewer frequencies, most bits of the hash are noise: flat areas, single stripes and gradients would all match.
_MIN_FREQUENCIES = 64
# Much larger for luma than for chroma, to match pictures that were brightened. In 8-bit levels.
_TOLERANCE = np.repeat(np.array([64, 24, 24], np.int16)[None], 16, axis=0).ravel()
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True)
class Appearance:
    """What the search for duplicates and the statistics use of an image."""

    signature: bytes
    """`SIGNATURE` bytes; empty if the image is so plain that only its exact pixels distinguish it."""
    means: tuple[float, float, float]
    """Mean of red, green and blue, 0..255."""
    facts: PictureFacts
    """What there is to see."""


def appearance(pixels: np.ndarray) -> Appearance:
    """Compute the signature, the means and the facts of an upright image, from 64 x 64 pixels.

    Args:
        pixels: RGB, uint8 `[height, width, 3]`.
    """
    return appearances([small(pixels)])[0]


def small(pixels: np.ndarray) -> Image.Image:
    """Scale uint8 `[height, width, 3]` to the 64 x 64 pixels that `appearances` takes."""
    return Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def appearances(images: Sequence[Image.Image]) -> list[Appearance]:
    """Compute the appearances of images that `small` returned, which do not depend on each other.

    Together they take half the time, most of which is calls of functions on few numbers.
    """
    if not images:
        return []
    rgb = np.stack([np.asarray(image) for image in images])
    means = rgb.mean(axis=(1, 2), dtype=np.float64)
    pixels = np.stack([np.asarray(image.convert("YCbCr")) for image in images]).astype(np.float32)
    low = fft.dctn(pixels[..., 0], axes=(1, 2), norm="ortho")[:, 1 : _FREQUENCIES + 1, 1 : _FREQUENCIES + 1]
    low = np.ascontiguousarray(low).reshape(len(images), -1)
    is_plain = np.count_nonzero(np.abs(low) >= _MIN_COEFFICIENT, axis=1) < _MIN_FREQUENCIES
    hashes = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
    # Sums of so few levels are exact in any order.
    grids = np.rint(pixels.reshape(-1, 4, _SIDE // 4, 4, _SIDE // 4, 3).mean(axis=(2, 4))).astype(np.uint8)
    signatures = np.concatenate([hashes, grids.reshape(len(images), -1)], axis=1)
    return [
        Appearance(b"" if plain else signature.tobytes(), tuple(colors), picture_facts(*seen))
        for plain, signature, colors, *seen in zip(
            is_plain.tolist(), signatures, means.tolist(), rgb, pixels, strict=True
        )
    ]


def as_array(signatures: list[bytes]) -> np.ndarray:
    """Convert signatures to uint8 `[N, SIGNATURE]`."""
    return np.frombuffer(b"".join(signatures), np.uint8).reshape(-1, SIGNATURE)


def near(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
    """Return for each row whether the images in `left` and `right` look alike.

    Args:
        left: Signatures, uint8 `[N, SIGNATURE]`.
        right: As many signatures.
        distance: Largest number of different bits in the hashes, 0 to `MAX_DISTANCE`.

    Returns:
        bool `[N]`.
    """
    split = BITS // 8
    alike = _ONES[left[:, :split] ^ right[:, :split]].sum(axis=1, dtype=np.uint16) <= distance
    rows = np.flatnonzero(alike)
    grids = left[rows, split:].astype(np.int16) - right[rows, split:].astype(np.int16)
    alike[rows] = (np.abs(grids) <= _TOLERANCE).all(axis=1)
    return alike
