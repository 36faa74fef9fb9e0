"""Splits have the right shares of each class, and images never move."""

from __future__ import annotations

from collections import Counter

import pytest

from edgetune.modules.data.splits import SplitGroup, assign, deviations

SHARES = {"train": 8, "eval": 1, "test": 1}


def singles(first: int, end: int, split: str = "") -> list[SplitGroup]:
    return [SplitGroup(f"image {number}".encode(), 1, split) for number in range(first, end)]


def counts(groups: list[SplitGroup], shares: dict[str, int] | None = None) -> Counter[str]:
    split_of = dict(assign(groups, shares or SHARES))
    assert set(split_of) == {group.id for group in groups}
    return Counter({split: sum(g.size for g in groups if split_of[g.id] == split) for split in SHARES})


@pytest.mark.parametrize("images", [10, 13, 57, 100, 1234])
def test_the_shares_are_exact_to_within_one_image(images):
    for split, count in counts(singles(0, images)).items():
        assert abs(count - images * SHARES[split] / 10) <= 1
        assert count >= 1


def test_any_shares_are_supported():
    assert counts(singles(0, 60), {"train": 3, "eval": 2, "test": 1}) == {"train": 30, "eval": 20, "test": 10}


@pytest.mark.parametrize("images", [3, 4, 7])
def test_every_split_gets_one_of_three_or_more_groups(images):
    assert min(counts(singles(0, images)).values()) == 1


def test_the_largest_share_gets_one_of_two_groups():
    assert counts(singles(0, 2))["train"] == 1
    assert counts(singles(0, 1)) == {"train": 1, "eval": 0, "test": 0}


def test_the_assignment_depends_on_the_ids_and_not_on_the_order():
    groups = singles(0, 100)
    once = dict(assign(groups, SHARES))
    assert dict(assign(reversed(groups), SHARES)) == once
    chosen = {group.id for group in groups if once[group.id] == "test"}
    assert chosen != {group.id for group in groups[-10:]} and chosen != {group.id for group in groups[:10]}


def test_large_groups_stay_whole_and_small_ones_even_out_the_shares():
    groups = [SplitGroup(b"burst", 30), SplitGroup(b"series", 5), *singles(0, 65)]
    assert counts(groups) == {"train": 80, "eval": 10, "test": 10}


def test_old_groups_keep_their_split_and_new_ones_go_where_they_are_needed():
    first = singles(0, 50)
    before = dict(assign(first, SHARES))
    old = [SplitGroup(group.id, 1, before[group.id]) for group in first]
    after = dict(assign([*singles(50, 55), *old], SHARES))
    assert {identifier: after[identifier] for identifier in before} == before
    assert Counter(after.values()) == {"train": 44, "eval": 6, "test": 5} or Counter(after.values()) == {
        "train": 44,
        "eval": 5,
        "test": 6,
    }


def test_after_removing_images_no_image_moves_and_new_ones_go_where_they_are_needed():
    first = singles(0, 50)
    before = dict(assign(first, SHARES))
    left = [SplitGroup(group.id, 1, before[group.id]) for group in first if before[group.id] != "test"]
    assert dict(assign(left, SHARES)) == {group.id: group.split for group in left}
    assert {split for identifier, split in assign([*left, *singles(90, 93)], SHARES) if identifier >= b"image 9"} >= {
        "test"
    }


def test_a_former_split_that_no_longer_exists_is_ignored():
    assert counts([SplitGroup(b"a", 1, "holdout"), *singles(0, 9)]) == {"train": 8, "eval": 1, "test": 1}


def test_deviations_are_reported_only_beyond_rounding():
    splits = {"train": {"cat": 81, "dog": 80}, "eval": {"cat": 9, "dog": 12}, "test": {"cat": 10, "dog": 8}}
    assert deviations(splits, SHARES) == {"dog": {"train": (80, 80.0), "eval": (12, 10.0), "test": (8, 10.0)}}
    assert deviations({"train": {}, "eval": {}, "test": {}}, SHARES) == {}


@pytest.mark.parametrize("name", [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"])
def test_a_large_group_is_assigned_before_small_ones_whatever_its_digest(name):
    # If it were assigned last, no split would lack as many images.
    assert counts([*singles(0, 90), SplitGroup(name, 10)]) == {"train": 80, "eval": 10, "test": 10}


def test_the_test_split_does_not_follow_the_order_of_the_ids():
    groups = sorted(singles(0, 200), key=lambda group: group.id)
    split_of = dict(assign(groups, SHARES))
    positions = [position for position, group in enumerate(groups) if split_of[group.id] == "test"]
    # Every tenth of a sorted list could be the last of each series of photographs.
    assert len({right - left for left, right in zip(positions, positions[1:], strict=False)}) > 4
