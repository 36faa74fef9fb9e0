"""How many records there are in TFRecord files, by their lengths alone: no record is read.

    uint64 length | uint32 checksum of it | content | uint32 checksum of the content

as TensorFlow's documentation of the format has it (https://www.tensorflow.org/tutorials/load_data/tfrecord).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from edgetune.modules.storage import filesystem

_LENGTH = 8
_AROUND_THE_CONTENT = _LENGTH + 4 + 4
_ENOUGH = 1_000_000


def count_records(paths: Iterable[str]) -> int | None:
    """How many records there are in all files together.

    A file that is damaged has as many as can be walked through; what is wrong with it is for its reader to say.

    Args:
        paths: TFRecord files.

    Returns:
        The number, or a million where there are more; None where it cannot be told without reading everything: behind a
        URL, of a compressed file, of what is no file.
    """
    total = 0
    for path in paths:
        if filesystem.is_remote(path) or (found := _count(path, _ENOUGH - total)) is None:
            return None
        total += found
    return total


def _count(path: str, most: int) -> int | None:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - not opened yet
            return None
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            records = position = 0
            while records < most and len(length := os.pread(file.fileno(), _LENGTH, position)) == _LENGTH:
                position += _AROUND_THE_CONTENT + struct.unpack("<Q", length)[0]
                # What a compressed file begins with, read as a length, leads far beyond its end.
                if position > size:
                    return records or None
                records += 1
            return records
    except OSError:
        return None
