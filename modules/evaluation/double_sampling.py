"""Estimate a model's accuracy from few images that it answered and many that a similar classifier answered."""

from __future__ import annotations

import math

import numpy as np

from edgetune.modules.evaluation.intervals import Z_95


def double_sampling(correct: np.ndarray, proxy: np.ndarray, proxy_elsewhere: np.ndarray) -> tuple[float, float, float]:
    """Return the accuracy of a model on all images, of which it answered only n, and its 95% interval.

    It is the share of all N images that the proxy gets right, plus the share that the model gets right more than the
    proxy on the n images that both answered. This is the difference estimator of double sampling (Cochran 1977,
    "Sampling techniques", 3rd edition, chapter 12), which Angelopoulos et al. 2023, "Prediction-powered inference",
    use to evaluate models. It is unbiased however good the proxy is, if the n images are a random part of all. The more
    often both agree, the narrower is the interval: at best that of N images, which is the square root of ten narrower
    if n is a tenth of N.

    With `r = 1 - n / N`, the estimate is `mean(f - r h) + r mean(g)`, where f and h are the model's and the proxy's
    right answers to the n images and g the proxy's to the others: a sum of independent means, whose variances add up.
    Half an image is added to each of the four cells of f and h, and two right and two wrong ones to g, as Agresti and
    Min 2005 and Agresti and Coull 1998 do, so that the interval has a width even if all answers are right.

    Args:
        correct: bool `[n]`, f.
        proxy: bool `[n]`, h.
        proxy_elsewhere: bool `[N - n]`, g.

    Returns:
        Estimate, and lower and upper end of the interval: 0..1.

    Raises:
        ValueError: There is no image with both answers.
    """
    both, others = len(correct), len(proxy_elsewhere)
    if not both or len(proxy) != both:
        raise ValueError(f"{both} and {len(proxy)} answers to the same images")
    rest = others / (both + others)
    difference = np.asarray(correct, float) - rest * np.asarray(proxy, float)
    estimate = float(difference.mean()) + (rest * float(np.mean(proxy_elsewhere)) if others else 0.0)

    cells = np.array([0.0, 1.0, -rest, 1.0 - rest])
    centre = (difference.sum() + 0.5 * cells.sum()) / (both + 2)
    square = ((difference**2).sum() + 0.5 * (cells**2).sum()) / (both + 2)
    variance = (square - centre**2) / (both + 2)
    share = (float(np.sum(proxy_elsewhere)) + 2) / (others + 4)
    variance += rest**2 * share * (1 - share) / (others + 4)
    middle, half = centre + rest * share, Z_95 * math.sqrt(variance)
    estimate = min(1.0, max(0.0, estimate))
    return estimate, min(estimate, max(0.0, float(middle - half))), max(estimate, min(1.0, float(middle + half)))
