"""Read a photograph inside a TensorFlow graph: from the bytes of a JPEG or PNG to upright 8-bit sRGB pixels.

Transform and the serving signatures have this function in their graphs; ingest and `edgetune predict` call it eagerly,
and decode plain files without it (`plain`, whose tests compare the pixels). It uses TensorFlow's own operations only,
because the exported graph runs in servers without Python.
"""

from __future__ import annotations

import functools
import threading

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_colour, graph_header, graph_scans, headers, jpeg_scans, plain
from edgetune.modules.images.colour import DARKEST_WHITE, FEW, INVISIBLE
from edgetune.modules.images.graph_colour import Conversion
from edgetune.modules.images.graph_header import Header
from edgetune.modules.images.graph_orientation import orientation, turn
from edgetune.modules.images.jpeg_scans import CUT
from edgetune.modules.images.reading import Reading

CHANNELS = 3
# Scaling by the JPEG decoder, to a half, a quarter or an eighth, stops at this multiple of the final size, so that the
# last step determines the quality.
_RATIOS, _GAP = (2, 4, 8), 1.5
# Colours and transparency are computed for so many pixels at a time: they take several times the memory of the image.
_AT_A_TIME = 1 << 20
# Of a sample of 128 in each channel: grey, and CMYK with and without Adobe's inversion.
_OF_NOTHING = np.array([127, 128, 129, 62, 63, 64, 65], np.uint8)
_UNKNOWN_WHITE = (
    f"has 16 bits a channel, nearly all below {DARKEST_WHITE}, so that its white is unknown: send it with 8"
)
# TensorFlow's default overflows where edges are sharp and the quality is high: white becomes black. This one is that of
# all other decoders, and as fast (benchmarks/ingest/decoders.py compares the pixels).
_DCT = "INTEGER_ACCURATE"
_tracing = threading.Lock()
DAMAGED = "cannot be decoded: its data is damaged or cut off"
DAMAGED_PROFILE = "has a damaged color profile: send it with an sRGB profile or none"
"""Faults that `attempt` names, and that the exported graph meets with an error of TensorFlow."""


