"""Read the header of a JPEG or PNG inside a TensorFlow graph.

Both formats are chains of parts: segments of a JPEG (ITU-T T.81, annex B; Exif 2.32, 4.7; ICC.1:2022, B.4), chunks of a
PNG (W3C, Portable Network Graphics, third edition). One loop finds the parts, and one comparison with a table of
beginnings says what each of them is. Of several parts with the same meaning the first counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from edgetune.modules.images import graph_bytes, graph_kinds, graph_scans
from edgetune.modules.images.headers import (
    EXIF_IN_JPEG,
    ICC_IN_JPEG,
    JPEG,
    MAX_SCANS,
    MOST_CHUNKS,
    MOST_SEGMENTS,
    PNG,
    TEXT_PROFILE_IN_PNG,
    XMP_IN_JPEG,
    XMP_IN_PNG,
)
from edgetune.modules.images.jpeg_scans import CUT, UNKNOWN_INKS
from edgetune.modules.images.png_chunks import NO_PALETTE, OTHER_COLORS, SRGB_CODE, SRGB_VALUES, SRGB_WITHIN

NEITHER, IS_JPEG, IS_PNG = 0, 1, 2
FRAMES, PROGRESSIVE = (
    (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF),
    range(0xC2, 0xCF, 4),
)
"""Markers of a JPEG that begin its frame, and those of frames with several scans."""

# zlib packs at most 1032 : 1, so unpacking takes at most 16 MiB.
_MAX_PROFILE = 16 << 10
# By format; behind the last chunk of a PNG one more part is found, which is empty.
_MOST_PARTS = [1, MOST_SEGMENTS, MOST_CHUNKS + 1]
_END, _SCAN = 0xD9, 0xDA
_REST = 1 << 30  # length of a part behind which nothing is read

# Bytes of the segment of each marker; 0x00 and 0xFF do not mark any, and the last entry is for bytes without a marker.
_STATED = 0
_LENGTHS = np.full(257, _STATED, np.int32)
_LENGTHS[[0x00, 0xFF, 256]] = 1
_LENGTHS[[0x01, *range(0xD0, 0xD9)]] = 2
_LENGTHS[[_SCAN, _END]] = _REST
# From the first four bytes of a part: where `_LENGTHS` has a segment's length, that length as stated, a chunk's length.
_STEP = np.array([[-256, 0, 1 << 24], [1, 0, 1 << 16], [0, 256, 1 << 8], [0, 1, 1]], np.int32)
_STEP_FROM = np.array([255 * 256, 2, 12], np.int32)

# What a part is. The first three have bodies that are read.
_EXIF, _XMP, _PROFILE, _WHOLE_PROFILE, _FRAME, _DATA, _PROGRESSIVE, _TRANSPARENT, _TEXT_PROFILE, _PACKED_XMP = range(10)
_GAMMA, _PRIMARIES, _CODE, _SRGB, _ADOBE, _INTERVAL, _PALETTE = range(10, 17)
_MEANINGS, _BODIES = 17, 3
# By format: bytes at offsets in a part, and what the part then is.
_BEGINNINGS: Mapping[int, list[tuple[Mapping[int, bytes], tuple[int, ...]]]] = {
    IS_JPEG: [
        *(({0: bytes((0xFF, frame))}, (_FRAME,)) for frame in FRAMES if frame not in PROGRESSIVE),
        *(({0: bytes((0xFF, frame))}, (_FRAME, _PROGRESSIVE)) for frame in PROGRESSIVE),
        ({0: bytes((0xFF, _SCAN))}, (_DATA,)),
        ({0: b"\xff\xee", 4: b"Adobe"}, (_ADOBE,)),
        ({0: b"\xff\xdd"}, (_INTERVAL,)),
        ({0: b"\xff\xe1", 4: EXIF_IN_JPEG}, (_EXIF,)),
        ({0: b"\xff\xe1", 4: XMP_IN_JPEG}, (_XMP,)),
        ({0: b"\xff\xe2", 4: ICC_IN_JPEG}, (_PROFILE,)),
        ({0: b"\xff\xe2", 4: ICC_IN_JPEG, 17: b"\x01"}, (_WHOLE_PROFILE,)),
    ],
    IS_PNG: [
        ({0: b"\0\0\0\x0dIHDR"}, (_FRAME,)),
        ({4: b"IDAT"}, (_DATA,)),
        ({4: b"tRNS"}, (_TRANSPARENT,)),
        ({4: b"eXIf"}, (_EXIF,)),
        ({4: b"iTXt" + XMP_IN_PNG + b"\0"}, (_XMP,)),
        ({4: b"iTXt" + XMP_IN_PNG + b"\x01"}, (_PACKED_XMP,)),
        ({4: b"iCCP"}, (_PROFILE, _WHOLE_PROFILE)),
        *(({4: kind + TEXT_PROFILE_IN_PNG}, (_TEXT_PROFILE,)) for kind in (b"tEXt", b"zTXt", b"iTXt")),
        ({4: b"gAMA"}, (_GAMMA,)),
        ({4: b"cHRM"}, (_PRIMARIES,)),
        ({4: b"cICP"}, (_CODE,)),
        ({4: b"sRGB"}, (_SRGB,)),
        ({4: b"PLTE"}, (_PALETTE,)),
    ],
}
_HEAD = 36  # bytes of a part that are looked at
_ANY, _NOTHING = -1, 256
# From the first bytes of a part: height, width, bits of a channel, channels or kind of color, the part's length, and
# the number of channels in a scan.
_NUMBERS = {
    IS_JPEG: ({5: 256, 6: 1}, {7: 256, 8: 1}, {4: 1}, {9: 1}, {2: 256, 3: 1}, {4: 1}),
    IS_PNG: (
        {12: 1 << 24, 13: 1 << 16, 14: 1 << 8, 15: 1},
        {8: 1 << 24, 9: 1 << 16, 10: 1 << 8, 11: 1},
        {16: 1},
        {17: 1},
        {0: 1 << 24, 1: 1 << 16, 2: 1 << 8, 3: 1},
        {},
    ),
}
# Where the bodies begin in their parts, and how much shorter than the stated lengths they are.
_BEGIN, _LESS = np.zeros((2, 3, _MEANINGS), np.int32)
_BEGIN[IS_JPEG, :_BODIES] = 4 + len(EXIF_IN_JPEG), 4 + len(XMP_IN_JPEG), 6 + len(ICC_IN_JPEG)
_BEGIN[IS_PNG, :_BODIES] = 8
_COEFFICIENTS = np.arange(64, dtype=np.int32)
_CHANNELS = np.arange(4, dtype=np.int32)
# The words that state colors: gAMA, cHRM, the lengths of both, the length of cICP, cICP.
_OF_COLOR = np.array([_GAMMA, *[_PRIMARIES] * 8, _GAMMA, _PRIMARIES, _CODE, _CODE], np.int32)
_OFFSETS = np.array([8, *range(8, 40, 4), 0, 0, 0, 8], np.int32)
_MEANT = np.array([*SRGB_VALUES, 4, 32, len(SRGB_CODE), int.from_bytes(SRGB_CODE, "big")], np.int32)
_LOWEST, _HIGHEST = (_MEANT + sign * np.array([*SRGB_WITHIN, 0, 0, 0, 0], np.int32) for sign in (-1, 1))
_HIGH_LOW = np.array([[256], [1]], np.int32)
_LESS[IS_JPEG, :_BODIES] = _BEGIN[IS_JPEG, :_BODIES] - 2


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by format the beginnings, int32 `[3, P, H]`, their meanings, int32 `[3, P, M]`, and weights of numbers."""
    most = max(map(len, _BEGINNINGS.values()))
    beginnings = np.full((3, most, _HEAD), _NOTHING, np.int32)
    meanings = np.zeros((3, most, _MEANINGS), np.int32)
    weights = np.zeros((3, _HEAD, 6), np.int32)
    for form, rows in _BEGINNINGS.items():
        for number, (wanted, what) in enumerate(rows):
            beginnings[form, number] = _ANY
            for at, text in wanted.items():
                beginnings[form, number, at : at + len(text)] = list(text)
            meanings[form, number, list(what)] = 1
        for number, by_place in enumerate(_NUMBERS[form]):
            weights[form, list(by_place), number] = list(by_place.values())
    return beginnings, meanings, weights


