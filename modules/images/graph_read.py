"""Read a photograph inside a TensorFlow graph: from the bytes of a JPEG or PNG to upright 8-bit sRGB pixels.

This is the only implementation: ingest calls it eagerly, and Transform, the serving signatures and `edgetune predict`
have it in their graphs, so that they cannot diverge. It uses TensorFlow's own operations only, because the exported
graph runs in servers without Python.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import tensorflow as tf

from edgetune.modules.images import graph_colour, graph_jpeg, graph_kinds, graph_png
from edgetune.modules.images.graph_colour import Conversion
from edgetune.modules.images.graph_header import Header
from edgetune.modules.images.graph_orientation import orientation, turn
from edgetune.modules.images.reading import Reading

CHANNELS = 3
# Scaling by the JPEG decoder, to a half, a quarter or an eighth, stops at this multiple of the final size, so that the
# last step determines the quality.
_GAP = 1.5
# Colours and transparency are computed for so many pixels at a time: they take several times the memory of the image.
_AT_A_TIME = 1 << 20
# No image has so long a side.
_NO_SIDE = 1 << 30
_tracing = threading.Lock()


def read(content: tf.Tensor, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Read one image.

    Args:
        content: string scalar: a JPEG or PNG of any kind; see the table in docs/serving.md.
        reading: Options.

    Returns:
        Why the image is refused, string: the end of a sentence that begins with the image; empty if it is not. And
        uint8 `[height, width, 3]`, upright, sRGB in 0..255; empty if the image is refused.

    Raises:
        tf.errors.InvalidArgumentError: On execution: the image's data is damaged or cut off.
    """
    options = (reading.max_pixels, tf.int64), (reading.max_side or _NO_SIDE, tf.int32), (reading.background, tf.int32)
    fault, pixels = _function()(tf.convert_to_tensor(content), *(tf.constant(*option) for option in options))
    return fault, pixels


