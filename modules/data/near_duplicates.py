"""Which images are near-duplicates of each other, without comparing all with all.

Hashes that differ in at most d bits agree in at least one of d + 1 bands (the pigeonhole of multi-index hashing,
Norouzi et al., "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014). So only images that share a band
are compared: they are sorted by it, and each is compared with those that follow it in the order.

The cost for N images is (d + 1) N log N for the sorting and at most (d + 1) N * `NEIGHBOURS` comparisons, whatever the
images are. The bound is reached where many *different* hashes share a band; only there could a pair be missed, and only
if its images are far from each other in the order of each band that they share. Images of equal signature are to be
collapsed before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from edgetune.modules.images import perceptual_hash

NEIGHBOURS = 128
"""How many that follow it an image is compared with, in each band: up to 129 that share a band are all compared."""

# Neighbouring bits are neighbouring frequencies, and those are alike in many images: mixed, each band tells as much.
_ORDER = np.random.RandomState(256).permutation(perceptual_hash.BITS)


@dataclass(frozen=True, slots=True)
class Image:
    """One image, whatever number of files hold its pixels."""

    id: bytes
    split: str
    """Where an earlier run put it; empty for a new one."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Two images that look alike."""

    left: Image
    right: Image


@dataclass(frozen=True, slots=True)
class Member:
    """What became of an image that has near-duplicates."""

    id: bytes
    group: bytes
    """Smallest id in its group."""
    torn: bool
    """It is new, and resembles images that earlier runs put into different splits: it fits into none."""


def bands(signatures: np.ndarray, distance: int, band: int) -> np.ndarray:
    """The hashes, reordered so that one band comes first.

    Args:
        signatures: uint8 `[N, perceptual_hash.SIGNATURE]`.
        distance: d, most bits that may differ.
        band: 0 to d.

    Returns:
        uint64 `[N, 4]`. The first `band_width(distance)` bits, from the most significant on, are the band.
    """
    bits = np.unpackbits(signatures[:, : perceptual_hash.BITS // 8], axis=1)
    order = np.roll(_ORDER, -band * band_width(distance))
    return np.ascontiguousarray(np.packbits(bits[:, order], axis=1)).view(">u8").astype(np.uint64)


def band_width(distance: int) -> int:
    """Bits of each of the `distance + 1` bands."""
    return perceptual_hash.BITS // (distance + 1)


def band_values(reordered: np.ndarray, distance: int) -> np.ndarray:
    """The first band of reordered hashes, as uint64 `[N]`; of a band of more than 64 bits, its first 64."""
    return reordered[:, 0] >> np.uint64(64 - min(band_width(distance), 64))


def near_pairs(signatures: np.ndarray, old: np.ndarray, distance: int, band: int) -> np.ndarray:
    """Pairs of rows that share a band and look alike; enough of them to connect all that such pairs connect.

    Args:
        signatures: uint8 `[N, perceptual_hash.SIGNATURE]`, no two rows equal.
        old: bool `[N]`, whether earlier runs had the image: what pairs of those connect, they connect by themselves.
        distance: Most bits that may differ.
        band: 0 to `distance`.

    Returns:
        int64 `[P, 2]`.
    """
    reordered = bands(signatures, distance, band)
    order = np.lexsort(reordered.T[::-1])
    values, ordered, old = band_values(reordered, distance)[order], signatures[order], old[order]
    pairs = np.empty((0, 2), np.int64)
    connected = connected_by_old = np.arange(len(order))
    for step in range(1, min(NEIGHBOURS + 1, len(order))):
        first = np.flatnonzero(values[step:] == values[:-step])
        if not len(first):  # sorted: who has no equal at this step has none further on
            break
        known = connected[first] == connected[first + step]
        both_old = old[first] & old[first + step]
        known[both_old] = (connected_by_old[first] == connected_by_old[first + step])[both_old]
        first = first[~known]
        first = first[perceptual_hash.near(ordered[first], ordered[first + step], distance)]
        pairs = np.concatenate([pairs, np.stack([first, first + step], axis=1)])
        if step & (step - 1) == 0:  # now and then: in a crowd, the first steps connect nearly all
            connected = _components(pairs, len(order))
            connected_by_old = _components(pairs[old[pairs].all(axis=1)], len(order))
    return order[pairs]


def _components(pairs: np.ndarray, number: int) -> np.ndarray:
    """Which rows are connected: an integer for each, the same for those that are."""
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (number, number))
    return csgraph.connected_components(graph, directed=False)[1]


def forest(images: Sequence[Image], pairs: np.ndarray) -> Iterator[Edge]:
    """As few of the pairs as connect what all of them connect.

    Pairs of two images that both have a split come first: what they connect, the rest cannot hide.

    Args:
        images: By row.
        pairs: Rows, int64 `[P, 2]`.
    """
    old = was_there(images)
    sets = Sets()
    for left, right in pairs[np.argsort(~old[pairs].all(axis=1), kind="stable")].tolist():
        if sets.union(left, right):
            yield Edge(images[left], images[right])


def was_there(images: Sequence[Image]) -> np.ndarray:
    """Which images earlier runs had, bool `[N]`."""
    return np.array([bool(image.split) for image in images], bool)


def groups(edges: Iterable[Edge]) -> Iterator[Member]:
    """Who belongs together, once all edges are known. Memory: some 500 bytes for each image *that has a duplicate*.

    A group follows its images of earlier runs into their split. A new image that would tie together images of different
    splits is torn: those stay where they are, and it has no place. Images of earlier runs that look alike and are in
    different splits (the tolerance was raised) stay in one group: that is leakage, and others have to say so.

    Args:
        edges: All of them; those between two images of earlier runs are taken first.
    """
    listed = list(edges)
    splits = {image.id: image.split for edge in listed for image in (edge.left, edge.right)}
    old, everything = Sets(), Sets()
    for edge in listed:
        everything.union(edge.left.id, edge.right.id)
        if edge.left.split and edge.right.split:
            old.union(edge.left.id, edge.right.id)
    components: dict[bytes, list[bytes]] = defaultdict(list)
    for identifier in sorted(splits):
        components[everything.find(identifier)].append(identifier)
    for ids in components.values():
        if len({splits[identifier] for identifier in ids} - {""}) <= 1:
            yield from (Member(identifier, ids[0], False) for identifier in ids)
            continue
        smallest: dict[bytes, bytes] = {}
        for identifier in ids:
            if splits[identifier]:
                group = smallest.setdefault(old.find(identifier), identifier)
                yield Member(identifier, group, False)
            else:
                yield Member(identifier, identifier, True)


class Sets:
    """Disjoint sets of hashable things, each alone until it is united with another."""

    def __init__(self) -> None:
        self._parents: dict[Any, Any] = {}

    def find(self, thing: Any) -> Any:
        """The one that stands for the set of `thing`."""
        parents = self._parents
        root = thing
        while (parent := parents.get(root, root)) != root:
            root = parent
        while (parent := parents.get(thing, thing)) != root:
            parents[thing] = root
            thing = parent
        return root

    def union(self, left: Any, right: Any) -> bool:
        """Unites two sets; False where they were one."""
        left, right = self.find(left), self.find(right)
        if left == right:
            return False
        self._parents[max(left, right)] = min(left, right)
        return True
