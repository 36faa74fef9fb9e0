"""Stage decoded images on disk until their split is known.

Images are not shuffled and no worker holds a table of all of them. Only facts and targets of about 200 bytes are
shuffled, and the targets are grouped by staging file. A staging file is closed before any fact about it is emitted, and
files left behind by a failed worker are never read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import tensorflow as tf
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows, WindowedValue

from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.components.image_example_gen.raw_example import RawExample
from edgetune.modules.contracts import example_features
from edgetune.modules.data.tfrecords import read_records

IMAGES_IN_A_FILE = 1000
"""Images in a staging file, which one worker reads as a whole."""
Fact = tuple[bytes, tuple[File, bytes]]
"""What the grouping needs of an image: the digest of its pixels; its file and signature."""


@dataclass(frozen=True, slots=True)
class Target:
    """Split and group of a staged image."""

    row: int
    """Index of the image in its staging file."""
    split: str
    """Empty if the image is left out."""
    group: bytes = b""
    alike: bytes = b""
    """Group of its near-duplicates."""


class StageImages(beam.DoFn):
    """Write raw examples to staging files, and emit a fact about each.

    Args:
        prefix: Beginning of the paths of the staging files.
        split: Split of all images; empty if it is not known yet.
    """

    def __init__(self, prefix: str, split: str) -> None:
        super().__init__()
        self._prefix, self._split = prefix, split

    def start_bundle(self) -> None:
        self._waiting: list[Fact] = []

    def process(self, element: RawExample) -> Iterator[Fact]:
        if not self._waiting:
            self._path = f"{self._prefix}-{uuid.uuid4().hex}"
            self._file = tf.io.TFRecordWriter(self._path)
        self._file.write(element.example)
        file = File(element.source, element.label, self._split, self._path, len(self._waiting), element.group)
        self._waiting.append((bytes.fromhex(element.image_id), (file, element.signature)))
        if len(self._waiting) == IMAGES_IN_A_FILE:
            yield from self._close()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from (GlobalWindows.windowed_value(fact) for fact in self._close())

    def _close(self) -> list[Fact]:
        """Close the staging file, and return the facts about its images."""
        if self._waiting:
            self._file.close()
        facts, self._waiting = self._waiting, []
        return facts


class UnstageImages(beam.PTransform):
    """Turn `AssignedImage` and `LeftOut` elements into complete examples, tagged with their split.

    Args:
        splits: Names of all splits.
    """

    def __init__(self, splits: Iterable[str]) -> None:
        super().__init__()
        self._splits = tuple(splits)

    def expand(self, input_or_inputs: tuple[beam.PCollection, beam.PCollection]) -> beam.pvalue.DoOutputsTuple:
        assigned, left_out = input_or_inputs
        return (
            {
                "assigned": assigned | "TargetsByFile" >> beam.FlatMap(_targets),
                "left_out": left_out | "LeftOutByFile" >> beam.Map(lambda left: (left.file.staged, left.file.row)),
            }
            | "ByFile" >> beam.CoGroupByKey()
            | "Unstage" >> beam.FlatMapTuple(_unstage).with_outputs(*self._splits)
        )


def _targets(image: AssignedImage) -> Iterator[tuple[str, Target]]:
    for file in image.files:
        yield file.staged, Target(file.row, file.split or image.split, image.group, image.alike)


def _unstage(path: str, found: dict[str, Iterable]) -> Iterator[TaggedOutput]:
    targets = {target.row: target for target in found["assigned"]}
    targets |= {row: Target(row, "") for row in found["left_out"]}
    staged = 0
    for row, record in enumerate(read_records(path)):
        if row not in targets:
            raise RuntimeError(f"{path}: the image in row {row} has no target split")
        target, staged = targets[row], row + 1
        if target.split:
            example = tf.train.Example.FromString(record)
            groups = {example_features.SPLIT_GROUP: target.group, example_features.DUPLICATE_GROUP: target.alike}
            for name, group in groups.items():
                example.features.feature[name].bytes_list.value.append(group.hex().encode())
            yield TaggedOutput(target.split, example)
    if staged != len(targets):
        raise RuntimeError(f"{path}: {len(targets)} images have a target split, but the file holds {staged}")
