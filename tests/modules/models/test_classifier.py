"""The classifier: what its head computes, and that nothing in its backbone depends on the mode of training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import softmax

from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.classifier import build_classifier, build_head
from edgetune.modules.settings.run import HeadSettings, RunSettings, TrainingSettings
from tests.tiny import backbone as tiny_backbone
from tests.tiny.built_backbones import settings_of

WIDTH, CLASSES = 5, 4
SETTINGS = HeadSettings(units=(64, 32), dropout=(0.5, 0.25), l2=0.01)
POOLED = np.random.default_rng(1).standard_normal((6, WIDTH)).astype(np.float32)


def pixels(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def head() -> keras.Model:
    keras.utils.set_random_seed(2)
    return build_head(WIDTH, SETTINGS, CLASSES)


def test_the_head_computes_hidden_layers_with_relu_and_a_softmax(head):
    kernels, biases = head.get_weights()[::2], head.get_weights()[1::2]
    assert [kernel.shape for kernel in kernels] == [(WIDTH, 64), (64, 32), (32, CLASSES)]
    values = POOLED
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        values = np.maximum(values @ kernel + bias, 0)
        assert 0.2 < np.mean(values == 0) < 0.8  # without the ReLU there would be none
    expected = softmax(values @ kernels[-1] + biases[-1], axis=1)
    np.testing.assert_allclose(head(POOLED, training=False), expected, rtol=1e-4, atol=1e-6)


def test_dropout_follows_each_hidden_layer_at_its_rate_and_only_in_training(head):
    for number, rate in enumerate(SETTINGS.dropout, start=1):
        hidden = head.get_layer(f"head_{number}").output
        both = keras.Model(head.input, [hidden, head.get_layer(f"head_{number}_dropout").output])
        rows = np.repeat(POOLED, 200, axis=0)
        before, after = (np.asarray(values) for values in both(rows, training=True))
        active = before > 0
        dropped = np.mean(after[active] == 0)
        assert dropped == pytest.approx(rate, abs=0.05)  # five standard deviations at the smallest layer
        kept = active & (after != 0)
        np.testing.assert_allclose(after[kept], before[kept] / (1 - rate), rtol=1e-5)
        before, after = both(rows, training=False)
        np.testing.assert_array_equal(before, after)


def test_l2_is_the_sum_of_squares_of_all_kernels_of_the_head(head):
    expected = [SETTINGS.l2 * float(np.sum(np.square(kernel))) for kernel in head.get_weights()[::2]]
    assert [float(loss) for loss in head.losses] == pytest.approx(expected, rel=1e-5)
    assert build_head(WIDTH, HeadSettings(), CLASSES).losses == []


def test_without_hidden_layers_the_head_is_linear():
    linear = build_head(WIDTH, HeadSettings(units=(), dropout=()), CLASSES)
    assert [weight.shape for weight in linear.get_weights()] == [(WIDTH, CLASSES), (CLASSES,)]


def test_the_recipe_tutorial_is_the_published_method():
    """Head of 256 and 128 units with dropout .5 and .3, Adam 1e-3, then a tenth of it on the last 40 layers."""
    run = RunSettings(name="a", data={"path": "b"}, training={"recipe": "tutorial", "head": {"epochs": 7}})
    assert (run.model.head.units, run.model.head.dropout, run.model.head.l2) == ((256, 128), (0.5, 0.3), 0.0)
    phase, fine_tune = run.training.head, run.training.fine_tune
    assert (phase.epochs, phase.learning_rate, phase.patience) == (7, 1e-3, 3)  # what is set is kept
    assert TrainingSettings(recipe="tutorial").head.epochs == 10
    assert (fine_tune.epochs, fine_tune.learning_rate, fine_tune.patience) == (20, 1e-4, 5)
    assert {(part.plateau_factor, part.plateau_patience) for part in (phase, fine_tune)} == {(0.5, 2)}
    assert fine_tune.unfreeze.last == 40 and run.training.augmentation.crop == 1.0


# --- the backbone is in inference mode


def test_efficientnet_would_drop_branches_in_training():
    """So the test of all backbones in test_blocks.py can fail; `training=False` inside a model does not prevent it."""
    backbone = assemble(settings_of("efficientnet_b0"))
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in backbone.layers) == 9
    backbone.trainable = False
    images = pixels(backbone.input_shape[1])
    image = keras.Input(backbone.input_shape[1:])
    outer = keras.Model(image, backbone(image, training=False))
    keras.utils.set_random_seed(1)
    assert np.abs(np.asarray(outer(images, training=True)) - np.asarray(outer(images, training=False))).max() > 0


@pytest.mark.parametrize("from_scratch", [False, True])
def test_the_classifier_is_in_inference_mode_unless_it_is_trained_from_scratch(monkeypatch, from_scratch):
    def with_dropout(**shape: Any) -> keras.Model:
        inner = tiny_backbone.build(**shape)
        return keras.Model(inner.inputs, keras.layers.Dropout(0.5, name="block_2_drop")(inner.output))

    tiny_backbone.use(monkeypatch, with_dropout)
    classifier = build_classifier(
        tiny_backbone.settings(), CLASSES, 1, pretrained=False, backbone_in_training=from_scratch
    )
    if not from_scratch:
        classifier.backbone.trainable = False
    images = pixels(tiny_backbone.settings().image_size)
    same = np.array_equal(classifier.backbone(images, training=True), classifier.backbone(images, training=False))
    assert same is not from_scratch
