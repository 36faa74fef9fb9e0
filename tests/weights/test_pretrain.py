"""The committed backbone is the pinned one and useful, and its drawings are reproducible."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.settings.run import ModelSettings
from edgetune.weights.drawings import CLASSES, SIZE, draw
from edgetune.weights.pretrain import ALPHA, NAME, scaled
from edgetune.weights.probe import digits_features, digits_splits, probe

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "weights" / NAME


@pytest.fixture(scope="module")
def demo() -> ModelSettings:
    """Return the model of `configs/demo.yaml`, its weights as an absolute path, as the loader does."""
    values = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8"))["model"]
    return ModelSettings(**{**values, "weights": str((ROOT / "configs" / values["weights"]).resolve())})


def test_the_demo_pins_the_committed_file(demo):
    assert Path(demo.weights) == FILE
    assert demo.weights_sha256 == hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert (demo.backbone, demo.alpha, demo.image_size) == ("mobilenet_v2", ALPHA, SIZE)


def test_the_log_belongs_to_the_committed_file(demo):
    log = (ROOT / "weights" / "pretrain.log").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(NAME)}: {FILE.stat().st_size} bytes, SHA-256 {demo.weights_sha256}$", log, re.M)
    assert all(name.replace(" ", "_") in log for name in CLASSES)


@pytest.mark.large  # while the pin above holds, so does this
def test_the_committed_features_beat_random_ones_on_digits(demo):
    pretrained = np.mean(probe(digits_features(build_backbone(demo))))
    keras.utils.set_random_seed(0)
    random = np.mean(probe(digits_features(build_backbone(demo, pretrained=False))))
    log = (ROOT / "weights" / "pretrain.log").read_text(encoding="utf-8")
    logged = re.search(r"pretrained backbone: test accuracy (\d\.\d+)", log)
    assert logged and pretrained == pytest.approx(float(logged[1]), abs=0.01)
    assert pretrained > random + 0.015


def test_digits_are_split_eight_one_one_without_overlap():
    train, evaluation, test = digits_splits(0)
    assert sorted(np.concatenate([train, evaluation, test])) == list(range(len(load_digits().target)))
    assert [len(train), len(evaluation), len(test)] == [1437, 180, 180]


def test_a_drawing_depends_only_on_its_number_and_the_seed():
    image, label = draw(70, seed=3)
    draw(71, seed=3)
    again, same = draw(70, seed=3)
    np.testing.assert_array_equal(image, again)
    assert label == same == 70 % len(CLASSES)
    assert (draw(70, seed=4)[0] != image).any()
    assert (draw(70 + len(CLASSES), seed=3)[0] != image).any()


def test_every_class_is_drawn_visibly():
    for number in range(2 * len(CLASSES)):
        image, label = draw(number, seed=5)
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert label == number % len(CLASSES)
        assert image.std() > 2, CLASSES[label]


def test_no_class_is_a_digit():
    assert len(set(CLASSES)) == len(CLASSES)
    assert not [name for name in CLASSES if any(character.isdigit() for character in name)]


def test_half_size_averages_squares_of_pixels():
    image = np.stack([draw(number, seed=6)[0] for number in range(3)])
    half = scaled(image, SIZE // 2)
    assert half.shape == (3, SIZE // 2, SIZE // 2, 3) and half.dtype == np.uint8
    assert half[1, 4, 7, 2] == int(image[1, 8:10, 14:16, 2].mean())
    assert scaled(image, SIZE) is image
