"""Reading the examples that the pipeline writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.examples import records
from edgetune.modules.serving import saved_model as saved_model_reader
from tests.helpers import recorded_shards
from tests.tiny import model


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, str]]:
    return list(model.examples(3))


def test_transformed_examples_are_read_as_pixels_and_index_in_file_order(tmp_path, pairs):
    model.write_transformed(tmp_path, "train", pairs)
    dataset = records.transformed(str(tmp_path), "train", model.SIZE)
    assert dataset.element_spec[0] == tf.TensorSpec([model.SIZE, model.SIZE, 3], tf.uint8)
    assert dataset.element_spec[1] == tf.TensorSpec([], tf.int64)
    for _ in range(2):
        for (image, index), (pixels, label) in zip(dataset, pairs, strict=True):
            np.testing.assert_array_equal(image, pixels)
            assert model.LABELS[index.numpy()] == label


def test_raw_examples_are_read_as_bytes_and_class_name(tmp_path, pairs):
    written = [(model.png(pixels), label) for pixels, label in pairs]
    model.write_raw(tmp_path, "test", written)
    found = [(image.numpy(), label.numpy().decode()) for image, label, _ in records.named(str(tmp_path), "test")]
    assert found == written
    assert len(list(records.serialized(str(tmp_path), "test"))) == len(pairs)


def test_the_files_of_one_split_are_read_in_sorted_order(tmp_path, pairs):
    model.write_transformed(tmp_path, "train", pairs[:1])
    model.write_transformed(tmp_path, "eval", pairs[1:2])
    folder = tmp_path / "Split-train"
    model.write_transformed(tmp_path / "more", "train", pairs[2:3])
    (folder / "data-00000-of-00001.gz").rename(folder / "data-00000-of-00002.gz")
    (tmp_path / "more" / "Split-train" / "data-00000-of-00001.gz").rename(folder / "data-00001-of-00002.gz")
    recorded_shards.record(tmp_path)
    assert [Path(path).name for path in records.split_files(str(tmp_path), "train")] == [
        "data-00000-of-00002.gz",
        "data-00001-of-00002.gz",
    ]
    labels = [label.numpy() for _, label in records.transformed(str(tmp_path), "train", model.SIZE)]
    assert labels == [model.LABELS.index(pairs[at][1]) for at in (0, 2)]


def test_examples_of_another_image_size_are_an_error(tmp_path, pairs):
    model.write_transformed(tmp_path, "train", pairs)
    with pytest.raises(tf.errors.InvalidArgumentError):
        next(iter(records.transformed(str(tmp_path), "train", 2 * model.SIZE)))


def test_labels_are_the_lines_of_the_vocabulary_in_a_saved_model(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "labels.txt").write_text("10\n2 b\nÄrger\n", encoding="utf-8")
    assert saved_model_reader.read_labels(str(tmp_path)) == ["10", "2 b", "Ärger"]
