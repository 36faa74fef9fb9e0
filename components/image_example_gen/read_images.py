"""Read image files, or records that hold images, into raw examples, and the reasons for rejecting the others."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from edgetune.components.image_example_gen.raw_example import (
    ACCEPTED,
    REJECTED,
    RecordFeatures,
    accepted,
    from_record,
    rejected,
)
from edgetune.components.image_example_gen.row_kinds import file_row
from edgetune.modules.core import bounds
from edgetune.modules.core.threads import Budget, InOrder
from edgetune.modules.core.worker_progress import SharedCount
from edgetune.modules.data import class_folders
from edgetune.modules.data.manifests import read_manifest
from edgetune.modules.data.sources import ALL, SPLIT_OF
from edgetune.modules.data.tfds import class_names
from edgetune.modules.data.tfrecords import Bounds, Damaged, read_records
from edgetune.modules.images.reader import ReadImage, Unusable, read_images
from edgetune.modules.images.reading import Reading
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, check_file, read_file

_REPORT_EVERY = 100

# Files of one call: the time of calls on few numbers, and of changing threads, is shared by them.
_FILES_TOGETHER = 16
# Reading over a network is mostly waiting.
_REMOTE_THREADS = 16
# All reading threads together hold at most as many bytes as the largest file that is read.
_contents = Budget()
# Counts the images of this process, which reads a part of all.
_seen = itertools.count(1)


class ReadFolders(beam.PTransform):
    """Read the class folders of patterns `.../*/*`; the label of a file is the name of its folder.

    A file that cannot be read, and has the name and the content of no image, has a row that says so.
    """

    def __init__(self, base: str, options: Reading, seen: SharedCount) -> None:
        super().__init__()
        self._base, self._read = base, _ReadFiles(base, options, seen)

    def expand(self, input_or_inputs: beam.PCollection) -> dict[str, beam.PCollection]:
        read = (
            input_or_inputs
            | "Folders" >> beam.FlatMap(_class_folders, self._base)
            | "SpreadFolders" >> beam.Reshuffle()
            | "Files" >> beam.FlatMap(_labelled_files, self._base)
            # Without this, one worker would read all files of a folder, which was one element.
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(self._read).with_outputs(ACCEPTED, REJECTED)
        )
        return {ACCEPTED: read[ACCEPTED], REJECTED: read[REJECTED] | "NotImages" >> beam.Map(file_row)}


class ReadManifest(beam.PTransform):
    """Read the images that a list has for a split, from patterns `<list>#<split>`."""

    def __init__(self, base: str, options: Reading, seen: SharedCount, most: tuple[int, int, dict[str, str]]) -> None:
        super().__init__()
        self._base, self._read = base, _ReadFiles(base, options, seen)
        self._most = most

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Lines" >> beam.FlatMap(_listed_files, self._base, self._most)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(self._read).with_outputs(ACCEPTED, REJECTED)
        )


class ReadRecords(beam.PTransform):
    """Read the TFRecord files that match glob patterns, with image and label from the given features.

    Files are distributed over workers; only a few records of a file are in memory at a time.
    """

    def __init__(self, base: str, options: Reading, seen: SharedCount, features: RecordFeatures, most: Bounds) -> None:
        super().__init__()
        self._base, self._read = base, _ReadRecords(base, options, seen, features, most)

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            input_or_inputs
            | "Files" >> beam.FlatMap(_matching, self._base)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.ParDo(self._read).with_outputs(ACCEPTED, REJECTED)
        )


# File names can hold any bytes but zero and slash. They travel between workers as bytes: Beam's text coder is UTF-8.


def _class_folders(pattern: str, base: str) -> Iterator[bytes]:
    yield from map(os.fsencode, class_folders.class_folders(pattern.removesuffix("/*/*"), base))


def _labelled_files(path: bytes, base: str) -> Iterator[tuple[bytes, bytes]]:
    label = path.rpartition(b"/")[2]
    yield from ((os.fsencode(file), label) for file in class_folders.files(os.fsdecode(path), base))


def _listed_files(pattern: str, base: str, most: tuple[int, int, dict[str, str]]) -> Iterator[tuple[bytes, bytes]]:
    manifest, _, split = pattern.rpartition("#")
    for entry in read_manifest(manifest, SPLIT_OF, *most):
        if (entry.split or ALL) == split:
            yield os.fsencode(f"{base}/{entry.path}"), os.fsencode(entry.label)


def _matching(pattern: str, base: str) -> Iterator[bytes]:
    yield from (os.fsencode(path) for path in filesystem.matching(base, pattern.removeprefix(f"{base}/")))


class _InThreads(beam.DoFn):
    """Read several files or records at a time, on all cores and in order; decoding releases Python's lock."""

    def __init__(self, base: str, options: Reading, seen: SharedCount) -> None:
        super().__init__()
        self._base, self._options, self._seen = base, options, seen

    def start_bundle(self) -> None:
        self._calls = InOrder(self._read, _REMOTE_THREADS if filesystem.is_remote(self._base) else None)

    def finish_bundle(self) -> Iterator[TaggedOutput]:
        for output in self._counted(self._calls.rest()):
            yield TaggedOutput(output.tag, GlobalWindows.windowed_value(output.value))

    def _counted(self, calls: Iterable[list[TaggedOutput]]) -> Iterator[TaggedOutput]:
        for output in itertools.chain.from_iterable(calls):
            if next(_seen) % _REPORT_EVERY == 0:
                self._seen.add(_REPORT_EVERY)
            yield output

    def _read(self, *element: Any) -> list[TaggedOutput]:
        raise NotImplementedError


