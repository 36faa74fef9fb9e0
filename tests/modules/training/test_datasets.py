"""The splits as batches: train differs between epochs, eval and test never do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training.datasets import Datasets, load_datasets
from tests.tiny import model

OFF = {"flip_horizontal": False, "crop": 1.0, "brightness": 0.0}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", 8), ("eval", 4), ("test", 2)):
        pairs = [(255 - pixels if split == "test" else pixels, label) for pixels, label in model.examples(each)]
        model.write_transformed(folder, split, pairs)
    return str(folder)


def training(**changes: object) -> TrainingSettings:
    return TrainingSettings(**{"batch_size": 8, "seed": 3, **changes})


def epoch(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*((image.numpy(), label.numpy()) for image, label in dataset), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def sorted_pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.fixture(scope="module")
def data(examples: str) -> Datasets:
    return load_datasets(examples, model.SIZE, training())


def test_eval_and_test_are_unchanged_in_every_epoch(data):
    for dataset, each, inverted in ((data.evaluation, 4, False), (data.test, 2, True)):
        written = list(model.examples(each))
        pixels = np.stack([255 - image if inverted else image for image, _ in written]).astype(np.float32)
        for _ in range(2):
            images, labels = epoch(dataset)
            np.testing.assert_array_equal(images, pixels)
            assert [model.LABELS[label] for label in labels] == [label for _, label in written]


def test_train_is_shuffled_and_augmented_differently_in_every_epoch(data):
    (first, first_labels), (second, second_labels) = epoch(data.train.one(0)), epoch(data.train.one(1))
    assert first.dtype == np.float32 and first.shape == second.shape == (24, model.SIZE, model.SIZE, 3)
    assert not np.array_equal(first_labels, second_labels)
    one, other = (sorted_pairs(*pair) for pair in ((first, first_labels), (second, second_labels)))
    assert not {image for image, _ in one} & {image for image, _ in other}


def test_a_single_image_is_augmented_differently_in_every_epoch(tmp_path):
    """Use one image, so that a difference cannot come from the order."""
    for split in ("train", "eval", "test"):
        model.write_transformed(tmp_path, split, model.examples(1, ["red"]))
    train = load_datasets(str(tmp_path), model.SIZE, training(augmentation={"brightness": 0.2})).train
    assert len({epoch(train.one(number))[0].tobytes() for number in range(4)}) == 4


def test_without_augmentation_train_has_the_written_pairs_in_another_order(examples):
    data = load_datasets(examples, model.SIZE, training(augmentation=OFF))
    written = [(image.astype(np.float32), model.LABELS.index(label)) for image, label in model.examples(8)]
    expected = np.stack([image for image, _ in written]), np.array([label for _, label in written])
    found = epoch(data.train.one(0))
    assert sorted_pairs(*found) == sorted_pairs(*expected)
    assert not np.array_equal(found[1], expected[1])


def test_the_seed_determines_the_epochs_whatever_ran_before(examples):
    def epochs(seed: int) -> list[bytes]:
        train = load_datasets(examples, model.SIZE, training(seed=seed)).train
        return [epoch(train.one(number))[0].tobytes() for number in range(2)]

    first = epochs(3)
    tf.random.set_seed(99)
    assert epochs(3) == first
    assert epochs(4) != first


@pytest.mark.parametrize("seed", [0, 3])
def test_an_epoch_is_the_same_wherever_the_iteration_starts(examples, seed):
    train = load_datasets(examples, model.SIZE, training(seed=seed)).train
    assert train.steps == 3
    third = [(images.numpy().tobytes(), labels.numpy().tolist()) for images, labels in train.one(2)]
    assert len(third) == 3 and sorted(label for _, labels in third for label in labels) == [0] * 8 + [1] * 8 + [2] * 8
    for since in (0, 1, 2):
        batches = train.since(since).skip((2 - since) * 3).take(3)
        assert [(images.numpy().tobytes(), labels.numpy().tolist()) for images, labels in batches] == third
