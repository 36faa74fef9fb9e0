"""Splits and class names of folders written by TensorFlow Datasets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.sources import SPLIT_OF, Source, discover
from edgetune.modules.data.tfds import class_names, split_patterns
from edgetune.modules.settings.run import DataSettings


def names(*splits: str) -> list[str]:
    return [f"birds-{split}.tfrecord-{number:05}-of-00002" for split in splits for number in range(2)]


def test_the_splits_are_taken_from_the_file_names():
    expected = {"train": "*-train.tfrecord-*", "eval": "*-validation.tfrecord-*", "test": "*-test.tfrecord-*"}
    assert split_patterns(names("train", "validation", "test"), SPLIT_OF) == expected


@pytest.mark.parametrize(
    "found",
    [
        names("train", "test"),  # edgetune needs three splits, and so makes its own
        names("train", "validation", "test", "extra"),
        names("train", "val", "validation", "test"),
        [*names("train", "validation", "test"), "more.tfrecord"],
        [],
    ],
)
def test_other_names_do_not_give_splits(found):
    assert split_patterns(found, SPLIT_OF) is None


def test_a_tfds_folder_is_a_source_with_splits(tmp_path):
    for name in names("train", "validation", "test"):
        (tmp_path / name).touch()
    found = discover(DataSettings(path=str(tmp_path)))
    assert (found.kind, found.has_splits) == ("tfrecords", True)
    (tmp_path / "birds-train.tfrecord").touch()
    assert discover(DataSettings(path=str(tmp_path))) == Source("tfrecords", str(tmp_path), {"all": "*.tfrecord*"}, 0)


def test_class_names_are_read_if_they_exist(tmp_path):
    assert class_names(str(tmp_path), "label") == ()
    (tmp_path / "label.labels.txt").write_text("owl\nblack bird\n")
    assert class_names(str(tmp_path), "label") == ("owl", "black bird")
    assert class_names(str(tmp_path), "other") == ()


def test_class_names_are_read_only_from_an_ordinary_file_in_the_folder(tmp_path):
    (tmp_path / "data").mkdir()
    names_file = tmp_path / "data" / "label.labels.txt"
    (tmp_path / "secret").write_text("root\n")
    names_file.symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "a.tfrecord").touch()
    for look in (lambda: class_names(str(names_file.parent), "label"), lambda: found(names_file.parent)):
        with pytest.raises(DataError, match="label.labels.txt: a link that leads out of the folder"):
            look()
    names_file.unlink()
    os.mkfifo(names_file)
    with pytest.raises(DataError, match="label.labels.txt: a named pipe"):
        found(names_file.parent)


def found(folder: Path) -> Source:
    return discover(DataSettings(path=str(folder)))


def test_class_names_that_are_not_utf_8_are_an_error_and_do_not_merge(tmp_path):
    (tmp_path / "label.labels.txt").write_bytes(b"caf\xe8\ncaf\xe9\n")
    with pytest.raises(DataError, match="line 1: not UTF-8"):
        class_names(str(tmp_path), "label")
