"""Temperature scaling: divide the network's logits by one number, so that its probabilities are closer to frequencies.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. The temperature T minimizes the
cross entropy on images that were not trained on. T > 1 makes a model less confident, T < 1 more; the class that it
names stays the same. T becomes part of the last layer's weights, so every exported format has it, at no cost.

Without any wrong answer, the cross entropy is smallest at T = 0, however few images there are. So 1/T has a normal
prior around 1, the network as it was trained, and the result is the most probable T given prior and images (maximum a
posteriori): with few images it stays near 1, with many the prior has no weight. And T stays in `RANGE`.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from edgetune.modules.core import progress
from edgetune.modules.models.classifier import Classifier, pool

RANGE = (0.25, 10.0)
"""Smallest and largest temperature."""
PRIOR = 0.5
"""Standard deviation of the prior of 1/T. What it costs and saves is measured by `benchmarks.training.calibration`."""
_AT_BOUND = 1e-3


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature."""

    value: float
    """T, in `RANGE`."""
    note: str = ""
    """Why it is at a bound of `RANGE`; empty if it is not."""


def fit(logits: np.ndarray, labels: np.ndarray, prior: float = PRIOR) -> Temperature:
    """Return the temperature that minimizes the cross entropy, with a prior.

    What is minimized is convex in 1/T: the cross entropy is linear in the logits plus a logarithm of a sum of
    exponentials, and the prior adds a parabola.

    Args:
        logits: float `[N, C]`, the inputs of the softmax; only differences within a row matter.
        labels: int64 `[N]`, in 0..C-1.
        prior: Standard deviation of the prior of 1/T; infinity for none.
    """
    logits = np.asarray(logits, np.float64)
    rows = np.arange(len(labels))

    def cost(inverse: float) -> float:
        likelihood = log_softmax(logits * inverse, axis=1)[rows, labels].sum()
        return 0.5 * ((inverse - 1) / prior) ** 2 - float(likelihood)

    bounds = 1 / RANGE[1], 1 / RANGE[0]
    inverse = float(minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    for bound in bounds:
        if abs(inverse - bound) < _AT_BOUND:
            return Temperature(1 / bound, f"the best temperature is outside {RANGE[0]:g} to {RANGE[1]:g}")
    return Temperature(1 / inverse)


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
