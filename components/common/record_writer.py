"""Write gzipped TFRecords, the format between TFX components, on all cores and in bounded memory.

TFX uses Beam's sink, which compresses at zlib level 6 in the thread that does everything else; that takes longer than
decoding and resizing the images. Here a file is a sequence of gzip members (allowed by RFC 1952; TensorFlow, Beam and
Python read them), so several are compressed at a time. zlib-ng compresses packed pixels to the same size as zlib in
half the time.

Beside the folder of the files, `<folder>.records` has their number of records, until `record_shards` has read it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.tfrecordio import _TFRecordUtil
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from tfx import types
from zlib_ng import zlib_ng

from edgetune.modules.core.threads import InOrder
from edgetune.modules.examples import shards
from edgetune.modules.storage import filesystem

_GZIP = zlib.MAX_WBITS | 16
_FAST = 1
_MEMBERS, _RECORDS = "members", "records"
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
        packed = input_or_inputs | "Pack" >> beam.ParDo(self._pack).with_outputs(_RECORDS, main=_MEMBERS)
        (
            packed[_RECORDS]
            | "Count" >> beam.CombineGlobally(sum).without_defaults()  # a default costs a stage
            | "WriteCount" >> beam.Map(_write_count, _count_path(self._prefix.rpartition("/")[0]))
        )
        return packed[_MEMBERS] | "Write" >> beam.io.Write(_Sink(self._prefix))


def record_shards(examples: types.Artifact, splits: Iterable[str]) -> dict[str, int]:
    """Record on an artifact which files `WriteRecords` has written to it, in folders `Split-<name>`.

    Args:
        examples: The artifact; its folder was empty before.
        splits: Names of its splits.

    Returns:
        Number of records by split.

    Raises:
        DataError: A folder has files that one writer cannot have written, or lacks some.
    """
    paths = {split: _count_path(f"{examples.uri}/Split-{split}") for split in splits}
    records = dict.fromkeys(paths, 0)  # a split without records has no count
    for split, path in paths.items():
        if filesystem.exists(path):
            records[split] = int(filesystem.read(path))
            filesystem.remove(path)
    examples.set_string_custom_property(shards.PROPERTY, shards.write(examples.uri, records))
    return records


def _count_path(folder: str) -> str:
    return f"{folder}.records"


def _write_count(records: int, path: str) -> None:
    filesystem.write(path, str(records).encode())


class _Pack(beam.DoFn):
    def __init__(self, compressor: Callable[[], Compressor], prepare: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._compressor, self._prepare = compressor, prepare

    def start_bundle(self) -> None:
        self._records: list[bytes] = []
        self._size = self._count = 0
        self._calls = InOrder(_member)

    def process(self, element: bytes) -> Iterator[bytes]:
        self._records.append(element)
        self._count += 1
        self._size += len(element)
        if self._size >= _BLOCK:
            yield from self._calls.call(self._records, self._compressor, self._prepare)
            self._records, self._size = [], 0

    def finish_bundle(self) -> Iterator[beam.transforms.window.WindowedValue | TaggedOutput]:
        if self._records:
            for member in self._calls.call(self._records, self._compressor, self._prepare):
                yield GlobalWindows.windowed_value(member)
        for member in self._calls.rest():
            yield GlobalWindows.windowed_value(member)
        yield TaggedOutput(_RECORDS, GlobalWindows.windowed_value(self._count))


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
