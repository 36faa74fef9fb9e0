"""Count the records of TFRecord files by their lengths, without reading them.

The format of a record (https://www.tensorflow.org/tutorials/load_data/tfrecord):

    uint64 length | uint32 checksum of the length | content | uint32 checksum of the content
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from edgetune.modules.storage import filesystem

_LENGTH = 8
_OVERHEAD = _LENGTH + 4 + 4
_MAX_COUNT = 1_000_000


def count_records(paths: Iterable[str]) -> int | None:
    """Return the total number of records in all files.

    In a damaged file, the records before the damage count; reading it reports the damage.

    Args:
        paths: TFRecord files.

    Returns:
        The number, at most a million; None if it is unknown without reading everything: for URLs, compressed files and
        anything that is not a file.
    """
    total = 0
    for path in paths:
        if filesystem.is_remote(path) or (found := _count(path, _MAX_COUNT - total)) is None:
            return None
        total += found
    return total


def _count(path: str, limit: int) -> int | None:
    try:
        # Opening a pipe would block.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - before opening
            return None
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            records = position = 0
            while records < limit and len(length := os.pread(file.fileno(), _LENGTH, position)) == _LENGTH:
                position += _OVERHEAD + struct.unpack("<Q", length)[0]
                # The first bytes of a compressed file, read as a length, point far beyond its end.
                if position > size:
                    return records or None
                records += 1
            return records
    except OSError:
        return None