def _function() -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Return `_read`, traced once for all graphs and options of this process: tracing takes seconds."""
    with _tracing:
        return _traced()


@functools.cache
def _traced() -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    shapes: tuple[tuple[list[int], tf.DType], ...] = (([], tf.string), ([], tf.int64), ([], tf.int32), ([3], tf.int32))
    with tf.init_scope():  # not inside the graph of whoever calls it first
        # Calling a concrete function takes a third of the time of a general one.
        return tf.function(_read, autograph=False).get_concrete_function(*(tf.TensorSpec(*shape) for shape in shapes))


def _read(content: tf.Tensor, *options: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    reading = Reading(*options)
    header, how = _header(content, reading)
    pixels = tf.cond(
        header.fault == "",
        lambda: _upright(content, header, how, reading),
        lambda: tf.zeros([0, 0, CHANNELS], tf.uint8),
    )
    return header.fault, pixels


def _header(content: tf.Tensor, reading: Reading) -> tuple[Header, Conversion]:
    def neither() -> Header:
        nothing, zero, no = tf.constant(""), tf.constant(0), tf.constant(False)
        return Header(graph_kinds.fault(content), zero, zero, zero, no, no, nothing, nothing, nothing)

    start = tf.strings.substr(content, 0, len(graph_png.START))
    kind = tf.where(start == graph_png.START, 2, tf.where(tf.strings.substr(start, 0, 3) == graph_jpeg.START, 1, 0))
    header = tf.switch_case(kind, [neither, lambda: graph_jpeg.header(content), lambda: graph_png.header(content)])
    is_tagged = (header.fault == "") & (tf.strings.length(header.profile) > 0)
    how = tf.cond(is_tagged, lambda: graph_colour.conversion(header.profile, header.channels), graph_colour.none)
    many = tf.cast(header.height, tf.int64) * tf.cast(header.width, tf.int64) > tf.cast(reading.max_pixels, tf.int64)
    too_large = tf.strings.join(["has more than ", tf.strings.as_string(reading.max_pixels), " pixels: send fewer"])
    fault = tf.where(header.fault != "", header.fault, tf.where(many, too_large, how.fault))
    return header._replace(fault=fault), how


def _upright(content: tf.Tensor, header: Header, how: Conversion, reading: Reading) -> tf.Tensor:
    is_png = tf.strings.substr(content, 0, len(graph_png.START)) == graph_png.START

    def with_alpha() -> tf.Tensor:
        pixels = tf.cond(
            header.is_deep,
            lambda: _to_8_bits(tf.io.decode_png(content, 4, tf.uint16)),
            lambda: tf.io.decode_png(content, 4),
        )
        return _opaque(pixels, how, reading)

    def plain() -> tf.Tensor:
        pixels = tf.cond(is_png, lambda: tf.io.decode_png(content, 3), lambda: _of_jpeg(content, header, reading))
        return tf.cond(how.is_needed, lambda: _opaque(pixels, how, reading), lambda: pixels)

    pixels = tf.cond(header.has_alpha | header.is_deep, with_alpha, plain)
    return turn(_within(pixels, header, reading), orientation(header.exif, header.xmp))


def _to_8_bits(pixels: tf.Tensor) -> tf.Tensor:
    highest = 65407  # from here on, the result is 255, and the sum would not fit in 16 bits
    return tf.cast((tf.minimum(pixels, highest) + 128) // 257, tf.uint8)


def _of_jpeg(content: tf.Tensor, header: Header, reading: Reading) -> tf.Tensor:
    ratios = (1, 2, 4, 8)
    longer = tf.maximum(header.height, header.width)
    enough = tf.cast(longer, tf.float32) >= _GAP * tf.cast(reading.max_side, tf.float32) * tf.constant(
        ratios[1:], tf.float32
    )
    decoders = [lambda ratio=ratio: tf.io.decode_jpeg(content, CHANNELS, ratio=ratio) for ratio in ratios]
    return tf.switch_case(tf.reduce_sum(tf.cast(enough, tf.int32)), decoders)


def _opaque(pixels: tf.Tensor, how: Conversion, reading: Reading) -> tf.Tensor:
    """Convert uint8 `[height, width, 3 or 4]` to opaque sRGB, uint8 `[height, width, 3]`."""
    shape = tf.shape(pixels)
    rows = tf.maximum(_AT_A_TIME // tf.maximum(shape[1], 1), 1)
    steps = (shape[0] + rows - 1) // rows

    def part(step: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        some = pixels[step * rows : (step + 1) * rows]
        colours = graph_colour.to_srgb(some[..., :CHANNELS], how)
        if pixels.shape[-1] > CHANNELS:
            colours = _over(colours, some[..., CHANNELS:], reading.background)
        return step + 1, done.write(step, colours)

    done = tf.TensorArray(tf.uint8, size=steps, infer_shape=False, element_shape=[None, None, CHANNELS])
    _, done = tf.while_loop(lambda step, _: step < steps, part, (tf.constant(0), done), parallel_iterations=1)
    return tf.reshape(done.concat(), [shape[0], shape[1], CHANNELS])


def _over(colours: tf.Tensor, alpha: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    """Show colours over the background: uint8 `[..., 3]` and `[..., 1]` to `[..., 3]`, rounded to the nearest level."""
    front = tf.cast(alpha, tf.uint16)
    mixed = tf.cast(colours, tf.uint16) * front + tf.cast(background, tf.uint16) * (255 - front) + 128
    return tf.cast((mixed + mixed // 256) // 256, tf.uint8)  # the same as round(mixed / 255)


def _within(pixels: tf.Tensor, header: Header, reading: Reading) -> tf.Tensor:
    """Scale down to `max_side`, bilinear with antialiasing."""
    stored = tf.cast(tf.stack([header.height, header.width]), tf.float64)
    limit = tf.cast(reading.max_side, tf.float64)
    longer = tf.reduce_max(stored)
    size = tf.cast(tf.maximum(tf.round(stored * limit / longer), 1.0), tf.int32)
    return tf.cond(longer > limit, lambda: resized(pixels, size), lambda: pixels)


def resized(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resize uint8 `[height, width, 3]` to a size, int32 `[2]`; antialiased, so that fine patterns vanish."""
    exact = tf.image.resize(pixels, size, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(exact), 0.0, 255.0), tf.uint8)
