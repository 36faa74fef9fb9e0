"""Read the structure of a file inside a TensorFlow graph: numbers, and chains of segments or chunks.

Every function takes a string scalar that ends with `PADDING` zero bytes, so that a damaged length never leads to a read
outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

PADDING = 64
NONE = -1
"""Position of what was not found."""
REST = 1 << 30
"""Length of a part behind which nothing is read."""


def padded(content: tf.Tensor) -> tf.Tensor:
    """Return a string scalar with `PADDING` zero bytes at its end."""
    return tf.strings.join([content, tf.constant(bytes(PADDING))])


def word(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return four bytes as a big-endian int32 scalar; numbers from 2**31 are negative."""
    return tf.io.decode_raw(tf.strings.substr(data, at, 4), tf.int32, little_endian=False)[0]


def short(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return two bytes as a big-endian int32 scalar, 0..65535."""
    return word(data, at) // (1 << 16) % (1 << 16)


def byte(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return one byte as an int32 scalar, 0..255."""
    return word(data, at) // (1 << 24) % (1 << 8)


def code(name: str) -> int:
    """Return four letters as `word` reads them."""
    return int.from_bytes(name.encode(), "big")


def walk(data: tf.Tensor, start: int, step: Callable[[tf.Tensor], tf.Tensor], most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Follow a chain of parts.

    Args:
        data: The file, padded.
        start: Position of the first part.
        step: Maps a part's first four bytes (`word`) to the number of bytes to the next part, at most `REST` and a few.
        most: The chain is cut off after so many parts.

    Returns:
        The parts' positions and the first four bytes of each, both int32 `[N]`.
    """
    end = tf.strings.length(data) - PADDING

    def follow(at: tf.Tensor, count: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        return tf.minimum(at + step(word(data, at)), end), count + 1, found.write(count, at)

    found = tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[])
    _, _, found = tf.while_loop(
        lambda at, count, _: (at < end) & (count < most), follow, (tf.minimum(start, end), tf.constant(0), found)
    )
    positions = tf.ensure_shape(found.stack(), [None])
    return positions, words(data, positions)


def words(data: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Return `word` for positions int32 `[N]`: int32 `[N]`."""
    return tf.bitcast(tf.reverse(_gather(data, at, 4), [1]), tf.int32)


def _gather(data: tf.Tensor, at: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` bytes from each position int32 `[N]`: uint8 `[N, count]`."""
    # One copy of the bytes up to the last position; a string for each position would hold the whole file.
    beginning = tf.strings.substr(data, 0, tf.reduce_max(tf.concat([at, [0]], axis=0)) + count)
    return tf.gather(tf.io.decode_raw(beginning, tf.uint8), at[:, tf.newaxis] + tf.range(count))


def first(found: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return of values int32 `[N]` the first for which bool `[N]` is true, else `NONE`."""
    place = tf.argmax(tf.cast(tf.concat([found, [True]], axis=0), tf.int32))
    return tf.gather(tf.concat([values, [NONE]], axis=0), place)


def last(found: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return of values int32 `[N]` the last for which bool `[N]` is true, else `NONE`."""
    return first(tf.reverse(found, [0]), tf.reverse(values, [0]))


def starts_with(data: tf.Tensor, positions: tf.Tensor, prefix: bytes) -> tf.Tensor:
    """Return for each position int32 `[N]` whether the bytes there are `prefix`: bool `[N]`."""
    return tf.reduce_all(_gather(data, positions, len(prefix)) == np.frombuffer(prefix, np.uint8), axis=1)


def part(data: tf.Tensor, at: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return `length` bytes at a position; an empty string if the position is `NONE`."""
    return tf.where(at < 0, b"", tf.strings.substr(data, tf.maximum(at, 0), tf.maximum(length, 0)))


def reason(*faults: tuple[tf.Tensor, str]) -> tf.Tensor:
    """Return the text of the first fault whose bool scalar is true, as a string scalar; empty if there is none."""
    conditions: Sequence[tf.Tensor] = [*(fault for fault, _ in faults), tf.constant(True)]
    texts = tf.constant([*(text for _, text in faults), ""])
    return tf.gather(texts, tf.argmax(tf.cast(tf.stack(conditions), tf.int32)))
