"""Near-duplicates: every pair is found, few are compared, and who belongs to whom."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.data import near_duplicates
from edgetune.modules.data.near_duplicates import Edge, Image, Member, Sets, forest, groups, near_pairs
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE, near


def random_signatures(number: int, seed: int = 1) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, 256, (number, SIGNATURE), dtype=np.uint8)
    found[:, BITS // 8 :] = 128  # the same colours: only the hashes tell
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
def test_all_pairs_within_the_distance_are_found_and_none_beyond(distance):
    base = random_signatures(300)
    copies = [flipped(base[number], number % (distance + 3), number) for number in range(1, 300)]
    signatures = np.concatenate([base, copies])
    # Copies without a flipped bit are equal signatures, which are collapsed before.
    signatures = np.unique(signatures, axis=0)
    expected = set()
    for row in range(len(signatures)):
        others = near(np.broadcast_to(signatures[row], signatures[row + 1 :].shape), signatures[row + 1 :], distance)
        expected |= {(row, row + 1 + int(other)) for other in np.flatnonzero(others)}
    assert pairs(signatures, distance) == expected
    assert len(expected) >= (50 if distance else 0)


def test_colour_tells_images_of_one_shape_apart():
    red = random_signatures(1)[0]
    blue = red.copy()
    blue[BITS // 8 + 1] += 90
    blue[0] ^= 1
    paler = red.copy()
    paler[BITS // 8 + 1] += 20
    paler[0] ^= 1
    assert pairs(np.stack([red, blue]), 12) == set()
    assert pairs(np.stack([red, paler]), 12) == {(0, 1)}


def test_many_hashes_that_share_all_bands_cost_no_more_than_the_bound(monkeypatch):
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
    # Fewer than all pairs, and yet all are one group.
    sets = Sets()
    for left, right in found:
        sets.union(left, right)
    assert len({sets.find(row) for row in range(len(crowd))}) == 1


def test_many_hashes_that_share_one_band_and_are_far_from_each_other_are_not_all_compared(monkeypatch):
    crowd = random_signatures(1500)
    # One band is the same in all of them, whatever the order of bits is; nothing connects them.
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


def test_what_old_images_connect_is_found_beside_what_new_ones_connect():
    base = random_signatures(1)[0]
    crowd = np.unique(np.stack([flipped(base, 3, seed) for seed in range(400)]), axis=0)
    old = np.arange(len(crowd)) % 40 == 0
    sets = Sets()
    for band in range(13):
        for left, right in near_pairs(crowd, old, 12, band).tolist():
            if old[left] and old[right]:
                sets.union(left, right)
    assert len({sets.find(int(row)) for row in np.flatnonzero(old)}) == 1


def test_a_forest_connects_what_its_pairs_connect_and_keeps_the_pairs_of_old_images():
    images = [Image(b"a", "train"), Image(b"b", ""), Image(b"c", "train"), Image(b"d", "")]
    kept = list(forest(images, np.array([[0, 1], [1, 2], [0, 2]])))
    assert len(kept) == 2 and Edge(images[0], images[2]) in kept
    assert list(forest(images, np.empty((0, 2), np.int64))) == []


def grouped(*edges: tuple[str, str], **splits: str) -> dict[str, Member]:
    def image(name: str) -> Image:
        return Image(name.encode(), splits.get(name, ""))

    return {member.id.decode(): member for member in groups(Edge(image(a), image(b)) for a, b in edges)}


def test_what_is_connected_is_one_group_named_by_its_smallest_image():
    found = grouped(("c", "d"), ("x", "y"), ("b", "d"), ("d", "b"))
    assert {name: member.group for name, member in found.items()} == {
        **dict.fromkeys("bcd", b"b"),
        **dict.fromkeys("xy", b"x"),
    }
    assert not any(member.torn for member in found.values())


def test_new_images_join_those_that_have_a_split():
    found = grouped(("a", "b"), ("b", "c"), b="test", c="test")
    assert {member.group for member in found.values()} == {b"a"} and not found["a"].torn


def test_a_new_image_between_two_splits_is_torn_and_those_stay_apart():
    found = grouped(("a", "n"), ("n", "z"), ("z", "y"), a="train", z="test", y="test")
    assert found["n"].torn and [found[name].torn for name in "ayz"] == [False] * 3
    assert {name: found[name].group for name in "ayz"} == {"a": b"a", "y": b"y", "z": b"y"}


def test_old_images_that_resemble_each_other_across_splits_stay_one_group_for_the_gate_to_find():
    found = grouped(("a", "z"), ("a", "n"), a="train", z="test")
    assert found["a"].group == found["z"].group == b"a" and found["n"].torn


def test_sets_are_united_over_long_chains():
    sets = Sets()
    assert all(sets.union(number, number + 1) for number in range(5000))
    assert not sets.union(0, 5000) and sets.find(4321) == 0
