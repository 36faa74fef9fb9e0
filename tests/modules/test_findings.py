"""What is wrong with a dataset: which findings there are, and what each says."""

from __future__ import annotations

from modules.findings import Copy, anomalies, identical_images, small_classes


def test_the_bound_of_a_class_counts_over_all_splits():
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


def test_copies_of_one_label_in_one_split_are_harmless():
    assert identical_images([Copy("train", "cat", "cat/1.jpg"), Copy("train", "cat", "cat/2.jpg")]) == []
    assert identical_images([Copy("train", "cat", "cat/1.jpg")]) == []


def test_the_same_image_under_two_labels_names_both_files():
    [found] = identical_images([Copy("train", "plastic", "plastic/9.jpg"), Copy("train", "glass", "glass/7.jpg")])
    assert found.name == "two_labels"
    assert found.cause == "the same image stands under the labels glass and plastic: glass/7.jpg, plastic/9.jpg"
    assert found.files == ("glass/7.jpg", "plastic/9.jpg")


def test_the_same_image_in_two_splits_is_leakage():
    [found] = identical_images([Copy("train", "cat", "train/cat/1.jpg"), Copy("test", "cat", "test/cat/1.jpg")])
    assert found.name == "leakage"
    assert found.cause == "the same image is in the splits test and train: test/cat/1.jpg, train/cat/1.jpg"


def test_an_image_can_be_both():
    found = identical_images([Copy("train", "cat", "a"), Copy("eval", "dog", "b"), Copy("test", "dog", "c")])
    assert [finding.name for finding in found] == ["two_labels", "leakage"]
    assert "eval and test and train" in found[1].cause


def test_findings_do_not_depend_on_the_order_and_name_ten_files_at_most():
    copies = [Copy("train", label, f"{label}/{number:02}.jpg") for label in ("cat", "dog") for number in range(8)]
    assert identical_images(copies) == identical_images(reversed(copies))
    [found] = identical_images(copies)
    assert len(found.files) == 10 and "dog/01.jpg" in found.cause and "dog/02.jpg" not in found.cause
