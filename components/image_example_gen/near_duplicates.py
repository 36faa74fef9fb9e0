"""Find pairs of near-duplicates with a Beam pipeline: each worker compares a few hashes, and none holds them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import FastPrimitivesCoder

from edgetune.modules.data import near_duplicates
from edgetune.modules.data.near_duplicates import Edge, Image
from edgetune.modules.images import perceptual_hash

_SHARDS = 64
"""Number of parts into which the images of one band are divided, so that each part fits into a worker's memory."""
_BATCH = 4096
_ROW = perceptual_hash.SIGNATURE
_IMAGES = FastPrimitivesCoder()
"""Packs the images of a batch. Beam's in-process runner holds shuffled elements as Python objects, and one bytes object
takes a thirteenth of the memory of one object for each image."""
_Batch = tuple[bytes, bytes]
"""Signatures and images, packed."""


@dataclass(frozen=True, slots=True)
class File:
    """An input file, and the position of its staged image."""

    source: str
    label: str
    split: str
    """Empty unless the data have their own splits."""
    staged: str = ""
    """Path of the staging file with its image."""
    row: int = 0
    """Index of the image in the staging file."""
    group: str = ""
    """Of images that no split may separate; empty if `data.group` is not set."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image, with all files that have its pixels."""

    id: bytes
    files: tuple[File, ...]
    signature: bytes
    split: str
    """Split from an earlier run; empty for a new image."""
    alike: bytes = b""
    """Group of its near-duplicates, once that is known."""
    joins: str = ""
    """Split of the groups that `data.group` names for it, once that is known; empty if they are new or not set."""


class NearDuplicates(beam.PTransform):
    """Turn items into a single element with all edges between near-duplicates."""

    def __init__(self, distance: int) -> None:
        super().__init__()
        self._distance = distance

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        equal = (
            input_or_inputs
            | "WithSignature" >> beam.Filter(lambda item: item.signature)
            | "BySignature" >> beam.Map(lambda item: (item.signature, Image(item.id, item.split)))
            | "Equal" >> beam.GroupByKey()
            | "Collapse" >> beam.ParDo(_Collapse()).with_outputs("edges", main="distinct")
        )
        near = (
            equal["distinct"]
            | "Bands" >> beam.ParDo(_Bands(self._distance))
            | "ByBand" >> beam.GroupByKey()
            | "Compare" >> beam.FlatMap(_compare, self._distance)
        )
        return (
            [equal["edges"], near]
            | beam.Flatten()
            | "Together" >> beam.Map(lambda edge: (None, edge))
            | "AllEdges" >> beam.GroupByKey()
        )


class _Collapse(beam.DoFn):
    """Pick one image to represent all with the same signature, and emit the edges from it to the others."""

    def process(self, element: tuple[bytes, Iterable[Image]]) -> Iterator[Any]:
        signature, images = element
        first, *others = sorted(images, key=lambda image: (not image.split, image.id))
        yield signature, first
        yield from (beam.pvalue.TaggedOutput("edges", Edge(first, other)) for other in others)


class _Bands(beam.DoFn):
    """Pack distinct images into batches by band and shard.

    One element for each image and band would be thirteen times as many elements as images, and Beam would spend more
    time on them than on all comparisons.
    """

    def __init__(self, distance: int) -> None:
        super().__init__()
        self._distance = distance

    def start_bundle(self) -> None:
        self._batch: list[tuple[bytes, Image]] = []

    def process(self, element: tuple[bytes, Image]) -> Iterator[tuple[tuple[int, int], _Batch]]:
        self._batch.append(element)
        if len(self._batch) >= _BATCH:
            yield from self._packed()
            self._batch = []

    def finish_bundle(self) -> Iterator[Any]:
        for element in self._packed() if self._batch else ():
            yield beam.transforms.window.GlobalWindows.windowed_value(element)

    def _packed(self) -> Iterator[tuple[tuple[int, int], _Batch]]:
        signatures = perceptual_hash.as_array([signature for signature, _ in self._batch])
        for band in range(self._distance + 1):
            values = near_duplicates.band_values(
                near_duplicates.bands(signatures, self._distance, band), self._distance
            )
            shards = values % np.uint64(_SHARDS)
            for shard in np.unique(shards):
                rows = np.flatnonzero(shards == shard)
                images = [(self._batch[row][1].id, self._batch[row][1].split) for row in rows]
                yield (band, int(shard)), (signatures[rows].tobytes(), _IMAGES.encode(images))


def _compare(element: tuple[tuple[int, int], Iterable[_Batch]], distance: int) -> Iterator[Edge]:
    (band, _), batches = element
    packed: list[bytes] = []
    images: list[Image] = []
    for signatures, some in batches:
        packed.append(signatures)
        images += (Image(*image) for image in _IMAGES.decode(some))
    array = np.frombuffer(b"".join(packed), np.uint8).reshape(-1, _ROW)
    yield from near_duplicates.forest(
        images, near_duplicates.near_pairs(array, near_duplicates.is_old(images), distance, band)
    )
