"""95 % intervals of shares, and of differences of paired shares."""

from __future__ import annotations

import math

import numpy as np

Z_95 = 1.959964
"""The 97.5% quantile of the normal distribution, for 95% intervals."""


def wilson(correct: int, total: int) -> tuple[float, float] | None:
    """Return the 95% interval of `correct / total`, or None if `total` is 0.

    This is Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical
    inference"). It stays within 0..1 and has a width at shares of 0 and 1, where the normal approximation has none.
    """
    if total <= 0:
        return None
    share, z2 = correct / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    # At the ends, the formula gives 0 and 1 with a rounding error that would be visible.
    return 0.0 if correct == 0 else max(0.0, centre - half), 1.0 if correct == total else min(1.0, centre + half)


def paired_difference(differences: np.ndarray) -> tuple[float, float] | None:
    """Return the 95% interval of the mean of paired differences, or None if there are none.

    This is the adjusted Wald interval of Agresti and Min 2005, "Simple improved confidence intervals for comparing
    matched proportions": half an image is added to each cell of the table of both answers, so that the interval has a
    width even if the answers never differ.

    Args:
        differences: float `[N]`, each -1..1: of two answers to an image, 1 if only the first is right, -1 if only the
            second is; for an average over several second answers, anything between.
    """
    if not len(differences):
        return None
    # Of the four halves, one has the difference 1, one -1, and two 0.
    count = len(differences) + 2
    mean = float(differences.sum()) / count
    variance = (float((differences**2).sum()) + 1) / count - mean**2
    half = Z_95 * math.sqrt(variance / count)
    return max(-1.0, mean - half), min(1.0, mean + half)
