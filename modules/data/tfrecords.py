"""Read untrusted TFRecord files, plain or compressed, and report damage with the record and the byte offset.

TensorFlow's own reader accepts a file that is cut within the 12-byte header of a record as complete.
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


def read_records(path: str, max_bytes: int | None = None) -> Iterator[bytes]:
    """Yield the records of a file, each verified against its checksum.

    Args:
        path: The file, local or behind a URL; plain or compressed with gzip, bzip2 or xz, whatever its name.
        max_bytes: Larger records are not read, because a small compressed file may contain one of any size; None for
            trusted files.

    Raises:
        Damaged: The file is not a TFRecord file, of an unsupported compression, cut short or altered, or has too large
            a record. The message has the record, counted from 1, and its byte offset, in the decompressed data if the
            file is compressed.
    """
    with ExitStack() as opened:
        number = position = 0
        unpacked = ""
        try:
            file: Any = opened.enter_context(_open(path))
            head = file.read(_HEADER)
            file.seek(0)
            if head and not _is_header(head):
                file, unpacked = opened.enter_context(_unpack(file, head)), " of the decompressed data"
            while True:
                position = file.tell()
                record = _TFRecordUtil.read_record(_Bounded(file, max_bytes))
                if record is None:
                    return
                number += 1
                yield record
        except EOFError as error:  # raised for compressed files
            raise Damaged(f"cut short in record {number + 1}, at byte {position:,}{unpacked}") from error
        except _TooLarge as error:
            what = f"record {number + 1}, at byte {position:,}{unpacked}"
            raise Damaged(
                f"{what}, is larger than the {max_bytes} bytes that a record with an image can have"
            ) from error
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
    pass


class _Bounded:
    """File that refuses reads of more than `max_bytes` at once."""

    def __init__(self, file: Any, max_bytes: int | None) -> None:
        self._file, self._max_bytes = file, max_bytes

    def read(self, size: int) -> bytes:
        if self._max_bytes is not None and size > self._max_bytes:
            raise _TooLarge
        return bytes(self._file.read(size))


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
