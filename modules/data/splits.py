"""Assign groups of images to splits: stratified by class, and stable across runs.

Exact shares conflict with never moving an image. A hash of the image never moves it, but leaves a class of ten without
an image in eval or test in more than half of all cases. Ranks within the class are exact, but one more image moves
others. So the assignments of earlier runs are kept, and only new groups are assigned, each to the split that its class
lacks most. After images are added or removed, the shares are as close as possible without moving any image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SplitGroup:
    """Images that must be in the same split."""

    id: bytes
    size: int
    """Number of images."""
    split: str = ""
    """Split that earlier runs assigned; empty for a new group."""


def assign(groups: Iterable[SplitGroup], shares: Mapping[str, int]) -> Iterator[tuple[bytes, str]]:
    """Assign all groups of one class to splits.

    Large groups are assigned first, and small ones even out the shares; groups of equal size are ordered by their
    digests, so that names and order of files do not matter. The last groups are reserved for splits without an image of
    the class: with three groups or more, every split gets one.

    Args:
        groups: Groups of one class, in any order.
        shares: Relative size of each split.

    Yields:
        Pairs of a group's id and its split, for all groups.
    """
    new = []
    have = dict.fromkeys(shares, 0)
    for group in groups:
        if group.split in have:
            have[group.split] += group.size
            yield group.id, group.split
        else:
            new.append(group)
    new.sort(key=lambda group: (-group.size, hashlib.sha256(group.id).digest()))
    images, whole = sum(have.values()) + sum(group.size for group in new), sum(shares.values())
    for position, group in enumerate(new):
        empty = [split for split in shares if not have[split]]
        candidates = empty if len(new) - position <= len(empty) else shares
        split = max(candidates, key=lambda name: shares[name] * images / whole - have[name])
        have[split] += group.size
        yield group.id, split


def deviations(
    splits: Mapping[str, Mapping[str, int]], shares: Mapping[str, int]
) -> dict[str, dict[str, tuple[int, float]]]:
    """Return the classes that deviate from their shares by more than rounding, which is one image.

    Args:
        splits: Number of images by split and class.
        shares: Relative size of each split.

    Returns:
        By class and split: the actual number of images, and the number for its share.
    """
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for name in sorted(set().union(*splits.values())):
        counts = {split: splits[split].get(name, 0) for split in shares}
        images, whole = sum(counts.values()), sum(shares.values())
        wanted = {split: share * images / whole for split, share in shares.items()}
        if any(abs(counts[split] - wanted[split]) > 1 for split in shares):
            found[name] = {split: (counts[split], round(wanted[split], 1)) for split in shares}
    return found
