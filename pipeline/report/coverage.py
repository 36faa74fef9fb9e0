"""Precision and coverage of a classifier that is silent below a threshold, for each threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.answers import read_answers
from edgetune.modules.evaluation.intervals import wilson
from edgetune.pipeline.report.artifacts import Absent

SHARES = (0.5, 0.8, 0.9, 0.95, 1.0)
"""Coverages for which the page has the threshold in a table."""
_POINTS = 200
"""Most points of the curve."""


def coverage(evaluation: str) -> dict[str, Any]:
    """Return precision by coverage, from the answers that the Evaluator keeps.

    Args:
        evaluation: Folder or URL of its artifact.

    Returns:
        `images`; `points`, at most `_POINTS` of `{threshold, coverage, precision}`; and `rows`, the same for `SHARES`,
        with `interval`: answers at or above the threshold are given.

    Raises:
        Absent: No answers were kept.
    """
    try:
        answers = read_answers(evaluation)
    except DataError as error:
        raise Absent(f"{error.cause}.") from None
    if not len(answers) or answers.probabilities is None:
        raise Absent("The evaluation has no answers.")
    scores = answers.probabilities.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(answers.correct[order])
    # Answers of the same probability are given together.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    chosen = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).round().astype(int))]
    return {
        "images": len(scores),
        "points": [_point(scores, right, int(at)) for at in chosen],
        "rows": [_point(scores, right, int(ends[np.searchsorted(ends + 1, share * len(scores))])) for share in SHARES],
    }


def _point(scores: np.ndarray, right: np.ndarray, at: int) -> dict[str, Any]:
    given, correct = at + 1, int(right[at])
    return {
        "threshold": float(scores[at]),
        "coverage": given / len(scores),
        "precision": correct / given,
        "interval": wilson(correct, given),
    }
