"""Read numbers from the bytes of a file inside a TensorFlow graph, many with a few operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

BIG = np.array([[1 << 24], [1 << 16], [1 << 8], [1]], np.int32)
"""Weights of the bytes of one big-endian number of 32 bits, for `numbers`; it is negative from 2**31 on."""


def octets(content: tf.Tensor, padding: int) -> tf.Tensor:
    """Return the bytes of a string scalar with so many zeros behind them, so that a damaged length reads those: uint8.

    The result is a vector.
    """
    return tf.io.decode_raw(tf.strings.join([content, tf.constant(bytes(padding))]), tf.uint8)


def rows(data: tf.Tensor, at: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` bytes of uint8 `[...]` from each position int32 `[...]`: int32 `[..., count]`."""
    return tf.cast(tf.gather(data, at[..., tf.newaxis] + np.arange(count, dtype=np.int32)), tf.int32)


def numbers(data: tf.Tensor, at: tf.Tensor, weights: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Return numbers from bytes uint8 `[...]`: sums of the bytes at positions int32 `[..., N]`, each by its weight.

    Args:
        data: The bytes.
        at: Positions.
        weights: int32 `[count, M]`: of the `count` bytes from a position on, for each of M numbers.

    Returns:
        int32 `[..., N, M]`.
    """
    return tf.matmul(rows(data, at, weights.shape[-2]), weights)


def code(name: str) -> int:
    """Return four letters as the number that they are with the weights `BIG`."""
    return int.from_bytes(name.encode(), "big")


def reason(*faults: tuple[tf.Tensor, str]) -> tf.Tensor:
    """Return the text of the first fault whose bool scalar is true, as a string scalar; empty if there is none."""
    conditions: Sequence[tf.Tensor] = [*(fault for fault, _ in faults), tf.constant(True)]
    texts = tf.constant([*(text for _, text in faults), ""])
    return tf.gather(texts, tf.argmax(tf.cast(tf.stack(conditions), tf.int32)))
