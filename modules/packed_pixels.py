"""Pixels as transformed examples hold them: as many bytes as there are values, of which gzip makes half as many.

    planes        green, red less green, blue less green: in photographs, the three channels resemble each other
    differences   each row less the row above it, modulo 256, but for the first of every few rows

What is left are small numbers, most of the same few. Gzip with Huffman coding alone then makes 0.53 of the size in half
the time in which its ordinary search for repetitions, in pixels as they are, makes 0.76. Nothing is lost.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

_ROWS = 16
"""Rows that build on each other, at most: so many additions, one after the other, bring them back."""


def pack(raw: bytes) -> bytes:
    """Packs the pixels of a square image.

    Args:
        raw: uint8 `[S, S, 3]` RGB, in that order.

    Returns:
        As many bytes.
    """
    size = math.isqrt(len(raw) // 3)
    red, green, blue = np.moveaxis(np.frombuffer(raw, np.uint8).reshape(size, size, 3), -1, 0)
    planes = np.stack([green, red - green, blue - green]).reshape(-1, _together(size), size)
    packed = planes.copy()
    packed[:, 1:] -= planes[:, :-1]
    return packed.tobytes()


def unpack(packed: tf.Tensor, size: int) -> tf.Tensor:
    """What `pack` packed: a string scalar to uint8 `[size, size, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: It is of another size.
    """
    rows = tf.unstack(tf.reshape(tf.io.decode_raw(packed, tf.uint8), [-1, _together(size), size]), axis=1)
    for number in range(1, len(rows)):
        rows[number] += rows[number - 1]
    green, red, blue = tf.unstack(tf.reshape(tf.stack(rows, axis=1), [3, size, size]))
    return tf.stack([red + green, green, blue + green], axis=-1)


def _together(size: int) -> int:
    """Rows that build on each other, so that the number of rows is a multiple."""
    return next(rows for rows in range(_ROWS, 0, -1) if size % rows == 0)
