"""Named groups and near-duplicates are connected, no two splits are joined, and names keep their split."""

from __future__ import annotations

from edgetune.modules.data.connected_groups import Named, connect, name_id, split_of_name
from edgetune.modules.data.near_duplicates import Member


def connected(*images: tuple[str, str, str, str], **remembered: str) -> dict[str, Member]:
    """Return the members by id, of images `(id, split, alike, names)`."""
    named = (
        Named(id.encode(), split, (alike or id).encode(), tuple(map(name_id, names.split())))
        for id, split, alike, names in images
    )
    splits = {name_id(name): split for name, split in remembered.items()}
    return {member.id.decode(): member for member in connect(named, splits)}


def test_a_picture_of_two_patients_in_two_splits_keeps_out_itself_alone():
    old = [("a1", "train", "", "p11"), ("b1", "test", "", "p7")]
    new = [("a2", "", "", "p11"), ("b2", "", "", "p7")]
    for shared in (
        [("x", "", "", "p7 p11")],
        [("x", "", "x", "p7"), ("y", "", "x", "p11")],  # near-duplicates
        [("x", "", "a1", "p7")],  # of an old image
    ):
        found = connected(*old, *new, *shared)
        assert {name for name, member in found.items() if member.conflicting} == {image[0] for image in shared}
        assert (found["a2"].split, found["b2"].split) == ("train", "test")
        assert found["a2"].group == found["a1"].group != found["b1"].group == found["b2"].group


def test_an_old_picture_of_two_patients_keeps_no_new_image_out_and_is_reported_as_leakage():
    images = [("a1", "train", "", "p11"), ("b1", "test", "", "p7"), ("z", "test", "", "p11 p7")]
    for remembered in ({}, {"p11": "train", "p7": "test"}):
        found = connected(*images, ("a2", "", "", "p11"), ("b2", "", "", "p7"), **remembered)
        assert not any(member.conflicting for member in found.values())
        assert (found["a2"].split, found["b2"].split) == ("train", "test")
        assert len({member.group for member in found.values()}) == 1


def test_a_name_keeps_its_split_when_its_images_are_gone():
    found = connected(("a2", "", "", "p7"), ("a3", "", "", "p7"), ("b", "", "", "p1"), p7="test")
    assert found["a2"].split == found["a3"].split == "test" and found["b"].split == ""


def test_new_patients_that_share_a_picture_are_one_group_which_joins_one_split_at_most():
    first = connected(("a", "", "", "p1"), ("b", "", "", "p2"), ("x", "", "", "p1 p2"), ("c", "", "", "p3"))
    assert first["a"].group == first["b"].group == first["x"].group != first["c"].group
    later = connected(
        *(("a", "", "", "p1"), ("b", "", "", "p2"), ("c", "", "", "p1 p2")),
        *(("m", "", "", "p1 p7"), ("n", "", "", "p2 p11")),
        p7="test",
        p11="train",
    )
    assert {name: member.split for name, member in later.items() if not member.conflicting} == dict.fromkeys(
        "abcm", "test"
    )
    assert later["n"].conflicting


def test_a_torn_name_keeps_its_new_images_out():
    found = connected(("a", "train", "", "p"), ("b", "test", "", "p"), ("n", "", "", "p"))
    assert found["n"].conflicting and found["a"].group == found["b"].group


def test_the_split_of_a_name_is_that_of_images_with_no_other_name():
    assert split_of_name([(False, "train"), (True, "test")]) == "train"
    assert split_of_name([(True, "test")]) == "test"
    assert split_of_name([(False, "train"), (False, "test")]) == ""
    assert split_of_name([]) is None
