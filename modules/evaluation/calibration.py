"""How well probabilities match frequencies: expected calibration error, and the data of a reliability diagram.

A model is calibrated if, of the answers that it gives with a probability of 0.8, 80 % are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 15
"""Bins of equal width, as in Guo et al. (2017)."""


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Return a reliability diagram: answers by their probability, in bins of equal width from 0 to 1.

    Bin m of M holds the answers with a probability above (m - 1) / M and up to m / M: Guo et al., "On Calibration of
    Modern Neural Networks" (ICML 2017), section 2.

    Args:
        confidence: float `[N]`, the probability of the most probable class of each image.
        correct: bool `[N]`, whether that class is the right one.
        bins: M.

    Returns:
        For each bin `images`, and `confidence` and `accuracy`, the means over its answers; None if it has no answers.
    """
    confidence = np.asarray(confidence, np.float64)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(index, minlength=bins)
    sums = (np.bincount(index, weights, bins) for weights in (confidence, np.asarray(correct, np.float64)))
    return [
        {
            "images": int(count),
            "confidence": float(total / count) if count else None,
            "accuracy": float(right / count) if count else None,
        }
        for count, total, right in zip(images, *sums, strict=True)
    ]


def expected_calibration_error(diagram: list[dict[str, Any]]) -> float | None:
    """Return the mean of |accuracy - confidence| over the bins, weighted by their images.

    ECE: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015); Guo et al. (2017),
    equation 3. It is positive by chance too: the fewer images, the larger.

    Args:
        diagram: From `reliability`.

    Returns:
        0..1; None without images.
    """
    total = sum(row["images"] for row in diagram)
    if not total:
        return None
    return float(
        sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in diagram if row["images"]) / total
    )


def cross_entropy(of_truth: np.ndarray) -> float | None:
    """Return the mean of -log p, in nats; None without images.

    Args:
        of_truth: float `[N]`, the probability that each image's true class was given.
    """
    # The smallest float32 above 0, so that one probability of 0 does not make all infinite.
    smallest = np.finfo(np.float32).tiny
    return float(-np.mean(np.log(np.maximum(of_truth, smallest)))) if len(of_truth) else None


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities that the same logits give at another temperature: p^(1/T), normalized.

    With 1/T for the temperature, it undoes what dividing the logits by T did, up to probabilities that float32
    rounded to 0.

    Args:
        probabilities: float `[N, C]`.
        temperature: T, above 0.

    Returns:
        float64 `[N, C]`.
    """
    scaled = np.asarray(probabilities, np.float64)
    # Relative to the largest, which then cannot become 0 by a high power.
    scaled = (scaled / scaled.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