def read(content: tf.Tensor, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Read one image.

    Outside of a graph, a plain file (`plain`) is only decoded and scaled down, and this function is not traced.

    Args:
        content: string scalar: a JPEG or PNG of any kind; see the table in docs/serving.md.
        reading: Options.

    Returns:
        Why the image is refused, string: the end of a sentence that begins with the image; empty if it is not. And
        uint8 `[height, width, 3]`, upright, sRGB in 0..255; empty if the image is refused.

    Raises:
        tf.errors.InvalidArgumentError: On execution: the image's data is damaged or cut off.
        tf.errors.DataLossError: On execution: the packed color profile of a PNG is damaged.
    """
    content = tf.convert_to_tensor(content)
    data = content.numpy() if tf.executing_eagerly() else b""
    header = plain.inspect(data)
    if header is None or not is_as_decoded(header, reading):
        return read_by_graph(content, reading)
    pixels = _plain_pixels(data, header, reading)
    if pixels is None:
        return tf.constant(CUT), tf.zeros([0, 0, CHANNELS], tf.uint8)
    return tf.constant(""), tf.constant(pixels)


def read_stored(content: tf.Tensor, is_plain: tf.Tensor, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Do what `read` does, of an image that ingest has stored, in half the time if it is plain.

    Args:
        content: string scalar: the image.
        is_plain: bool scalar: what ingest has stored about it (`contracts.example_features.PLAIN`).
        reading: Options, those of ingest.
    """
    return tf.cond(is_plain, lambda: (tf.constant(""), _jpeg(content, 1)), lambda: read(content, reading))


def attempt(content: bytes, reading: Reading, header: plain.Plain | None = None) -> tuple[str, np.ndarray]:
    """Read one image outside of a graph, and name damage as a fault.

    Args:
        content: The bytes of the file.
        reading: Options.
        header: What `plain.inspect` returns for it, if it was called already.

    Returns:
        Fault and pixels, as `read` returns them.

    Raises:
        tf.errors.InvalidArgumentError: Reading fails, but TensorFlow's decoder alone does not: a bug in this package.
    """
    nothing = np.zeros((0, 0, CHANNELS), np.uint8)
    try:
        header = header or plain.inspect(content)
        if header is not None and is_as_decoded(header, reading):
            found = _plain_pixels(content, header, reading)
            return ("", found) if found is not None else (CUT, nothing)
        fault, pixels = read_by_graph(tf.constant(content), reading)
    except tf.errors.DataLossError:
        return DAMAGED_PROFILE, nothing
    except tf.errors.InvalidArgumentError:
        if _is_decodable(content):
            raise
        return DAMAGED, nothing
    return fault.numpy().decode(), pixels.numpy()


def _is_decodable(content: bytes) -> bool:
    try:
        tf.io.decode_image(content, CHANNELS, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        return False
    return True


def _is_srgb(header: plain.Plain) -> bool:
    return not header.profile or _changes_nothing(header.profile, header.channels)


@functools.lru_cache(maxsize=64)
def _changes_nothing(profile: bytes, channels: int) -> bool:
    how = graph_colour.conversion(tf.constant(profile), tf.constant(channels))
    return not how.fault.numpy() and not how.is_needed.numpy()


def is_as_decoded(header: plain.Plain | None, reading: Reading) -> bool:
    """Return whether decoding, and scaling down, reads a file of which `plain.inspect` has returned this."""
    return header is not None and header.height * header.width <= reading.max_pixels and _is_srgb(header)


def _plain_pixels(content: bytes, header: plain.Plain, reading: Reading) -> np.ndarray | None:
    """Return the pixels of a plain file, uint8 `[height, width, 3]`; None if it is a JPEG that was cut off.

    Raises:
        tf.errors.InvalidArgumentError: The image's data is damaged or cut off.
    """
    height, width, max_side = header.height, header.width, reading.side
    is_large = max(height, width) > max_side
    if content.startswith(headers.PNG):
        decoded = tf.raw_ops.DecodePng(contents=content, channels=CHANNELS)
    else:
        ratio = (1, *_RATIOS)[halvings(height, width, max_side)] if is_large else 1
        decoded = _jpeg(content, ratio)
        found = jpeg_scans.scans(content)

        def decode(other: bytes, is_full: bool) -> np.ndarray:
            return _array(_jpeg(other, 1 if is_full else ratio))

        if not jpeg_scans.is_whole(content, found, _array(decoded), decode):
            return None
    return _array(within(decoded, height, width, max_side) if is_large else decoded)


def _jpeg(content: bytes | tf.Tensor, ratio: int) -> tf.Tensor:
    """Decode a JPEG; the operation reads a PNG, too, at its full size."""
    return tf.raw_ops.DecodeJpeg(contents=content, channels=CHANNELS, ratio=ratio, dct_method=_DCT)


def _array(pixels: tf.Tensor) -> np.ndarray:
    """Return the pixels of a tensor without a copy of them."""
    return np.asarray(memoryview(pixels))


def read_by_graph(content: tf.Tensor, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Do what `read` does, by the function that every graph has."""
    options = (reading.max_pixels, tf.int64), (reading.side, tf.int32), (reading.background, tf.int32)
    fault, pixels = _function()(content, *(tf.constant(*option) for option in options))
    return fault, pixels


def _function() -> tf.types.experimental.ConcreteFunction:
    """Return `_read`, traced once for all graphs and options of this process: tracing takes seconds."""
    with _tracing:
        return _traced()


@functools.cache
def _traced() -> tf.types.experimental.ConcreteFunction:
    shapes: tuple[tuple[list[int], tf.DType], ...] = (([], tf.string), ([], tf.int64), ([], tf.int32), ([3], tf.int32))
    with tf.init_scope():  # not inside the graph of whoever calls it first
        # Calling a concrete function takes a third of the time of a general one.
        return tf.function(_read, autograph=False).get_concrete_function(*(tf.TensorSpec(*shape) for shape in shapes))


def _read(content: tf.Tensor, *options: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    reading = Reading(*options)
    header, how = _header(content, reading)
    nothing = tf.zeros([0, 0, CHANNELS], tf.uint8)
    fault, pixels = tf.cond(
        header.fault == "", lambda: _decoded(content, header, how, reading), lambda: (header.fault, nothing)
    )
    return fault, tf.ensure_shape(pixels, [None, None, CHANNELS])


def _header(content: tf.Tensor, reading: Reading) -> tuple[Header, Conversion]:
    header = graph_header.header(content)
    is_tagged = (header.fault == "") & (header.profile != "")
    how = tf.cond(is_tagged, lambda: _conversion(header), graph_colour.none)
    many = tf.cast(header.height, tf.int64) * tf.cast(header.width, tf.int64) > tf.cast(reading.max_pixels, tf.int64)
    too_large = tf.strings.join(["has more than ", tf.strings.as_string(reading.max_pixels), " pixels: send fewer"])
    fault = tf.where(header.fault != "", header.fault, tf.where(many, too_large, how.fault))
    return header._replace(fault=fault), how


def _conversion(header: Header) -> Conversion:
    profile = tf.cond(header.is_png, lambda: graph_header.unpacked(header.profile), lambda: header.profile)
    return graph_colour.conversion(profile, header.channels)


def _decoded(content: tf.Tensor, header: Header, how: Conversion, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    size = halvings(header.height, header.width, reading.max_side)

    def jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        pixels = _decoded_jpeg(content, size)
        noisy = tf.cond(
            header.has_more_scans | header.has_restarts | _is_nothing(pixels[-1, -1]),
            lambda: _decoded_jpeg(graph_scans.with_noise(content, header.scan), size),
            lambda: pixels,
        )
        # The scans of others have ends whose pixels are not known here.
        is_seen = ~(header.has_more_scans | header.has_restarts)
        is_reached = tf.cond(is_seen, lambda: _reaches_end(content, header, pixels, size), lambda: tf.constant(True))
        return tf.where(tf.reduce_all(noisy == pixels) & is_reached, "", CUT), pixels

    def png() -> tuple[tf.Tensor, tf.Tensor]:
        decoder = tf.where(header.is_deep, 2, tf.where(header.has_alpha, 1, 0))
        shallow = [
            lambda: ("", tf.io.decode_png(content, CHANNELS)),
            lambda: _seen(_keyed(content, header, tf.uint8), header),
        ]
        return tf.switch_case(decoder, [*shallow, lambda: _of_16_bits(_keyed(content, header, tf.uint16), header)])

    fault, pixels = tf.cond(header.is_png, png, jpeg)
    pixels = tf.cond(
        fault == "",
        lambda: _upright(pixels, header, how, reading),
        lambda: tf.zeros([0, 0, CHANNELS], tf.uint8),
    )
    return fault, pixels


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)])
def _decoded_jpeg(content: tf.Tensor, halvings: tf.Tensor) -> tf.Tensor:
    """Return a JPEG as the decoder scales it down: uint8 `[height, width, 3]`."""
    decoders = [
        lambda ratio=ratio: tf.io.decode_jpeg(content, CHANNELS, ratio=ratio, dct_method=_DCT)
        for ratio in (1, *_RATIOS)
    ]
    return tf.switch_case(halvings, decoders)


def _is_nothing(last: tf.Tensor) -> tf.Tensor:
    """Return whether a pixel, uint8 `[3]`, may be what a JPEG decoder makes of no data; CMYK becomes a dark grey."""
    return tf.reduce_all(last == last[0]) & tf.reduce_any(last[0] == _OF_NOTHING)


def _reaches_end(content: tf.Tensor, header: Header, pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return whether other bytes at the end of a JPEG of one scan change its pixels, as in `jpeg_scans`: bool."""

    def follow(number: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        other = graph_scans.with_other_end(content, header.scan, tf.gather(list(jpeg_scans.LONG_ENDS), number))
        return number + 1, tf.reduce_any(_decoded_jpeg(other, size) != pixels)

    most = len(jpeg_scans.LONG_ENDS)
    start = tf.constant(0), tf.constant(False)
    return tf.while_loop(lambda number, is_found: ~is_found & (number < most), follow, start)[1]


def _keyed(content: tf.Tensor, header: Header, depth: tf.DType) -> tf.Tensor:
    """Decode a PNG with an alpha channel to `[height, width, 4]`; libpng is not asked for a transparent color."""
    pixels = tf.io.decode_png(content, CHANNELS + 1, depth)

    def keyed() -> tf.Tensor:
        colours = pixels[..., :CHANNELS]
        is_seen = tf.reduce_any(colours != tf.cast(header.key, depth), axis=2, keepdims=True)
        return tf.concat([colours, tf.cast(is_seen, depth) * depth.max], axis=2)

    return tf.cond(header.key[0] >= 0, keyed, lambda: pixels)


def _of_16_bits(pixels: tf.Tensor, header: Header) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a fault if white is unknown, and uint16 `[height, width, 4]` as uint8."""
    brightest = tf.reduce_max(pixels[..., :CHANNELS], axis=2)
    bright = tf.reduce_sum(tf.cast(brightest >= DARKEST_WHITE, tf.int32))
    is_unknown = (tf.reduce_max(brightest) > 0) & (bright <= tf.size(brightest) // FEW)
    fault, pixels = _seen(_to_8_bits(pixels), header)
    return tf.where(is_unknown, _UNKNOWN_WHITE, fault), pixels


def _seen(pixels: tf.Tensor, header: Header) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a fault if an alpha channel hides all of uint8 `[height, width, 4]`, and the pixels."""
    return tf.where(header.has_channel & (tf.reduce_max(pixels[..., CHANNELS]) < 1), INVISIBLE, ""), pixels


def _upright(pixels: tf.Tensor, header: Header, how: Conversion, reading: Reading) -> tf.Tensor:
    is_mixed = header.is_deep | header.has_alpha | how.is_needed
    opaque = tf.cond(is_mixed, lambda: _opaque(pixels, how, reading), lambda: pixels)
    small = within(opaque, header.height, header.width, reading.max_side)
    return turn(small, orientation(header.exif, header.xmp))


def _to_8_bits(pixels: tf.Tensor) -> tf.Tensor:
    highest = 65407  # from here on, the result is 255, and the sum would not fit in 16 bits
    return tf.cast((tf.minimum(pixels, highest) + 128) // 257, tf.uint8)


def halvings(height: tf.Tensor, width: tf.Tensor, max_side: tf.Tensor) -> tf.Tensor:
    """Return how often a JPEG's decoder halves the sides, 0..3, of an image to be scaled down to `max_side`: int32."""
    longer = tf.cast(tf.maximum(height, width), tf.float32)
    enough = longer >= _GAP * tf.cast(max_side, tf.float32) * tf.constant(_RATIOS, tf.float32)
    return tf.reduce_sum(tf.cast(enough, tf.int32))


def _opaque(pixels: tf.Tensor, how: Conversion, reading: Reading) -> tf.Tensor:
    """Convert uint8 `[height, width, 3 or 4]` to opaque sRGB, uint8 `[height, width, 3]`."""
    height, width, channels = tf.unstack(tf.shape(pixels))  # a JPEG may be decoded at a part of its size
    flat, count = tf.reshape(pixels, [-1, channels]), height * width

    def part(at: tf.Tensor, step: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        some = flat[at : at + _AT_A_TIME]
        colours = some[:, :CHANNELS]
        colours = tf.cond(
            how.is_needed,
            lambda: graph_colour.to_srgb(tf.cast(colours, tf.int32), how.curves, how.matrix),
            lambda: colours,
        )
        colours = tf.cond(
            channels > CHANNELS, lambda: _over(colours, some[:, CHANNELS:], reading.background), lambda: colours
        )
        return at + _AT_A_TIME, step + 1, done.write(step, colours)

    done = tf.TensorArray(tf.uint8, 0, dynamic_size=True, infer_shape=False, element_shape=[None, CHANNELS])
    *_, done = tf.while_loop(
        lambda at, *_: at < count, part, (tf.constant(0), tf.constant(0), done), parallel_iterations=1
    )
    return tf.reshape(done.concat(), [height, width, CHANNELS])


def _over(colours: tf.Tensor, alpha: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    """Show colours over the background: uint8 `[..., 3]` and `[..., 1]` to `[..., 3]`, rounded to the nearest level."""
    front = tf.cast(alpha, tf.uint16)
    mixed = tf.cast(colours, tf.uint16) * front + tf.cast(background, tf.uint16) * (255 - front) + 128
    return tf.cast((mixed + mixed // 256) // 256, tf.uint8)  # the same as round(mixed / 255)


def within(pixels: tf.Tensor, height: tf.Tensor, width: tf.Tensor, max_side: tf.Tensor) -> tf.Tensor:
    """Scale an image down to `max_side`, bilinear with antialiasing.

    Args:
        pixels: uint8 `[h, w, 3]`: the image, or what a JPEG's decoder has scaled down of it.
        height: Of the image as it is stored, int32.
        width: The same.
        max_side: int32.
    """
    stored, limit = tf.cast(tf.stack([height, width]), tf.float64), tf.cast(max_side, tf.float64)
    longer = tf.reduce_max(stored)
    size = tf.cast(tf.maximum(tf.round(stored * limit / longer), 1.0), tf.int32)
    return tf.cond(longer > limit, lambda: resized(pixels, size), lambda: pixels)


def resized(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resize uint8 `[height, width, 3]` to a size, int32 `[2]`; antialiased, so that fine patterns vanish."""
    exact = tf.image.resize(pixels, size, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(exact), 0.0, 255.0), tf.uint8)