class _ReadFiles(_InThreads):
    """Turn paths and labels into accepted `RawExample` elements or rejected rows, several files in each call."""

    def start_bundle(self) -> None:
        super().start_bundle()
        self._files: list[tuple[bytes, bytes]] = []
        self._together = 1 if filesystem.is_remote(self._base) else _FILES_TOGETHER

    def process(self, element: tuple[bytes, bytes]) -> Iterator[TaggedOutput]:
        self._files.append(element)
        if len(self._files) >= self._together:
            files, self._files = self._files, []
            yield from self._counted(self._calls.call(files))

    def finish_bundle(self) -> Iterator[TaggedOutput]:
        files, self._files = self._files, []
        for output in self._counted(itertools.chain(self._calls.call(files), self._calls.rest())):
            yield TaggedOutput(output.tag, GlobalWindows.windowed_value(output.value))

    def _read(self, files: Sequence[tuple[bytes, bytes]]) -> list[TaggedOutput]:
        outputs: list[TaggedOutput | None] = []
        readable: list[tuple[str, str]] = []

        def contents() -> Iterator[bytes]:
            for name, label in files:
                path = os.fsdecode(name)
                source = path.removeprefix(self._base).lstrip("/")
                most = bounds.max_file_bytes(self._options.max_pixels)
                size, _ = (None if filesystem.is_remote(path) else filesystem.size_and_time(path)) or (0, 0)
                with _contents.spend(min(size, most), most):  # until the next file is asked for
                    try:
                        content = read_file(path, self._base, most)
                    except UnreadableFile as error:
                        outputs.append(rejected(source, str(error), os.fsdecode(label)))
                        continue
                    outputs.append(None)
                    readable.append((os.fsdecode(label), source))
                    yield content

        read = iter(zip(read_images(contents(), self._options), readable, strict=True))
        return [self._described(*next(read)) if output is None else output for output in outputs]

    @staticmethod
    def _described(image: ReadImage | Unusable, of: tuple[str, str]) -> TaggedOutput:
        label, source = of
        return rejected(source, str(image), label) if isinstance(image, Unusable) else accepted(image, label, source)


class _ReadRecords(_InThreads):
    """Turn paths of TFRecord files into the outputs of `raw_example.from_record`."""

    def __init__(self, base: str, options: Reading, seen: SharedCount, features: RecordFeatures, most: Bounds) -> None:
        super().__init__(base, options, seen)
        self._features, self._most = features, most

    def setup(self) -> None:
        self._features = replace(self._features, classes=class_names(self._base, self._features.label))

    def process(self, element: bytes) -> Iterator[TaggedOutput]:
        path = os.fsdecode(element)
        file = path.removeprefix(self._base).lstrip("/")
        try:
            if not filesystem.is_remote(path):
                check_file(path, self._base)
            for number, record in enumerate(read_records(path, self._most), start=1):
                _contents.take(len(record), self._most.record)  # of those that wait for a thread too
                yield from self._counted(self._calls.call(record, f"{file}#{number}"))
        except (Damaged, UnreadableFile, OSError) as error:
            # The number of lost records is unknown, so data.max_rejected cannot allow this.
            yield rejected(file, str(error), damaged=True)

    def _read(self, record: bytes, source: str) -> list[TaggedOutput]:
        try:
            return [from_record(record, source, self._features, self._options)]
        finally:
            _contents.give(len(record))
