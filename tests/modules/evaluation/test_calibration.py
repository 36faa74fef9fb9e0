"""Calibration error, reliability diagram and thresholds, on examples that were computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from edgetune.modules.evaluation.calibration import (
    at_temperature,
    cross_entropy,
    expected_calibration_error,
    reliability,
)
from edgetune.modules.evaluation.thresholds import (
    TopAnswers,
    accepted,
    class_thresholds,
    selection,
    selection_by_class,
)


def test_the_expected_calibration_error_of_an_example():
    # (0.4, 0.6]: two answers, one right, mean 0.55. (0.8, 1]: three, two right, mean 0.9. (0.6, 0.8]: one, right, 0.7.
    confidence = np.array([0.5, 0.6, 0.85, 0.9, 0.95, 0.7])
    correct = np.array([True, False, True, True, False, True])
    diagram = reliability(confidence, correct, bins=5)
    assert [row["images"] for row in diagram] == [0, 0, 2, 1, 3]
    assert diagram[0] == {"images": 0, "confidence": None, "accuracy": None}
    assert diagram[2]["confidence"] == pytest.approx(0.55) and diagram[2]["accuracy"] == 0.5
    by_hand = (2 * abs(0.5 - 0.55) + 1 * abs(1 - 0.7) + 3 * abs(2 / 3 - 0.9)) / 6
    assert expected_calibration_error(diagram) == pytest.approx(by_hand)


def test_a_bin_has_its_upper_bound_and_not_its_lower_one():
    diagram = reliability(np.array([0.2, np.nextafter(0.2, 1), 1.0, 0.0]), np.ones(4, bool), bins=5)
    assert [row["images"] for row in diagram] == [2, 1, 0, 0, 1]


def test_without_images_there_is_no_error():
    diagram = reliability(np.zeros(0), np.zeros(0, bool))
    assert len(diagram) == 15 and expected_calibration_error(diagram) is None
    assert cross_entropy(np.zeros(0)) is None


def test_the_cross_entropy_is_in_nats_and_finite():
    assert cross_entropy(np.array([np.exp(-1.0), np.exp(-3.0)])) == pytest.approx(2.0)
    assert 80 < cross_entropy(np.float32([0.0])) < 90


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0, 10.0])
def test_a_temperature_can_be_undone(temperature):
    logits = np.random.default_rng(1).normal(0, 3, (50, 7))
    scaled = softmax(logits / temperature, axis=1).astype(np.float32)
    np.testing.assert_allclose(at_temperature(scaled, 1 / temperature), softmax(logits, axis=1), atol=1e-5)
    assert np.isfinite(at_temperature(np.float32([[1e-30, 1e-38]]), 0.1)).all()


# Class 0: 0.99 right, 0.95 right, 0.9 right, 0.8 right, 0.8 wrong, 0.7 right, 0.6 wrong. Class 1: three right answers.
ANSWERS = TopAnswers(
    best=np.array([0] * 7 + [1] * 3),
    confidence=np.array([0.7, 0.8, 0.99, 0.95, 0.9, 0.8, 0.6, 0.9, 0.9, 0.9]),
    truth=np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
)


@pytest.mark.parametrize(
    ("precision", "threshold"),
    [
        (0.5, 0.6),  # 5 of 7 are right
        (0.8, 0.7),  # 5 of 6
        (0.83, 0.7),
        (0.84, None),  # four right ones are fewer than five answers, and both answers of 0.8 count: 4 of 5
    ],
)
def test_the_threshold_of_an_example(precision, threshold):
    assert class_thresholds(ANSWERS, 3, precision) == [threshold, None, None]


def test_a_threshold_is_rounded_down_so_that_its_own_answer_reaches_it():
    confidence = np.full(5, np.float32(0.123456789))
    answers = TopAnswers(np.zeros(5, int), confidence, np.zeros(5, int))
    thresholds = class_thresholds(answers, 1, 0.95)
    assert thresholds == [0.123456] and accepted(answers, thresholds).all()


def test_nineteen_of_twenty_are_95_percent():
    answers = TopAnswers(np.zeros(20, int), np.linspace(1, 0.5, 20), np.array([0] * 19 + [1]))
    assert class_thresholds(answers, 2, 0.95) == [0.5, None]


def test_what_thresholds_leave_is_counted():
    thresholds = [0.8, None, 0.1]
    assert accepted(ANSWERS, thresholds).sum() == 5
    assert selection(ANSWERS, thresholds) == {
        "answers": 10,
        "accepted": 5,
        "correct": 4,
        "coverage": 0.5,
        "precision": 0.8,
    }
    first, second, third = selection_by_class(ANSWERS, thresholds)
    assert (first["answers"], first["accepted"], first["correct"]) == (7, 5, 4)
    assert first["coverage"] == pytest.approx(5 / 7) and first["precision"] == 0.8
    assert second == {"answers": 3, "accepted": 0, "correct": 0, "coverage": 0.0, "precision": None}
    assert third == {"answers": 0, "accepted": 0, "correct": 0, "coverage": None, "precision": None}


def test_the_answers_in_probabilities():
    found = TopAnswers.of(np.float32([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1]))
    assert found.best.tolist() == [1, 0] and found.correct.tolist() == [True, False]
    assert found.confidence == pytest.approx([0.8, 0.6])


def test_equal_probabilities_are_accepted_together_or_not_at_all():
    answers = TopAnswers(np.zeros(7, int), np.full(7, 0.9), np.array([0] * 5 + [1] * 2))  # the first five are right
    assert class_thresholds(answers, 2, 0.8) == [None, None]
    assert class_thresholds(answers, 2, 0.7) == [0.9, None]
