"""The loss equals NumPy's, and is numerically safe for training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training.losses import balanced_weights, build_loss

COUNTS = (50, 30, 20)
LABELS = np.array([0, 2, 1, 2], np.int64)
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25], [0.8, 0.15, 0.05]], np.float32)


def loss_of(**settings: object) -> keras.losses.Loss:
    return build_loss(TrainingSettings(**settings), COUNTS)


def expected(smoothing: float, weights: np.ndarray) -> float:
    wanted = np.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    return float(np.mean(weights[LABELS] * -(wanted * np.log(PROBABILITIES.astype(np.float64))).sum(-1)))


def test_with_both_settings_off_the_loss_is_keras_own():
    loss = loss_of()
    assert type(loss) is keras.losses.SparseCategoricalCrossentropy
    assert float(loss(LABELS, PROBABILITIES)) == pytest.approx(expected(0.0, np.ones(3)), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_the_loss_equals_numpys(smoothing, class_weights):
    weights = np.array([100 / 150, 100 / 90, 100 / 60]) if class_weights == "balanced" else np.ones(3)
    loss = loss_of(label_smoothing=smoothing, class_weights=class_weights)
    assert float(loss(LABELS, PROBABILITIES)) == pytest.approx(expected(smoothing, weights), rel=1e-6)
    assert float(loss(LABELS[:, None], PROBABILITIES)) == pytest.approx(expected(smoothing, weights), rel=1e-6)


def test_the_weights_equal_scikit_learns_and_average_to_1_over_the_images():
    images = np.repeat(np.arange(3), COUNTS)
    weights = balanced_weights(COUNTS)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=images), rtol=1e-6)
    assert weights[images].mean() == pytest.approx(1.0)
    np.testing.assert_allclose(balanced_weights([7, 7]), [1.0, 1.0])


@pytest.mark.parametrize("counts", [(5, 0, 3), ()])
def test_a_class_without_images_is_an_error(counts):
    with pytest.raises(DataError, match="a class has no images in the train split") as caught:
        build_loss(TrainingSettings(class_weights="balanced"), counts)
    assert "training.class_weights to none" in caught.value.remedy


def test_the_loss_of_a_probability_of_0_is_large_but_finite():
    loss = loss_of(label_smoothing=0.1, class_weights="balanced")
    sure = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert 10 < float(loss(np.array([2]), sure)) < 40
    assert 0 <= float(loss_of(class_weights="balanced")(np.array([0]), sure)) < 1e-5


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1, "class_weights": "balanced"}])
def test_the_gradient_does_not_vanish_if_the_softmax_rounds_the_right_class_to_0(settings):
    """Computed from probabilities alone the gradient would be 0, as they are rounded to 0."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, activation="softmax")])
    model.layers[0].set_weights([np.array([[0.0, 200.0, 200.0]]), np.zeros(3)])
    model.compile(keras.optimizers.SGD(0.3), loss=loss_of(**settings))
    value = model.train_on_batch(np.ones((4, 1), np.float32), np.zeros(4, np.int64))
    kernel = model.layers[0].get_weights()[0][0]
    assert np.isfinite(value) and value > 100
    assert kernel[0] > 0.1 and kernel[1] < 200.0


def test_both_phases_can_share_the_loss_object_and_measure_accuracy():
    loss = loss_of(label_smoothing=0.1, class_weights="balanced")
    for _ in range(2):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
        model.compile(keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
        value, accuracy = model.evaluate(np.log(PROBABILITIES), LABELS, verbose=0)
        assert accuracy == 0.5
        assert value == pytest.approx(expected(0.1, np.array([100 / 150, 100 / 90, 100 / 60])), rel=1e-5)


def test_different_losses_have_different_configurations():
    configurations = [
        loss_of(label_smoothing=smoothing, class_weights=weights).get_config()
        for smoothing in (0.1, 0.2)
        for weights in ("none", "balanced")
    ]
    assert all(one != other for i, one in enumerate(configurations) for other in configurations[:i])