_LOOK, _MEAN, _WEIGH = _tables()


class Header(NamedTuple):
    """Scalars from the header of a file."""

    fault: tf.Tensor
    """string: why the file is refused, as the end of a sentence that begins with the image; else empty."""
    height: tf.Tensor
    """int32: pixels, as stored."""
    width: tf.Tensor
    """int32: pixels, as stored."""
    channels: tf.Tensor
    """int32: 1 for grey, 3 for color, 4 for CMYK."""
    is_png: tf.Tensor
    """bool."""
    is_deep: tf.Tensor
    """bool: 16 bits a channel."""
    has_alpha: tf.Tensor
    """bool: an alpha channel, or transparent colors."""
    has_channel: tf.Tensor
    """bool: an alpha channel."""
    key: tf.Tensor
    """int32 `[3]`: the transparent color of a PNG without a palette, as decoded to 8 or 16 bits; -1 if it has none."""
    scan: tf.Tensor
    """int32: where the first scan of a JPEG begins."""
    has_more_scans: tf.Tensor
    """bool: a JPEG of several scans."""
    has_restarts: tf.Tensor
    """bool: a JPEG whose decoder may start again in the middle."""
    exif: tf.Tensor
    """string: a TIFF header with its directories; else empty."""
    xmp: tf.Tensor
    """string: an XMP packet; else empty."""
    profile: tf.Tensor
    """string: an ICC profile, of a PNG the whole chunk's body (see `unpacked`); else empty."""


