"""Find groups of near-duplicates and assign every image to a split, as a Beam pipeline over facts without pixels.

    facts ─► one item per pixel digest ─┬─► signatures ─► bands ─► edges ─► groups ─┐
    memory of earlier runs ─────────────┘                                           ▼
                                                 items by group ─► by class ─► assigned images

Hashes and the groups of a class are distributed over the workers. Only the edges are in one process: about 500 bytes
for each image that has a duplicate.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict

from edgetune.components.image_example_gen.near_duplicates import File, Item, NearDuplicates
from edgetune.modules.data import near_duplicates, splits
from edgetune.modules.data.connected_groups import Named, connect, name_id
from edgetune.modules.data.near_duplicates import Edge, Member

GROUPS_TOGETHER = 100_000
"""Approximate number of groups of one class that one process assigns to splits: 20 MB. Each such part of a class is
divided as exactly by the shares as a whole class."""
_ORDER = {"test": 0, "eval": 1, "train": 2, "": 2}
"""When copies span user-defined splits, keep the test copy, then eval, then train or what is divided."""


@dataclass(frozen=True, slots=True)
class AssignedImage:
    """An image with its group and split."""

    id: bytes
    group: bytes
    split: str
    """Of the files without a split of their own; empty if there are none."""
    files: tuple[File, ...] = ()
    """All files with these pixels, including those left out."""
    alike: bytes = b""
    """Group of its near-duplicates, which is the whole `group` or a part of it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is left out, and why."""

    file: File
    reason: str


ASSIGNED, LEFT_OUT = "assigned", "left_out"
_ALIKE = "a near-duplicate of images", "duplicate_distance"
_OF_GROUP = "in a group, or with its near-duplicates in groups,", "group"


class GroupDuplicates(beam.PTransform):
    """Turn facts `(id, (File, signature))` and memory `(id, split)` into `AssignedImage` and `LeftOut` elements.

    The memory's ids are those of images and of named groups.

    Args:
        distance: Largest number of differing bits between hashes of near-duplicates; 0 for equal pixels only.
        shares: Relative sizes of the splits to make, between which the files without one are divided; None if all
            files have one. A group may then have files with a split and others, and is reported as leakage.
        drop: Whether to keep only one of several copies.
        named: Whether files have groups of their own (`data.group`), which no split separates either. Near-duplicates
            connect them. All images, without pixels, are then in one process.
    """

    def __init__(self, distance: int, shares: Mapping[str, int] | None, drop: bool, named: bool = False) -> None:
        super().__init__()
        self._distance, self._shares, self._drop, self._named = distance, shares, drop, named

    def expand(self, input_or_inputs: dict[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        items = (
            input_or_inputs
            | "ByPixels" >> beam.CoGroupByKey()
            | "Item" >> beam.FlatMap(_item, tuple(self._shares or ()))
        )
        edges = [items | "Edges" >> NearDuplicates(self._distance)] if self._distance else []
        inputs = {"item": items | "ById" >> beam.Map(lambda item: (item.id, item))}
        if edges:
            inputs["alike"] = edges[0] | "Groups" >> beam.FlatMapTuple(_members)
        if self._named:
            of_names = {
                "named": items | "OfNames" >> beam.FlatMap(_names) | "EachName" >> beam.Distinct(),
                "memory": input_or_inputs["memory"],
            }
            remembered = (
                of_names
                | "ByName" >> beam.CoGroupByKey()
                | "RememberedName" >> beam.FlatMap(_remembered_name, tuple(self._shares or ()))
            )
            named = inputs | "WithAlike" >> beam.CoGroupByKey() | "Named" >> beam.FlatMap(_named)
            inputs["together"] = (
                [named, remembered]
                | "Both" >> beam.Flatten()
                | "Together" >> beam.WithKeys(None)
                | "AllImages" >> beam.GroupByKey()
                | "Connect" >> beam.FlatMapTuple(_connected)
            )
        grouped = (
            inputs
            | "Join" >> beam.CoGroupByKey()
            | "OfGroup" >> beam.ParDo(_KeyByGroup()).with_outputs(LEFT_OUT, main=ASSIGNED)
        )
        whole = grouped[ASSIGNED] | "ByGroup" >> beam.GroupByKey()
        left_out = [grouped[LEFT_OUT]]
        if self._drop:
            left_out.append(whole | "Copies" >> beam.FlatMapTuple(_extra_copies))
        if self._shares is None:
            assigned = whole | "Given" >> beam.FlatMapTuple(
                lambda group, found: [AssignedImage(item.id, group, "", item.files, item.alike) for item in found]
            )
        else:
            assigned = whole | "Split" >> _Split(self._shares, self._drop)
        return {ASSIGNED: assigned, LEFT_OUT: left_out | "LeftOut" >> beam.Flatten()}


def _item(element: tuple[bytes, dict[str, Iterable[Any]]], made: Sequence[str]) -> Iterator[Item]:
    """Yield the image if it is in today's data; an image that is only remembered yields nothing.

    A remembered split counts if it is one of those that are made, and not one that the data have of their own.
    """
    identifier, found = element
    facts = list(found["facts"])
    if facts:
        files = tuple(sorted((file for file, _ in facts), key=lambda file: file.source))
        remembered = next(iter(found.get("memory", ())), "")
        yield Item(identifier, files, facts[0][1], remembered if remembered in made else "")


def _members(key: None, edges: Iterable[Edge]) -> Iterator[tuple[bytes, Member]]:
    del key
    yield from ((member.id, member) for member in near_duplicates.groups(edges))


def _names(item: Item) -> Iterator[tuple[bytes, None]]:
    yield from ((name, None) for name in _names_of(item))


def _names_of(item: Item) -> tuple[bytes, ...]:
    """Return the keys of the groups that `data.group` gives the files of an image."""
    return tuple(sorted({name_id(file.group) for file in item.files if file.group}))


def _remembered_name(
    element: tuple[bytes, dict[str, Iterable[Any]]], made: Sequence[str]
) -> Iterator[tuple[bytes, str]]:
    """Yield a name that today's data have, with its split if it is one of those that are made."""
    name, found = element
    split = next(iter(found["memory"]), "")
    if list(found["named"]) and split in made:
        yield name, split


