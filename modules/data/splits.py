"""Which split a group of images goes to: by class, balanced, and where it was before if it was.

Two wishes stand against each other: exact shares, and that no image ever moves. A hash of the image alone moves none,
but leaves a class of ten without an image in eval or test in more than half of all cases. Ranks within the class are
exact, but one more image moves others. So the assignment of earlier runs is remembered, and only new groups are placed:
each where its class lacks most. After images were added or removed the shares are as near as they can be without moving
any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SplitGroup:
    """Images that have to be in one split."""

    id: bytes
    size: int
    """Images in it."""
    split: str = ""
    """Where earlier runs put it; empty for a new one."""


def assign(groups: Iterable[SplitGroup], shares: Mapping[str, int]) -> Iterator[tuple[bytes, str]]:
    """Places all groups of one class.

    The large ones go first, the small ones even out what those left; equally large ones go in the order of their
    digests, so names and order of files play no role. While a split has no image of the class, the last groups are kept
    for it: of three groups or more, every split gets one.

    Args:
        groups: Of one class, in any order.
        shares: Relative size by split.

    Returns:
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
    for place, group in enumerate(new):
        empty = [split for split in shares if not have[split]]
        open_to = empty if len(new) - place <= len(empty) else shares
        split = max(open_to, key=lambda name: shares[name] * images / whole - have[name])
        have[split] += group.size
        yield group.id, split


def deviations(
    splits: Mapping[str, Mapping[str, int]], shares: Mapping[str, int]
) -> dict[str, dict[str, tuple[int, float]]]:
    """Where a class is further from its shares than rounding explains: more than one image.

    Args:
        splits: Images by class by split.
        shares: Relative size by split.

    Returns:
        By class, by split: how many images there are, and how many its share would be.
    """
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for name in sorted(set().union(*splits.values())):
        counts = {split: splits[split].get(name, 0) for split in shares}
        images, whole = sum(counts.values()), sum(shares.values())
        wanted = {split: share * images / whole for split, share in shares.items()}
        if any(abs(counts[split] - wanted[split]) > 1 for split in shares):
            found[name] = {split: (counts[split], round(wanted[split], 1)) for split in shares}
    return found
