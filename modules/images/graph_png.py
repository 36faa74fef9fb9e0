"""Read the header of a PNG inside a TensorFlow graph (W3C, Portable Network Graphics, third edition)."""

from __future__ import annotations

import tensorflow as tf

from edgetune.modules.images import graph_bytes
from edgetune.modules.images.graph_bytes import byte, code, part, starts_with, word
from edgetune.modules.images.graph_header import Header

START = b"\x89PNG\r\n\x1a\n"
_XMP, _OLD_EXIF = b"XML:com.adobe.xmp\0", b"Raw profile type "
_MAX_CHUNKS = 20_000
# zlib packs at most 1032 : 1, so unpacking takes at most 16 MiB.
_MAX_PROFILE = 16 << 10
_PALETTE, _GREY = 3, (0, 4)


def header(content: tf.Tensor) -> Header:
    """Return the header of a PNG, a string scalar."""
    data = graph_bytes.padded(content)
    at, lengths = graph_bytes.walk(data, len(START), _step, _MAX_CHUNKS)
    names = graph_bytes.words(data, at + 4)
    width, height = word(data, 16), word(data, 20)
    depth, kind = byte(data, 24), byte(data, 25)

    def body(is_one: tf.Tensor) -> tf.Tensor:
        found = graph_bytes.last(is_one, tf.range(tf.size(at)))
        row = tf.maximum(found, 0)
        return tf.where(found < 0, b"", part(data, at[row] + 8, lengths[row]))

    is_text = (names == code("iTXt")) | (names == code("zTXt")) | (names == code("tEXt"))
    is_xmp = (names == code("iTXt")) & starts_with(data, at + 8, _XMP)
    xmp = body(is_xmp)
    profile = body(names == code("iCCP"))
    is_large = tf.strings.length(profile) > _MAX_PROFILE
    is_packed = byte(graph_bytes.padded(xmp), len(_XMP)) != 0
    is_damaged = (
        (names[0] != code("IHDR"))
        | (lengths[0] != 13)
        | (width < 1)
        | (height < 1)
        | ~tf.reduce_any(names == code("IDAT"))
    )
    fault = graph_bytes.reason(
        (is_damaged, "cannot be decoded: its header is damaged"),
        (tf.size(at) >= _MAX_CHUNKS, f"is a PNG of {_MAX_CHUNKS} chunks: send one with fewer"),
        (tf.reduce_any(is_xmp) & is_packed, "is a PNG with compressed XMP: send it without"),
        (tf.reduce_any(is_text & starts_with(data, at + 8, _OLD_EXIF)), "is a PNG with EXIF as text: send it without"),
        (is_large, "has a large color profile: send it as sRGB"),
    )
    unpacked = tf.cond(
        (tf.strings.length(profile) > 0) & ~is_large, lambda: _unpacked(profile), lambda: tf.constant(b"")
    )
    return Header(
        fault=fault,
        height=height,
        width=width,
        channels=tf.where((kind == _GREY[0]) | (kind == _GREY[1]), 1, 3),
        is_deep=depth == 16,
        has_alpha=(kind >= 4) | tf.reduce_any(names == code("tRNS")),
        exif=body(names == code("eXIf")),
        xmp=xmp,
        profile=unpacked,
    )


def _step(first: tf.Tensor) -> tf.Tensor:
    """Return the length of a chunk with its own length, name and check sum."""
    return tf.where(first < 0, graph_bytes.REST, tf.minimum(first, graph_bytes.REST) + 12)


def _unpacked(chunk: tf.Tensor) -> tf.Tensor:
    """Return the profile in an iCCP chunk: a name, a zero byte, the method (zero), and the packed bytes."""
    packed = tf.strings.regex_replace(chunk, r"^\C{0,79}?\x00\x00", "")
    return tf.io.decode_compressed(packed, "ZLIB")
