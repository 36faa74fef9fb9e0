"""Find JPEGs that were cut off and got an end marker, which decoders accept: what is missing becomes grey or blurred.

Two things show it. The scans of a file with several of them do not cover all coefficients of all channels (ITU-T T.81,
table B.3 and annex G); or its pixels change if noise is put before the end marker: a decoder that has all its data
skips it, and another one takes it for the missing part. The second decoding is only needed for files of several scans,
and for those of one whose last pixel is what decoders make of nothing: a sample of 128 in each channel.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np

_PART = np.random.default_rng(0).integers(0, 255, 512, dtype=np.uint8).tobytes()  # without 0xff: it has no markers
# The zero ends the 0xff that may be before it; the markers are those of restarts, where decoders go on.
NOISE = b"\0" + _PART + b"".join(bytes((0xFF, 0xD0 + number)) + _PART for number in range(8))
NOTHING = 128
"""Sample that decoders put where data is missing (T.81, A.3.1)."""
CUT = "is cut off: parts of its picture are missing"
"""Fault, as the end of a sentence that begins with the image."""
UNKNOWN_INKS = "is CMYK without Adobe's marker, so that it is unknown whether its levels are inverted"
"""The same: some decoders invert such levels, and others do not."""

# Of bytes in a scan, 0xff is followed by zero, by the number of a restart, or by another 0xff.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF))
_PROGRESSIVE = frozenset(range(0xC2, 0xCF, 4))
_SCAN, _END, _START = 0xDA, 0xD9, 0xD8
_COEFFICIENTS = 64


class Scans(NamedTuple):
    """What the scans of a JPEG say."""

    number: int
    """Number of scans of the first image."""
    is_complete: bool
    """Whether they cover all coefficients of all channels."""
    end: int
    """Position behind the data of the last scan, in bytes."""


def scans(content: bytes) -> Scans:
    """Return the scans of the first image of a JPEG, whose header need not be valid."""
    at, count, is_progressive, end = 2, 0, False, len(content)
    channels: tuple[int, ...] = ()
    covered: dict[int, set[int]] = {}
    while found := _MARKER.search(content, at):
        marker, at = content[found.start() + 1], found.end()
        if marker == _END or (marker == _START and count):
            end = found.start()
            break
        if marker in (0x01, _START) or at + 2 > len(content):
            continue
        (length,) = struct.unpack_from(">H", content, at)
        body = content[at + 2 : at + length]
        at += length
        if marker in _FRAMES and len(body) > 6:
            channels, is_progressive = tuple(body[6 : 6 + 3 * body[5] : 3]), marker in _PROGRESSIVE
        elif marker == _SCAN and len(body) >= 4 + 2 * body[0]:
            count += 1
            first, last, precision = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            done = range(first, last + 1) if not precision & 15 else range(0)
            for channel in body[1 : 1 + 2 * body[0] : 2]:
                covered.setdefault(channel, set()).update(done if is_progressive else range(_COEFFICIENTS))
    is_complete = all(covered.get(channel, set()).issuperset(range(_COEFFICIENTS)) for channel in channels)
    return Scans(count, is_complete and bool(channels), end)


def with_noise(content: bytes, end: int) -> bytes:
    """Return a JPEG with noise behind its last scan, which changes its pixels if the scan was cut off."""
    return content[:end] + NOISE + (content[end:] or bytes((0xFF, _END)))


def may_be_cut(last: np.ndarray, count: int) -> bool:
    """Return whether `with_noise` has to be decoded to know whether a JPEG was cut off.

    Args:
        last: The last pixel, uint8 `[channels]`, as decoded to grey, RGB or CMYK and not converted further.
        count: Number of scans.
    """
    return count != 1 or bool((last == last[0]).all() and abs(int(last[0]) - NOTHING) <= 1)