def header(content: tf.Tensor) -> Header:
    """Return the header of a JPEG or PNG, a string scalar; the fault names any other kind of file."""
    start = tf.strings.substr(content, 0, len(PNG))
    is_png = start == PNG
    form = tf.where(is_png, IS_PNG, tf.where(tf.strings.substr(start, 0, len(JPEG)) == JPEG, IS_JPEG, NEITHER))
    data = graph_bytes.octets(content, _HEAD + 4)
    parts = _parts(data, form)
    heads = graph_bytes.rows(data, parts, _HEAD)
    look = tf.gather(_LOOK, form)
    is_one = tf.reduce_all((tf.expand_dims(heads, 1) == look) | (look < 0), axis=2)
    means = tf.matmul(tf.cast(is_one, tf.int32), tf.gather(_MEAN, form))  # int32 [parts, meanings], 0 or 1
    rows, counts = tf.argmax(means, axis=0), tf.reduce_sum(means, axis=0)
    numbers, positions = tf.matmul(tf.gather(heads, rows), tf.gather(_WEIGH, form)), tf.gather(parts, rows)
    lines, count, at = tf.unstack(numbers), tf.unstack(counts), tf.unstack(positions)
    height, width, depth, color, _, _ = tf.unstack(lines[_FRAME])
    *_, length, scan_channels = tf.unstack(numbers, axis=1)
    channels = tf.where(is_png, tf.where(color % 4 == 0, 1, 3), color)

    begin = tf.unstack(tf.minimum(positions + tf.gather(_BEGIN, form), tf.strings.length(content)))
    length = tf.unstack(tf.where(counts > 0, tf.maximum(length - tf.gather(_LESS, form), 0), 0))
    exif, xmp, profile = (tf.strings.substr(content, begin[one], length[one]) for one in (_EXIF, _XMP, _PROFILE))

    # Otherwise a decoder reads one scan, whatever follows.
    has_more_scans = (count[_PROGRESSIVE] > 0) | (~is_png & (tf.unstack(scan_channels)[_DATA] < channels))
    ids = tf.gather(data, at[_FRAME] + 10 + 3 * _CHANNELS)
    is_progressive = count[_PROGRESSIVE] > 0
    too_many, is_cut = tf.cond(
        ~is_png & has_more_scans,
        lambda: _scans(data[at[_DATA] :], tf.cast(ids, tf.int32), channels, is_progressive),
        lambda: (tf.constant(False), tf.constant(False)),
    )
    interval = tf.where(
        count[_INTERVAL] > 0, tf.reduce_sum(_HIGH_LOW[:, 0] * graph_bytes.rows(data, at[_INTERVAL] + 4, 2)), 0
    )
    has_restarts = ~is_png & (interval > 0)
    is_cut |= tf.cond(
        has_restarts & ~has_more_scans & (count[_FRAME] > 0),
        lambda: graph_scans.lacks_restarts(data, at[_FRAME], at[_DATA], interval, (height, width)),
        lambda: tf.constant(False),
    )
    is_damaged = (tf.reduce_min([count[_FRAME], count[_DATA], height, width]) < 1) | (is_png & (at[_FRAME] != len(PNG)))
    is_too_long = tf.size(parts) > tf.gather(_MOST_PARTS, form)
    is_large = (count[_PROFILE] > 1) | (count[_PROFILE] != count[_WHOLE_PROFILE])
    is_large |= is_png & (tf.strings.length(profile) > _MAX_PROFILE)
    fault = graph_bytes.reason(
        (is_too_long & is_png, f"is a PNG of more than {MOST_CHUNKS} chunks: send one with fewer"),
        (is_too_long, f"is a JPEG of more than {MOST_SEGMENTS} segments: send one with fewer"),
        (is_damaged, "cannot be decoded: its header is damaged"),
        (~is_png & (depth != 8), "is a JPEG with more than 8 bits a channel: send one with 8"),
        (tf.reduce_all(channels != [1, 3, 4]), "is a JPEG that is not grey, RGB or CMYK: send RGB"),
        (too_many, f"is a JPEG of more than {MAX_SCANS} scans: send one with fewer"),
        ((count[_PROFILE] > 0) & (channels == 4), "is CMYK with a color profile: send it as sRGB"),
        (~is_png & (channels == 4) & (count[_ADOBE] < 1), f"{UNKNOWN_INKS}: send RGB"),
        (is_large, "has a large color profile: send it as sRGB"),
        (count[_PACKED_XMP] > 0, "is a PNG with compressed XMP: send it without"),
        (count[_TEXT_PROFILE] > 0, "is a PNG with EXIF or another profile as text: send it without"),
        (is_cut, CUT),
        (is_png & (color == 3) & (count[_PALETTE] < 1), NO_PALETTE),
        (is_png & ~_is_srgb(data, positions, counts), OTHER_COLORS.replace("save", "send")),
    )
    return Header(
        fault=tf.cond(form == NEITHER, lambda: graph_kinds.fault(content), lambda: fault),
        height=height,
        width=width,
        channels=channels,
        is_png=is_png,
        is_deep=is_png & (depth == 16),
        has_alpha=is_png & ((color >= 4) | (count[_TRANSPARENT] > 0)),
        has_channel=is_png & (color >= 4),
        key=_key(data, at[_TRANSPARENT] + 8, color, depth, is_png & (count[_TRANSPARENT] > 0)),
        scan=at[_DATA],
        has_more_scans=~is_png & has_more_scans,
        has_restarts=has_restarts,
        exif=exif,
        xmp=xmp,
        profile=profile,
    )


