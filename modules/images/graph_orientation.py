"""Find how a photograph is turned, in EXIF or XMP, and turn it upright, inside a TensorFlow graph.

EXIF comes first, as in Pillow and in phones' galleries; XMP counts if EXIF does not name an orientation.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes

UPRIGHT = 1
_ORIENTATION, _BYTE, _SHORT, _LONG = 0x0112, 1, 3, 4
_ENTRY = 12
# The entries of a directory are sorted by their tags, and only a few dozen tags are below this one.
_MOST_ENTRIES = 100
_IN_XMP = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'
_PLACES = np.arange(_MOST_ENTRIES, dtype=np.int32)
# Orientations in which the rows are upside down, in which the columns are mirrored, and the channels: none.
_MIRRORED = ((3, 4, 7, 8), (2, 3, 6, 7), (0, 0, 0, 0))


def _weights() -> np.ndarray:
    """Return for Motorola's and Intel's byte order the weights of an entry's bytes: int32 `[2, 12, 6]`.

    They give the tag, the type, the number of values, and the value as 16, 32 and 8 bits.
    """
    weights = np.zeros((2, _ENTRY, 6), np.int64)
    for number, (at, size) in enumerate([(0, 2), (2, 2), (4, 4), (8, 2), (8, 4), (8, 1)]):
        little = [1 << 8 * place for place in range(size)]
        weights[:, at : at + size, number] = [little[::-1], little]
    return weights.astype(np.int32)


_WEIGHTS = _weights()


def orientation(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """Return the orientation, 1..8 as in EXIF.

    Args:
        exif: String scalar: a TIFF header with its directories, in either byte order; empty if there is none.
        xmp: String scalar: the XMP packet; empty if there is none.

    Returns:
        int32 scalar; 1, upright, if none is stated that can be read.
    """
    stated = tf.cond(exif != "", lambda: _of_exif(exif), lambda: tf.constant(0))
    stated = tf.where(stated == 0, _of_xmp(xmp), stated)
    return tf.where((stated >= 1) & (stated <= 8), stated, UPRIGHT)


def _of_exif(exif: tf.Tensor) -> tf.Tensor:
    """Return the value of the tag (TIFF 6.0, section 2; Exif 2.32, 4.6.4); 0 if the first directory lacks the tag."""
    tiff = tf.strings.regex_replace(exif, r"^(?:Exif\x00\x00)+", "")  # in PNGs of some programs
    data = graph_bytes.octets(tiff, (_MOST_ENTRIES + 2) * _ENTRY)
    order = tf.strings.substr(tiff, 0, 4)
    weights = tf.gather(_WEIGHTS, tf.cast(order == b"II*\0", tf.int32))
    length = tf.strings.length(tiff)
    _, _, directory, *_ = tf.unstack(graph_bytes.numbers(data, np.zeros(1, np.int32), weights), axis=1)  # 32 bits at 4
    directory = tf.where((directory < 0) | (directory > length), length, directory)
    count, *_ = tf.unstack(graph_bytes.numbers(data, directory, weights), axis=1)
    count = tf.minimum(count, (length - directory - 2) // _ENTRY)
    entries = graph_bytes.numbers(data, directory + 2 + _ENTRY * _PLACES, weights)
    tags, kinds, number, short, long, byte = tf.unstack(entries, axis=1)
    value = tf.where(kinds == _LONG, long, tf.where(kinds == _BYTE, byte, short))
    is_valid = ((kinds == _BYTE) | (kinds == _SHORT) | (kinds == _LONG)) & (number == 1) & (value > 0)
    is_found = (tags == _ORIENTATION) & (count > _PLACES) & tf.reduce_any(order == [b"II*\0", b"MM\0*"])
    return tf.reduce_max(tf.where(is_found, tf.where(is_valid, value, UPRIGHT), 0))


def _of_xmp(xmp: tf.Tensor) -> tf.Tensor:
    value = tf.strings.regex_replace(xmp, _IN_XMP, r"\1")
    is_found = tf.strings.regex_full_match(value, "[0-9]")
    return tf.strings.to_number(tf.where(is_found, value, "0"), tf.int32)


def turn(pixels: tf.Tensor, stated: tf.Tensor) -> tf.Tensor:
    """Return the upright image of `[height, width, channels]` that is stored in an orientation, 1..8."""

    def turned() -> tf.Tensor:
        # 5 to 8 swap the sides. Then the rows are upside down, or the columns are mirrored, or both.
        image = tf.transpose(pixels, tf.gather([[0, 1, 2], [1, 0, 2]], tf.cast(stated >= 5, tf.int32)))
        mirrored = tf.reduce_any(tf.constant(_MIRRORED) == stated, axis=1)
        return tf.raw_ops.Reverse(tensor=image, dims=mirrored)

    return tf.cond(stated == UPRIGHT, lambda: pixels, turned)
