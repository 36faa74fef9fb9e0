"""Write gzipped TFRecords, the format between TFX components, on all cores and in bounded memory.

TFX uses Beam's sink, which compresses at zlib level 6 in the thread that does everything else; that takes longer than
decoding and resizing the images. Here a file is a sequence of gzip members (allowed by RFC 1952; TensorFlow, Beam and
Python read them), so several are compressed at a time. zlib-ng compresses packed pixels to the same size as zlib in
half the time.
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
"""Minimum bytes of records in a gzip member, except the last one."""


class Compressor(Protocol):
    """Compressor of one gzip member, like those of the standard library."""

    def compress(self, data: memoryview) -> bytes:
        """Return the first part of the compressed data."""

    def flush(self) -> bytes:
        """Return the rest of the compressed data."""


def uncompressed() -> Compressor:
    """Return a compressor that only frames, for data that is already compressed."""
    return zlib.compressobj(0, zlib.DEFLATED, _GZIP)


def huffman_only() -> Compressor:
    """Return a compressor for data with few frequent byte values and no repetitions, such as packed pixels."""
    return zlib_ng.compressobj(_FAST, zlib.DEFLATED, _GZIP, strategy=zlib.Z_HUFFMAN_ONLY)


class WriteRecords(beam.PTransform):
    """Write serialized examples to `<prefix>-00000-of-00001.gz`, one file for each bundle.

    Args:
        prefix: Beginning of the paths.
        compressor: `uncompressed` or `huffman_only`.
        prepare: Applied to each example before it is written, in threads.
    """

    def __init__(
        self, prefix: str, compressor: Callable[[], Compressor], prepare: Callable[[bytes], bytes] = bytes
    ) -> None:
        super().__init__()
        self._prefix, self._pack = prefix, _Pack(compressor, prepare)

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        return input_or_inputs | "Pack" >> beam.ParDo(self._pack) | "Write" >> beam.io.Write(_Sink(self._prefix))


class _Pack(beam.DoFn):
    def __init__(self, compressor: Callable[[], Compressor], prepare: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._compressor, self._prepare = compressor, prepare

    def start_bundle(self) -> None:
        self._records: list[bytes] = []
        self._size = 0
        self._calls = InOrder(_member)

    def process(self, element: bytes) -> Iterator[bytes]:
        self._records.append(element)
        self._size += len(element)
        if self._size >= _BLOCK:
            yield from self._calls.call(self._records, self._compressor, self._prepare)
            self._records, self._size = [], 0

    def finish_bundle(self) -> Iterator[beam.transforms.window.WindowedValue]:
        if self._records:
            for member in self._calls.call(self._records, self._compressor, self._prepare):
                yield GlobalWindows.windowed_value(member)
        for member in self._calls.rest():
            yield GlobalWindows.windowed_value(member)


def _member(records: list[bytes], compressor: Callable[[], Compressor], prepare: Callable[[bytes], bytes]) -> bytes:
    """Return a gzip member that holds the records in TFRecord framing."""
    framed = io.BytesIO()
    for record in records:
        _TFRecordUtil.write_record(framed, prepare(record))
    packer = compressor()
    return packer.compress(framed.getbuffer()) + packer.flush()


class _Sink(FileBasedSink):
    """Sink that writes gzip members unchanged."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix, BytesCoder(), ".gz", compression_type=CompressionTypes.UNCOMPRESSED)

    def write_encoded_record(self, file_handle: io.BufferedWriter, encoded_value: bytes) -> None:
        file_handle.write(encoded_value)
