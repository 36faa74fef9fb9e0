"""Test inside a TensorFlow graph whether a JPEG has all its data, as `jpeg_scans` does outside of one.

Of a JPEG with restarts, the graph does not test whether the decoder reaches the end of each part.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes, jpeg_scans

_FF, _END = 0xFF, 0xD9
_RESTARTS = np.arange(0xD0, 0xD8, dtype=np.uint8)
# What stands behind the data of a scan: a restart, a Huffman table, a scan.
_BEHIND = np.array([*_RESTARTS, 0xC4, 0xDA], np.uint8)
_OF_UNITS = np.arange(4, dtype=np.int32)


def end(data: tf.Tensor) -> tf.Tensor:
    """Return where in uint8 `[N]`, behind the header of a JPEG, the marker of its end is: int32; N - 1 if none."""
    is_end = (data[:-1] == _FF) & (data[1:] == _END)
    return tf.argmax(tf.concat([is_end, [True]], 0), output_type=tf.int32)


def with_noise(content: tf.Tensor, scan: tf.Tensor) -> tf.Tensor:
    """Return what `jpeg_scans.with_noise` does, a string scalar, of one whose first scan begins at an int32."""
    data = _from(content, scan)
    stop = end(data)
    at = scan + 1 + _markers(data[1:stop], _BEHIND)
    starts, ends = tf.concat([[0], at], 0), tf.concat([at, [scan + stop]], 0)
    noisy = tf.strings.reduce_join(tf.strings.substr(content, starts, ends - starts), separator=jpeg_scans.SHORT_NOISE)
    return tf.strings.join([noisy, jpeg_scans.NOISE, tf.strings.substr(content, scan + stop, -1)])


def with_other_end(content: tf.Tensor, scan: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return what `jpeg_scans.with_other_ends` does, a string scalar, of one without restarts."""
    data = _from(content, scan)
    last = data[: end(data)][-jpeg_scans.MOST_FILL :][::-1]
    is_fill = tf.cast((last == 0) | (last == _FF), tf.int32)
    stop = scan + end(data) - tf.reduce_sum(tf.math.cumprod(is_fill))
    other = tf.strings.substr(other, 0, tf.minimum(stop - scan - jpeg_scans.HEAD, tf.strings.length(other)))
    start = stop - tf.strings.length(other)
    return tf.strings.join([tf.strings.substr(content, 0, start), other, tf.strings.substr(content, stop, -1)])


def lacks_restarts(
    data: tf.Tensor, frame: tf.Tensor, scan: tf.Tensor, interval: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Return whether restarts of a JPEG of one scan are missing or out of order: bool scalar.

    Args:
        data: uint8 `[N]`: the bytes of the file.
        frame: int32: where the segment of the frame begins.
        scan: int32: where the scan begins.
        interval: int32: units between two restarts, at least 1.
        size: Height and width, int32.
    """
    channels = graph_bytes.rows(data, frame + 9, 1)[0]
    sampling = graph_bytes.rows(data, frame + 11 + 3 * _OF_UNITS, 1)[:, 0]
    sampling = tf.where(channels > _OF_UNITS, sampling, 0x11)
    units = [
        -(-side // (8 * tf.where(channels == 1, 1, tf.maximum(tf.reduce_max(of), 1))))
        for side, of in zip(size, (sampling % 16, sampling // 16), strict=True)
    ]
    needed = -(-units[0] * units[1] // interval) - 1
    behind = data[scan:]
    inside = behind[: end(behind)]
    numbers = tf.cast(tf.gather(inside, 1 + _markers(inside, _RESTARTS)), tf.int32) % 8
    few = tf.minimum(tf.size(numbers), tf.maximum(needed, 0))
    return (
        (tf.size(numbers) < needed)
        | (tf.size(numbers) > needed + 1)
        | tf.reduce_any(numbers[:few] != tf.range(few) % 8)
    )


def _from(content: tf.Tensor, scan: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_raw(tf.strings.substr(content, scan, -1), tf.uint8)


def _markers(data: tf.Tensor, kinds: np.ndarray) -> tf.Tensor:
    """Return where in uint8 `[N]` markers of some kinds are: int32 `[M]`."""
    at = tf.cast(tf.where(data[:-1] == _FF)[:, 0], tf.int32)  # one of 256 bytes
    found = tf.reduce_any(tf.gather(data, at + 1)[:, tf.newaxis] == kinds, axis=1)
    return tf.boolean_mask(at, found)
