"""Linear probe: train a linear classifier of scikit-learn's digits on a backbone's pooled, frozen features."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def digits_splits(seed: int) -> list[np.ndarray]:
    """Return the indices of the train, eval and test digits, split 8 : 1 : 1 and stratified by class."""
    labels = load_digits().target
    train, rest = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
    evaluation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=seed)
    return [train, evaluation, test]


def digits_pixels() -> np.ndarray:
    """Return the pixels, float64 `[1797, 64]` in 0..16: the reference for a backbone's features."""
    return load_digits().data


def digits_features(backbone: keras.Model) -> np.ndarray:
    """Return pooled features, float32 `[1797, c]`, of the 8 x 8 digits scaled up to the backbone's input size."""
    side = backbone.input_shape[1]
    grey = (load_digits().images * (255.0 / 16.0)).astype(np.float32)
    pooled = tf.function(lambda batch: keras.ops.mean(backbone(batch, training=False), axis=(1, 2)))
    features = []
    for start in range(0, len(grey), 128):
        batch = keras.ops.repeat(grey[start : start + 128, :, :, None], 3, axis=-1)
        batch = keras.ops.round(keras.ops.image.resize(batch, (side, side), interpolation="bilinear"))
        features.append(pooled(batch).numpy())
    return np.concatenate(features)


def probe(features: np.ndarray, seeds: range = range(5)) -> list[float]:
    """Return the test accuracy of untuned logistic regression on `features`, for one random split per seed."""
    labels = load_digits().target
    accuracies = []
    for seed in seeds:
        train, _, test = digits_splits(seed)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        classifier.fit(features[train], labels[train])
        accuracies.append(float(classifier.score(features[test], labels[test])))
    return accuracies
