"""Connect images by the groups that `data.group` names and by near-duplicates, and never join two splits.

A group of a patient is large: one picture that two patients share must not tear them, nor keep all of their new images
out. So every name has one split, which is remembered also when its images are gone. New images that would connect names
of different splits are conflicting, with their near-duplicates; no other image is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from edgetune.modules.data.near_duplicates import DisjointSets, Member


@dataclass(frozen=True, slots=True)
class Named:
    """One image, however many files have its pixels."""

    id: bytes
    split: str
    """Split that an earlier run assigned; empty for a new image."""
    alike: bytes
    """Group of its near-duplicates, without new ones between two splits."""
    names: tuple[bytes, ...]
    """`name_id` of the groups of its files."""


def name_id(group: str) -> bytes:
    """Return the key of a named group among those of images: 32 bytes, which are not the digest of any pixels."""
    return hashlib.sha256(b"group\0" + group.encode("utf-8", "surrogateescape")).digest()


def split_of_name(splits: Iterable[tuple[bool, str]]) -> str | None:
    """Return the split of a name by its images that have one: None without such an image, empty if two differ.

    Args:
        splits: Of each image: whether it has other names too, and its split. Such images count if there are no others.
    """
    found: tuple[set[str], set[str]] = set(), set()
    for several, split in splits:
        found[several].add(split)
    chosen = found[False] or found[True]
    return None if not chosen else chosen.pop() if len(chosen) == 1 else ""


def connect(images: Iterable[Named], remembered: Mapping[bytes, str]) -> Iterator[Member]:
    """Group images in one process, in some 700 bytes of memory for each.

    A name has the split that earlier runs remember, else that of its old images; one whose old images are in two splits
    is torn. Near-duplicates are one unit, and units with a single name come first. The new images of a unit join its
    names, unless one is torn or these, with the unit's old images, are in two splits.

    Args:
        images: All images, in any order.
        remembered: Split of each name that earlier runs had.

    Yields:
        A member for each image. Its group contains what old images connect over two splits, which is leakage that
        DatasetGate reports; its split is that of its names.
    """
    units: dict[bytes, list[Named]] = defaultdict(list)
    of_old: dict[bytes, list[tuple[bool, str]]] = defaultdict(list)
    joined, groups = DisjointSets(), DisjointSets()
    for image in sorted(images, key=lambda image: image.id):
        units[image.alike].append(image)
        if image.split:
            for name in image.names:
                of_old[name].append((len(image.names) > 1, image.split))
                groups.union(name, image.alike)
    split_of = {name: split_of_name(splits) or "" for name, splits in of_old.items()} | dict(remembered)
    torn = {name for name, split in split_of.items() if not split}
    conflicting: set[bytes] = set()
    names_of = {alike: sorted({name for image in unit for name in image.names}) for alike, unit in units.items()}
    for alike in sorted(units, key=lambda alike: (len(names_of[alike]), alike)):
        new = [image.id for image in units[alike] if not image.split]
        splits = {split_of.get(joined.find(name), "") for name in names_of[alike]}
        splits |= {image.split for image in units[alike]}
        if not new:
            continue
        if torn.intersection(names_of[alike]) or len(splits - {""}) > 1:
            conflicting.update(new)
            continue
        for name in names_of[alike]:
            joined.union(name, alike)
            groups.union(name, alike)
        split_of[joined.find(alike)] = max(splits)
    for alike, unit in units.items():
        split = split_of.get(joined.find(alike), "")
        for image in unit:
            refused = image.id in conflicting
            yield Member(image.id, image.id if refused else groups.find(alike), refused, image.split or split)
