"""The logistic regression of a linear head: its solution, and the choice of its penalty."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from edgetune.modules.core.errors import TrainingError
from edgetune.modules.models.classifier import build_head
from edgetune.modules.settings.run import HeadSettings, TrainingSettings
from edgetune.modules.training import logistic
from edgetune.modules.training.logistic import can_solve, solve
from edgetune.modules.training.losses import WeightedCrossentropy, targets

CLASSES, WIDTH, IMAGES = 3, 6, 90
PLAIN = keras.losses.SparseCategoricalCrossentropy()


def clusters(seed: int, images: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Return features of overlapping classes, and labels."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).standard_normal((CLASSES, WIDTH))
    labels = np.arange(images) % CLASSES
    return (middles[labels] + random.standard_normal((images, WIDTH))).astype(np.float32), labels


def linear() -> keras.Model:
    return build_head(WIDTH, HeadSettings(), CLASSES)


def test_with_a_penalty_the_solution_is_scikit_learns():
    """Ours adds l2 times the squares to the mean loss, scikit-learn half the squares to C times the sum of losses."""
    l2, head = 0.02, linear()
    (one, labels), (other, _) = clusters(1), clusters(2)
    phase = solve("head", head, [one, other], labels, clusters(3), PLAIN, l2)
    both = np.concatenate([one, other])
    expected = LogisticRegression(C=1 / (2 * l2 * len(both)), tol=1e-8, max_iter=1000).fit(both, np.tile(labels, 2))
    np.testing.assert_allclose(head.get_weights()[0], expected.coef_.T, atol=5e-3)
    np.testing.assert_allclose(np.asarray(head(both)), expected.predict_proba(both), atol=2e-3)
    assert (len(phase.epochs), phase.trainable_parameters) == (1, (WIDTH + 1) * CLASSES)
    assert phase.best["accuracy"] == np.mean(expected.predict(one) == labels)


def test_the_penalty_with_the_lowest_loss_on_eval_is_kept():
    head, (one, labels), evaluation = linear(), clusters(1), clusters(3, 30)
    phase = solve("head", head, [one], labels, evaluation, PLAIN)
    penalties = [entry["penalty"] for entry in phase.epochs]
    variances = np.mean(np.square(one)) / (IMAGES * np.array(penalties))
    assert variances == pytest.approx(logistic.VARIANCES, rel=1e-5)
    losses = [entry["val_loss"] for entry in phase.epochs]
    assert 0 < phase.best_epoch < len(losses) - 1 and phase.best["val_loss"] == min(losses)
    head.compile(loss=PLAIN, metrics=["accuracy"])
    assert head.evaluate(*evaluation, verbose=0) == pytest.approx(
        [phase.best["val_loss"], phase.best["val_accuracy"]], rel=1e-4
    )


def test_features_of_any_scale_have_the_same_answers():
    (one, labels), (eval_, eval_labels) = clusters(1), clusters(3)
    heads = [linear(), linear()]
    for head, scale in zip(heads, (1, 30), strict=True):
        solve("head", head, [one * scale], labels, (eval_ * scale, eval_labels), PLAIN)
    np.testing.assert_allclose(np.asarray(heads[0](one)), np.asarray(heads[1](one * 30)), atol=5e-3)


@pytest.mark.parametrize("weights", [None, np.float32([0.5, 1.0, 2.0])])
def test_targets_give_the_loss_of_the_loss_object(weights):
    labels = np.array([0, 2, 1])
    probabilities = np.float32([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]])
    for loss in (WeightedCrossentropy(3, 0.1, weights), PLAIN):
        found = -(targets(loss, labels, 3) * np.log(probabilities)).sum(axis=1)
        np.testing.assert_allclose(found, np.asarray(loss.call(labels, probabilities)), rtol=1e-5)


def test_as_many_views_are_used_as_rows_are_allowed(monkeypatch):
    monkeypatch.setattr(logistic, "ROWS", 2 * IMAGES)
    views = [clusters(seed)[0] for seed in range(3)]
    labels, heads = clusters(0)[1], [linear(), linear()]
    for head, used in zip(heads, (views, views[:2]), strict=True):
        solve("head", head, used, labels, clusters(3), PLAIN, 0.1)
    np.testing.assert_array_equal(heads[0].get_weights()[0], heads[1].get_weights()[0])


def test_adam_trains_hidden_layers_large_data_and_the_tutorial():
    auto = TrainingSettings()
    assert can_solve(HeadSettings(), auto, logistic.ROWS)
    assert not can_solve(HeadSettings(), auto, logistic.ROWS + 1)
    assert not can_solve(HeadSettings(units=(8,), dropout=(0.1,)), auto, 1)
    assert not can_solve(HeadSettings(), TrainingSettings(recipe="tutorial"), 1)


def test_features_that_are_not_finite_are_an_error():
    one, labels = clusters(1)
    one[3, 2] = np.nan
    with pytest.raises(TrainingError, match="features of the backbone are not finite"):
        solve("head", linear(), [one], labels, clusters(3), PLAIN)
