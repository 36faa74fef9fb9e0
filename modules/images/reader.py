"""Read an untrusted image file, and decide what a raw example stores of it.

What the exported graph reads itself (`graph_read`) is read by it here as well, and keeps its bytes if it is not too
large. Larger images, and all others that Pillow reads (`pillow_read`, in a process of its own), are stored as the
upright 8-bit sRGB pixels, in a PNG: an image is never compressed with a loss a second time.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from edgetune.modules.core.threads import Budget
from edgetune.modules.images import graph_read, perceptual_hash, pillow_process, plain, png_chunks
from edgetune.modules.images.headers import JPEG, PNG
from edgetune.modules.images.pillow_read import Unusable, check_size, faults
from edgetune.modules.images.reading import Reading

__all__ = ["ReadImage", "Unusable", "read_image", "read_images"]

# zlib's fastest level: a twentieth larger than its default level, in a third of the time (benchmarks/ingest/stored.py).
_PNG_LEVEL = 1
# TensorFlow's PNG decoder refuses images of so many pixels.
_TOO_MANY_PIXELS = 1 << 29
# All reading threads together hold the pixels of at most one image of data.max_pixels.
_pixels = Budget()


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
    is_plain: bool
    """Whether `encoded` is whole, and `graph_read.read_stored` only has to decode it."""
    appearance: perceptual_hash.Appearance
    """What the search for duplicates and the statistics use of the image."""


def read_image(content: bytes, reading: Reading) -> ReadImage:
    """Read an image file.

    Args:
        content: The bytes of the file.
        reading: Options.

    Raises:
        Unusable: The file is empty, not an image, of an unsupported format or mode, damaged, or too large, or it ends
            the process in which Pillow reads it.
        MemoryShortage: As of `pillow_process.read`.
    """
    [found] = read_images([content], reading)
    if isinstance(found, Unusable):
        raise found
    return found


def read_images(contents: Iterable[bytes], reading: Reading) -> list[ReadImage | Unusable]:
    """Read several image files as `read_image` does, in less time, with the pixels of one at a time in memory.

    Args:
        contents: The bytes of the files; the next one is only asked for when the last one is read.
        reading: Options.

    Returns:
        For each file the image, or why it is not usable.

    Raises:
        MemoryShortage: As of `pillow_process.read`.
    """
    found: list[_Stored | Unusable] = []
    for content in contents:
        try:
            found.append(_read(content, reading))
        except Unusable as error:
            found.append(error)
    looks = iter(perceptual_hash.appearances([one.small for one in found if isinstance(one, _Stored)]))
    return [one if isinstance(one, Unusable) else ReadImage(*one[:-1], next(looks)) for one in found]


class _Stored(NamedTuple):
    """A `ReadImage` before its appearance is computed."""

    encoded: bytes
    width: int
    height: int
    digest: str
    is_plain: bool
    small: Image.Image


def _read(content: bytes, reading: Reading) -> _Stored:
    if not content:
        raise Unusable("the file is empty")
    if content.startswith(PNG) and (wrong := png_chunks.wrong_checksum(content)):
        raise Unusable(wrong)  # TensorFlow's decoder does not look at it
    if content.startswith((JPEG, PNG)):
        if reading.verify:  # outside of `faults`: without memory for a process, no file is damaged
            pillow_process.read(content, reading, lambda number: _held(number, reading), verify=True)
        with faults(content, reading):
            if (read := _read_by_graph(content, reading)) is not None:
                return read
    pixels = pillow_process.read(content, reading, lambda number: _held(number, reading))
    if pixels.size >= _TOO_MANY_PIXELS * graph_read.CHANNELS:
        raise Unusable("it has more pixels than TensorFlow can decode; set data.max_side")
    return _describe(None, pixels)


def _held(number: int, reading: Reading) -> AbstractContextManager[None]:
    return _pixels.spend(number, reading.max_pixels)


def _read_by_graph(content: bytes, reading: Reading) -> _Stored | None:
    """Return a JPEG or PNG as the exported graph reads it; None if it refuses the image.

    Pillow, in Python code, reads no more than the header here, and not even that of a plain JPEG.
    """
    header = plain.inspect(content)
    if header is not None and content.startswith(JPEG):
        size: tuple[int, int] = header.width, header.height
    else:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            size = image.size
    check_size(size, reading.max_pixels)
    with _held(size[0] * size[1], reading):
        pixels = _by_graph(content, reading, header)
        if pixels is None:
            return None
        # TensorFlow's own decoder leaves a transparent color opaque, so such a PNG is stored as the graph shows it.
        is_keyed = content.startswith(PNG) and png_chunks.may_be_keyed(content)
        keeps = max(size) <= reading.side and not is_keyed
        return _describe(content if keeps else None, pixels, graph_read.is_as_decoded(header, reading))


def _by_graph(content: bytes, reading: Reading, header: plain.Plain | None = None) -> np.ndarray | None:
    """Return the pixels that the exported graph reads, uint8 `[height, width, 3]`; None if it refuses the image.

    It refuses files that Pillow reads and TensorFlow's decoders do not, such as those that lack their last bytes.
    """
    try:
        fault, pixels = graph_read.attempt(content, reading, header)
    except tf.errors.InvalidArgumentError as error:  # Pillow would hide that no server can read such photographs
        raise Unusable("the exported graph fails on it, though TensorFlow decodes it: a bug in edgetune") from error
    return None if fault else pixels


def _as_png(pixels: np.ndarray) -> bytes:
    return bytes(tf.io.encode_png(pixels, _PNG_LEVEL).numpy())


def _describe(kept: bytes | None, pixels: np.ndarray, is_plain: bool = True) -> _Stored:
    """Describe an image, kept as a file that may be plain or stored as PNG, by the pixels that are read from it."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    small = perceptual_hash.small(pixels)
    if kept is None:
        return _Stored(_as_png(pixels), width, height, digest.hexdigest(), True, small)
    return _Stored(kept, width, height, digest.hexdigest(), is_plain, small)
