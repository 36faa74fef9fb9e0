"""The probability from which an answer of a classifier is accepted: one for all classes, or one of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgetune.modules.core.errors import BundleError, ConfigError

AUTO = "auto"
Thresholds = Sequence[float | None]
"""For each class, in the order of the labels; None for a class that has none, of which no answer is accepted."""


def parse_threshold(threshold: float | str) -> float | None:
    """Return the threshold as a number, or None for `auto`, those that the bundle has.

    Raises:
        ConfigError: It is neither `auto` nor a number from 0 to 1.
    """
    if threshold == AUTO:
        return None
    try:
        number = float(threshold)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ConfigError(f"threshold {threshold!r:.40}: is neither {AUTO} nor a number from 0 to 1", "correct it")
    return number


def thresholds_of(threshold: float | str, known: Thresholds | None, classes: int, model: str) -> Thresholds:
    """Return the threshold of each class.

    Args:
        threshold: As of `parse_threshold`.
        known: Those that the model's bundle has; None if it has none.
        classes: Number of classes.
        model: Path of the model, for the error.

    Raises:
        ConfigError: As of `parse_threshold`.
        BundleError: It is `auto`, and there are none.
    """
    number = parse_threshold(threshold)
    if number is not None:
        return [number] * classes
    if known is None:
        raise BundleError(
            f"{model}: there are no thresholds of the classes",
            "name the folder of a bundle that was made by a newer edgetune, or give a number as the threshold",
        )
    return known


def accepts(thresholds: Thresholds, place: int, probability: float) -> bool:
    """Return whether an answer, of the class at a place of the labels, reaches its threshold."""
    threshold = thresholds[place]
    return threshold is not None and probability >= threshold
