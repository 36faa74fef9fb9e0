"""For each class, the probability from which its answers are right often enough, and what answers are left then.

This is selective classification: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks" (2017). The
thresholds are chosen on one split, and what they achieve is measured on another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_ANSWERS = 5
"""Answers of a class, at or above its threshold, without which there is no threshold."""
_DIGITS = 1e6


@dataclass(frozen=True)
class TopAnswers:
    """A classifier's answers, one an image."""

    best: np.ndarray
    """int64 `[N]`: the most probable class."""
    confidence: np.ndarray
    """float `[N]`: its probability."""
    truth: np.ndarray
    """int64 `[N]`: the true class; -1 for an image of none of the classes."""

    @classmethod
    def of(cls, probabilities: np.ndarray, truth: np.ndarray) -> TopAnswers:
        """Return the answers in probabilities `[N, C]`."""
        return cls(probabilities.argmax(axis=1), probabilities.max(axis=1), truth)

    @property
    def correct(self) -> np.ndarray:
        """bool `[N]`."""
        return np.asarray(self.best == self.truth)


Thresholds = Sequence[float | None]
"""For each class, in the order of the labels; None if no threshold reaches the precision."""


def class_thresholds(answers: TopAnswers, classes: int, precision: float) -> list[float | None]:
    """Return for each class the lowest threshold at which its answers reach a precision.

    A class's precision at a threshold is the share of right ones among the images for which the class is the answer,
    with at least this probability. It is the plain share, not a lower bound: for that, 59 answers without an error
    would be needed at 0.95 (one-sided, 95 %), and few projects have so many on `eval`. A choice among thresholds is
    optimistic, so the precision on other images, which `selection` measures, is somewhat lower.

    Args:
        answers: On images that were neither trained on nor are used to measure the result.
        classes: C.
        precision: Above 0 and below 1.

    Returns:
        Probabilities, rounded down to six decimals, of answers that were seen: nothing is known below them. None for a
        class that no threshold leaves at least `MIN_ANSWERS` answers of the precision.
    """
    found: list[float | None] = []
    for label in range(classes):
        chosen = answers.best == label
        order = np.argsort(-answers.confidence[chosen], kind="stable")
        confidence = answers.confidence[chosen][order]
        share = np.cumsum(answers.correct[chosen][order]) / np.arange(1, len(order) + 1)
        last_of_equal = np.append(confidence[1:] != confidence[:-1], True) if len(order) else np.zeros(0, bool)
        enough = np.arange(1, len(order) + 1) >= MIN_ANSWERS
        # A share is a quotient of small counts: without the margin, 19 of 20 could be below 0.95.
        allowed = np.flatnonzero(last_of_equal & enough & (share >= precision - 1e-9))
        found.append(math.floor(float(confidence[allowed[-1]]) * _DIGITS) / _DIGITS if len(allowed) else None)
    return found


def accepted(answers: TopAnswers, thresholds: Thresholds) -> np.ndarray:
    """Return whether each answer reaches its class's threshold, bool `[N]`; never for a class without one."""
    bounds = np.array([np.inf if threshold is None else threshold for threshold in thresholds])
    return np.asarray(answers.confidence >= bounds[answers.best])


def selection(answers: TopAnswers, thresholds: Thresholds) -> dict[str, Any]:
    """Return what thresholds leave of answers, and how often that is right.

    Returns:
        `answers`, `accepted` and `correct`: numbers of images; `coverage`, accepted / answers; `precision`, correct /
        accepted. The last two are None where they would divide by 0.
    """
    taken = accepted(answers, thresholds)
    return _shares(len(taken), int(taken.sum()), int((taken & answers.correct).sum()))


def selection_by_class(answers: TopAnswers, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Return the same for each class, over the images for which it is the answer."""
    taken, classes = accepted(answers, thresholds), len(thresholds)
    counts = (
        np.bincount(answers.best[chosen], minlength=classes)
        for chosen in (np.ones(len(taken), bool), taken, taken & answers.correct)
    )
    return [_shares(*map(int, row)) for row in zip(*counts, strict=True)]


def _shares(answers: int, taken: int, correct: int) -> dict[str, Any]:
    return {
        "answers": answers,
        "accepted": taken,
        "correct": correct,
        "coverage": taken / answers if answers else None,
        "precision": correct / taken if taken else None,
    }
