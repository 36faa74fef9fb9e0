"""Counting what a classifier answered, and when an edge variant is blessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Accuracies are quotients of small counts: without this, a drop of exactly the bound could be above it.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Thresholds:
    """When a variant is blessed; the fields of `modules.settings.run.EdgeSettings` of the same names."""

    required: tuple[str, ...] = ("float32",)
    max_accuracy_drop: float = 0.01
    min_agreement: float = 0.97
    max_bytes: int | None = None


class ClassifierCounts:
    """Counts of one classifier over the test split, by class.

    Args:
        labels: The SavedModel's class names, in its order: classes are counted by their index here.
        own: The classifier's names for its own outputs; by default the same. What it calls by a name that is not
            among `labels`, or by none, is never right.
    """

    def __init__(self, labels: Sequence[str], own: Sequence[str] | None = None) -> None:
        self.labels = list(labels)
        known = {label: index for index, label in enumerate(labels)}
        self._index = np.array([known.get(name, -1) for name in (labels if own is None else own)] or [-1])
        self.examples = np.zeros(len(labels), np.int64)
        self.correct = np.zeros(len(labels), np.int64)
        self.agreed = 0
        self.max_difference = 0.0
        self.finite = True

    def add(self, truth: np.ndarray, probabilities: np.ndarray, reference: np.ndarray) -> None:
        """Counts a batch.

        Args:
            truth: int64 `[N]`, indices into `labels`.
            probabilities: float32 `[N, *]`, the classifier's answers in its own order.
            reference: float32 `[N, C]`, the SavedModel's answers.
        """
        self.finite = self.finite and bool(np.isfinite(probabilities).all())
        best = probabilities.argmax(axis=1)
        named = np.where(best < len(self._index), self._index[np.minimum(best, len(self._index) - 1)], -1)
        self.examples += np.bincount(truth, minlength=len(self.labels))
        self.correct += np.bincount(truth[named == truth], minlength=len(self.labels))
        self.agreed += int((named == reference.argmax(axis=1)).sum())
        if probabilities.shape == reference.shape:
            self.max_difference = max(self.max_difference, float(np.abs(probabilities - reference).max(initial=0.0)))

    @property
    def total(self) -> int:
        """Images counted."""
        return int(self.examples.sum())

    def metrics(self) -> dict[str, Any]:
        """`accuracy` and `per_class`; a class without images has no accuracy."""
        per_class = {
            label: {"accuracy": int(right) / int(count) if count else None, "examples": int(count)}
            for label, right, count in zip(self.labels, self.correct, self.examples, strict=True)
        }
        return {"accuracy": int(self.correct.sum()) / self.total if self.total else None, "per_class": per_class}

    def comparison(self) -> dict[str, float | None]:
        """`agreement` and `max_difference` (of one probability) with the SavedModel."""
        if not self.total:
            return {"agreement": None, "max_difference": None}
        return {"agreement": self.agreed / self.total, "max_difference": self.max_difference}


def refusals(variant: ClassifierCounts, saved_model: ClassifierCounts, size: int, thresholds: Thresholds) -> list[str]:
    """Why a variant that was measured is refused, one sentence each; empty where it is blessed.

    Args:
        variant: Its counts.
        saved_model: The SavedModel's, on the same images.
        size: Of the variant's file, in bytes.
        thresholds: The bounds.
    """
    reasons = []
    if thresholds.max_bytes is not None and size > thresholds.max_bytes:
        reasons.append(f"{size} bytes are more than edge.max_bytes {thresholds.max_bytes}")
    if not variant.total:
        return [*reasons, "was not measured"]
    if not variant.finite:
        reasons.append("gives probabilities that are not finite numbers")
    accuracy, reference = (tally.metrics()["accuracy"] for tally in (variant, saved_model))
    if reference - accuracy > thresholds.max_accuracy_drop + _ROUNDING:
        reasons.append(
            f"accuracy {accuracy:.4f} is below the SavedModel's {reference:.4f} by more than "
            f"edge.max_accuracy_drop {thresholds.max_accuracy_drop:g}"
        )
    if (agreement := variant.agreed / variant.total) < thresholds.min_agreement - _ROUNDING:
        reasons.append(
            f"agreement {agreement:.4f} with the SavedModel is below edge.min_agreement {thresholds.min_agreement:g}"
        )
    return reasons


def overall(reasons: Mapping[str, Sequence[str]], required: Sequence[str]) -> list[str]:
    """Why nothing may be pushed, one sentence each; empty where the blessed variants may.

    Args:
        reasons: Of each variant that was evaluated, by its name: why it is refused.
        required: Variants without which nothing is pushed.
    """
    refused = [f"required edge variant {name}: {'; '.join(reasons[name])}" for name in required if reasons.get(name)]
    absent = [f"required edge variant {name}: was not exported" for name in required if name not in reasons]
    if refused or absent:
        return refused + absent
    if not any(not why for why in reasons.values()):
        named = [f"edge variant {name}: {'; '.join(why)}" for name, why in reasons.items()]
        return named or ["no edge variant was exported"]
    return []
