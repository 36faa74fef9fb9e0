"""Convert the colors of a photograph to sRGB by its ICC profile, inside a TensorFlow graph.

Profiles of phones, cameras and screens are three curves and a matrix (ICC.1:2022, 8.3.3 and 8.4.3, formula F.8), grey
ones a single curve. Profiles with tables, as printers have, are refused. A damaged profile, and one for another kind of
pixels, is ignored, as viewers do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes
from edgetune.modules.images.graph_bytes import code

# The primaries of sRGB, adapted to the white of profiles (D50), as columns of X, Y and Z; IEC 61966-2-1, ICC's profile.
_SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_FROM_PRIMARIES, _SAME = np.linalg.inv(_SRGB).T.astype(np.float32), np.eye(3, dtype=np.float32)
_HEADER, _ENTRY, _MAX_TAGS = 128, 12, 100
_PADDING = _HEADER + 4 + _ENTRY * (_MAX_TAGS + 4)
# Where a profile says its kind of pixels, the space that it converts to, that it is one, and the number of its tags.
_FIELDS = np.array([16, 20, 36, _HEADER], np.int32)
_TABLE = (_HEADER + 4 + _ENTRY * np.arange(_MAX_TAGS)[:, np.newaxis] + [0, 4]).astype(np.int32)
_VALUES = 4 * np.arange(10, dtype=np.int32)[:, np.newaxis]
_LEVELS_OF_CURVES = np.linspace(0, 1, 256, dtype=np.float32)[:, np.newaxis]
_TWO_LEVELS = np.array([[256, 0], [1, 0], [0, 256], [0, 1]], np.int32)
# The tags of colors and of grey: curves, primaries (grey has none), and tables, which must not be there.
_TABLES = ("A2B0", "A2B1", "A2B2", "D2B0", "D2B1", "D2B2", "D2B3")
_COLOR, _GREY = ("rTRC", "gTRC", "bTRC", "rXYZ", "gXYZ", "bXYZ"), ("kTRC",) * 6
_WANTED = np.array([[code(name) for name in (*names, *_TABLES)] for names in (_COLOR, _GREY)], np.int32)
_EXPECTED = np.array([True] * len(_COLOR) + [False] * len(_TABLES))
# A profile that differs from sRGB by at most this many of 255 levels counts as sRGB: such differences are rounding.
_ROUNDING = 2
# Of greys and colors that show a difference of curves or of primaries: int32 `[N, 3]`.
_GREYS = np.repeat(np.arange(0, 256, 15, dtype=np.int32)[:, np.newaxis], 3, axis=1)
_PROBES = np.concatenate([_GREYS, np.stack(np.meshgrid(*[[0, 85, 170, 255]] * 3), -1).reshape(-1, 3)]).astype(np.int32)
_PIXELS = [tf.TensorSpec([None, 3], tf.int32), tf.TensorSpec([256, 3]), tf.TensorSpec([3, 3])]


def _forms() -> np.ndarray:
    """Return for each function of a curve where its seven parameters come from: float32 `[6, 10, 7]`, one-hot.

    The columns are g, a, b, c, d, e, f of a curve; the rows the same as stated, then -b/a, a list's only level, and 1.
    The last function is the one of lists with less than two levels.
    """
    sources = ["g1.....", "gab.-..", "gab.-cc", "gabcd..", "gabcdef", "l1....."]
    forms = np.zeros((6, 10, 7), np.float32)
    for number, source in enumerate(sources):
        for parameter, name in enumerate(source):
            if name != ".":
                forms[number, "gabcdef-l1".index(name), parameter] = 1
    return forms


_FORMS = _forms()


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
    """float32 `[256, 3]`: linear light, 0..1, of each level of each channel."""
    matrix: tf.Tensor
    """float32 `[3, 3]`: from a row of the file's linear red, green and blue to one of sRGB's."""


def none() -> Conversion:
    """Return that pixels are sRGB already."""
    return Conversion(tf.constant(""), tf.constant(False), tf.zeros([256, 3]), tf.zeros([3, 3]))


def conversion(profile: tf.Tensor, channels: tf.Tensor) -> Conversion:
    """Return how an ICC profile, a string scalar, converts pixels with 1 channel or 3, int32 scalar."""
    length, data = tf.strings.length(profile), graph_bytes.octets(profile, _PADDING)
    space, connection, signature, count = tf.unstack(graph_bytes.words(data, _FIELDS))
    is_grey = space == code("GRAY")
    fits = (space == tf.where(channels == 1, code("GRAY"), code("RGB "))) & (signature == code("acsp"))

    # The position of each tag's data; 0 if there is no such tag, or if it is outside the profile.
    names, places = tf.unstack(graph_bytes.words(data, _TABLE), axis=1)
    count = tf.minimum(count, (length - _HEADER - 4) // _ENTRY)
    is_there = (count > np.arange(_MAX_TAGS)) & (places > 0) & (places <= length)
    wanted = tf.expand_dims(tf.gather(_WANTED, tf.cast(is_grey, tf.int32)), 1)
    tags = tf.reduce_max(tf.where((names == wanted) & is_there, places, 0), axis=1)

    tones, primaries, _ = tf.split(tags, [3, 3, len(_TABLES)])
    curves, are_curves = _curves(data, tones, length)
    rows = tf.cast(graph_bytes.words(data, tf.expand_dims(primaries, 1) + [8, 12, 16]), tf.float32) / 65536
    matrix = tf.where(is_grey, _SAME, tf.matmul(rows, _FROM_PRIMARIES))
    is_known = are_curves & tf.reduce_all((tags > 0) == _EXPECTED) & (connection == code("XYZ "))
    fault = graph_bytes.reason(
        (fits & ~is_known, "has a color profile with tables: send it with an sRGB profile or none")
    )
    return Conversion(fault, fits & is_known & _changes(curves, matrix), curves, matrix)


def _curves(data: tf.Tensor, at: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return tone curves at 256 levels, and whether all of them are some (ICC.1:2022, 10.6 and 10.18).

    Args:
        data: The profile.
        at: int32 `[3]`: position of each curve.
        length: Of the profile.

    Returns:
        float32 `[256, 3]`, bool scalar.
    """
    values = graph_bytes.words(data, at + _VALUES)  # int32 [10, 3]
    (kind, _, count, *_), (*_, g, a, b, c, d, e, f) = (
        tf.unstack(values),
        tf.unstack(tf.cast(values, tf.float32) / 65536),
    )
    is_list, function, x = kind == code("curv"), count // (1 << 16), _LEVELS_OF_CURVES
    count = tf.clip_by_value(count, 0, (length - at - 12) // 2)

    # Of lists with at least two levels: the one below x and the next one.
    place = x * tf.cast(count - 1, tf.float32)
    below = tf.clip_by_value(tf.cast(place, tf.int32), 0, tf.maximum(count - 2, 0))
    levels = tf.cast(graph_bytes.numbers(data, at + 12 + 2 * below, _TWO_LEVELS), tf.float32) / 65535
    level, following = tf.unstack(levels, axis=2)
    table = level + (following - level) * (place - tf.cast(below, tf.float32))

    # y = (a x + b)**g + e from x = d on, c x + f below.
    gamma = tf.where(count == 1, tf.floor(g) / 256, 1.0)  # 8 of its 16 bits are before the point
    form = tf.where(is_list, 5, tf.clip_by_value(function, 0, 4))
    known = tf.stack([g, a, b, c, d, e, f, tf.math.divide_no_nan(-b, a), gamma, tf.ones_like(g)])
    g, a, b, c, d, e, f = tf.unstack(tf.einsum("kc,ckp->pc", known, tf.gather(_FORMS, form)))
    formula = tf.where(x >= d, tf.maximum(a * x + b, 0.0) ** g + e, c * x + f)
    curves = tf.clip_by_value(tf.where(is_list & (count > 1), table, formula), 0.0, 1.0)
    is_formula = (kind == code("para")) & (function == form)
    is_valid = tf.reduce_all((is_list | is_formula) & tf.math.is_finite(curves))
    return tf.where(is_valid, curves, x), is_valid


def _changes(curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Return whether a grid of colors changes by more than rounding. Names do not tell: sRGB has hundreds."""
    found = tf.cast(to_srgb(tf.constant(_PROBES), curves, matrix), tf.int32)
    return tf.reduce_max(tf.abs(found - _PROBES)) > _ROUNDING


@tf.function(input_signature=_PIXELS, autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
def to_srgb(pixels: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Convert pixels int32 `[N, 3]` to sRGB, uint8 `[N, 3]`, as `Conversion` says."""
    linear = tf.gather(tf.reshape(curves, [-1]), 3 * pixels + [0, 1, 2])
    linear = tf.clip_by_value(tf.matmul(linear, matrix), 0.0, 1.0)
    return tf.gather(_LEVELS, tf.cast(tf.round(linear * (len(_LEVELS) - 1)), tf.int32))
