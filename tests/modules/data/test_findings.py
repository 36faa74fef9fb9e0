"""Findings about a dataset and their messages."""

from __future__ import annotations

import json
from dataclasses import asdict

from edgetune.modules.data import two_levels
from edgetune.modules.data.class_findings import imbalance, small_classes, with_files
from edgetune.modules.data.class_names import similar_classes
from edgetune.modules.data.copy_findings import Copy, near_duplicates, same_images, torn_group
from edgetune.modules.data.drift_findings import anomalies, another_data_set, drift
from edgetune.modules.data.findings import Finding, FindingsError, Picture, is_allowed, refused
from edgetune.modules.data.label_findings import label_errors, outliers
from edgetune.modules.data.picture_findings import KINDS, all_pictures, small_images
from edgetune.modules.settings.data import FINDINGS as NAMES


def test_small_classes_are_counted_over_all_splits():
    splits = {"train": {"cat": 8, "dog": 5}, "eval": {"cat": 1, "dog": 1}, "test": {"cat": 1, "eel": 2}}
    assert small_classes(splits, 2) == []
    found = small_classes(splits, 7)
    assert [finding.cause for finding in found] == [
        "the class dog has 6 usable images, fewer than data.min_examples_per_class 7",
        "the class eel has 2 usable images, fewer than data.min_examples_per_class 7",
    ]
    assert {finding.name for finding in found} == {"small_class"}


def test_an_anomaly_names_feature_and_split():
    found = anomalies("eval", {"width": "Out-of-range values", "": "Low num examples", "label": "New column"})
    assert [finding.cause for finding in found] == [
        "the examples in the split eval: Low num examples",
        "label in the split eval: New column",
        "width in the split eval: Out-of-range values",
    ]
    assert {finding.name for finding in found} == {"anomaly"} and all(finding.remedy for finding in found)
    assert anomalies("eval", {}) == []


def test_copies_with_one_label_in_one_split_are_not_a_finding():
    assert same_images([Copy("train", "cat", "cat/1.jpg"), Copy("train", "cat", "cat/2.jpg")]) == []
    assert same_images([Copy("train", "cat", "cat/1.jpg")]) == []


def test_the_same_image_under_two_labels_names_both_files():
    [found] = same_images([Copy("train", "plastic", "plastic/9.jpg"), Copy("train", "glass", "glass/7.jpg")])
    assert found.name == "two_labels"
    assert found.cause == "the same image has the labels glass and plastic: glass/7.jpg, plastic/9.jpg"
    assert found.files == ("glass/7.jpg", "plastic/9.jpg")


def test_the_same_image_in_two_splits_is_leakage():
    [found] = same_images([Copy("train", "cat", "train/cat/1.jpg"), Copy("test", "cat", "test/cat/1.jpg")])
    assert found.name == "leakage"
    assert found.cause == "the same image is in the splits test and train: test/cat/1.jpg, train/cat/1.jpg"


def test_an_image_can_have_two_labels_and_leak():
    found = same_images([Copy("train", "cat", "a"), Copy("eval", "dog", "b"), Copy("test", "dog", "c")])
    assert [finding.name for finding in found] == ["two_labels", "leakage"]
    assert "eval and test and train" in found[1].cause


def test_findings_do_not_depend_on_the_order_and_name_at_most_ten_files():
    copies = [Copy("train", label, f"{label}/{number:02}.jpg") for label in ("cat", "dog") for number in range(8)]
    assert same_images(copies) == same_images(reversed(copies))
    [found] = same_images(copies)
    # The first of each label, then the others in order.
    assert found.files[:3] == ("cat/00.jpg", "dog/00.jpg", "cat/01.jpg") and len(found.files) == 10
    assert "cat/07.jpg" in found.cause and "dog/02.jpg" not in found.cause and ", and 6 more" in found.cause


def test_copies_with_different_pixels_are_called_nearly_the_same():
    [found] = same_images([Copy("train", "a", "a/1.jpg", "11"), Copy("train", "b", "b/1.jpg", "22")])
    assert found.cause == "nearly the same image has the labels a and b: a/1.jpg, b/1.jpg"


