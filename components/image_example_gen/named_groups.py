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
    """Turn accepted images into those with a group, and rows about those whose path has none.

    Args:
        pattern: `data.group`.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def expand(self, input_or_inputs: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return input_or_inputs | "Match" >> beam.FlatMap(_match, self._pattern).with_outputs(REJECTED, main=ACCEPTED)


def _match(image: RawExample, pattern: str) -> Iterator[Any]:
    if group := matched(pattern, image.source):
        yield replace(image, group=group)
    else:
        yield rejected(image.source, f"{UNMATCHED}: {pattern}", image.label)


class ByList(beam.DoFn):
    """Give each image the group that its line has.

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


def largest(assigned: beam.PCollection) -> beam.PCollection:
    """Return the size of the largest group, and its first file: one element, or none without images."""
    return (
        assigned
        | "Size" >> beam.Map(_size)
        | "SizeOfGroup" >> beam.CombinePerKey(_sum)
        | "Sizes" >> beam.Values()
        | "Largest" >> beam.CombineGlobally(_largest).without_defaults()
    )


def _size(image: AssignedImage) -> tuple[bytes, tuple[int, str]]:
    return image.group, (len(image.files), min(file.source for file in image.files))


def _sum(sizes: Iterable[tuple[int, str]]) -> tuple[int, str]:
    listed = list(sizes)
    return sum(size for size, _ in listed), min((file for _, file in listed if file), default="")


def _largest(sizes: Iterable[tuple[int, str]]) -> tuple[int, str]:
    return max(sizes, default=(0, ""))
