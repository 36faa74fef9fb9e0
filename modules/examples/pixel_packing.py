"""Pack pixels losslessly for transformed examples: as many bytes as before, but half as many after gzip.

    planes        green, red minus green, blue minus green: in photographs, the three channels are similar
    differences   each row minus the row above, then each column minus the column to its left, modulo 256

The results are small numbers, mostly the same few. Huffman coding alone then compresses to 0.55 of the size in half the
time that gzip's ordinary search for repetitions takes to compress plain pixels to 0.76.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

_ROWS, _COLUMNS = 1, 2


def pack(raw: bytes) -> bytes:
    """Pack the pixels of a square image.

    Args:
        raw: The bytes of uint8 `[S, S, 3]`, RGB.

    Returns:
        The same number of bytes.
    """
    size = math.isqrt(len(raw) // 3)
    red, green, blue = np.moveaxis(np.frombuffer(raw, np.uint8).reshape(size, size, 3), -1, 0)
    planes = np.stack([green, red - green, blue - green])
    rows = planes.copy()
    rows[:, 1:] -= planes[:, :-1]
    packed = rows.copy()
    packed[:, :, 1:] -= rows[:, :, :-1]
    return packed.tobytes()


def unpack(packed: tf.Tensor, size: int) -> tf.Tensor:
    """Unpack the output of `pack`: a string scalar to uint8 `[size, size, 3]`.

    This uses numpy, and so only works in a data pipeline of this process: TensorFlow's cumulative sums take twice as
    long on bytes.

    Raises:
        tf.errors.InvalidArgumentError: The image has another size.
    """
    planes = tf.reshape(tf.io.decode_raw(packed, tf.uint8), [3, size, size])
    return tf.ensure_shape(tf.numpy_function(_unpacked, [planes], tf.uint8, stateful=False), [size, size, 3])


def _unpacked(planes: np.ndarray) -> np.ndarray:
    for axis in (_COLUMNS, _ROWS):
        planes = np.add.accumulate(planes, axis, dtype=np.uint8)
    green, red, blue = planes
    return np.stack([red + green, green, blue + green], axis=-1)
