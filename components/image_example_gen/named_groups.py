"""Give images the groups that `data.group` names: by their paths, or by a column of the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import apache_beam as beam

from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.components.image_example_gen.raw_example import ACCEPTED, REJECTED, RawExample, rejected
from edgetune.modules.data.groups import UNMATCHED, matched
from edgetune.modules.data.manifests import read_manifest
from edgetune.modules.data.sources import SPLIT_OF


class ByPath(beam.PTransform):
    """Turn accepted images into those with a group, and rows about those that have none and whose path has none.

    Args:
        pattern: `data.group`.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return input_or_inputs | "Match" >> beam.FlatMap(_match, self._pattern).with_outputs(REJECTED, main=ACCEPTED)


def _match(image: RawExample, pattern: str) -> Iterator[Any]:
    if image.group:  # by a column or feature, whose name looks like an expression
        yield image
    elif group := matched(pattern, image.source):
        yield replace(image, group=group)
    else:
        yield rejected(image.source, f"{UNMATCHED}: {pattern}", image.label)


class ByList(beam.DoFn):
    """Give each image the group that its line has; none if `data.group` is an expression and not a column.

    Args:
        path: The list, which every worker reads.
        options: The last arguments of `read_manifest`.
    """

    def __init__(self, path: str, options: tuple[int, int, dict[str, str]]) -> None:
        super().__init__()
        self._path, self._options = path, options

    def setup(self) -> None:
        self._groups = {entry.path: entry.group for entry in read_manifest(self._path, SPLIT_OF, *self._options)}

    def process(self, element: RawExample) -> Iterator[RawExample]:
        yield replace(element, group=self._groups[element.source])


def largest(assigned: beam.PCollection, drop: bool) -> beam.PCollection:
    """Return the size of the largest group, and its first file: one element, or none without images.

    Args:
        assigned: Of `AssignedImage`.
        drop: Whether one copy of each label is kept of near-duplicates: the others do not count.
    """
    counted = assigned | "Kept" >> beam.FlatMap(_kept, drop)
    if drop:
        counted = counted | "OneOfCopies" >> beam.CombinePerKey(_one)
    return (
        counted
        | "Size" >> beam.MapTuple(lambda copies, size: (copies[0], size))
        | "SizeOfGroup" >> beam.CombinePerKey(_sum)
        | "Sizes" >> beam.Values()
        | "Largest" >> beam.CombineGlobally(_largest).without_defaults()
    )


def _kept(image: AssignedImage, drop: bool) -> Iterator[tuple[tuple[bytes, bytes, str], tuple[int, str]]]:
    """Yield each file of the image under its group and, with `drop`, that of its copies and its label."""
    for file in image.files:
        yield (image.group, image.alike if drop else b"", file.label if drop else ""), (1, file.source)


def _one(sizes: Iterable[tuple[int, str]]) -> tuple[int, str]:
    return 1, min((file for _, file in sizes if file), default="")


def _sum(sizes: Iterable[tuple[int, str]]) -> tuple[int, str]:
    listed = list(sizes)
    return sum(size for size, _ in listed), min((file for _, file in listed if file), default="")


def _largest(sizes: Iterable[tuple[int, str]]) -> tuple[int, str]:
    return max(sizes, default=(0, ""))
