"""Reading TFRecord files of anyone's, plain or compressed: what is wrong with one is said with its place in it.

TensorFlow's own reader takes a file that ends within the 12 bytes before a record for one that ends there.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import tensorflow as tf
from apache_beam.io.tfrecordio import _TFRecordUtil

from edgetune.modules.storage import filesystem

_HEADER = 12
_UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b\x08": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_FOREIGN = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"\x78\x01": "zlib", b"\x78\x9c": "zlib"}


class Damaged(Exception):
    """The file cannot be read to its end; the message says why, in a few words."""


def read_records(path: str, most: int | None = None) -> Iterator[bytes]:
    """The records of a file, each checked against its checksum.

    Args:
        path: The file, on this machine or behind a URL; plain or compressed with gzip, bzip2 or xz, whatever its name.
        most: A record with more bytes is not read, because a small compressed file may hold one of any size; None
            where the file is our own.

    Raises:
        Damaged: It is no file of records, of an unknown compression, cut short or altered, or has too large a record.
            Names the record, counted from 1, and the byte where it begins; of a compressed file, the byte of what was
            compressed.
    """
    with ExitStack() as opened:
        number = position = 0
        unpacked = ""
        try:
            file: Any = opened.enter_context(_open(path))
            head = file.read(_HEADER)
            file.seek(0)
            if head and not _is_header(head):
                file, unpacked = opened.enter_context(_unpack(file, head)), " of what it unpacks to"
            while True:
                position = file.tell()
                record = _TFRecordUtil.read_record(_Bounded(file, most))
                if record is None:
                    return
                number += 1
                yield record
        except EOFError as error:  # of a compressed file
            raise Damaged(f"cut short in record {number + 1}, at byte {position:,}{unpacked}") from error
        except _TooLarge as error:
            what = f"record {number + 1}, at byte {position:,}{unpacked}"
            raise Damaged(f"{what}, is larger than the {most} bytes that one with an image can have") from error
        except (ValueError, MemoryError) as error:
            what = f"record {number + 1}, at byte {position:,}{unpacked}"
            cut = "Fewer than" in str(error) or isinstance(error, MemoryError)
            raise Damaged(f"cut short in {what}" if cut else f"{what}, has another checksum than it says") from error
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise Damaged(f"its compression is damaged after {number} records: {error}") from error
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
            raise Damaged(f"cannot be read after {number} records: {reason}") from error


class _TooLarge(Exception):
    pass


class _Bounded:
    """A file of which nothing larger is read at once."""

    def __init__(self, file: Any, most: int | None) -> None:
        self._file, self._most = file, most

    def read(self, size: int) -> bytes:
        if self._most is not None and size > self._most:
            raise _TooLarge
        return bytes(self._file.read(size))


def _open(path: str) -> Any:
    return tf.io.gfile.GFile(path, "rb") if filesystem.is_remote(path) else open(path, "rb")


def _is_header(head: bytes) -> bool:
    """Whether these are the length of a record and the checksum of that; or the beginning of it."""
    if len(head) < _HEADER:
        return not any(head.startswith(start) for start in (*_UNPACK, *_FOREIGN))
    return bool(struct.unpack("<I", head[8:])[0] == _TFRecordUtil._masked_crc32c(head[:8]))


def _unpack(file: Any, head: bytes) -> Any:
    for start, unpack in _UNPACK.items():
        if head.startswith(start):
            return unpack(file)
    for start, name in _FOREIGN.items():
        if head.startswith(start):
            raise Damaged(f"compressed with {name}, which is not read: write it plain, or with gzip")
    raise Damaged("no TFRecord file: its first bytes are not a record's")