def _named(element: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Named]:
    """Yield the image with its names, unless it is between two splits by its pixels already."""
    identifier, found = element
    [item] = found["item"]
    alike: Member | None = next(iter(found.get("alike", ())), None)
    if alike is None or not alike.conflicting:
        yield Named(identifier, item.split, alike.group if alike else identifier, _names_of(item))


def _connected(key: None, found: Iterable[Named | tuple[bytes, str]]) -> Iterator[tuple[bytes, Member]]:
    del key
    images: list[Named] = []
    remembered: dict[bytes, str] = {}
    for one in found:
        if isinstance(one, Named):
            images.append(one)
        else:
            remembered[one[0]] = one[1]
    yield from ((member.id, member) for member in connect(images, remembered))


class _KeyByGroup(beam.DoFn):
    """Key each item by its group, and leave out the files of torn images."""

    def process(self, element: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Any]:
        identifier, found = element
        [item] = found["item"]
        alike: Member | None = next(iter(found.get("alike", ())), None)
        torn = alike is not None and alike.conflicting
        together: Member | None = alike if torn else next(iter(found.get("together", ())), alike)
        if together is not None and together.conflicting:
            what, key = _ALIKE if torn else _OF_GROUP
            reason = (
                f"{what} that earlier runs put into different splits, so it would leak from one "
                f"split to the other (data.{key})"
            )
            for file in item.files:
                yield beam.pvalue.TaggedOutput(LEFT_OUT, LeftOut(file, reason))
        else:
            kept = replace(item, alike=alike.group if alike else identifier, joins=together.split if together else "")
            yield (together.group if together else identifier), kept


def _extra_copies(group: bytes, items: Iterable[Item]) -> Iterator[LeftOut]:
    """Yield all but one of near-duplicates, for each label that they have, since the right label is unknown here."""
    del group
    by_label: dict[tuple[bytes, str], list[tuple[Item, File]]] = defaultdict(list)
    for item in items:
        for file in item.files:
            by_label[item.alike, file.label].append((item, file))
    for copies in by_label.values():
        # Files of earlier runs are kept first, so that adding a copy whose name sorts before them replaces nothing.
        copies.sort(key=lambda copy: (_ORDER[copy[1].split], not copy[0].split, copy[1].source))
        (_, kept), *others = copies
        for _, file in others:
            yield LeftOut(file, f"a near-duplicate of {kept.source} (data.on_duplicates: drop)")


class _Split(beam.PTransform):
    """Turn `(group, items)` into assigned images."""

    def __init__(self, shares: Mapping[str, int], drop: bool) -> None:
        super().__init__()
        self._shares, self._drop = dict(shares), drop

    def expand(self, input_or_inputs: beam.PCollection) -> beam.PCollection:
        shares, drop = self._shares, self._drop
        images = (
            input_or_inputs | "Labels" >> beam.FlatMap(_labels) | "ImagesOfClass" >> beam.combiners.Count.PerElement()
        )
        by_class = input_or_inputs | "ByClass" >> beam.FlatMap(_summary, drop, AsDict(images))
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
            | "AssignImages" >> beam.FlatMapTuple(_assign_images)
        )


def _labels(element: tuple[bytes, Iterable[Item]]) -> Iterator[str]:
    """Yield the class of each file that is divided."""
    yield from (file.label for item in element[1] for file in item.files if not file.split)


def _summary(
    element: tuple[bytes, Iterable[Item]], drop: bool, images: Mapping[str, int]
) -> Iterator[tuple[str, splits.SplitGroup]]:
    """Yield the class of a group that is rarest in the data, and what determines the group's split.

    Each class is divided on its own, so one that is a minority in all of its groups is divided like others. Files that
    have a split do not count, and a group of nothing else yields nothing.

    Args:
        element: A group and its items.
        drop: Whether to keep only one of several copies.
        images: Number of files by class.
    """
    group, items = element
    listed = list(items)
    labels = Counter(_labels((group, listed)))
    if not labels:
        return
    label = min(labels, key=lambda name: (images[name], name))
    kept = {(item.alike, file.label) for item in listed for file in item.files if not file.split}
    size = len(kept) if drop else sum(labels.values())
    yield (
        label,
        splits.SplitGroup(group, size, next((split for item in listed if (split := item.split or item.joins)), "")),
    )


def _in_parts(
    element: tuple[str, splits.SplitGroup], counts: Mapping[str, int]
) -> tuple[tuple[str, int], splits.SplitGroup]:
    label, group = element
    parts = -(-counts[label] // GROUPS_TOGETHER)
    return (label, int.from_bytes(hashlib.sha256(group.id).digest()[:8], "big") % parts), group


def _assign_images(group: bytes, found: dict[str, Iterable[Any]]) -> Iterator[AssignedImage]:
    [items], split = found["items"], next(iter(found["split"]), "")
    for item in items:
        # An image that had a split, or whose name has one, keeps it, even if its group has two: that is leakage.
        yield AssignedImage(item.id, group, item.split or item.joins or split, item.files, item.alike)
