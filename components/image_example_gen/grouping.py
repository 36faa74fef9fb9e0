"""Groups of near-duplicates, and the split of every image, as a Beam pipeline over small facts, not over pixels.

    facts ─► one item per pixels' digest ─┬─► signatures ─► bands ─► edges ─► groups ─┐
    memory of earlier runs ───────────────┘                                           ▼
                                                     items by group ─► by class ─► placed images

Hashes are only ever in the hands of many workers, and so are the groups of a class. One process sees the edges: some
500 bytes for each image that has a duplicate.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict

from edgetune.components.image_example_gen.near_duplicates import File, Item, NearDuplicates
from edgetune.modules.data import near_duplicates, splits
from edgetune.modules.data.near_duplicates import Member

GROUPS_TOGETHER = 100_000
"""Of one class, about as many are placed by one process: 20 MB. In each such part the shares are as exact as in a whole
class."""
_ORDER = {"test": 0, "eval": 1, "train": 2}
"""Of copies in splits of the user's own, the one nearest to the verdict stays."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an image."""

    id: bytes
    group: bytes
    split: str
    """Empty where the data has splits of its own."""
    files: tuple[File, ...] = ()
    """All with its pixels; those among them that are left out are told apart."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is left out, and why."""

    file: File
    reason: str


PLACED, LEFT_OUT = "placed", "left_out"


class GroupDuplicates(beam.PTransform):
    """Facts `(id, (File, signature))` and memory `(id, split)` to `Placed` images and `LeftOut` files.

    Args:
        distance: Most bits of two hashes that may differ; 0 for images of equal pixels only.
        shares: Relative sizes of the splits; None where the data has its own.
        drop: Whether of several copies one stays.
    """

    def __init__(self, distance: int, shares: Mapping[str, int] | None, drop: bool) -> None:
        super().__init__()
        self._distance, self._shares, self._drop = distance, shares, drop

    def expand(self, input_or_inputs: dict[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        items = input_or_inputs | "ByPixels" >> beam.CoGroupByKey() | "Item" >> beam.FlatMap(_item)
        members: list[beam.PCollection] = []
        if self._distance:
            edges = items | "Edges" >> NearDuplicates(self._distance)
            members = [edges | "Groups" >> beam.FlatMapTuple(lambda _, found: near_duplicates.groups(found))]
        keyed = items | "ById" >> beam.Map(lambda item: (item.id, item))
        inputs = {"item": keyed}
        if members:
            inputs["member"] = members[0] | "MemberById" >> beam.Map(lambda member: (member.id, member))
        grouped = (
            inputs
            | "Join" >> beam.CoGroupByKey()
            | "OfGroup" >> beam.ParDo(_OfGroup()).with_outputs(LEFT_OUT, main=PLACED)
        )
        whole = grouped[PLACED] | "ByGroup" >> beam.GroupByKey()
        left_out = [grouped[LEFT_OUT]]
        if self._drop:
            left_out.append(whole | "Copies" >> beam.FlatMapTuple(_copies))
        if self._shares is None:
            placed = whole | "Given" >> beam.FlatMapTuple(
                lambda group, found: [Placed(item.id, group, "", item.files) for item in found]
            )
        else:
            placed = whole | "Split" >> _Split(self._shares, self._drop)
        return {PLACED: placed, LEFT_OUT: left_out | "LeftOut" >> beam.Flatten()}


def _item(element: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Item]:
    """An image that is there today; of one that is not, nothing."""
    identifier, found = element
    facts = list(found["facts"])
    if facts:
        files = tuple(sorted((file for file, _ in facts), key=lambda file: file.source))
        yield Item(identifier, files, facts[0][1], next(iter(found.get("memory", ())), ""))


class _OfGroup(beam.DoFn):
    """Items to `(group, item)`; files of torn images are left out."""

    def process(self, element: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Any]:
        identifier, found = element
        [item] = found["item"]
        member: Member | None = next(iter(found.get("member", ())), None)
        if member is not None and member.conflicting:
            reason = (
                "a near-duplicate of images that earlier runs put into different splits: in either, it would leak "
                "from one to the other (data.duplicate_distance)"
            )
            for file in item.files:
                yield beam.pvalue.TaggedOutput(LEFT_OUT, LeftOut(file, reason))
        else:
            yield (member.group if member else identifier), item


def _copies(group: bytes, items: Iterable[Item]) -> Iterator[LeftOut]:
    """All but one of the files of a group, and of each label in it: which label is right, nobody knows here."""
    del group
    by_label: dict[str, list[tuple[Item, File]]] = defaultdict(list)
    for item in items:
        for file in item.files:
            by_label[file.label].append((item, file))
    for copies in by_label.values():
        # What earlier runs had stays, so that adding a copy with a smaller name replaces nothing.
        copies.sort(key=lambda copy: (_ORDER.get(copy[1].split, 0), not copy[0].split, copy[1].source))
        (_, kept), *others = copies
        for _, file in others:
            yield LeftOut(file, f"a near-duplicate of {kept.source} (data.on_duplicates: drop)")


class _Split(beam.PTransform):
    """`(group, items)` to placed images."""

    def __init__(self, shares: Mapping[str, int], drop: bool) -> None:
        super().__init__()
        self._shares, self._drop = dict(shares), drop

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        shares, drop = self._shares, self._drop
        by_class = input_or_inputs | "ByClass" >> beam.MapTuple(lambda group, items: _summary(group, items, drop))
        counts = by_class | "GroupsOfClass" >> beam.combiners.Count.PerKey()
        split_of = (
            by_class
            | "Part" >> beam.Map(_in_parts, AsDict(counts))
            | "OfClass" >> beam.GroupByKey()
            | "Assign" >> beam.FlatMapTuple(lambda _, groups: splits.assign(groups, shares))
        )
        return (
            {"items": input_or_inputs, "split": split_of}
            | "SplitOfGroup" >> beam.CoGroupByKey()
            | "Place" >> beam.FlatMapTuple(_place)
        )


def _summary(group: bytes, items: Iterable[Item], drop: bool) -> tuple[str, splits.SplitGroup]:
    """The class that a group counts for, the commonest in it, and what its placing depends on."""
    listed = list(items)
    labels = Counter(file.label for item in listed for file in item.files)
    label = min(labels, key=lambda name: (-labels[name], name))
    size = len(labels) if drop else sum(labels.values())
    return label, splits.SplitGroup(group, size, next((item.split for item in listed if item.split), ""))


def _in_parts(
    element: tuple[str, splits.SplitGroup], counts: Mapping[str, int]
) -> tuple[tuple[str, int], splits.SplitGroup]:
    label, group = element
    parts = -(-counts[label] // GROUPS_TOGETHER)
    return (label, int.from_bytes(hashlib.sha256(group.id).digest()[:8], "big") % parts), group


def _place(group: bytes, found: dict[str, Iterable[Any]]) -> Iterator[Placed]:
    [items], [split] = found["items"], found["split"]
    for item in items:
        # An image that had a split keeps it, even where its group has two: see `modules.data.near_duplicates.groups`.
        yield Placed(item.id, group, item.split or split, item.files)
