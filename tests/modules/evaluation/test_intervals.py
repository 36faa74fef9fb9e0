"""Intervals against published values and another library."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from edgetune.modules.evaluation.intervals import paired_difference, wilson


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (19, 20), (114, 120), (0, 500), (500, 500)])
def test_wilson_agrees_with_scipy(correct: int, total: int) -> None:
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_no_images_have_no_interval() -> None:
    assert wilson(0, 0) is None and paired_difference(np.zeros(0)) is None


def test_the_paired_interval_is_agresti_and_mins() -> None:
    # 6 lost and 1 won of 50. With half an image in each cell: (6.5 - 1.5) / 52, variance (8 / 52 - (5 / 52)^2) / 52.
    differences = np.repeat([1.0, -1.0, 0.0], [6, 1, 43])
    mean, error = 5 / 52, (8 / 52 - (5 / 52) ** 2) ** 0.5 / 52**0.5
    assert paired_difference(differences) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=1e-5)


def test_answers_that_never_differ_have_a_width() -> None:
    low, high = paired_difference(np.zeros(20))
    assert low == pytest.approx(-high) and 0.05 < high < 0.15


def test_the_paired_interval_covers_the_true_difference() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        differences = random.choice([1.0, -1.0, 0.0], size=100, p=[0.06, 0.03, 0.91])
        low, high = paired_difference(differences)
        covered += low <= 0.03 <= high
    assert 0.94 <= covered / 2000 <= 0.975