def test_duplicates_are_reported_only_without_other_findings():
    one, two, other = Copy("train", "a", "a/1.jpg"), Copy("train", "a", "a/2.jpg"), Copy("train", "b", "b/1.jpg")
    assert [finding.name for finding in same_images([one, two], one_only=True)] == ["duplicates"]
    assert [finding.name for finding in same_images([one, other], one_only=True)] == ["two_labels"]
    assert same_images([one], one_only=True) == []


def test_imbalance_is_between_the_largest_and_the_smallest_class():
    splits = {"train": {"cat": 8, "dog": 5}, "test": {"cat": 2, "eel": 2}}
    assert imbalance(splits, 5.0) == [] and imbalance({"train": {}}, 1.0) == []
    [found] = imbalance(splits, 4.9)
    assert found.subject == "eel"
    assert found.cause == "the class cat has 10 images and eel has 2: a ratio of 5.0, more than data.max_imbalance 4.9"


def test_a_finding_is_allowed_by_its_name_alone_or_with_its_subject():
    of_files = Finding("two_labels", "", "", ("a/1: 2.jpg", "b/1.jpg"))
    of_class = Finding("small_class", "", "", subject="cat")
    for allowed in ("two_labels", "two_labels:b/1.jpg", "two_labels:a/1: 2.jpg"):
        assert is_allowed(of_files, [allowed]) and not is_allowed(of_class, [allowed])
    assert is_allowed(of_class, ["drift", "small_class:cat"])
    for allowed in ([], ["two_labels:b"], ["two_labels:c/1.jpg"], ["leakage:b/1.jpg"], ["small_class:dog"]):
        assert not is_allowed(of_files, allowed) and not is_allowed(of_class, allowed)


def test_one_file_of_a_list_does_not_allow_it():
    files = ("a.jpg", "b.jpg")
    for name in ("label_errors", "small_images"):
        listed = Finding(name, "c", "r", files)
        assert not is_allowed(listed, [f"{name}:a.jpg"]) and is_allowed(listed, [name])
        assert FindingsError([listed]).remedy.endswith(f"with --allow {name}")
        one = Finding(name, "c", "r", files[:1])
        assert is_allowed(one, [f"{name}:a.jpg"]) and FindingsError([one]).remedy.endswith(f"--allow {name}:a.jpg")


def test_the_listed_names_are_those_of_all_findings():
    every = [
        *small_classes({"train": {"a": 1}}, 2),
        *anomalies("train", {"x": "y"}),
        *imbalance({"t": {"a": 9, "b": 1}}, 2),
    ]
    every += same_images([Copy("train", "a", "1"), Copy("test", "b", "2")])
    every += same_images([Copy("train", "a", "1"), Copy("train", "a", "2")], one_only=True)
    every += [*small_images(1, ["1"], 9), drift("label", "distance", 0.5, 0.3, "data.max_label_drift")]
    every += similar_classes(["cat", "Cat"])
    every += [
        *label_errors([], 1, 9, 0.8, 1.0, (9, 2)),
        *outliers([], 1),
        *all_pictures(dict.fromkeys(KINDS, (1, [])), 9),
    ]
    # Folders that may be classes on two levels are refused before there is anything to report.
    assert {finding.name for finding in every} | {two_levels.ALLOWED} == set(NAMES)


def test_the_error_tells_how_to_allow_the_finding():
    [finding] = same_images([Copy("train", "a", "a/1.jpg"), Copy("train", "b", "b/1.jpg")])
    assert FindingsError([finding]).remedy.endswith("; or tolerate it with --allow two_labels:a/1.jpg")
    assert FindingsError([finding]).exit_code == 3


def test_the_error_tells_how_to_allow_all_findings_at_once_beside_what_is_allowed():
    found = [Finding("two_labels", "c", "r", files=("a b.jpg",)), Finding("imbalance", "c", "r", subject="cat")]
    error = FindingsError(found, ["leakage"])
    assert error.remedy.endswith(
        "tolerate all of them with --allow leakage --allow 'two_labels:a b.jpg' --allow imbalance:cat"
    )
    many = [Finding("two_labels", "c", "r", files=(f"{number}.jpg",)) for number in range(30)]
    assert FindingsError([*many, found[1]]).remedy.endswith("with --allow two_labels --allow imbalance")


