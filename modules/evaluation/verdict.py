"""Count a classifier's answers, and decide whether an edge variant is blessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Accuracies are quotients of small counts: without this, rounding could put a drop of exactly the bound above it.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Thresholds:
    """Conditions for blessing a variant, with the field names of `modules.settings.run.EdgeSettings`."""

    required: tuple[str, ...] = ("float32",)
    max_accuracy_drop: float = 0.01
    min_agreement: float = 0.97
    max_bytes: int | None = None


class ClassifierCounts:
    """Counts of one classifier's answers on the test split, by class.

    Args:
        labels: The SavedModel's class names, in its order; classes are counted by their index in it.
        own: The classifier's names for its own outputs; by default the same. An output without a name, or with a name
            that is not in `labels`, is never correct.
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
        """Count a batch.

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
        """Number of images counted."""
        return int(self.examples.sum())

    def metrics(self) -> dict[str, Any]:
        """Return `accuracy` and `per_class`; the accuracy of a class without images is None."""
        per_class = {
            label: {"accuracy": int(correct) / int(count) if count else None, "examples": int(count)}
            for label, correct, count in zip(self.labels, self.correct, self.examples, strict=True)
        }
        return {"accuracy": int(self.correct.sum()) / self.total if self.total else None, "per_class": per_class}

    def comparison(self) -> dict[str, float | None]:
        """Return `agreement` with the SavedModel and `max_difference` of one probability from it."""
        if not self.total:
            return {"agreement": None, "max_difference": None}
        return {"agreement": self.agreed / self.total, "max_difference": self.max_difference}


def refusals(variant: ClassifierCounts, saved_model: ClassifierCounts, size: int, thresholds: Thresholds) -> list[str]:
    """Return the reasons to refuse a measured variant, one sentence each; empty if it is blessed.

    Args:
        variant: Counts of the variant.
        saved_model: Counts of the SavedModel on the same images.
        size: Size of the variant's file, in bytes.
        thresholds: The conditions.
    """
    reasons = []
    if thresholds.max_bytes is not None and size > thresholds.max_bytes:
        reasons.append(f"its size of {size} bytes exceeds edge.max_bytes {thresholds.max_bytes}")
    if not variant.total:
        return [*reasons, "was not measured"]
    if not variant.finite:
        reasons.append("gives probabilities that are not finite numbers")
    accuracy, reference = (counts.metrics()["accuracy"] for counts in (variant, saved_model))
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
    """Return the reasons to push nothing, one sentence each; empty if the blessed variants may be pushed.

    Args:
        reasons: The reasons to refuse each evaluated variant, by its name.
        required: Names of the variants that must be blessed before anything is pushed.
    """
    refused = [f"required edge variant {name}: {'; '.join(reasons[name])}" for name in required if reasons.get(name)]
    absent = [f"required edge variant {name}: was not exported" for name in required if name not in reasons]
    if refused or absent:
        return refused + absent
    if not any(not why for why in reasons.values()):
        named = [f"edge variant {name}: {'; '.join(why)}" for name, why in reasons.items()]
        return named or ["no edge variant was exported"]
    return []