def _parts(data: tf.Tensor, form: tf.Tensor) -> tf.Tensor:
    """Return the positions of the parts, int32 `[N]`; N is at least 1, for any file."""
    end, is_png = tf.size(data) - (_HEAD + 4), form == IS_PNG
    most = tf.gather(_MOST_PARTS, form)

    def follow(at: tf.Tensor, count: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        marker, stated, chunk = tf.unstack(graph_bytes.numbers(data, at, _STEP) + _STEP_FROM, axis=1)
        known = tf.gather(_LENGTHS, tf.clip_by_value(marker, 0, 256))
        length = tf.where(is_png, chunk, tf.where(known == _STATED, stated, known))
        length = tf.where(length < 0, _REST, tf.minimum(length, _REST))
        return tf.minimum(at + length, end + 1), count + 1, found.write(count, at)

    found = tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[1])
    start = tf.minimum(tf.gather([[0], [2], [len(PNG)]], form), end)
    _, _, found = tf.while_loop(
        lambda at, count, _: tf.reduce_all(at <= end) & (count <= most), follow, (start, tf.constant(0), found)
    )
    return tf.squeeze(found.stack(), 1)


def _scans(
    data: tf.Tensor, ids: tf.Tensor, channels: tf.Tensor, is_progressive: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return whether a JPEG has too many scans, and whether they leave out coefficients: bool scalars.

    Args:
        data: uint8 `[N]`, from the first scan on.
        ids: int32 `[4]`: numbers of the channels.
        channels: int32: how many there are.
        is_progressive: bool.
    """
    is_start = (data[:-1] == 0xFF) & (data[1:] == _SCAN)
    # Comments and images behind the end of this one may have the same bytes, but data of scans never has them.
    # `tf.math.count_nonzero` would take 8 bytes for each.
    is_many = tf.reduce_sum(tf.cast(is_start, tf.int32)) > MAX_SCANS
    starts = tf.cast(tf.where(is_start)[:MAX_SCANS, 0], tf.int32)
    stated, *named = tf.unstack(graph_bytes.rows(data, starts + 4, 2 * len(_CHANNELS)), axis=1)
    has = (tf.stack(named[::2], 1)[:, :, tf.newaxis] == ids) & (stated[:, tf.newaxis] > _CHANNELS)[:, :, tf.newaxis]
    first, last, precision = tf.split(graph_bytes.rows(data, starts + 5 + 2 * tf.minimum(stated, 4), 3), 3, 1)
    covers = (first <= _COEFFICIENTS) & (last >= _COEFFICIENTS) & (precision % 16 == 0) | ~is_progressive
    covers &= (starts < graph_scans.end(data))[:, tf.newaxis]
    done = tf.matmul(tf.cast(tf.reduce_any(has, 1), tf.int32), tf.cast(covers, tf.int32), transpose_a=True)
    return is_many, tf.reduce_any((done == 0) & (channels > _CHANNELS)[:, tf.newaxis])


def _is_srgb(data: tf.Tensor, positions: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Return what `png_chunks.is_srgb` does, as a bool scalar; positions and counts are those of the meanings."""
    values = graph_bytes.words(data, tf.gather(positions, _OF_COLOR) + _OFFSETS)
    is_near = (values >= _LOWEST) & (values <= _HIGHEST) | (tf.gather(counts, _OF_COLOR) == 0)
    by_values, by_code = (tf.reduce_all(part) for part in tf.split(is_near, [len(_OF_COLOR) - 2, 2]))
    is_tagged = counts[_PROFILE] > 0
    return tf.where(counts[_CODE] > 0, by_code & ~is_tagged, by_values | is_tagged | (counts[_SRGB] > 0))


def _key(data: tf.Tensor, at: tf.Tensor, color: tf.Tensor, depth: tf.Tensor, is_there: tf.Tensor) -> tf.Tensor:
    """Return the color that a tRNS chunk, whose body is `at`, makes transparent: int32 `[3]`, -1 if it is none."""
    stated = tf.reshape(graph_bytes.rows(data, at, 6), [3, 2])
    values = tf.matmul(stated, _HIGH_LOW)[:, 0]
    most = tf.bitwise.left_shift(1, tf.clip_by_value(depth, 1, 16)) - 1
    grey = tf.bitwise.bitwise_and(values[0], most) * tf.where(depth < 8, 255 // most, 1)
    key = tf.where(color == 0, tf.fill([3], grey), tf.bitwise.bitwise_and(values, most))
    return tf.where(is_there & ((color == 0) | (color == 2)), key, -1)


def unpacked(profile: tf.Tensor) -> tf.Tensor:
    """Return the profile in an iCCP chunk: a name, a zero byte, the method (zero), and the packed bytes."""
    packed = tf.strings.regex_replace(profile, r"^\C{0,79}?\x00\x00", "")
    return tf.io.decode_compressed(packed, "ZLIB")
