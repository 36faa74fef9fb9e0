"""Grouping of near-duplicates and assignment to splits, as a Beam pipeline over facts about images."""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from pathlib import Path

import apache_beam as beam
import numpy as np

from edgetune.components.image_example_gen import grouping
from edgetune.components.image_example_gen.grouping import (
    ASSIGNED,
    LEFT_OUT,
    AssignedImage,
    GroupDuplicates,
    _assign_images,
    _summary,
)
from edgetune.components.image_example_gen.near_duplicates import File, Item
from edgetune.modules.data import splits
from edgetune.modules.data.connected_groups import name_id
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE

SHARES = {"train": 8, "eval": 1, "test": 1}
Fact = tuple[bytes, tuple[File, bytes]]


def signature(number: int, flips: int = 0) -> bytes:
    """Return a random signature with its first `flips` bits inverted."""
    bits = np.random.default_rng(number).integers(0, 2, BITS, np.uint8)
    bits[:flips] ^= 1
    return np.packbits(bits).tobytes() + bytes([128]) * (SIGNATURE - BITS // 8)


def fact(name: str, label: str, looks: bytes = b"", split: str = "", pixels: str = "", group: str = "") -> Fact:
    return (pixels or name).encode(), (File(name, label, split, group=group), looks)


def run(
    facts: list[Fact],
    memory: dict[str | bytes, str] | None = None,
    distance: int = 12,
    shares: dict[str, int] | None = SHARES,
    drop: bool = False,
    named: bool = False,
) -> tuple[dict[str, AssignedImage], dict[str, str]]:
    """Return the assigned images by name, and the reason for each path that was left out."""
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline("FnApiRunner") as pipeline:
            remembered = [
                (name.encode() if isinstance(name, str) else name, split) for name, split in (memory or {}).items()
            ]
            inputs = {
                "facts": pipeline | "Facts" >> beam.Create(facts),
                "memory": pipeline | "Memory" >> beam.Create(remembered),
            }
            for name, found in (inputs | GroupDuplicates(distance, shares, drop, named)).items():
                (
                    found
                    | f"Pickle[{name}]" >> beam.Map(lambda item: pickle.dumps(item).hex())
                    | f"Write[{name}]" >> beam.io.WriteToText(f"{folder}/{name}")
                )
        collected = {
            name: [
                pickle.loads(bytes.fromhex(line))  # noqa: S301 - written above
                for path in Path(folder).glob(f"{name}-*")
                for line in path.read_text().splitlines()
            ]
            for name in (ASSIGNED, LEFT_OUT)
        }
    placed = {image.id.decode(): image for image in collected[ASSIGNED]}
    assert len(placed) == len(collected[ASSIGNED])
    return placed, {left.file.source: left.reason for left in collected[LEFT_OUT]}


def singles(label: str, number: int) -> list[Fact]:
    return [fact(f"{label}{index}", label, signature(hash_of(label, index))) for index in range(number)]


def hash_of(label: str, index: int) -> int:
    return int.from_bytes(f"{label}{index}".encode(), "big")


def test_near_duplicates_share_group_and_split_and_every_class_has_its_shares():
    burst = [fact(f"burst{n}", "a", signature(7, n)) for n in range(0, 40, 5)]  # each is similar to the next two
    equal = [fact(f"twin{n}", "a", signature(8)) for n in range(3)]
    placed, left_out = run([*burst, *equal, *singles("a", 89), *singles("b", 10)])
    assert left_out == {} and len(placed) == 110
    assert len({(placed[f"burst{n}"].group, placed[f"burst{n}"].split) for n in range(0, 40, 5)}) == 1
    assert len({(placed[f"twin{n}"].group, placed[f"twin{n}"].split) for n in range(3)}) == 1
    assert Counter(image.split for name, image in placed.items() if name[0] == "b" and name[1].isdigit()) == {
        "train": 8,
        "eval": 1,
        "test": 1,
    }
    of_a = Counter(image.split for name, image in placed.items() if not (name[0] == "b" and name[1].isdigit()))
    assert of_a == {"train": 80, "eval": 10, "test": 10}


def test_a_distance_of_zero_groups_equal_pixels_only():
    facts = [fact("a1", "a", signature(1)), fact("a2", "a", signature(1, 1)), *singles("b", 3)]
    facts += [fact("copy", "a", signature(1), pixels="a1")]
    placed, _ = run(facts, distance=0)
    assert placed["a1"].group != placed["a2"].group and len(placed) == 5


def test_images_without_a_signature_are_compared_by_their_pixels_only():
    placed, _ = run([fact(f"white{n}", "a") for n in range(3)])
    assert len({image.group for image in placed.values()}) == 3


def test_known_images_keep_their_split_and_a_new_duplicate_joins_them():
    memory = {f"a{n}": "test" for n in range(5)}
    facts = [
        *singles("a", 9),
        fact("new", "a", bytes([signature(hash_of("a", 3))[0] ^ 1]) + signature(hash_of("a", 3))[1:]),
    ]
    placed, left_out = run(facts, memory)
    assert all(placed[f"a{n}"].split == "test" for n in range(5)) and left_out == {}
    assert placed["new"].split == "test" and placed["new"].group == placed["a3"].group


def test_a_new_image_that_resembles_images_of_two_splits_is_left_out_with_a_reason():
    facts = [fact("old1", "a", signature(1)), fact("old2", "a", signature(1, 20)), fact("new", "a", signature(1, 10))]
    placed, left_out = run(facts, {"old1": "train", "old2": "test"})
    assert (placed["old1"].split, placed["old2"].split) == ("train", "test")
    assert placed["old1"].group != placed["old2"].group and set(placed) == {"old1", "old2"}
    assert set(left_out) == {"new"} and "different splits" in left_out["new"]
    # In a first run, all three go to one split.
    placed, left_out = run(facts)
    assert left_out == {} and len({image.group for image in placed.values()}) == 1


def test_known_images_in_two_splits_that_become_near_duplicates_keep_their_splits_and_share_a_group():
    facts = [fact("old1", "a", signature(1)), fact("old2", "a", signature(1, 10))]
    placed, _ = run(facts, {"old1": "train", "old2": "test"})
    assert (placed["old1"].split, placed["old2"].split) == ("train", "test")
    assert placed["old1"].group == placed["old2"].group


def test_drop_keeps_one_copy_of_each_label_and_prefers_known_images():
    facts = [fact(f"{n}", "a", signature(1, n)) for n in range(5)] + [fact("x", "b", signature(1, 2))]
    placed, left_out = run(facts, {"3": "train"}, drop=True)
    assert set(left_out) == {"0", "1", "2", "4"}  # x has another label: a finding for DatasetGate
    assert left_out["0"] == "a near-duplicate of 3 (data.on_duplicates: drop)"
    assert len({image.group for image in placed.values()}) == 1
    _, first = run(facts, drop=True)
    assert set(first) == {"1", "2", "3", "4"}


def test_user_defined_splits_are_kept_and_drop_keeps_the_test_copy():
    facts = [fact("train/1", "a", signature(1), "train"), fact("test/1", "a", signature(1, 2), "test")]
    facts += [
        fact("train/2", "a", signature(2), "train"),
        fact("train/copy of 2", "a", signature(2), "train", "train/2"),
    ]
    placed, left_out = run(facts, shares=None)
    assert placed["train/1"].group == placed["test/1"].group and left_out == {}
    assert {image.split for image in placed.values()} == {""}
    _, left_out = run(facts, shares=None, drop=True)
    assert set(left_out) == {"train/1", "train/copy of 2"} or set(left_out) == {"train/1", "train/2"}


def test_a_group_belongs_to_its_rarest_class_and_its_size_is_the_number_of_files_that_stay():
    def item(name: str, *labels: str, split: str = "") -> Item:
        files = tuple(File(f"{name}/{number}", label, "") for number, label in enumerate(labels))
        return Item(name.encode(), files, b"", split)

    def summary(items: list[Item], drop: bool, **images: int) -> list[tuple[str, splits.SplitGroup]]:
        return list(_summary((b"1", items), drop, images))

    items = [item("1", "b", "a"), item("2", "b", split="test")]
    assert summary(items, False, a=9, b=5) == [("b", splits.SplitGroup(b"1", 3, "test"))]
    assert summary(items, True, a=9, b=5) == [("b", splits.SplitGroup(b"1", 2, "test"))]  # one of each label stays
    # The minority of the group, which is rarer in the data.
    assert summary(items, False, a=2, b=5) == [("a", splits.SplitGroup(b"1", 3, "test"))]
    assert summary([item("1", "b", "a")], False, a=5, b=5) == [("a", splits.SplitGroup(b"1", 2))]


def test_only_files_without_a_split_are_divided_and_only_between_the_splits_that_are_made():
    def given(name: str, split: str, seed: int) -> Fact:
        return name.encode(), (File(name, "a", split), signature(seed))

    facts = [given(f"{number}", "", number) for number in range(18)] + [given("t", "test", 100), given("u", "test", 3)]
    memory = {"0": "test", "1": "eval"}  # of a run before there was a test split
    placed, _ = run(facts, memory, shares={"train": 8, "eval": 1})
    splits_of = {name: image.split for name, image in placed.items()}
    assert Counter(splits_of[f"{number}"] for number in range(18)) == {"train": 16, "eval": 2}
    assert (splits_of["1"], splits_of["t"]) == ("eval", "")
    assert placed["u"].group == placed["3"].group  # so that the gate reports it as leakage


def test_the_size_of_a_group_with_drop_is_that_of_its_labels():
    items = [Item(name.encode(), (File(name, "a", ""),), b"", "") for name in "123"]
    assert list(_summary((b"1", items), True, {"a": 3})) == [("a", splits.SplitGroup(b"1", 1))]
    assert list(_summary((b"1", items), False, {"a": 3})) == [("a", splits.SplitGroup(b"1", 3))]


def test_an_image_that_had_a_split_keeps_it():
    items = [Item(name.encode(), (), b"", split) for name, split in (("old", "test"), ("new", ""))]
    found = {image.id: image.split for image in _assign_images(b"g", {"items": [items], "split": ["train"]})}
    assert found == {b"old": "test", b"new": "train"}


def test_a_large_class_is_assigned_in_parts_and_known_images_keep_their_split(monkeypatch):
    facts = [*singles("a", 400), *singles("b", 50)]
    monkeypatch.setattr(grouping, "GROUPS_TOGETHER", 100)
    placed, _ = run(facts)
    of_a = Counter(image.split for name, image in placed.items() if name[0] == "a")
    assert all(abs(of_a[split] - 400 * share / 10) <= 4 for split, share in SHARES.items())  # one for each part
    assert Counter(image.split for name, image in placed.items() if name[0] == "b") == {
        "train": 40,
        "eval": 5,
        "test": 5,
    }
    splits_of = {name: image.split for name, image in placed.items()}
    monkeypatch.setattr(grouping, "GROUPS_TOGETHER", 64)
    again, _ = run([*facts, *singles("c", 10)], splits_of)
    assert {name: image.split for name, image in again.items() if name[0] != "c"} == splits_of
    parts = {grouping._in_parts(("a", splits.SplitGroup(bytes([n]), 1)), {"a": 400})[0] for n in range(100)}
    assert len(parts) == 7 and {label for label, _ in parts} == {"a"}


def patients(number: int, images: int) -> list[Fact]:
    """Return images of two classes that look different, `images` of each patient."""
    return [
        fact(f"{patient}-{n}", "ab"[n % 2], signature(hash_of(f"p{patient}-", n)), group=f"patient {patient}")
        for patient in range(number)
        for n in range(images)
    ]


def test_named_groups_and_near_duplicates_that_connect_them_are_in_one_split():
    facts = patients(20, 5)
    # Patients 0 and 1 have nearly the same image, 1 and 2 have equal pixels.
    facts += [
        fact("near-0", "a", signature(7), group="patient 0"),
        fact("near-1", "a", signature(7, 5), group="patient 1"),
    ]
    facts += [
        fact("same-1", "b", signature(9), pixels="same", group="patient 1"),
        fact("same-2", "b", signature(9), pixels="same", group="patient 2"),
    ]
    placed, left_out = run(facts, named=True)
    assert not left_out
    of: dict[str, set[tuple[bytes, str]]] = {}
    for name, (file, _) in facts:
        image = placed[name.decode()]
        of.setdefault(file.group, set()).add((image.group, image.split))
    assert all(len(found) == 1 for found in of.values())
    connected = of["patient 0"] | of["patient 1"] | of["patient 2"]
    assert len(connected) == 1 and len(set().union(*of.values())) == 18
    assert {split for _, split in set().union(*of.values())} == set(SHARES)
    # Near-duplicates are known apart: other images of a patient are none.
    alike = [placed[name].alike for name in ("near-0", "near-1", "same", "0-0", "0-1")]
    assert len(set(alike)) == 4 and alike[0] == alike[1]


def test_named_groups_hold_without_a_search_for_near_duplicates_and_over_nights():
    facts = patients(10, 4)
    first, _ = run(facts, distance=0, named=True)
    memory = {name: image.split for name, image in first.items()}
    more = [fact(f"{patient}-new", "a", group=f"patient {patient}") for patient in range(12)]
    second, left_out = run([*facts, *more], memory, distance=0, named=True)
    assert not left_out and {name: second[name].split for name in first} == memory
    for patient in range(10):
        assert second[f"{patient}-new"].split == memory[f"{patient}-0"]


def test_an_image_of_a_group_that_earlier_runs_tore_is_left_out_and_the_old_ones_stay():
    facts = [fact(name, "a", group="one") for name in ("old1", "old2", "new")]
    placed, left_out = run(facts, {"old1": "train", "old2": "test"}, distance=0, named=True)
    assert {name: image.split for name, image in placed.items()} == {"old1": "train", "old2": "test"}
    assert left_out == {
        "new": "in a group, or with its near-duplicates in groups, that earlier runs put into different splits, so it "
        "would leak from one split to the other (data.group)"
    }


def test_only_near_duplicates_in_a_named_group_are_dropped():
    facts = [
        fact("1", "a", signature(1), group="one"),
        fact("2", "a", signature(1, 3), group="one"),
        fact("3", "a", signature(2), group="one"),
    ]
    _, left_out = run(facts, drop=True, named=True)
    assert left_out == {"2": "a near-duplicate of 1 (data.on_duplicates: drop)"}


def test_a_picture_of_two_patients_is_left_out_alone_and_rotated_images_join_the_split_of_their_patient():
    facts = [fact(f"p{patient}-new{n}", "a", group=f"p{patient}") for patient in (7, 11) for n in range(3)]
    facts += [fact("in 7", "a", pixels="shared", group="p7"), fact("in 11", "a", pixels="shared", group="p11")]
    # All images of p11's earlier runs are gone; p7 has one.
    memory = {"p7-new0": "test", name_id("p7"): "test", name_id("p11"): "eval", name_id("gone"): "train"}
    placed, left_out = run(facts, memory, distance=0, named=True)
    assert {name: image.split for name, image in placed.items()} == {
        f"p{patient}-new{n}": split for patient, split in ((7, "test"), (11, "eval")) for n in range(3)
    }
    assert set(left_out) == {"in 7", "in 11"} and all("(data.group)" in why for why in left_out.values())


def test_a_class_that_is_a_minority_in_all_of_its_groups_is_in_every_split():
    random = np.random.default_rng(1)
    for _ in range(40):
        sizes = random.integers(8, 13, 60)
        with_one = set(random.choice(60, 15, replace=False).tolist())
        items = {
            bytes([patient]): [
                Item(b"", (File("", "melanoma" if patient in with_one and not n else "mole", ""),), b"", "")
                for n in range(size)
            ]
            for patient, size in enumerate(sizes)
        }
        images = Counter(label for group in items.items() for label in grouping._labels(group))
        by_class: dict[str, list[splits.SplitGroup]] = {}
        for group in items.items():
            for label, one in _summary(group, False, images):
                by_class.setdefault(label, []).append(one)
        split_of = dict(pair for groups in by_class.values() for pair in splits.assign(groups, SHARES))
        assert {split_of[bytes([patient])] for patient in with_one} == set(SHARES)
