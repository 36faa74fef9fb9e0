"""Checks of the labels of transformed examples before training."""

from __future__ import annotations

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.examples.label_counts import check_labels, label_counts
from tests.tiny import model


def test_classes_are_counted_in_the_order_of_the_labels(tmp_path):
    pairs = [*model.examples(3, ["red"]), *model.examples(2, ["blue"])]
    model.write_transformed(tmp_path, "train", pairs)
    assert label_counts(str(tmp_path), "train", 3) == (2, 0, 3)


def test_a_label_without_images_in_train_is_refused(tmp_path):
    model.write_transformed(tmp_path, "eval", model.examples(1, ["blue", "red"]))
    with pytest.raises(
        DataError, match="the split eval has 1 or more images of a class that has no image in the train"
    ):
        label_counts(str(tmp_path), "eval", 2)


def test_a_single_class_is_refused():
    with pytest.raises(DataError, match="there is only one class: cat"):
        check_labels(["cat"], {"train": [9]})


def test_a_class_missing_in_a_split_is_refused_by_name():
    check_labels(["cat", "dog"], {"train": [9, 8], "eval": [1, 1]})
    with pytest.raises(DataError, match="the split eval has no image of dog\n") as caught:
        check_labels(["cat", "dog", "eel"], {"train": [9, 8, 7], "eval": [1, 0, 2]})
    assert "data.splits" in caught.value.remedy
