"""Find groups of near-duplicate images without comparing every pair.

Hashes that differ in at most d bits agree in at least one of d + 1 bands (the pigeonhole principle of multi-index
hashing, Norouzi et al., "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014). So only images that share
a band are compared: they are sorted by the band, and each is compared with those that follow it.

The cost for N images is (d + 1) N log N for sorting and at most (d + 1) N * `NEIGHBOURS` comparisons, whatever the
images are. The limit is only reached if many *different* hashes share a band; only then can a pair be missed, and only
if its images are far apart in the order of every band that they share. Images with equal signatures must be collapsed
first.
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
"""Number of following images that each image is compared with per band: all pairs of up to 129 that share a band."""

# Adjacent bits are adjacent frequencies, which are similar in many images: shuffled, all bands discriminate equally.
_ORDER = np.random.RandomState(256).permutation(perceptual_hash.BITS)


@dataclass(frozen=True, slots=True)
class Image:
    """One image, however many files have its pixels."""

    id: bytes
    split: str
    """Split that an earlier run assigned; empty for a new image."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Two images that look alike."""

    left: Image
    right: Image


@dataclass(frozen=True, slots=True)
class Member:
    """Group membership of an image that has near-duplicates."""

    id: bytes
    group: bytes
    """Smallest id in its group, of an image or of a name."""
    conflicting: bool
    """Whether the image is new and resembles images in different splits, so that no split fits."""
    split: str = ""
    """Split that an earlier run gave the image or its named group; empty if `data.group` is not set."""


def bands(signatures: np.ndarray, distance: int, band: int) -> np.ndarray:
    """Return the hashes with their bits reordered so that one band comes first.

    Args:
        signatures: uint8 `[N, perceptual_hash.SIGNATURE]`.
        distance: d, the largest number of different bits.
        band: 0 to d.

    Returns:
        uint64 `[N, 4]`. The first `band_width(distance)` bits, from the most significant on, are the band.
    """
    bits = np.unpackbits(signatures[:, : perceptual_hash.BITS // 8], axis=1)
    order = np.roll(_ORDER, -band * band_width(distance))
    return np.ascontiguousarray(np.packbits(bits[:, order], axis=1)).view(">u8").astype(np.uint64)


def band_width(distance: int) -> int:
    """Return the number of bits in each of the `distance + 1` bands."""
    return perceptual_hash.BITS // (distance + 1)


def band_values(reordered: np.ndarray, distance: int) -> np.ndarray:
    """Return the first band of reordered hashes, or the first 64 bits of a wider band, as uint64 `[N]`."""
    return reordered[:, 0] >> np.uint64(64 - min(band_width(distance), 64))


def near_pairs(signatures: np.ndarray, old: np.ndarray, distance: int, band: int) -> np.ndarray:
    """Find pairs of rows that share a band and look alike: enough pairs to connect all rows that such pairs connect.

    Args:
        signatures: uint8 `[N, perceptual_hash.SIGNATURE]`, no two rows equal.
        old: bool `[N]`, whether earlier runs had the image. Old images are also connected by pairs of old images alone.
        distance: Largest number of different bits.
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
        if not len(first):  # sorted: with no equal bands at this step, there are none at later ones
            break
        known = connected[first] == connected[first + step]
        both_old = old[first] & old[first + step]
        known[both_old] = (connected_by_old[first] == connected_by_old[first + step])[both_old]
        first = first[~known]
        first = first[perceptual_hash.near(ordered[first], ordered[first + step], distance)]
        pairs = np.concatenate([pairs, np.stack([first, first + step], axis=1)])
        if step & (step - 1) == 0:  # at powers of two: in a large cluster, the first steps connect nearly all
            connected = _components(pairs, len(order))
            connected_by_old = _components(pairs[old[pairs].all(axis=1)], len(order))
    return order[pairs]


def _components(pairs: np.ndarray, number: int) -> np.ndarray:
    """Return the connected component of each row, as an integer."""
    graph = sparse.coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (number, number))
    return csgraph.connected_components(graph, directed=False)[1]


def forest(images: Sequence[Image], pairs: np.ndarray) -> Iterator[Edge]:
    """Yield a spanning forest of the pairs.

    Pairs of two old images come first, so that old images stay connected by edges between old images only.

    Args:
        images: By row.
        pairs: Rows, int64 `[P, 2]`.
    """
    old = is_old(images)
    sets = DisjointSets()
    for left, right in pairs[np.argsort(~old[pairs].all(axis=1), kind="stable")].tolist():
        if sets.union(left, right):
            yield Edge(images[left], images[right])


def is_old(images: Sequence[Image]) -> np.ndarray:
    """Return whether earlier runs had each image, bool `[N]`."""
    return np.array([bool(image.split) for image in images], bool)


def groups(edges: Iterable[Edge]) -> Iterator[Member]:
    """Group the images that edges connect, using some 500 bytes of memory per image *with a duplicate*.

    A group joins the split of its old images. A new image that would connect old images of different splits is
    conflicting: the old ones keep their splits, and the new one gets none. Old images that look alike but are in
    different splits, because the tolerance was raised, stay in one group: that is leakage, which DatasetGate reports.

    Args:
        edges: All edges; those between two old images take precedence.
    """
    listed = list(edges)
    splits = {image.id: image.split for edge in listed for image in (edge.left, edge.right)}
    old, everything = DisjointSets(), DisjointSets()
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


def alike(ids: Sequence[str], signatures: Sequence[bytes], distance: int) -> np.ndarray:
    """Return the group of near-duplicates of each of N images that fit into one process.

    Args:
        ids: Digest of the pixels of each image.
        signatures: Of each, as `modules.images.perceptual_hash` computes them; empty for a plain image.
        distance: Largest number of different bits, `data.duplicate_distance`; 0 for equal pixels only.

    Returns:
        int64 `[N]`: the first row of the group.
    """
    sets = DisjointSets()
    first: dict[Any, int] = {}
    for row, (identifier, signature) in enumerate(zip(ids, signatures, strict=True)):
        for key in (identifier, signature) if distance and signature else (identifier,):
            sets.union(first.setdefault(key, row), row)
    rows = [first[key] for key in dict.fromkeys(signatures) if key] if distance else []
    if rows:
        distinct = perceptual_hash.as_array([signatures[row] for row in rows])
        for band in range(distance + 1):
            for left, right in near_pairs(distinct, np.zeros(len(rows), bool), distance, band).tolist():
                sets.union(rows[left], rows[right])
    return np.array([sets.find(row) for row in range(len(ids))], np.int64)


class DisjointSets:
    """Union-find over hashable items, each of which is initially in a set of its own."""

    def __init__(self) -> None:
        self._parents: dict[Any, Any] = {}

    def find(self, item: Any) -> Any:
        """Return the representative of the set of `item`."""
        parents = self._parents
        root = item
        while (parent := parents.get(root, root)) != root:
            root = parent
        while (parent := parents.get(item, item)) != root:
            parents[item] = root
            item = parent
        return root

    def union(self, left: Any, right: Any) -> bool:
        """Merge two sets; return False if they were the same set."""
        left, right = self.find(left), self.find(right)
        if left == right:
            return False
        self._parents[max(left, right)] = min(left, right)
        return True
