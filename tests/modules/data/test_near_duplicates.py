"""Near-duplicates: all pairs are found with few comparisons, and grouped."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.data import near_duplicates
from edgetune.modules.data.near_duplicates import DisjointSets, Edge, Image, Member, forest, groups, near_pairs
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE, near


def random_signatures(number: int, seed: int = 1) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, 256, (number, SIGNATURE), dtype=np.uint8)
    found[:, BITS // 8 :] = 128  # equal colours, so that only the hashes differ
    return found


def flipped(signature: np.ndarray, bits: int, seed: int) -> np.ndarray:
    changed = np.unpackbits(signature[: BITS // 8])
    changed[np.random.default_rng(seed).choice(BITS, bits, replace=False)] ^= 1
    return np.concatenate([np.packbits(changed), signature[BITS // 8 :]])


def pairs(signatures: np.ndarray, distance: int) -> set[tuple[int, int]]:
    old = np.zeros(len(signatures), bool)
    found = (near_pairs(signatures, old, distance, band).tolist() for band in range(distance + 1))
    return {(min(pair), max(pair)) for band in found for pair in band}


@pytest.mark.parametrize("distance", [0, 1, 5, 12, 24])
def test_exactly_the_pairs_within_the_distance_are_found(distance):
    base = random_signatures(300)
    copies = [flipped(base[number], number % (distance + 3), number) for number in range(1, 300)]
    signatures = np.concatenate([base, copies])
    # Copies without a flipped bit have equal signatures, which callers collapse first.
    signatures = np.unique(signatures, axis=0)
    expected = set()
    for row in range(len(signatures)):
        others = near(np.broadcast_to(signatures[row], signatures[row + 1 :].shape), signatures[row + 1 :], distance)
        expected |= {(row, row + 1 + int(other)) for other in np.flatnonzero(others)}
    assert pairs(signatures, distance) == expected
    assert len(expected) >= (50 if distance else 0)


def test_colour_distinguishes_images_of_the_same_shape():
    red = random_signatures(1)[0]
    blue = red.copy()
    blue[BITS // 8 + 1] += 90
    blue[0] ^= 1
    paler = red.copy()
    paler[BITS // 8 + 1] += 20
    paler[0] ^= 1
    assert pairs(np.stack([red, blue]), 12) == set()
    assert pairs(np.stack([red, paler]), 12) == {(0, 1)}


def test_comparisons_of_many_similar_hashes_are_bounded(monkeypatch):
    base = random_signatures(1)[0]
    crowd = np.unique(np.stack([flipped(base, 3, seed) for seed in range(3000)]), axis=0)
    compared = 0

    def counting(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return near(left, right, distance)

    monkeypatch.setattr(near_duplicates.perceptual_hash, "near", counting)
    found = pairs(crowd, 12)
    assert compared < len(crowd) ** 2 / 20
    # These are fewer than all pairs, but they connect all rows.
    sets = DisjointSets()
    for left, right in found:
        sets.union(left, right)
    assert len({sets.find(row) for row in range(len(crowd))}) == 1


def test_comparisons_of_many_different_hashes_with_one_common_band_are_bounded(monkeypatch):
    crowd = random_signatures(1500)
    # All have one band in common, after the shuffling of bits, and no two are alike.
    bits = np.unpackbits(crowd[:, : BITS // 8], axis=1)
    bits[:, near_duplicates._ORDER[: near_duplicates.band_width(12)]] = 0
    crowd[:, : BITS // 8] = np.packbits(bits, axis=1)
    compared = 0

    def counting(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return near(left, right, distance)

    monkeypatch.setattr(near_duplicates.perceptual_hash, "near", counting)
    assert pairs(crowd, 12) == set()
    assert near_duplicates.NEIGHBOURS * 1000 < compared < near_duplicates.NEIGHBOURS * 2000


def test_old_images_are_connected_by_pairs_of_old_images():
    base = random_signatures(1)[0]
    crowd = np.unique(np.stack([flipped(base, 3, seed) for seed in range(400)]), axis=0)
    old = np.arange(len(crowd)) % 40 == 0
    sets = DisjointSets()
    for band in range(13):
        for left, right in near_pairs(crowd, old, 12, band).tolist():
            if old[left] and old[right]:
                sets.union(left, right)
    assert len({sets.find(int(row)) for row in np.flatnonzero(old)}) == 1


def test_a_forest_connects_the_same_images_and_prefers_pairs_of_old_ones():
    images = [Image(b"a", "train"), Image(b"b", ""), Image(b"c", "train"), Image(b"d", "")]
    kept = list(forest(images, np.array([[0, 1], [1, 2], [0, 2]])))
    assert len(kept) == 2 and Edge(images[0], images[2]) in kept
    assert list(forest(images, np.empty((0, 2), np.int64))) == []


def grouped(*edges: tuple[str, str], **splits: str) -> dict[str, Member]:
    def image(name: str) -> Image:
        return Image(name.encode(), splits.get(name, ""))

    return {member.id.decode(): member for member in groups(Edge(image(a), image(b)) for a, b in edges)}


def test_connected_images_are_one_group_named_by_its_smallest_id():
    found = grouped(("c", "d"), ("x", "y"), ("b", "d"), ("d", "b"))
    assert {name: member.group for name, member in found.items()} == {
        **dict.fromkeys("bcd", b"b"),
        **dict.fromkeys("xy", b"x"),
    }
    assert not any(member.conflicting for member in found.values())


def test_new_images_join_the_group_of_old_ones():
    found = grouped(("a", "b"), ("b", "c"), b="test", c="test")
    assert {member.group for member in found.values()} == {b"a"} and not found["a"].conflicting


def test_a_new_image_between_two_splits_is_conflicting_and_the_splits_stay_apart():
    found = grouped(("a", "n"), ("n", "z"), ("z", "y"), a="train", z="test", y="test")
    assert found["n"].conflicting and [found[name].conflicting for name in "ayz"] == [False] * 3
    assert {name: found[name].group for name in "ayz"} == {"a": b"a", "y": b"y", "z": b"y"}


def test_similar_old_images_in_different_splits_stay_one_group():
    found = grouped(("a", "z"), ("a", "n"), a="train", z="test")
    assert found["a"].group == found["z"].group == b"a" and found["n"].conflicting


def test_disjoint_sets_are_merged_over_long_chains():
    sets = DisjointSets()
    assert all(sets.union(number, number + 1) for number in range(5000))
    assert not sets.union(0, 5000) and sets.find(4321) == 0
