"""The cache of activations: which row holds what, and what an epoch gets of it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules import frozen_features as module
from modules import records
from modules.augmentation import augment
from modules.frozen_features import CUT, POOLED, FrozenFeatures, frozen_features
from modules.settings import TrainingSettings
from tests import tiny_model

VIEWS = 3


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", 5), ("eval", 2)):
        tiny_model.write_transformed(folder, split, tiny_model.examples(each))
    return str(folder)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((tiny_model.SIZE, tiny_model.SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    convolved = keras.layers.Conv2D(4, 3, strides=4)(scaled)
    cut = keras.layers.ReLU()(keras.layers.BatchNormalization()(convolved))
    return keras.Model(image, {CUT: cut, POOLED: keras.layers.GlobalAveragePooling2D()(cut)})


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings(**{"batch_size": 4, "seed": 5, "activation_cache": {"views": VIEWS}, **changes})


def cached(
    folder: Path, examples: str, network: keras.Model, training: TrainingSettings, key: str = "net"
) -> FrozenFeatures:
    return frozen_features(folder, examples, tiny_model.SIZE, network, key, training)


def test_row_i_k_holds_view_k_of_image_i(tmp_path, examples, network):
    arrays = cached(tmp_path, examples, network, settings()).arrays
    images = list(records.transformed(examples, "train", tiny_model.SIZE))
    assert arrays["train_cut"].shape == (len(images) * VIEWS, *network.output[CUT].shape[1:])
    np.testing.assert_array_equal(arrays["train_label"], [int(label) for _, label in images])
    for number in (0, 1, len(images) - 1):
        for view in range(VIEWS):
            row = number * VIEWS + view
            changed = augment(images[number][0], tf.constant([5, row], tf.int64), settings().augmentation)
            expected = network(changed[None], training=False)
            np.testing.assert_allclose(arrays["train_pooled"][row], expected[POOLED][0], atol=1e-5)
            np.testing.assert_allclose(arrays["train_cut"][row], expected[CUT][0], rtol=1e-3, atol=1e-4)


def test_eval_has_each_image_once_and_as_it_is(tmp_path, examples, network):
    features = cached(tmp_path, examples, network, settings())
    images = list(records.transformed(examples, "eval", tiny_model.SIZE))
    got = [(pooled, label) for batch in features.evaluation(POOLED) for pooled, label in zip(*batch, strict=True)]
    assert len(got) == len(images)
    for (image, label), (pooled, found) in zip(images, got, strict=True):
        expected = network(tf.cast(image, tf.float32)[None], training=False)[POOLED][0]
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
        assert int(label) == int(found)


def rows_of(features: FrozenFeatures, epoch: list[tuple[tf.Tensor, tf.Tensor]]) -> list[int]:
    """Which rows of the array an epoch consisted of."""
    found = []
    for pooled, label in epoch:
        for value, expected in zip(pooled.numpy(), label.numpy(), strict=True):
            [row] = np.flatnonzero((features.arrays["train_pooled"] == value).all(axis=1))
            assert features.arrays["train_label"][row // VIEWS] == expected
            found.append(int(row))
    return found


def test_an_epoch_has_every_image_once_in_a_new_order_and_with_other_views(tmp_path, examples, network):
    features = cached(tmp_path, examples, network, settings())
    train = features.train(POOLED)
    first, second = (rows_of(features, list(train)) for _ in range(2))
    images = len(features.arrays["train_label"])
    for rows in (first, second):
        assert sorted(row // VIEWS for row in rows) == list(range(images))
    assert [row // VIEWS for row in first] != [row // VIEWS for row in second]
    assert set(first) != set(second)
    assert len(train) == -(-images // 4)


def test_the_same_seed_gives_the_same_cache_and_the_same_epochs(tmp_path, examples, network):
    one, two = (cached(tmp_path / name, examples, network, settings()) for name in "ab")
    for name, array in one.arrays.items():
        assert array.tobytes() == two.arrays[name].tobytes(), name
    epochs = []
    for features in (one, two):
        tf.random.set_seed(len(epochs))  # what ran before must not matter
        epochs.append([rows_of(features, list(features.train(POOLED))) for _ in range(2)])
    assert epochs[0] == epochs[1]


def test_the_same_training_opens_the_cache_and_another_one_fills_its_own(tmp_path, examples, network, monkeypatch):
    filled: list[str] = []
    extract = module._extract

    def spy(writer, split, *arguments):
        filled.append(split)
        extract(writer, split, *arguments)

    monkeypatch.setattr(module, "_extract", spy)
    cached(tmp_path, examples, network, settings())
    assert filled == ["train", "eval"]
    cached(tmp_path, examples, network, settings(batch_size=2, head={"epochs": 3}))
    assert filled == ["train", "eval"]
    others = (
        ({"seed": 6}, "net"),
        ({"activation_cache": {"views": 2}}, "net"),
        ({"augmentation": {"brightness": 0.3}}, "net"),
        ({}, "another net"),
    )
    for number, (changes, key) in enumerate(others, start=2):
        cached(tmp_path, examples, network, settings(**changes), key)
        assert len(filled) == 2 * number, (changes, key)


def test_without_augmentation_one_view_is_enough(tmp_path, examples, network):
    plain = settings(augmentation={"flip_horizontal": False, "brightness": 0.0})
    features = cached(tmp_path, examples, network, plain)
    assert features.views == 1
    assert len(features.arrays["train_cut"]) == len(features.arrays["train_label"])
