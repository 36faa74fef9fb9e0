"""The temperature: recovered where it is known, bounded where the split is small, and in the weights afterwards."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from edgetune.modules.models.classifier import build_classifier
from edgetune.modules.settings.run import ModelSettings
from edgetune.modules.training import temperature
from tests.tiny import backbone
from tests.tiny import model as tiny_model


def drawn(images: int, classes: int, true_temperature: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are too large by a factor, and labels drawn from the probabilities of the right ones."""
    random = np.random.default_rng(seed)
    right = random.normal(0, 2, (images, classes))
    labels = np.array([random.choice(classes, p=row) for row in softmax(right, axis=1)])
    return right * true_temperature, labels


@pytest.mark.parametrize(("classes", "known"), [(2, 0.5), (2, 3.0), (5, 0.5), (5, 1.0), (5, 3.0)])
def test_a_known_temperature_is_recovered(classes, known):
    found = temperature.fit(*drawn(20_000, classes, known))
    assert found.value == pytest.approx(known, rel=0.03) and found.note == ""


def test_only_differences_of_logits_count():
    logits, labels = drawn(500, 4, 2.0)
    shifted = logits + np.random.default_rng(2).normal(0, 50, (500, 1))
    assert temperature.fit(shifted, labels).value == pytest.approx(temperature.fit(logits, labels).value, rel=1e-4)


def test_a_few_right_answers_justify_little_more_confidence():
    labels = np.arange(12) % 2
    logits = 2.0 * np.eye(2)[labels]  # each is right with a probability of 0.88
    assert temperature.fit(logits, labels, prior=np.inf).value == temperature.RANGE[0]
    found = temperature.fit(logits, labels)
    assert found.note == "" and 0.88 < softmax(logits / found.value, axis=1).max() < 12.5 / 13
    # By hand: at b = 1/T, the slope of 12 ln(1 + exp(-2 b)) + 2 (b - 1)^2 is 0.
    inverse = 1 / found.value
    assert 4 * (inverse - 1) == pytest.approx(24 / (1 + np.exp(2 * inverse)), abs=1e-3)


def test_without_images_the_temperature_is_that_of_the_prior():
    assert temperature.fit(np.zeros((0, 3)), np.zeros(0, int)).value == pytest.approx(1.0, abs=1e-5)


def test_a_temperature_outside_the_range_is_at_its_bound_and_says_so():
    labels = np.arange(1000) % 2
    confident_and_wrong = temperature.fit(40.0 * np.eye(2)[1 - labels], labels)
    assert (confident_and_wrong.value, confident_and_wrong.note) == (10.0, "the best temperature is outside 0.25 to 10")
    timid = temperature.fit(0.2 * np.eye(2)[labels], labels)
    assert timid.value == 0.25 and timid.note


def test_the_models_probabilities_become_those_of_the_divided_logits_and_its_answers_stay(monkeypatch):
    backbone.use(monkeypatch)
    classifier = build_classifier(backbone.settings(), 3, seed=1)
    pixels = np.stack([pixels for pixels, _ in tiny_model.examples(4)]).astype(np.float32)
    labels = np.arange(len(pixels)) % 3
    batches = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(5)
    before = classifier.model.predict(pixels, verbose=0)
    weights = classifier.model.get_weights()
    logits, truth = temperature.measure_logits(classifier, batches)
    assert logits.shape == (12, 3) and truth.tolist() == labels.tolist()
    np.testing.assert_allclose(softmax(logits, axis=1), before, atol=1e-6)
    temperature.apply(classifier.head, 2.5)
    after = classifier.model.predict(pixels, verbose=0)
    np.testing.assert_allclose(after, softmax(logits / 2.5, axis=1), atol=1e-6)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all() and not np.allclose(after, before)
    changed = [not np.array_equal(new, old) for new, old in zip(classifier.model.get_weights(), weights, strict=True)]
    assert sum(changed[:-2]) == 0 and changed[-2]  # the bias is still 0


def test_every_head_ends_with_what_can_be_scaled_and_another_end_is_refused(monkeypatch):
    backbone.use(monkeypatch)
    for units in ((), (8,)):
        head = {"units": units, "dropout": (0.1,) * len(units)}
        settings = ModelSettings(**{**backbone.settings().model_dump(), "head": head})
        temperature.apply(build_classifier(settings, 2, seed=1).head, 1.0)
    features = keras.Input((4,))
    with pytest.raises(ValueError, match="not a Dense layer with a softmax"):
        temperature.apply(keras.Model(features, keras.layers.Dense(1, activation="sigmoid")(features)), 2.0)
