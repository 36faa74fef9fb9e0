"""Read the header of a JPEG inside a TensorFlow graph (ITU-T T.81, annex B; Exif 2.32, 4.7; ICC.1:2022, B.4)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes
from edgetune.modules.images.graph_bytes import NONE, byte, part, short, starts_with
from edgetune.modules.images.graph_header import Header
from edgetune.modules.images.headers import MAX_SCANS

START = b"\xff\xd8\xff"
_END, _SCAN = 0xD9, 0xDA
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
# Bytes of the segment of each marker; 0x00 and 0xFF do not mark any.
_STATED = 0
_LENGTHS = np.full(256, _STATED, np.int32)
_LENGTHS[[0x00, 0xFF]] = 1
_LENGTHS[[0x01, *range(0xD0, 0xD9)]] = 2
_LENGTHS[[_SCAN, _END]] = graph_bytes.REST
# Phones write a few dozen; extended XMP takes one for each 64 kB.
_MAX_SEGMENTS = 1000


def header(content: tf.Tensor) -> Header:
    """Return the header of a JPEG, a string scalar."""
    data = graph_bytes.padded(content)
    at, words = graph_bytes.walk(data, 2, _step, _MAX_SEGMENTS)
    codes = tf.where(_is_marker(words), _code(words), 0)
    lengths = words % (1 << 16)
    is_frame = (codes >= 0xC0) & (codes <= 0xCF) & ~_any(codes, (0xC4, 0xC8, 0xCC))
    frame, scan = graph_bytes.first(is_frame, at), graph_bytes.first(codes == _SCAN, at)
    here, there = tf.maximum(frame, 0), tf.maximum(scan, 0)
    height, width, channels = short(data, here + 5), short(data, here + 7), byte(data, here + 9)
    is_icc = (codes == 0xE2) & starts_with(data, at + 4, _ICC)
    icc, parts = graph_bytes.first(is_icc, at), tf.math.count_nonzero(is_icc)

    def body(is_one: tf.Tensor, prefix: int) -> tf.Tensor:
        found = graph_bytes.first(is_one, tf.range(tf.size(at)))
        row = tf.maximum(found, 0)
        return tf.where(found < 0, b"", part(data, at[row] + 4 + prefix, lengths[row] - 2 - prefix))

    # Otherwise a decoder reads one scan, whatever follows.
    has_more_scans = _any(byte(data, here + 1), _PROGRESSIVE) | (byte(data, there + 4) < channels)
    too_many = tf.cond(has_more_scans & (scan >= 0), lambda: _too_many_scans(content, data), lambda: tf.constant(False))
    fault = graph_bytes.reason(
        ((frame == NONE) | (scan == NONE) | (height < 1) | (width < 1), "cannot be decoded: its header is damaged"),
        (byte(data, here + 4) != 8, "is a JPEG with more than 8 bits a channel: send one with 8"),
        ((channels != 1) & (channels != 3) & (channels != 4), "is a JPEG that is not grey, RGB or CMYK: send RGB"),
        (too_many, f"is a JPEG of more than {MAX_SCANS} scans: send one with fewer"),
        ((icc != NONE) & (channels == 4), "is CMYK with a color profile: send it as sRGB"),
        ((parts > 1) | ((icc != NONE) & (byte(data, icc + 17) > 1)), "has a large color profile: send it as sRGB"),
    )
    return Header(
        fault=fault,
        height=height,
        width=width,
        channels=channels,
        is_deep=tf.constant(False),
        has_alpha=tf.constant(False),
        exif=body((codes == 0xE1) & starts_with(data, at + 4, _EXIF), len(_EXIF)),
        xmp=body((codes == 0xE1) & starts_with(data, at + 4, _XMP), len(_XMP)),
        profile=body(is_icc, len(_ICC) + 2),
    )


def _code(words: tf.Tensor) -> tf.Tensor:
    return words // (1 << 16) % (1 << 8)


def _is_marker(words: tf.Tensor) -> tf.Tensor:
    return (words // (1 << 24) == -1) & (_code(words) != 0) & (_code(words) != 0xFF)


def _any(value: tf.Tensor, of: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(value[..., tf.newaxis] == tf.constant(of), axis=-1)


def _step(first: tf.Tensor) -> tf.Tensor:
    """Return the length of a segment; of one byte that does not begin any, as decoders skip those."""
    code = tf.clip_by_value(first // (1 << 16) + 0x100, 0, 0xFF)  # 0xFF in front makes it negative
    known = tf.gather(_LENGTHS, code)
    return tf.where(known == _STATED, 2 + first % (1 << 16), known)


def _too_many_scans(content: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """Return whether a JPEG has more than `MAX_SCANS` scans: a few bytes that take minutes to decode."""
    octets = tf.io.decode_raw(content, tf.uint8)
    is_possible = tf.math.count_nonzero((octets[:-1] == 0xFF) & (octets[1:] == _SCAN)) > MAX_SCANS

    def count() -> tf.Tensor:
        """Count exactly: comments and images behind the end of this one may have the same bytes."""
        second = octets[1:]
        is_next = (octets[:-1] == 0xFF) & (second != 0) & (second != 0xFF) & ((second < 0xD0) | (second > 0xD7))
        markers = tf.concat([tf.cast(tf.where(is_next)[:, 0], tf.int32), [tf.size(octets)]], axis=0)

        def follow(at: tf.Tensor, scans: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            at = markers[tf.searchsorted(markers, at[tf.newaxis])[0]]
            word = graph_bytes.word(data, at)
            code = _code(word)
            length = tf.where((code == 0x01) | (code == 0xD8), 2, 2 + word % (1 << 16))
            ahead = tf.where(code == _END, tf.size(octets), tf.minimum(at + length, tf.size(octets)))
            return ahead, scans + tf.cast(code == _SCAN, tf.int32)

        start = (tf.constant(2), tf.constant(0))
        _, scans = tf.while_loop(lambda at, scans: (at < tf.size(octets)) & (scans <= MAX_SCANS), follow, start)
        return scans > MAX_SCANS

    return tf.cond(is_possible, count, lambda: tf.constant(False))
