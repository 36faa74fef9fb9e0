"""Find JPEGs that lack data, at the end or in the middle, which decoders accept: they show grey, or shifted colors.

Four things show it. Scans leave out coefficients (ITU-T T.81, table B.3 and annex G). Restart markers are not as many
as the header says, or out of order (B.2.4.4 and E.1.4). The pixels change if noise is put behind the data of a scan or
before a restart: a decoder that has all its data skips it, and another one takes it for what is missing. And the pixels
do not change if the last bytes are others: the decoder has filled the picture with something else, and does not reach
them. Nobody hears the warnings of libjpeg: Pillow drops them, and TensorFlow prints them.

The last test needs scans whose ends are seen, so it is not made of a JPEG of several scans.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_BYTES = np.random.default_rng(0).integers(0, 255, 512, dtype=np.uint8).tobytes()  # without 0xff: it has no markers
# The zero ends the 0xff that may be before it; the markers are those of restarts, where decoders go on.
NOISE = b"\0" + _BYTES + b"".join(bytes((0xFF, 0xD0 + number)) + _BYTES for number in range(8))
SHORT_NOISE = b"\0" + _BYTES[:64]
"""The same for ends in the middle, of which there may be thousands."""
HEAD = 16
"""Bytes of a scan that may be those of its header."""
OTHER_ENDS = tuple(b"\0" + _BYTES[at : at + 3] for at in (100, 103, 106))
"""What is put over the last bytes. A change may be invisible, as in a white sky, so there are several."""
LONG_ENDS = tuple(b"\0" + _BYTES[100 : 100 + length - 1] for length in (4, 16, 64, 256))
"""The same for the graph, where a change is not made visible by `_QUANTIZERS`."""
# With these instead of a file's own, a change of any coefficient is visible; 0 leaves them.
_QUANTIZERS = (0, 3, 120, 24)
MOST_FILL = 16
"""Bytes of zero or 0xff behind the data of a scan that are taken for padding, as some cameras write it."""
NOTHING = 128
"""Sample that decoders put where data is missing (T.81, A.3.1)."""
CUT = "is cut off: parts of its picture are missing"
"""Fault, as the end of a sentence that begins with the image."""
UNKNOWN_INKS = "is CMYK without Adobe's marker, so that it is unknown whether its levels are inverted"
"""The same: some decoders invert such levels, and others do not."""

# Of bytes in a scan, 0xff is followed by zero, by the number of a restart, or by another 0xff.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF))
_PROGRESSIVE = frozenset(range(0xC2, 0xCF, 4))
_SEQUENTIAL = (0xC0, 0xC1)
_SCAN, _END, _START, _INTERVAL, _TABLES = 0xDA, 0xD9, 0xD8, 0xDD, 0xDB
_COEFFICIENTS, _BLOCK, _MOST = 64, 8, 65500

Decode = Callable[[bytes, bool], np.ndarray]


class _Frame(NamedTuple):
    kind: int
    height: int
    width: int
    sampling: dict[int, tuple[int, int]]
    """Of each channel: across and down."""

    def grid(self, channels: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return for a scan of channels: units down and across, and pixels of a unit, down and across."""
        across, down = (max((one[axis] for one in self.sampling.values()), default=1) for axis in (0, 1))
        wide, high = _BLOCK * across, _BLOCK * down
        if len(channels) == 1:  # a unit is a block (A.2.2)
            own = self.sampling.get(channels[0], (1, 1))
            wide, high = wide // own[0], high // own[1]
        return -(-self.height // high), -(-self.width // wide), high, wide


class Scans(NamedTuple):
    """What the scans of a JPEG say."""

    number: int
    """Number of scans of the first image."""
    is_complete: bool
    """Whether they cover all coefficients of all channels, and all restarts are there and in order."""
    end: int
    """Position behind the data of the last scan, in bytes."""
    ends: tuple[int, ...]
    """The same of each part between two restarts, of all scans."""
    interval: int
    """Units between two restarts in the last scan; 0 if it has none."""
    grid: tuple[int, int, int, int] | None
    """Units down and across, and pixels of a unit, down and across, if there is one sequential scan; else None."""


def scans(content: bytes) -> Scans:
    """Return the scans of the first image of a JPEG, whose header need not be valid."""
    at, count, interval, end = 2, 0, 0, len(content)
    frame = _Frame(0, 0, 0, {})
    covered: dict[int, set[int]] = {}
    ends: list[int] = []
    named: tuple[int, ...] = ()
    is_in_order = True
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
            rows = [body[place : place + 3] for place in range(6, 6 + 3 * body[5], 3)]
            sampling = {row[0]: (max(row[1] >> 4, 1), max(row[1] & 15, 1)) for row in rows if len(row) == 3}
            height, width = struct.unpack_from(">HH", body, 1)
            frame = _Frame(marker, height, width, sampling)
        elif marker == _INTERVAL and len(body) >= 2:
            (interval,) = struct.unpack_from(">H", body)
        elif marker == _SCAN and len(body) >= 4 + 2 * body[0]:
            count += 1
            first, last, precision = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            named = tuple(body[1 : 1 + 2 * body[0] : 2])
            done = range(first, last + 1) if not precision & 15 else range(0)
            for channel in named:
                covered.setdefault(channel, set()).update(done if frame.kind in _PROGRESSIVE else range(_COEFFICIENTS))
            following = _MARKER.search(content, at)
            stop = following.start() if following else len(content)
            restarts = [(found.start(), found[1][0] & 7) for found in _RESTART.finditer(content, at, stop)]
            ends += [*(place for place, _ in restarts), stop]
            if interval and frame.height:
                down, across, *_ = frame.grid(named)
                needed = -(-down * across // interval) - 1
                is_in_order &= needed <= len(restarts) <= needed + 1
                is_in_order &= all(number == n % 8 for n, (_, number) in enumerate(restarts[:needed]))
    is_complete = all(covered.get(channel, set()).issuperset(range(_COEFFICIENTS)) for channel in frame.sampling)
    is_single = count == 1 and frame.kind in _SEQUENTIAL and frame.height and len(named) == len(frame.sampling)
    grid = frame.grid(named) if is_single else None
    return Scans(count, is_complete and is_in_order and bool(frame.sampling), end, tuple(ends), interval, grid)


def is_whole(content: bytes, found: Scans, pixels: np.ndarray, decode: Decode) -> bool:
    """Return whether a JPEG has all its data, as far as the tests of this module show it.

    Args:
        content: The bytes of the file.
        found: Its scans.
        pixels: uint8 `[height, width]` or `[height, width, channels]`, as decoded to grey, RGB or CMYK, perhaps at a
            half, a quarter or an eighth of its size, and not converted further.
        decode: Returns the same for another JPEG of this size; of its full size if the second argument is true.
    """
    if not found.is_complete:
        return False
    last = np.atleast_1d(pixels[-1, -1])
    if _may_be_cut(last, found) and not np.array_equal(decode(with_noise(content, found), False), pixels):
        return False
    return found.grid is None or _reaches_ends(content, found, pixels, decode)


def _may_be_cut(last: np.ndarray, found: Scans) -> bool:
    """Return whether `with_noise` has to be decoded to know whether a JPEG lacks data.

    Args:
        last: The last pixel, uint8 `[channels]`. Where one scan without restarts lacks data, it is a sample of 128.
        found: The scans.
    """
    is_nothing = bool((last == last[0]).all() and abs(int(last[0]) - NOTHING) <= 1)
    return found.number != 1 or found.interval > 0 or is_nothing


def with_noise(content: bytes, found: Scans) -> bytes:
    """Return a JPEG with noise behind its scans and before its restarts."""
    places = [0, *(place for place in found.ends if place < found.end)]
    parts = [content[a:b] for a, b in zip(places, [*places[1:], found.end], strict=True)]
    return SHORT_NOISE.join(parts) + NOISE + (content[found.end :] or bytes((0xFF, _END)))


def with_other_ends(content: bytes, found: Scans, other: bytes, fill: int = MOST_FILL) -> bytes:
    """Return a JPEG with other bytes at the ends of its scan and before its restarts."""
    changed = bytearray(content)
    before = content.rfind(b"\xff\xda", 0, found.ends[0])
    begin = before + 2 + struct.unpack_from(">H", content, before + 2)[0]
    for end in found.ends:
        stop = end
        while stop > max(begin, end - fill) and content[stop - 1] in (0, 0xFF):
            stop -= 1
        start = max(begin, stop - len(other))
        changed[start:stop] = other[: stop - start]
        begin = end + 2
    return bytes(changed) + (b"" if content[found.end :] else bytes((0xFF, _END)))


def _reaches_ends(content: bytes, found: Scans, pixels: np.ndarray, decode: Decode) -> bool:
    pending = np.ones(len(found.ends), bool)
    for quantizer in (None, *_QUANTIZERS):
        before = pixels if quantizer is None else decode(_revealed(content, found, quantizer), True)
        for other in OTHER_ENDS[: 1 if quantizer is None else None]:
            changed = with_other_ends(content, found, other)
            after = decode(
                changed if quantizer is None else _revealed(changed, found, quantizer), quantizer is not None
            )
            pending &= ~_changes(before, after, found)
            if not pending.any():
                return True
    # Codes may be so short that what looks like padding is data, or that any data means the same.
    everything = b"\0" + _BYTES * (len(content) // len(_BYTES) + 1)
    for other in (*OTHER_ENDS, everything):
        after = decode(_revealed(with_other_ends(content, found, other, 0), found, _QUANTIZERS[-1]), True)
        changes = _changes(before, after, found)
        pending &= changes if other is everything else ~changes
    return not pending.any()


def _changes(before: np.ndarray, after: np.ndarray, found: Scans) -> np.ndarray:
    """Return whether the last unit of each part between restarts changes, bool `[parts]`."""
    assert found.grid is not None
    down, across, high, wide = found.grid
    scale = next((ratio for ratio in (1, 2, 4) if len(before) > (down - 1) * high // ratio), 8)
    high, wide = high // scale, wide // scale
    # The colors of neighbours are smoothed into each other if they are stored at a part of the size.
    edge = 1 if scale == 1 and found.interval and max(high, wide) > _BLOCK else 0
    units = down * across
    step = found.interval or units
    changes = np.zeros(len(found.ends), bool)
    for part in range(min(len(changes), -(-units // step))):
        last = min(step * (part + 1), units) - 1
        row, column = divmod(last, across)
        area = (
            slice(min(row * high + edge * (row > 0), len(before) - 1), (row + 1) * high - edge * (row < down - 1)),
            slice(
                min(column * wide + edge * (column > 0), before.shape[1] - 1),
                (column + 1) * wide - edge * (column < across - 1),
            ),
        )
        changes[part] = not np.array_equal(before[area], after[area])
    changes[-(-units // step) :] = True  # a restart behind the last unit
    return changes


def _revealed(content: bytes, found: Scans, quantizer: int) -> bytes:
    """Return a JPEG with whole units at its right and lower edge, and one quantizer for all coefficients, if not 0."""
    assert found.grid is not None
    down, across, high, wide = found.grid
    changed = bytearray(content)
    at = 2
    while (part := _MARKER.search(content, at)) and (marker := content[part.start() + 1]) != _SCAN:
        place = part.end() + 2
        at = part.end() + struct.unpack_from(">H", content, part.end())[0]
        if marker in _FRAMES:
            changed[place + 1 : place + 5] = struct.pack(">HH", min(down * high, _MOST), min(across * wide, _MOST))
        while quantizer and marker == _TABLES and place < at:
            size = 2 if content[place] >> 4 else 1
            changed[place + 1 : place + 1 + size * _COEFFICIENTS] = quantizer.to_bytes(size, "big") * _COEFFICIENTS
            place += 1 + size * _COEFFICIENTS
    return bytes(changed[: len(content)])
