"""Phase 1 of a linear head: its logistic regression on the features of the frozen backbone, which takes seconds.

The problem is convex, so that no learning rate, number of epochs or seed has a part in the result. What it needs is a
penalty; it is solved for several, from strong to weak, each from the solution of the one before, and the one with the
lowest loss on `eval` is kept. Fine-tuning from there moves the features less than from a random head (Kumar et al.,
"Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from edgetune.modules.core import progress
from edgetune.modules.core.errors import TrainingError
from edgetune.modules.settings.run import HeadSettings, TrainingSettings
from edgetune.modules.training.losses import targets
from edgetune.modules.training.phase import Phase

ROWS = 32_768
"""Most rows of features to solve for, 168 MB for MobileNetV2: with more images, Adam takes enough steps."""
VARIANCES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Variances of the weights' normal prior, for features whose mean square is 1; the penalties are their inverse."""
_ITERATIONS = 300
_PRECISION = 1e-6


def can_solve(head: HeadSettings, settings: TrainingSettings, images: int) -> bool:
    """Return whether phase 1 is to be solved; otherwise, Adam trains the head."""
    return settings.recipe == "auto" and not head.units and images <= ROWS


def solve(
    name: str,
    head: keras.Model,
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    evaluation: tuple[np.ndarray, np.ndarray],
    loss: keras.losses.Loss,
    l2: float = 0.0,
) -> Phase:
    """Set the weights of a linear head.

    Args:
        name: Name of the phase.
        head: A head from `build_head` without hidden layers.
        views: Features float32 `[N, c]` of the same images, changed at random; as many as `ROWS` allows are used.
        labels: int64 `[N]`, N up to `ROWS`.
        evaluation: Features float32 `[n, c]` and labels int64 `[n]` that choose the penalty.
        loss: From `build_loss`.
        l2: The penalty of `model.head.l2`, which is then the only one; 0 to choose.

    Returns:
        The phase, with an entry for each penalty instead of epochs.

    Raises:
        TrainingError: Features are not finite.
    """
    began = time.monotonic()
    images, classes = len(labels), head.output_shape[-1]
    used = views[: max(1, ROWS // images)]
    features, wanted = np.concatenate(used), np.tile(targets(loss, labels, classes), (len(used), 1))
    wanted_on_eval = targets(loss, evaluation[1], classes)
    scale = float(np.sqrt(np.mean(np.square(features, dtype=np.float64))))
    if not np.isfinite(scale):
        raise TrainingError(f"{name}: features of the backbone are not finite", "use other weights")
    scale = scale or 1.0  # all features are 0
    features /= np.float32(scale)
    on_eval = evaluation[0] / np.float32(scale)
    # Of the weights for scaled features, which are those for the features times the scale.
    penalties = [2 * l2 / scale**2] if l2 else [1 / (variance * images) for variance in VARIANCES]
    weights, entries, solutions = np.zeros((features.shape[1] + 1) * classes), [], []
    for number, penalty in enumerate(penalties, start=1):
        progress.report(f"{name.replace('_', ' ')}: logistic regression {number}/{len(penalties)}")
        weights = _minimum(features, wanted, penalty, weights)
        solutions.append(_split(weights, classes))
        measured = [
            _measure(inputs @ solutions[-1][0] + solutions[-1][1], part, truth)
            for inputs, part, truth in (
                (features[:images], wanted[:images], labels),
                (on_eval, wanted_on_eval, evaluation[1]),
            )
        ]
        keys = ("loss", "accuracy", "val_loss", "val_accuracy")
        entries.append({**dict(zip(keys, (*measured[0], *measured[1]), strict=True)), "penalty": penalty * scale**2})
    best = int(np.argmin([entry["val_loss"] for entry in entries]))
    kernel, bias = solutions[best]
    head.set_weights([kernel / np.float32(scale), bias])
    return Phase(name, tuple(entries), best, round(time.monotonic() - began, 2), weights.size)


def _minimum(features: np.ndarray, wanted: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """Return the weights that minimize the mean cross entropy plus `penalty / 2` times the squares of the kernel."""
    rows, classes = wanted.shape
    share = wanted.sum(axis=1, keepdims=True)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = _split(weights, classes)
        logs = log_softmax(features @ kernel + bias, axis=1)
        residue = (np.exp(logs) * share - wanted) / np.float32(rows)
        gradient = np.concatenate([(features.T @ residue + penalty * kernel).ravel(), residue.sum(axis=0)])
        squares = float(np.sum(np.square(kernel, dtype=np.float64)))
        cost = -float(np.sum(wanted * logs, dtype=np.float64)) / rows + penalty / 2 * squares
        return cost, gradient.astype(np.float64)

    options = {"maxiter": _ITERATIONS, "ftol": _PRECISION, "gtol": _PRECISION}
    return np.asarray(minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x)


def _split(weights: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel `[c, C]` and the bias `[C]`, float32."""
    both = weights.astype(np.float32).reshape(-1, classes)
    return both[:-1], both[-1]


def _measure(logits: np.ndarray, wanted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return loss and accuracy."""
    loss = -float(np.sum(wanted * log_softmax(logits, axis=1))) / len(labels)
    return loss, float(np.mean(logits.argmax(axis=1) == labels))
