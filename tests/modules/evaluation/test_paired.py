"""Exact tests against values computed by hand, and their rate of errors."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.evaluation.paired import worse, worse_than_group


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(0, 0, 1.0), (5, 0, 1 / 32), (4, 0, 1 / 16), (0, 4, 1.0), (3, 1, 5 / 16), (1, 3, 15 / 16), (2, 2, 11 / 16)],
)
def test_mcnemar_counts_the_outcomes_of_fair_coins(lost, won, p):
    assert worse(lost, won) == pytest.approx(p)


def test_a_group_of_one_is_mcnemars_test():
    random = np.random.default_rng(1)
    for _ in range(50):
        mine, other = random.random((2, 40)) < [[0.7], [0.85]]
        p = worse_than_group(mine, other.astype(int), np.ones(40, int))
        assert p == pytest.approx(worse(int((other & ~mine).sum()), int((mine & ~other).sum())))


def test_a_group_by_hand():
    # Two others, both right where the candidate is wrong: that the wrong one of three is the candidate has 1/3, twice.
    assert worse_than_group(np.array([False, False]), np.array([2, 2]), np.array([2, 2])) == pytest.approx(1 / 9)
    # One image was seen by one of them only, which is right: 1/2.
    assert worse_than_group(np.array([False, False]), np.array([2, 1]), np.array([2, 1])) == pytest.approx(1 / 6)
    # Images that all, or none, are right on say nothing.
    assert worse_than_group(np.array([True, False]), np.array([2, 0]), np.array([2, 2])) == 1.0


def test_equal_classifiers_are_called_worse_at_most_at_the_stated_rate():
    random = np.random.default_rng(2)
    refused = 0
    for _ in range(600):
        hard = random.beta(0.6, 0.06, 200)  # most images are easy for all
        answers = random.random((11, 200)) < hard
        refused += worse_than_group(answers[0], answers[1:].sum(axis=0), np.full(200, 10)) <= 0.05
    assert 0.02 < refused / 600 <= 0.07


def test_a_worse_classifier_is_found():
    random = np.random.default_rng(3)
    others = random.random((10, 400)) < 0.95
    mine = random.random(400) < 0.88
    assert worse_than_group(mine, others.sum(axis=0), np.full(400, 10)) < 1e-3
