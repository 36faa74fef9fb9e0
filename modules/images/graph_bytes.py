"""Read numbers from the bytes of a file inside a TensorFlow graph, many with a few operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def octets(content: tf.Tensor, padding: int) -> tf.Tensor:
    """Return the bytes of a string scalar, uint8 `[N]`, and behind them `padding` zeros.

    A position that a damaged file states may lie behind its end: what is read from there are zeros.
    """
    return tf.io.decode_raw(tf.strings.join([content, tf.constant(bytes(padding))]), tf.uint8)


def rows(data: tf.Tensor, at: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` bytes of uint8 `[...]` from each position int32 `[...]`: int32 `[..., count]`."""
    return tf.cast(tf.gather(data, tf.expand_dims(at, -1) + np.arange(count, dtype=np.int32)), tf.int32)


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


def words(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return big-endian numbers of 32 bits at positions int32 `[...]`: int32 `[...]`, from 2**31 on negative."""
    return tf.bitcast(tf.gather(data, tf.expand_dims(at, -1) + np.arange(4, dtype=np.int32)[::-1]), tf.int32)


def code(name: str) -> int:
    """Return four letters as the number that `words` returns for them."""
    return int.from_bytes(name.encode(), "big")


def reason(*faults: tuple[tf.Tensor, str]) -> tf.Tensor:
    """Return the text of the first fault whose bool scalar is true, as a string scalar; empty if there is none."""
    conditions: Sequence[tf.Tensor] = [*(fault for fault, _ in faults), tf.constant(True)]
    texts = tf.constant([*(text for _, text in faults), ""])
    return tf.gather(texts, tf.argmax(tf.cast(tf.stack(conditions), tf.int32)))