def test_drift_between_two_places_is_one_finding_about_them():
    found = [drift("label", "m", 1.0, 0.3, "k"), drift("red", "m", 1.0, 0.3, "k")]
    [finding] = another_data_set(found, "/b/photos", "/a/photos")
    assert finding.name == "drift" and "/a/photos" in finding.cause and "they differ in label, red" in finding.cause
    assert "--set name=NAME" in finding.remedy
    for now, before in (("/a", "/a"), ("", "/a"), ("/a", "")):
        assert another_data_set(found, now, before) == found
    assert another_data_set([], "/b", "/a") == []


def test_near_duplicates_are_noted_with_their_number():
    assert near_duplicates(0, 0, 9, "group") == []
    [note] = near_duplicates(30, 75, 253, "group", [["a/1.jpg", "a/2.jpg"], ["b/3.jpg", "b/4.jpg"]])
    assert [picture.group for picture in note.pictures] == [1, 1, 2, 2]
    assert note.cause.startswith("75 of 253 images are near-duplicates, in 30 groups")


def test_a_finding_about_a_class_names_some_files_and_is_allowed_by_class():
    found = [*small_classes({"train": {"a": 1, "b": 12}}, 20), *imbalance({"train": {"a": 1, "b": 12}}, 2)]
    by_class = {"a": ["a/1.jpg"], "b": [f"b/{number:02}.jpg" for number in range(12)]}
    named = with_files(found, by_class)
    assert [finding.files for finding in named] == [("a/1.jpg",), tuple(by_class["b"][:10]), ("a/1.jpg",)]
    assert named[1].cause.endswith("min_examples_per_class 20, such as b/00.jpg, b/01.jpg, b/02.jpg")
    assert [finding.subject for finding in named] == ["a", "b", "a"]
    assert FindingsError(named[:1]).remedy.endswith("tolerate it with --allow small_class:a")
    assert with_files(found, {}) == found


def test_findings_that_only_inform_or_are_allowed_refuse_nothing():
    stops, informs = Finding("leakage", "a", "b", ("1.jpg",)), Finding("outliers", "a", "b", informs=True)
    assert refused([stops, informs], []) == [stops]
    assert refused([stops, informs], ["leakage:1.jpg"]) == []


def test_a_finding_comes_back_from_json():
    finding = Finding("label_errors", "a", "b", ("1.jpg",), pictures=(Picture("1.jpg", "abc", "cat", "dog", 0.25),))
    assert Finding.of(json.loads(json.dumps(asdict(finding)))) == finding


def test_label_errors_inform_up_to_the_bound_and_say_how_the_number_was_found():
    pictures = [Picture("cat/1.jpg", given="cat", looks_like="dog", score=0.01)]
    assert label_errors(pictures, 0, 50, 0.9, 0.0, (50, 2)) == []
    [informs] = label_errors(pictures, 2, 50, 0.9, 0.04, (50, 2))
    assert informs.informs and informs.files == ("cat/1.jpg",)
    assert informs.cause == (
        "2 labels of 50 (4.0%) are probably wrong, by a classifier that did not see the image and agrees with 90.0% of "
        "all labels"
    )
    [stops] = label_errors(pictures, 2, 50, 0.9, 0.039, (50, 2))
    assert not stops.informs and "(4.0%, more than data.max_label_errors 3.9%)" in stops.cause
    assert stops.remedy.endswith("or raise data.max_label_errors")


def test_if_no_label_could_be_judged_a_bound_stops_the_run():
    [informs] = label_errors([], 0, 0, float("nan"), 1.0, (40, 12))
    assert informs.informs and informs.cause.startswith("0 of 40 labels could be judged: each class needs images in")
    [stops] = label_errors([], 0, 0, float("nan"), 0.99, (1_300_000, 1000))
    assert not stops.informs and "1,300,000 images times 1,000 classes are more than 20,000,000" in stops.cause


def test_a_named_group_in_two_splits_is_leakage_whatever_its_classes():
    copies = [Copy("train", "cat", "p1/1.jpg"), Copy("train", "dog", "p1/2.jpg"), Copy("test", "cat", "p1/3.jpg")]
    assert torn_group(copies[:2]) == []
    [found] = torn_group(copies)
    assert found.name == "leakage" and found.files == ("p1/3.jpg", "p1/1.jpg", "p1/2.jpg")
    assert found.cause == "one group of data.group is in the splits test and train: p1/3.jpg, p1/1.jpg, p1/2.jpg"
