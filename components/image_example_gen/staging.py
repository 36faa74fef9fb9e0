"""Images are laid aside until it is known where each goes, and then go there.

No shuffle moves them and no worker has a table of all: what is shuffled are facts and answers of some 200 bytes, and
the answers come by the file in which their images lie. A file is closed before any fact about it goes on, and one that
a worker left behind when it failed is never asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import tensorflow as tf
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows, WindowedValue

from edgetune.components.image_example_gen.grouping import Placed
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.components.image_example_gen.raw_example import Read
from edgetune.modules.contracts import example_features
from edgetune.modules.data.tfrecords import read_records

IMAGES_IN_A_FILE = 1000
"""One worker puts the images of a file in their places."""
Fact = tuple[bytes, tuple[File, bytes]]
"""What the grouping has to know of an image: the digest of its pixels; file, and signature."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image goes that was laid aside."""

    row: int
    """How many lie before it in its file."""
    split: str
    """Empty where it goes nowhere."""
    group: bytes = b""


class LayAside(beam.DoFn):
    """`Read` images to facts; what is read goes to files.

    Args:
        prefix: Beginning of the paths of the files.
        split: Where all go; empty where that is not yet known.
    """

    def __init__(self, prefix: str, split: str) -> None:
        super().__init__()
        self._prefix, self._split = prefix, split

    def start_bundle(self) -> None:
        self._waiting: list[Fact] = []

    def process(self, element: Read) -> Iterator[Fact]:
        if not self._waiting:
            self._path = f"{self._prefix}-{uuid.uuid4().hex}"
            self._file = tf.io.TFRecordWriter(self._path)
        self._file.write(element.example)
        file = File(element.source, element.label, self._split, self._path, len(self._waiting))
        self._waiting.append((bytes.fromhex(element.image_id), (file, element.signature)))
        if len(self._waiting) == IMAGES_IN_A_FILE:
            yield from self._closed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from (GlobalWindows.windowed_value(fact) for fact in self._closed())

    def _closed(self) -> list[Fact]:
        if self._waiting:
            self._file.close()
        facts, self._waiting = self._waiting, []
        return facts


class PutInPlace(beam.PTransform):
    """`Placed` images and `LeftOut` files to complete examples, tagged with their split.

    Args:
        splits: All that there are.
    """

    def __init__(self, splits: Iterable[str]) -> None:
        super().__init__()
        self._splits = tuple(splits)

    def expand(self, input_or_inputs: tuple[beam.PCollection, beam.PCollection]) -> beam.pvalue.DoOutputsTuple:
        placed, left_out = input_or_inputs
        return (
            {
                "placed": placed | "PlacesByFile" >> beam.FlatMap(_places),
                "left_out": left_out | "LeftOutByFile" >> beam.Map(lambda left: (left.file.laid, left.file.row)),
            }
            | "ByFile" >> beam.CoGroupByKey()
            | "PutInPlace" >> beam.FlatMapTuple(_put).with_outputs(*self._splits)
        )


def _places(image: Placed) -> Iterator[tuple[str, Place]]:
    for file in image.files:
        yield file.laid, Place(file.row, image.split or file.split, image.group)


def _put(path: str, found: dict[str, Iterable]) -> Iterator[TaggedOutput]:
    places = {place.row: place for place in found["placed"]}
    places |= {row: Place(row, "") for row in found["left_out"]}
    laid = 0
    for row, record in enumerate(read_records(path)):
        if row not in places:
            raise RuntimeError(f"{path}: nothing says where the image in row {row} is to be placed")
        place, laid = places[row], row + 1
        if place.split:
            example = tf.train.Example.FromString(record)
            example.features.feature[example_features.SPLIT_GROUP].bytes_list.value.append(place.group.hex().encode())
            yield TaggedOutput(place.split, example)
    if laid != len(places):
        raise RuntimeError(f"{path}: {len(places)} images are to be placed, and it holds {laid}")
