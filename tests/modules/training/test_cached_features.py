"""The cache of activations: the content of its rows, and the epochs made from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.examples import records
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training import devices
from edgetune.modules.training.augmentation import augment
from edgetune.modules.training.cached_features import CUT, EVAL, LABEL, POOLED, FrozenFeatures, view
from tests.tiny import model

VIEWS, HEAD_VIEWS = 3, 2
CACHE = {"views": VIEWS, "head_views": HEAD_VIEWS}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", 5), ("eval", 2)):
        model.write_transformed(folder, split, model.examples(each))
    return str(folder)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((model.SIZE, model.SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    convolved = keras.layers.Conv2D(4, 3, strides=4)(scaled)
    cut = keras.layers.ReLU()(keras.layers.BatchNormalization()(convolved))
    return keras.Model(image, {CUT: cut, POOLED: keras.layers.GlobalAveragePooling2D()(cut)})


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings(**{"batch_size": 4, "seed": 5, "activation_cache": CACHE, **changes})


def cached(
    folder: Path, examples: str, network: keras.Model, training: TrainingSettings, key: str = "net"
) -> FrozenFeatures:
    return FrozenFeatures(folder, examples, model.SIZE, network, key, training)


def test_row_i_of_a_view_belongs_to_image_i_with_its_own_augmentation(tmp_path, examples, network):
    features = cached(tmp_path, examples, network, settings())
    images = list(records.transformed(examples, "train", model.SIZE))
    for number in range(VIEWS):
        arrays = features.arrays(view(number))
        assert arrays[CUT].shape == (len(images), *network.output[CUT].shape[1:])
        np.testing.assert_array_equal(arrays[LABEL], [int(label) for _, label in images])
        for row in (0, 1, len(images) - 1):
            changed = augment(images[row][0], tf.constant([5, row * 64 + number], tf.int64), settings().augmentation)
            expected = network(changed[None], training=False)
            np.testing.assert_allclose(arrays[POOLED][row], expected[POOLED][0], atol=1e-5)
            np.testing.assert_allclose(arrays[CUT][row], expected[CUT][0], rtol=1e-3, atol=1e-4)


def test_eval_has_each_image_once_and_unchanged(tmp_path, examples, network):
    features = cached(tmp_path, examples, network, settings())
    images = list(records.transformed(examples, "eval", model.SIZE))
    got = [(pooled, label) for batch in features.evaluation(POOLED) for pooled, label in zip(*batch, strict=True)]
    assert len(got) == len(images)
    for (image, label), (pooled, found) in zip(images, got, strict=True):
        expected = network(tf.cast(image, tf.float32)[None], training=False)[POOLED][0]
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
        assert int(label) == int(found)


def rows_of(features: FrozenFeatures, kind: str, epoch: list[tuple[tf.Tensor, tf.Tensor]]) -> list[tuple[int, int]]:
    """Return image and view of each row of an epoch."""
    parts = [features.arrays(view(number)) for number in range(features.views[kind])]
    every = np.stack([part[kind].astype(np.float32) for part in parts])
    found = []
    for rows, labels in epoch:
        for row, label in zip(rows.numpy(), labels.numpy(), strict=True):
            [(number, image)] = np.argwhere((every == row).reshape(*every.shape[:2], -1).all(axis=2))
            assert parts[0][LABEL][image] == label
            found.append((int(image), int(number)))
    return found


@pytest.mark.parametrize(("kind", "views"), [(POOLED, HEAD_VIEWS), (CUT, VIEWS)])
def test_an_epoch_has_every_image_once_in_a_new_order_with_random_views(tmp_path, examples, network, kind, views):
    features = cached(tmp_path, examples, network, settings())
    train = features.train(kind)
    epochs = [rows_of(features, kind, list(train.one(number))) for number in range(4)]
    images = len(features.arrays(EVAL)[LABEL]) * 5 // 2
    for rows in epochs:
        assert sorted(image for image, _ in rows) == list(range(images))
    assert [image for image, _ in epochs[0]] != [image for image, _ in epochs[1]]
    assert set(epochs[0]) != set(epochs[1])
    assert {number for rows in epochs for _, number in rows} == set(range(views))
    assert train.steps == -(-images // 4)
    since = train.since(1).skip(2 * train.steps).take(train.steps)
    assert rows_of(features, kind, list(since)) == epochs[3]


def test_phase_1_does_not_compute_views_that_only_phase_2_needs(tmp_path, examples, network):
    features = cached(tmp_path, examples, network, settings())
    features.train(POOLED)
    features.evaluation(POOLED)
    [folder] = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [EVAL, view(0), view(1)]
    features.train(CUT)
    assert sorted(path.name for path in folder.iterdir()) == [EVAL, view(0), view(1), view(2)]


def test_the_same_seed_gives_the_same_cache_and_the_same_epochs(tmp_path, examples, network):
    one, two = (cached(tmp_path / name, examples, network, settings()) for name in "ab")
    for part in (EVAL, *map(view, range(VIEWS))):
        for name, array in one.arrays(part).items():
            assert array.tobytes() == two.arrays(part)[name].tobytes(), (part, name)
    epochs = []
    for features in (one, two):
        tf.random.set_seed(len(epochs))  # what ran before must not matter
        train = features.train(POOLED)
        epochs.append([rows_of(features, POOLED, list(train.one(number))) for number in range(2)])
    assert epochs[0] == epochs[1]


def test_the_same_training_reuses_the_cache_and_another_fills_its_own(tmp_path, examples, network, monkeypatch):
    filled: list[str] = []

    def spy(self, part, writer):  # what a part holds is another test's: here, whether it is filled again
        filled.append(part)
        writer.append(POOLED, np.zeros((1, 4), np.float32))
        writer.append(CUT, np.zeros((1, 2, 2, 4), np.float16))
        writer.append(LABEL, np.zeros(1, np.int64))

    monkeypatch.setattr(FrozenFeatures, "_extract", spy)

    def open_all(training: TrainingSettings, key: str = "net", uri: str = examples) -> list[str]:
        filled.clear()
        features = cached(tmp_path / "cache", uri, network, training, key)
        features.train(CUT)
        features.evaluation(CUT)
        return list(filled)

    assert open_all(settings()) == [*map(view, range(VIEWS)), EVAL]
    assert open_all(settings(batch_size=2, head={"epochs": 3})) == []
    assert open_all(settings(activation_cache={"views": 2})) == []
    copy = shutil.copytree(examples, tmp_path / "copy")
    assert open_all(settings(), uri=str(copy)) == []
    assert open_all(settings(activation_cache={"views": VIEWS + 1})) == [view(VIEWS)]

    def fills_its_own(training: TrainingSettings, key: str = "net", uri: str = examples) -> bool:
        open_all(settings())  # only the last two caches are kept
        return len(open_all(training, key, uri)) == VIEWS + 1

    for changes, key in (
        ({"seed": 6}, "net"),
        ({"augmentation": {"brightness": 0.3}}, "net"),
        ({}, "another net"),
    ):
        assert fills_its_own(settings(**changes), key), (changes, key)
    for split in ("train", "eval"):
        copy = shutil.copytree(examples, tmp_path / split)
        shard = next(copy.glob(f"Split-{split}/*.gz"))
        content = bytearray(shard.read_bytes())
        content[9] ^= 1  # gzip's note of the operating system: other bytes of the same length, still readable
        shard.write_bytes(content)
        assert fills_its_own(settings(), uri=str(copy)), split
    open_all(settings())
    monkeypatch.setattr(devices, "default_device", lambda: "GPU NVIDIA L4")
    assert len(open_all(settings())) == VIEWS + 1


def test_without_phase_2_phase_1_has_all_views(tmp_path, examples, network):
    alone = keras.Model(network.input, {POOLED: network.output[POOLED]})
    assert cached(tmp_path, examples, alone, settings()).views[POOLED] == VIEWS


def test_without_augmentation_one_view_is_enough(tmp_path, examples, network):
    plain = settings(augmentation={"flip_horizontal": False, "crop": 1.0, "brightness": 0.0})
    features = cached(tmp_path, examples, network, plain)
    assert features.views == {CUT: 1, POOLED: 1}
