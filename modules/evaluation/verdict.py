"""Count a classifier's answers, and decide whether an edge variant is blessed.

A variant may lose a class that has few test images without losing much accuracy, and no test is significant on three
images. So there are two rules for a class, apart from those for all images:

- lost as a whole: the SavedModel is right on at least three of its images, and the variant on none;
- a larger loss than `max_class_drop`, and significant by McNemar's exact test at 5 % over all classes (Bonferroni).

How often they refuse a faithful variant is measured by `benchmarks.evaluation.gates` (`docs/gates.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgetune.modules.evaluation.gates import Gate, refused
from edgetune.modules.evaluation.intervals import paired_difference, wilson
from edgetune.modules.evaluation.paired import ALPHA, worse

# Accuracies are quotients of small counts: without this, rounding could put a drop of exactly the bound above it.
ROUNDING = 1e-9
_NAMED = 10
WHOLE_CLASS = 3
"""Fewest right answers of the SavedModel in a class, of which a variant may not lose all."""


@dataclass(frozen=True)
class Thresholds:
    """Conditions for blessing a variant, with the field names of `modules.settings.run.EdgeSettings`."""

    required: tuple[str, ...] = ("float32",)
    max_accuracy_drop: float = 0.01
    min_agreement: float = 0.97
    max_class_drop: float = 0.1
    max_bytes: int | None = None
    max_latency_ms: float | None = None


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
        self.lost = np.zeros(len(labels), np.int64)
        """Images that only the SavedModel got right, by class."""
        self.won = np.zeros(len(labels), np.int64)
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
        right, expected = named == truth, reference.argmax(axis=1)
        self.lost += np.bincount(truth[~right & (expected == truth)], minlength=len(self.labels))
        self.won += np.bincount(truth[right & (expected != truth)], minlength=len(self.labels))
        self.agreed += int((named == expected).sum())
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


def variant_gates(
    variant: ClassifierCounts, size: int, thresholds: Thresholds, name: str, latency: float | None = None
) -> list[Gate]:
    """Judge a variant by its answers, its size and its latency.

    Args:
        variant: Counts of the variant; gates that need answers are left out if it has none.
        size: Size of the variant's file, in bytes.
        thresholds: The conditions.
        name: The variant's name.
        latency: Median time for one image, in milliseconds; None if it was not measured.
    """
    gates = []
    if (most := thresholds.max_bytes) is not None:
        gates.append(
            Gate(
                "edge.max_bytes",
                name,
                "size in bytes",
                measured=size,
                needed=most,
                whole=True,
                at_most=True,
                passed=size <= most,
                remedy="" if size <= most else "use a smaller alpha or backbone, or raise edge.max_bytes",
            )
        )
    if (longest := thresholds.max_latency_ms) is not None:
        passed = latency is not None and latency <= longest
        gates.append(
            Gate(
                "edge.max_latency_ms",
                name,
                "median time for one image",
                measured=latency,
                needed=longest,
                unit="ms",
                at_most=True,
                passed=passed,
                reason="it was not measured" if latency is None else "",
                remedy="" if passed else "use a smaller alpha, image_size or backbone, or raise edge.max_latency_ms",
            )
        )
    if variant.total:
        gates += [_drop(variant, thresholds, name), _agreement(variant, thresholds, name)]
        gates.append(_classes(variant, thresholds, name))
    return gates


def refusals(variant: ClassifierCounts, gates: Sequence[Gate]) -> list[str]:
    """Return the reasons to refuse a variant, one sentence each; empty if it is blessed.

    Args:
        variant: Counts of the variant.
        gates: Its gates, from `variant_gates`.
    """
    reasons = [gate.sentence() for gate in refused(gates)]
    if not variant.total:
        return [*reasons, "was not measured"]
    return reasons if variant.finite else [*reasons, "gives probabilities that are not finite numbers"]


def _drop(variant: ClassifierCounts, thresholds: Thresholds, name: str) -> Gate:
    lost, won = int(variant.lost.sum()), int(variant.won.sum())
    drop, most = (lost - won) / variant.total, thresholds.max_accuracy_drop
    low, high = _interval(lost, won, variant.total)
    return Gate(
        "edge.max_accuracy_drop",
        name,
        "accuracy lost against the SavedModel",
        measured=drop,
        low=low,
        high=high,
        needed=most,
        at_most=True,
        images=variant.total,
        passed=drop <= most + ROUNDING,
    )


def _agreement(variant: ClassifierCounts, thresholds: Thresholds, name: str) -> Gate:
    low, high = wilson(variant.agreed, variant.total) or (0.0, 1.0)
    agreement, least = variant.agreed / variant.total, thresholds.min_agreement
    return Gate(
        "edge.min_agreement",
        name,
        "agreement with the SavedModel",
        measured=agreement,
        low=low,
        high=high,
        needed=least,
        images=variant.total,
        passed=agreement >= least - ROUNDING,
    )


def _classes(variant: ClassifierCounts, thresholds: Thresholds, name: str) -> Gate:
    """Judge each class, and return the gate of the one that lost most, with the names of all that lost too much."""
    tested = np.flatnonzero(variant.examples)
    alpha, most = ALPHA / len(tested), thresholds.max_class_drop
    drops = (variant.lost - variant.won)[tested] / variant.examples[tested]
    server = (variant.correct + variant.lost - variant.won)[tested]
    whole = (variant.correct[tested] == 0) & (server >= WHOLE_CLASS)
    p_values = np.array([worse(int(variant.lost[label]), int(variant.won[label])) for label in tested])
    failed = (drops > most + ROUNDING) & (whole | (p_values <= alpha))
    at = int(np.lexsort((-drops, ~failed))[0])
    label = int(tested[at])
    low, high = _interval(int(variant.lost[label]), int(variant.won[label]), int(variant.examples[label]))
    named = [
        f"{variant.labels[tested[i]]} ({variant.correct[tested[i]]} of {server[i]} right answers left)"
        for i in np.flatnonzero(failed)
    ]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return Gate(
        "edge.max_class_drop",
        name,
        "accuracy lost on the class that lost most",
        measured=float(drops[at]),
        low=low,
        high=high,
        needed=most,
        at_most=True,
        images=int(variant.examples[label]),
        p_value=float(p_values[at]),
        passed=not named,
        reason=f"lost: {', '.join(named[:_NAMED])}{more}" if named else f"the class is {variant.labels[label]}",
        remedy="" if not named else "leave this variant out of edge.variants, or raise edge.representative_images",
    )


def _interval(lost: int, won: int, total: int) -> tuple[float, float]:
    differences = np.repeat([1.0, -1.0, 0.0], [lost, won, total - lost - won])
    return paired_difference(differences) or (-1.0, 1.0)


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
