"""Convert the colours of a photograph to sRGB by its ICC profile, inside a TensorFlow graph.

Profiles of phones, cameras and screens are three curves and a matrix (ICC.1:2022, 8.3.3 and 8.4.3, formula F.8), grey
ones a single curve. Profiles with tables, as printers have, are refused. A damaged profile, and one for another kind of
pixels, is ignored, as viewers do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes
from edgetune.modules.images.graph_bytes import NONE, code

# The primaries of sRGB, adapted to the white of profiles (D50), as columns of X, Y and Z; IEC 61966-2-1, ICC's profile.
_SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_HEADER, _ENTRY, _MAX_TAGS = 128, 12, 100
_TONES, _PRIMARIES, _GREY_TONE = ("rTRC", "gTRC", "bTRC"), ("rXYZ", "gXYZ", "bXYZ"), "kTRC"
_TABLES = ("A2B0", "A2B1", "A2B2", "D2B0", "D2B1", "D2B2", "D2B3")
# A profile that differs from sRGB by at most this many of 255 levels counts as sRGB: such differences are rounding.
_ROUNDING = 2
# Of greys and colours that show a difference of curves or of primaries: int32 `[N, 1, 3]`.
_GREYS = np.repeat(np.arange(0, 256, 15, dtype=np.int32)[:, np.newaxis], 3, axis=1)
_PROBES = np.concatenate([_GREYS, np.stack(np.meshgrid(*[[0, 85, 170, 255]] * 3), -1).reshape(-1, 3)])[:, np.newaxis]
_PROBES = _PROBES.astype(np.int32)


def _encoded(steps: int) -> np.ndarray:
    """Return the levels of sRGB, uint8 `[steps]`, for linear light from 0 to 1 (IEC 61966-2-1)."""
    linear = np.linspace(0, 1, steps)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * curved).astype(np.uint8)


_LEVELS = _encoded(1 << 14)  # a step is at most a fifth of a level


class Conversion(NamedTuple):
    """How to convert pixels to sRGB."""

    fault: tf.Tensor
    """string scalar: why the profile cannot be used; else empty."""
    is_needed: tf.Tensor
    """bool scalar: false if the pixels are sRGB already."""
    curves: tf.Tensor
    """float32 `[3, 256]`: linear light, 0..1, of each level of each channel."""
    matrix: tf.Tensor
    """float32 `[3, 3]`: from a row of the file's linear red, green and blue to one of sRGB's."""


def none() -> Conversion:
    """Return that pixels are sRGB already."""
    return Conversion(tf.constant(""), tf.constant(False), tf.zeros([3, 256]), tf.zeros([3, 3]))


def conversion(profile: tf.Tensor, channels: tf.Tensor) -> Conversion:
    """Return how an ICC profile, a string scalar, converts pixels with 1 channel or 3, int32 scalar."""
    data = graph_bytes.padded(tf.strings.join([profile, tf.constant(bytes(_HEADER + 4))]))
    space = graph_bytes.word(data, 16)
    is_grey = space == code("GRAY")
    fits = tf.where(channels == 1, is_grey, space == code("RGB "))
    fits &= graph_bytes.word(data, 36) == code("acsp")
    count = graph_bytes.word(data, _HEADER)
    length = tf.strings.length(profile)
    count = tf.clip_by_value(tf.minimum(count, (length - _HEADER - 4) // _ENTRY), 0, _MAX_TAGS)
    table = tf.io.decode_raw(tf.strings.substr(data, _HEADER + 4, count * _ENTRY), tf.int32, little_endian=False)
    table = tf.reshape(table, [-1, 3])

    # The position of each tag's data; `NONE` if there is no such tag, or if it is outside the profile.
    wanted = [code(name) for name in (*_TONES, *_PRIMARIES, _GREY_TONE, *_TABLES)]
    is_there = table[tf.newaxis, :, 0] == tf.constant(wanted)[:, tf.newaxis]
    is_there &= (table[:, 1] > 0) & (table[:, 1] <= length)
    tags = tf.reduce_max(tf.concat([tf.where(is_there, table[:, 1], NONE), tf.fill([len(wanted), 1], NONE)], 1), axis=1)
    colours, primaries, grey, tables = tags[:3], tags[3:6], tags[6:7], tags[7:]

    tones = tf.where(is_grey, tf.tile(grey, [3]), colours)
    places, which = tf.unique(tones)  # usually one
    shape = (tf.TensorSpec([256], tf.float32), tf.TensorSpec([], tf.bool))
    each, are_curves = tf.map_fn(lambda at: _curve(data, tf.maximum(at, 0), length), places, fn_output_signature=shape)
    curves = tf.ensure_shape(tf.gather(each, which), [3, 256])
    rows = tf.stack([_fixed(data, tf.maximum(primaries[colour], 0) + 8, 3) for colour in range(3)])
    matrix = tf.where(is_grey, tf.eye(3), tf.matmul(rows, tf.constant(np.linalg.inv(_SRGB).T, tf.float32)))
    is_known = tf.reduce_all(are_curves) & tf.reduce_all(tones >= 0) & (is_grey | tf.reduce_all(primaries >= 0))
    is_known &= (graph_bytes.word(data, 20) == code("XYZ ")) & tf.reduce_all(tables < 0)
    fault = graph_bytes.reason(
        (fits & ~is_known, "has a color profile with tables: send it with an sRGB profile or none")
    )
    return Conversion(fault, fits & is_known & _changes(curves, matrix), curves, matrix)


def _fixed(data: tf.Tensor, at: tf.Tensor, count: int) -> tf.Tensor:
    """Return numbers of type s15Fixed16: float32 `[count]`."""
    raw = tf.io.decode_raw(tf.strings.substr(data, at, 4 * count), tf.int32, little_endian=False)
    return tf.ensure_shape(tf.cast(raw, tf.float32) / 65536, [count])


def _curve(data: tf.Tensor, at: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a tone curve at 256 levels, float32 `[256]`, and whether there is one (ICC.1:2022, 10.6 and 10.18)."""
    x = tf.linspace(0.0, 1.0, 256)
    kind, count, function = graph_bytes.word(data, at), graph_bytes.word(data, at + 8), graph_bytes.short(data, at + 8)
    is_list, is_formula = kind == code("curv"), (kind == code("para")) & (function <= 4)
    room = tf.maximum(length - at - 12, 0)
    count = tf.clip_by_value(count, 0, room // 2)
    # Padding: a list of less than two is no table, and then these numbers are not used.
    listed = tf.io.decode_raw(
        tf.strings.substr(data, at + 12, 2 * tf.maximum(count, 2)), tf.uint16, little_endian=False
    )
    levels = tf.cast(listed, tf.float32) / 65535
    place = x * tf.cast(tf.size(levels) - 1, tf.float32)
    below = tf.minimum(tf.cast(place, tf.int32), tf.size(levels) - 2)
    share = place - tf.cast(below, tf.float32)
    table = tf.gather(levels, below) * (1 - share) + tf.gather(levels, below + 1) * share

    g, a, b, c, d, e, f = tf.unstack(_fixed(data, at + 12, 7))
    zero, one = tf.zeros([]), tf.ones([])
    # y = (a x + b)**g + e from x = d on, c x + f below.
    forms = tf.stack(
        [
            [g, one, zero, zero, -one, zero, zero],
            [g, a, b, zero, tf.math.divide_no_nan(-b, a), zero, zero],
            [g, a, b, zero, tf.math.divide_no_nan(-b, a), c, c],
            [g, a, b, c, d, zero, zero],
            [g, a, b, c, d, e, f],
            [tf.where(count == 1, tf.cast(listed[0], tf.float32) / 256, one), one, zero, zero, -one, zero, zero],
        ]
    )
    g, a, b, c, d, e, f = tf.unstack(tf.gather(forms, tf.where(is_list, 5, tf.clip_by_value(function, 0, 4))))
    formula = tf.where(x >= d, tf.maximum(a * x + b, 0.0) ** g + e, c * x + f)
    values = tf.clip_by_value(tf.where(is_list & (count > 1), table, formula), 0.0, 1.0)
    is_valid = (is_list | is_formula) & tf.reduce_all(tf.math.is_finite(values))
    return tf.where(is_valid, values, x), is_valid


def _changes(curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Return whether a grid of colours changes by more than rounding. Names do not tell: sRGB has hundreds."""
    found = tf.cast(_converted(tf.constant(_PROBES), curves, matrix), tf.int32)
    return tf.reduce_max(tf.abs(found - _PROBES)) > _ROUNDING


def to_srgb(pixels: tf.Tensor, how: Conversion) -> tf.Tensor:
    """Convert uint8 `[height, width, 3]` to sRGB."""
    return tf.cond(how.is_needed, lambda: _converted(tf.cast(pixels, tf.int32), how.curves, how.matrix), lambda: pixels)


def _converted(pixels: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    linear = tf.stack([tf.gather(curves[channel], pixels[..., channel]) for channel in range(3)], axis=-1)
    linear = tf.clip_by_value(tf.tensordot(linear, matrix, 1), 0.0, 1.0)
    return tf.gather(tf.constant(_LEVELS), tf.cast(tf.round(linear * (len(_LEVELS) - 1)), tf.int32))
