"""Find how a photograph is turned, in EXIF or XMP, and turn it upright, inside a TensorFlow graph.

EXIF comes first, as in Pillow and in phones' galleries; XMP counts if EXIF does not name an orientation.
"""

from __future__ import annotations

import tensorflow as tf

from edgetune.modules.images import graph_bytes

UPRIGHT = 1
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4
_ENTRY = 12
_IN_XMP = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'


def orientation(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """Return the orientation, 1..8 as in EXIF.

    Args:
        exif: String scalar: a TIFF header with its directories, in either byte order; empty if there is none.
        xmp: String scalar: the XMP packet; empty if there is none.

    Returns:
        int32 scalar; 1, upright, if none is stated that can be read.
    """
    none = tf.constant(0)
    stated = tf.cond(tf.strings.length(exif) > 0, lambda: _of_exif(exif), lambda: none)
    stated = tf.cond((stated == 0) & (tf.strings.length(xmp) > 0), lambda: _of_xmp(xmp), lambda: stated)
    return tf.where((stated >= 1) & (stated <= 8), stated, UPRIGHT)


def _of_exif(exif: tf.Tensor) -> tf.Tensor:
    """Return the value of the tag (TIFF 6.0, section 2; Exif 2.32, 4.6.4); 0 if the first directory lacks the tag."""
    tiff = tf.strings.regex_replace(exif, r"^(?:Exif\x00\x00)+", "")  # in PNGs of some programs
    length = tf.strings.length(tiff)
    data = graph_bytes.padded(tiff)
    header = graph_bytes.word(data, 0)
    is_little = header == graph_bytes.code("II*\0")

    def numbers(at: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
        """Return 16-bit numbers in the file's byte order: int32 `[count]`."""
        octets = tf.strings.substr(data, at, 2 * count)
        orders = (tf.io.decode_raw(octets, tf.uint16, little_endian=is_first) for is_first in (True, False))
        return tf.cast(tf.where(is_little, *orders), tf.int32)

    start = tf.ensure_shape(numbers(4, 2), [2])
    high, low = tf.where(is_little, tf.reverse(start, [0]), start)[0], tf.where(is_little, start[0], start[1])
    directory = tf.where(high == 0, tf.minimum(low, length), length)
    count = tf.minimum(numbers(directory, 1)[0], tf.maximum(length - directory - 2, 0) // _ENTRY)
    # Of each entry: the tag, the type, two halves of the number of values, two of the value.
    tags, kinds, *halves = tf.unstack(
        tf.reshape(numbers(directory + 2, count * (_ENTRY // 2)), [-1, _ENTRY // 2]), axis=1
    )
    value = tf.where((kinds == _LONG) & ~is_little, halves[3], halves[2])
    is_valid = ((kinds == _SHORT) | (kinds == _LONG)) & (halves[0] + halves[1] == 1)
    found = graph_bytes.last(tags == _ORIENTATION, tf.where(is_valid & (value > 0), value, UPRIGHT))
    is_tiff = is_little | (header == graph_bytes.code("MM\0*"))
    return tf.where(is_tiff & (found != graph_bytes.NONE), found, 0)


def _of_xmp(xmp: tf.Tensor) -> tf.Tensor:
    value = tf.strings.regex_replace(xmp, _IN_XMP, r"\1")
    is_found = tf.strings.regex_full_match(value, "[0-9]")
    return tf.strings.to_number(tf.where(is_found, value, "0"), tf.int32)


def turn(pixels: tf.Tensor, stated: tf.Tensor) -> tf.Tensor:
    """Return the upright image of `[height, width, channels]` that is stored in an orientation, 1..8."""

    def turned() -> tf.Tensor:
        # 5 to 8 swap the sides. Then the rows are upside down, or the columns are mirrored, or both.
        image = tf.cond(stated >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
        rows = tf.reduce_any(tf.constant([3, 4, 7, 8]) == stated)
        columns = tf.reduce_any(tf.constant([2, 3, 6, 7]) == stated)
        return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([rows, columns, False]))

    return tf.cond(stated == UPRIGHT, lambda: pixels, turned)
