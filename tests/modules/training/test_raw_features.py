"""Features of raw examples: row i is image i of all splits, with its class, id and group."""

from __future__ import annotations

import errno
import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core.errors import DataError, TrainingError
from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.classifier import pool
from edgetune.modules.settings.run import AugmentationSettings, TrainingSettings
from edgetune.modules.training import raw_features as module
from edgetune.modules.training.augmentation import augment
from edgetune.modules.training.raw_features import raw_features
from tests.tiny import backbone, model

TRAINING = TrainingSettings(seed=7, activation_cache={"views": 3, "head_views": 2})
SPLITS = {"train": 4, "eval": 1, "test": 2}


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder of raw examples, and the images, labels and group names in their order."""
    folder, found = tmp_path_factory.mktemp("examples"), []
    for split, each in SPLITS.items():
        pairs = [(model.png(pixels), label) for pixels, label in model.examples(each, size=40)]
        groups = [f"{split} {number // 2}" for number in range(len(pairs))]
        model.write_raw(folder, split, pairs, groups)
        found += [(*pair, group) for pair, group in zip(pairs, groups, strict=True)]
    return str(folder), found


def test_every_image_has_its_features_with_and_without_augmentation(monkeypatch, tmp_path, written):
    backbone.use(monkeypatch)
    uri, examples = written
    found = raw_features(tmp_path, uri, model.LABELS, backbone.settings(), TRAINING, Reading())
    assert [model.LABELS[label] for label in found.label] == [label for _, label, _ in examples]
    assert found.image_id.tolist() == [digest(encoded) for encoded, _, _ in examples]
    assert found.group.tolist() == [digest(group.encode()) for _, _, group in examples]

    keras.utils.set_random_seed(TRAINING.seed)
    network = build_backbone(backbone.settings())
    network = keras.Model(network.input, pool(network.output))
    assert len(found.views) == 2  # as many as phase 1 trains on
    for row in (0, 13, len(examples) - 1):
        image = decode(tf.constant(examples[row][0]), 32)
        seeds = [tf.constant([7, row * 64 + number], tf.int64) for number in range(2)]
        inputs = [tf.cast(image, tf.float32), *(augment(image, seed, TRAINING.augmentation) for seed in seeds)]
        expected = network(tf.stack(inputs), training=False)
        stored = [found.pooled[row], *(view[row] for view in found.views)]
        np.testing.assert_allclose(stored, expected, rtol=1e-4, atol=1e-4)

    monkeypatch.setattr(module, "build_backbone", lambda *_: pytest.fail("the cache was not used"))
    again = raw_features(tmp_path, uri, model.LABELS, backbone.settings(), TRAINING, Reading())
    np.testing.assert_array_equal(again.pooled, found.pooled)


def test_without_augmentation_heads_learn_from_the_images_themselves(monkeypatch, tmp_path, written):
    backbone.use(monkeypatch)
    off = AugmentationSettings(flip_horizontal=False, crop=1.0, brightness=0.0)
    plain = TRAINING.model_copy(update={"augmentation": off})
    found = raw_features(tmp_path, written[0], model.LABELS, backbone.settings(), plain, Reading())
    [view] = found.views
    assert view is found.pooled and len(view) == len(written[1])


def test_a_class_that_the_model_does_not_have_is_an_error(monkeypatch, tmp_path, written):
    backbone.use(monkeypatch)
    with pytest.raises(DataError, match="the class red, which has no image in the train split"):
        raw_features(tmp_path, written[0], ["blue", "green"], backbone.settings(), TRAINING, Reading())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("compute", "named", "not_named"),
    [
        (lambda *args: module.clean_features(*args, 7, Reading()), "data.review_labels", "training."),
        (lambda *args: raw_features(*args, TRAINING, Reading()), "evaluation.folds to 0", "enabled"),
    ],
)
def test_the_remedy_for_a_full_disk_names_settings_that_are_obeyed(
    monkeypatch, tmp_path, written, compute, named, not_named
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "_extract", full)
    backbone.use(monkeypatch)
    with pytest.raises(TrainingError, match="the disk is full") as caught:
        compute(tmp_path, written[0], model.LABELS, backbone.settings())
    assert named in caught.value.remedy and not_named not in caught.value.remedy


def test_switching_between_two_settings_computes_nothing_again(monkeypatch, tmp_path, written):
    backbone.use(monkeypatch)
    monkeypatch.setattr(module, "weights_digest", lambda settings: settings.weights)
    built: list[str] = []
    rows = np.zeros((1, 64), np.uint8)

    def clean(*args: object) -> None:
        built.append("clean")
        for name in (module.POOLED, module.LABEL, module.IMAGE_ID, module.SPLIT_GROUP):
            args[-1].append(name, rows)

    def views(*args: object) -> None:
        built.append("views")
        for number in range(2):
            args[-1].append(module.view(number), rows)

    monkeypatch.setattr(module, "_extract", clean)
    monkeypatch.setattr(module, "_extract_views", views)
    settings = backbone.settings()
    for weights in ("a", "b", "a", "b"):
        changed = settings.model_copy(update={"weights": weights})
        raw_features(tmp_path, written[0], model.LABELS, changed, TRAINING, Reading())
    assert built == ["clean", "views"] * 2
