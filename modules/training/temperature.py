"""Temperature scaling: divide the network's logits by one number, so that its probabilities are closer to frequencies.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. The temperature T minimizes the
cross entropy on images that were not trained on. T > 1 makes a model less confident, T < 1 more; the class that it
names stays the same. T becomes part of the last layer's weights, so every exported format has it, at no cost.

Two guards for small splits. Without any wrong answer, the cross entropy is smallest at T = 0, however few images there
are, so the labels are smoothed as Platt proposed ("Probabilistic Outputs for Support Vector Machines", 1999, section
2.2): of N images, each counts as (N + 1) / (N + 2) of its label, and the rest as the other classes. So N right answers
never justify more confidence than that. And T stays in `RANGE`.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from edgetune.modules.core import progress
from edgetune.modules.models.classifier import Classifier, pool

RANGE = (0.25, 10.0)
"""Smallest and largest temperature."""
MIN_IMAGES = 30
"""With fewer images on `eval`, the temperature is 1: see `benchmarks.training.calibration`."""
_AT_BOUND = 1e-3


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature."""

    value: float
    """T, in `RANGE`; 1 leaves the probabilities as they are."""
    note: str = ""
    """Why it is 1 or at a bound of `RANGE`; empty if it was fitted freely."""


def fit(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Return the temperature that minimizes the cross entropy of smoothed labels.

    The cross entropy is convex in 1/T: it is linear in the logits plus a logarithm of a sum of exponentials.

    Args:
        logits: float `[N, C]`, the inputs of the softmax; only differences within a row matter.
        labels: int64 `[N]`, in 0..C-1.
    """
    images = len(labels)
    if images < MIN_IMAGES:
        return Temperature(1.0, f"{images} images on eval are too few to fit a temperature; {MIN_IMAGES} are needed")
    logits = np.asarray(logits, np.float64)
    targets = _smoothed(logits, labels)

    def cross_entropy(inverse: float) -> float:
        return -float(np.mean(np.sum(targets * log_softmax(logits * inverse, axis=1), axis=1)))

    bounds = 1 / RANGE[1], 1 / RANGE[0]
    inverse = float(minimize_scalar(cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    for bound in bounds:
        if abs(inverse - bound) < _AT_BOUND:
            return Temperature(1 / bound, f"the best temperature is outside {RANGE[0]:g} to {RANGE[1]:g}")
    return Temperature(1 / inverse)


def _smoothed(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return targets `[N, C]`: (N + 1) / (N + 2) for the label, the rest in proportion to the other probabilities."""
    images = len(labels)
    rows = np.arange(images)
    others = logits.copy()
    others[rows, labels] = -np.inf
    targets = softmax(others, axis=1) / (images + 2)
    targets[rows, labels] = (images + 1) / (images + 2)
    return np.asarray(targets)


def apply(head: keras.Model, temperature: float) -> None:
    """Divide the logits of a classifier's head by a temperature, in place.

    Args:
        head: Its last layer is a Dense layer with a softmax, the only activation that `build_classifier` uses.
        temperature: T, above 0.

    Raises:
        ValueError: The last layer is another one, for which dividing the weights would not divide the logits.
    """
    last = _last_layer(head)
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])


def measure_logits(classifier: Classifier, images: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs of a classifier's softmax.

    They are not computed from probabilities, of which float32 rounds the small ones to 0.

    Args:
        classifier: The trained classifier.
        images: Batches of images float32 `[n, S, S, 3]` and labels int64 `[n]`.

    Returns:
        Logits float32 `[N, C]` and labels int64 `[N]`.

    Raises:
        ValueError: As for `apply`.
    """
    progress.report("measuring on eval")
    last = _last_layer(classifier.head)
    pooled = pool(classifier.backbone(classifier.backbone.input, training=False))
    before_last = keras.Model(classifier.head.input, last.input)
    network = keras.Model(classifier.backbone.input, before_last(pooled))
    network.jit_compile = False  # as in `modules.training.phase`
    kernel, bias = last.get_weights()
    logits, labels = [], []
    for batch, truth in images:
        logits.append(network.predict_on_batch(batch) @ kernel + bias)
        labels.append(truth.numpy())
    return np.concatenate(logits), np.concatenate(labels)


def _last_layer(head: keras.Model) -> keras.layers.Dense:
    last = head.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.softmax:
        raise ValueError(f"the last layer is {last!r}, not a Dense layer with a softmax")
    return last
