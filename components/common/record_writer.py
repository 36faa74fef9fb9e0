"""Writing gzipped TFRecords, as TFX's components hand them on: compressed by all cores, in memory that does not grow.

TFX's own way is Beam's sink, which compresses at zlib's level 6 in the thread that does everything else: that takes
longer than to decode and resize the images. Here a file is a row of gzip members (RFC 1952 allows for it, and
TensorFlow, Beam and Python read it), so several can be compressed at a time; and zlib-ng does it, which makes the same
of packed pixels as zlib in half the time.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.tfrecordio import _TFRecordUtil
from apache_beam.transforms.window import GlobalWindows
from zlib_ng import zlib_ng

from edgetune.modules.core.threads import InOrder

_GZIP = zlib.MAX_WBITS | 16
_FAST = 1
_BLOCK = 1 << 20
"""Bytes of records in a member, at least."""


class Compressor(Protocol):
    """What makes one gzip member, as of the standard library."""

    def compress(self, data: memoryview) -> bytes:
        """The beginning of it."""

    def flush(self) -> bytes:
        """The rest of it."""


def stored() -> Compressor:
    """For what is compressed already."""
    return zlib.compressobj(0, zlib.DEFLATED, _GZIP)


def squeezed() -> Compressor:
    """For bytes of which few values are frequent and that do not repeat, such as packed pixels."""
    return zlib_ng.compressobj(_FAST, zlib.DEFLATED, _GZIP, strategy=zlib.Z_HUFFMAN_ONLY)


class WriteRecords(beam.PTransform):
    """Serialized examples to `<prefix>-00000-of-00001.gz`, one file for each bundle.

    Args:
        prefix: Beginning of the paths.
        how: `stored` or `squeezed`.
        prepare: What is done to each example before it is written, in threads.
    """

    def __init__(self, prefix: str, how: Callable[[], Compressor], prepare: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__()
        self._prefix, self._pack = prefix, _Pack(how, prepare)

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        return input_or_inputs | "Pack" >> beam.ParDo(self._pack) | "Write" >> beam.io.Write(_Sink(self._prefix))


class _Pack(beam.DoFn):
    def __init__(self, how: Callable[[], Compressor], prepare: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._how, self._prepare = how, prepare

    def start_bundle(self) -> None:
        self._records: list[bytes] = []
        self._size = 0
        self._calls = InOrder(_member)

    def process(self, element: bytes) -> Iterator[bytes]:
        self._records.append(element)
        self._size += len(element)
        if self._size >= _BLOCK:
            yield from self._calls.call(self._records, self._how, self._prepare)
            self._records, self._size = [], 0

    def finish_bundle(self) -> Iterator[beam.transforms.window.WindowedValue]:
        if self._records:
            for member in self._calls.call(self._records, self._how, self._prepare):
                yield GlobalWindows.windowed_value(member)
        for member in self._calls.rest():
            yield GlobalWindows.windowed_value(member)


def _member(records: list[bytes], how: Callable[[], Compressor], prepare: Callable[[bytes], bytes]) -> bytes:
    """Records as TFRecords, in a gzip member."""
    framed = io.BytesIO()
    for record in records:
        _TFRecordUtil.write_record(framed, prepare(record))
    packer = how()
    return packer.compress(framed.getbuffer()) + packer.flush()


class _Sink(FileBasedSink):
    """Writes members as they are."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix, BytesCoder(), ".gz", compression_type=CompressionTypes.UNCOMPRESSED)

    def write_encoded_record(self, file_handle: io.BufferedWriter, encoded_value: bytes) -> None:
        file_handle.write(encoded_value)
