"""Measure how far the probabilities of the SavedModel and of its variants can be trusted.

Of each answer only the best class, its probability and that of the true class are kept, so memory does not grow with
the number of classes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from edgetune.modules.evaluation.calibration import (
    BINS,
    at_temperature,
    cross_entropy,
    expected_calibration_error,
    reliability,
)
from edgetune.modules.evaluation.thresholds import (
    MIN_ANSWERS,
    TopAnswers,
    class_thresholds,
    selection,
    selection_by_class,
)

SAVED_MODEL = "saved_model"
NO_CLASS = -1
_EVAL, _TEST, _UNKNOWN, _BEFORE = "eval", "test", "unknown", "before"


class Confidence:
    """Answers of several classifiers to the images of `eval`, of `test`, and of none of the classes.

    Args:
        classes: Number of classes, C.
        precision: Share of a class's answers that must be right at and above its threshold.
        temperature: What the SavedModel's logits were divided by after training; 1 if they were not.
    """

    def __init__(self, classes: int, precision: float, temperature: float = 1.0) -> None:
        self.unusable = 0
        """Files of `unknown` images that could not be read."""
        self._classes, self._precision, self._temperature = classes, precision, temperature
        self._parts: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
        self._broken: set[str] = set()

    def add_eval(self, truth: np.ndarray, probabilities: np.ndarray) -> None:
        """Add the SavedModel's answers to a batch of `eval`, from which the thresholds are chosen.

        Args:
            truth: int64 `[N]`.
            probabilities: float32 `[N, C]`.
        """
        self._add(_EVAL, SAVED_MODEL, truth, probabilities)

    def add_test(self, name: str, truth: np.ndarray, probabilities: np.ndarray) -> None:
        """Add a classifier's answers to a batch of `test`.

        Args:
            name: `SAVED_MODEL` or the name of a variant.
            truth: int64 `[N]`.
            probabilities: float32 `[N, C]`; if it has another shape or values that are not finite, nothing is measured
                for this classifier.
        """
        self._add(_TEST, name, truth, probabilities)
        if name == SAVED_MODEL and name not in self._broken:
            self._add(_BEFORE, name, truth, at_temperature(probabilities, 1 / self._temperature))

    def add_unknown(self, name: str, probabilities: np.ndarray) -> None:
        """Add a classifier's answers to images that show none of the classes, float32 `[N, C]`."""
        self._add(_UNKNOWN, name, np.full(len(probabilities), NO_CLASS), probabilities)

    def of_saved_model(self) -> dict[str, Any]:
        """Return the SavedModel's measurements and the thresholds.

        Returns:
            `temperature`; `bins`; `before` and `after` the temperature, on `test`: `ece`, `cross_entropy`,
            `reliability`; `precision`, the demanded one; `min_answers`; `thresholds`, one for each class or None;
            `eval` and `test`, what the thresholds leave there: a list with the `selection` of each class; `selection`
            on `test` of all classes; and `unknown`, as in `of_variant`.
        """
        on_eval, on_test = self._top(_EVAL, SAVED_MODEL), self._top(_TEST, SAVED_MODEL)
        thresholds = self.thresholds()
        return {
            "temperature": self._temperature,
            "bins": BINS,
            "before": self._calibration(_BEFORE, SAVED_MODEL),
            "after": self._calibration(_TEST, SAVED_MODEL),
            "precision": self._precision,
            "min_answers": MIN_ANSWERS,
            "thresholds": thresholds,
            "eval": selection_by_class(on_eval, thresholds),
            "test": selection_by_class(on_test, thresholds),
            "selection": selection(on_test, thresholds),
            "unknown": self._unknown(SAVED_MODEL),
        }

    def of_variant(self, name: str) -> dict[str, Any] | None:
        """Return a variant's measurements on `test`, with the SavedModel's thresholds; None if it was not measured.

        Returns:
            `ece`, `cross_entropy`, `selection`; and `unknown`, None without such images, else `images`, `unusable`
            files, and of the images those `accepted`: those of which an answer reaches its class's threshold.
        """
        if name in self._broken or not self._parts.get((_TEST, name)):
            return None
        measured = self._calibration(_TEST, name)
        return {
            "ece": measured["ece"],
            "cross_entropy": measured["cross_entropy"],
            "selection": selection(self._top(_TEST, name), self.thresholds()),
            "unknown": self._unknown(name),
        }

    def thresholds(self) -> list[float | None]:
        """Return the threshold of each class."""
        return class_thresholds(self._top(_EVAL, SAVED_MODEL), self._classes, self._precision)

    def _add(self, where: str, name: str, truth: np.ndarray, probabilities: np.ndarray) -> None:
        if probabilities.shape[1:] != (self._classes,) or not np.isfinite(probabilities).all():
            self._broken.add(name)
            return
        top = TopAnswers.of(probabilities, truth)
        # Of an image of no class, -1 takes the last column, which is not used.
        of_truth = probabilities[np.arange(len(truth)), truth]
        # As float32, which is exact for the number of a class: 16 bytes for each image.
        self._parts[where, name].append(np.stack([top.best, top.confidence, truth, of_truth]).astype(np.float32))

    def _columns(self, where: str, name: str) -> np.ndarray:
        """Return float32 `[4, N]`: best class, its probability, true class, its probability."""
        parts = [] if name in self._broken else self._parts.get((where, name), [])
        return np.concatenate([np.zeros((4, 0), np.float32), *parts], axis=1)

    def _top(self, where: str, name: str) -> TopAnswers:
        best, confidence, truth, _ = self._columns(where, name)
        return TopAnswers(best.astype(np.int64), confidence, truth.astype(np.int64))

    def _calibration(self, where: str, name: str) -> dict[str, Any]:
        top = self._top(where, name)
        diagram = reliability(top.confidence, top.correct)
        return {
            "ece": expected_calibration_error(diagram),
            "cross_entropy": cross_entropy(self._columns(where, name)[3]),
            "reliability": diagram,
        }

    def _unknown(self, name: str) -> dict[str, int] | None:
        if not self._parts.get((_UNKNOWN, name)) and not self.unusable:
            return None
        found = selection(self._top(_UNKNOWN, name), self.thresholds())
        return {"images": found["answers"], "unusable": self.unusable, "accepted": found["accepted"]}
