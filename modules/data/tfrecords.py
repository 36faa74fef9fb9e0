"""Read untrusted TFRecord files, plain or compressed, and report damage with the record and the byte offset.

TensorFlow's own reader accepts a file that is cut within the 12-byte header of a record as complete.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from apache_beam.io.tfrecordio import _TFRecordUtil

from edgetune.modules.core import bounds
from edgetune.modules.core.wording import counted
from edgetune.modules.storage import filesystem

_HEADER = 12
_UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b\x08": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_UNSUPPORTED = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"\x78\x01": "zlib", b"\x78\x9c": "zlib"}


class Damaged(Exception):
    """A file cannot be read to its end; the message says why, in a few words."""


@dataclass(frozen=True)
class Bounds:
    """What is read of an untrusted file at most."""

    record: int
    """Bytes of a record."""
    records: int = bounds.MAX_RECORDS
    """Number of records; the setting `data.max_records`."""
    unpack_ratio: int = bounds.MAX_UNPACK_RATIO
    """Bytes that a compressed file unpacks to for each of its own; the setting `data.max_unpack_ratio`."""


def read_records(path: str, most: Bounds | None = None) -> Iterator[bytes]:
    """Yield the records of a file, each verified against its checksum.

    Args:
        path: The file, local or behind a URL; plain or compressed with gzip, bzip2 or xz, whatever its name.
        most: Nothing beyond these bounds is read, because a small compressed file may contain a record of any size, or
            any number of them; None for trusted files.

    Raises:
        Damaged: The file is not a TFRecord file, of an unsupported compression, cut short or altered, or exceeds a
            bound. The message has the record, counted from 1, and its byte offset, in the decompressed data if the
            file is compressed.
    """
    with ExitStack() as opened:
        number = position = 0
        unpacked = ""
        try:
            file: Any = opened.enter_context(_open(path))
            head = file.read(_HEADER)
            size = file.seek(0, os.SEEK_END) or file.tell()  # GFile's `seek` returns nothing
            file.seek(0)
            if head and not _is_header(head):
                file, unpacked = opened.enter_context(_unpack(file, head)), " of the decompressed data"
            bounded = _Bounded(file, most, size if unpacked else None)
            while True:
                position = file.tell()
                bounded.number = number
                record = _TFRecordUtil.read_record(bounded)
                if record is None:
                    return
                number += 1
                yield record
        except EOFError as error:  # raised for compressed files
            raise Damaged(f"cut short in record {number + 1}, at byte {position:,}{unpacked}") from error
        except _TooLarge as error:
            raise Damaged(f"record {number + 1}, at byte {position:,}{unpacked}, {error}") from error
        except (ValueError, MemoryError) as error:
            what = f"record {number + 1}, at byte {position:,}{unpacked}"
            cut = "Fewer than" in str(error) or isinstance(error, MemoryError)
            raise Damaged(f"cut short in {what}" if cut else f"{what}, does not match its checksum") from error
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise Damaged(f"its compression is damaged after {counted(number, 'record')}: {error}") from error
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
            raise Damaged(f"cannot be read after {counted(number, 'record')}: {reason}") from error


class _TooLarge(Exception):
    """A bound is exceeded; the message says which, and its setting."""


class _Bounded:
    """File that refuses a read beyond the bounds; `number` of its records were read.

    Args:
        file: Plain, or unpacking.
        most: The bounds, if there are any.
        packed: Size of a compressed file, in bytes; None of a plain one.
    """

    def __init__(self, file: Any, most: Bounds | None, packed: int | None) -> None:
        self._file, self._most, self._packed = file, most, packed
        self.number = 0

    def read(self, size: int) -> bytes:
        if self._most is not None:
            self._check(size, self._most)
        return bytes(self._file.read(size))

    def _check(self, size: int, most: Bounds) -> None:
        if size > most.record:
            raise _TooLarge(
                f"is larger than the {most.record} bytes that a record with an image of data.max_pixels has"
            )
        if self._packed is not None:
            allowed = bounds.FREE_UNPACKED + most.unpack_ratio * self._packed
            if self._file.tell() + size > allowed or self.number * bounds.RECORD_COST > allowed:
                raise _TooLarge(
                    f"unpacks to more than {most.unpack_ratio} times the {self._packed} bytes of the file "
                    "(data.max_unpack_ratio)"
                )
        if self.number >= most.records and self._file.read(1):
            raise _TooLarge(f"is beyond the {most.records} that a file may have (data.max_records)")


def _open(path: str) -> Any:
    return tf.io.gfile.GFile(path, "rb") if filesystem.is_remote(path) else open(path, "rb")


def _is_header(head: bytes) -> bool:
    """Return whether these bytes are, or begin, a record's length and the checksum of the length."""
    if len(head) < _HEADER:
        return not any(head.startswith(start) for start in (*_UNPACK, *_UNSUPPORTED))
    return bool(struct.unpack("<I", head[8:])[0] == _TFRecordUtil._masked_crc32c(head[:8]))


def _unpack(file: Any, head: bytes) -> Any:
    for start, unpack in _UNPACK.items():
        if head.startswith(start):
            return unpack(file)
    for start, name in _UNSUPPORTED.items():
        if head.startswith(start):
            raise Damaged(f"compressed with {name}, which is not supported: write it plain or with gzip")
    raise Damaged("not a TFRecord file: it does not begin with a record")
