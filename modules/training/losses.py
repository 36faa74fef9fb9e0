"""The loss of both phases: cross entropy, with optional label smoothing and class weights."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import TrainingSettings


def build_loss(settings: TrainingSettings, counts: Sequence[int]) -> keras.losses.Loss:
    """Build the loss object for all phases of a training.

    Args:
        settings: Label smoothing and class weights.
        counts: Number of images of each class in the train split, in the order of the labels.

    Returns:
        A loss of labels int `[n]` and probabilities float32 `[n, C]`, averaged over the images; Keras's own if both
        settings are off.

    Raises:
        DataError: Class weights are enabled and a class has no images.
    """
    weights = balanced_weights(counts) if settings.class_weights == "balanced" else None
    if not settings.label_smoothing and weights is None:
        return keras.losses.SparseCategoricalCrossentropy()
    return WeightedCrossentropy(len(counts), settings.label_smoothing, weights)


def balanced_weights(counts: Sequence[int]) -> np.ndarray:
    """Return a weight for each class, images / (classes * images of the class), so that classes count equally.

    The formula is that of scikit-learn's `compute_class_weight("balanced")`, after King and Zeng, "Logistic Regression
    in Rare Events Data" (2001). The weights average to 1 over the images, so the learning rate keeps its meaning.

    Returns:
        float32 `[C]`.

    Raises:
        DataError: A class has no images.
    """
    images = np.asarray(counts, np.float64)
    if not images.size or images.min() < 1:
        raise DataError(
            "training.class_weights is balanced, but a class has no images in the train split; "
            f"images per class: {list(counts)}",
            "add images of that class, or set training.class_weights to none",
        )
    return (images.sum() / (len(images) * images)).astype(np.float32)


def targets(loss: keras.losses.Loss, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return what a loss of `build_loss` compares probabilities with, times the weight of the label's class.

    Args:
        loss: The loss of an image with the probabilities p is the sum of `-target * log(p)`.
        labels: int `[n]`.
        classes: C.

    Returns:
        float32 `[n, C]`.
    """
    wanted = np.eye(classes, dtype=np.float32)
    if isinstance(loss, WeightedCrossentropy):
        wanted = wanted * (1 - loss.smoothing) + loss.smoothing / classes
        if loss.weights is not None:
            wanted = wanted * loss.weights[:, None]
    return np.asarray(wanted[labels], np.float32)


class WeightedCrossentropy(keras.losses.Loss):
    """Cross entropy of integer labels and probabilities with smoothing and weights, which Keras's sparse one lacks."""

    def __init__(self, classes: int, smoothing: float, weights: np.ndarray | None) -> None:
        """Create the loss.

        Args:
            classes: Number of classes, C.
            smoothing: The target is `1 - smoothing + smoothing / C` for the label's class and `smoothing / C` for the
                others: Szegedy et al., "Rethinking the Inception Architecture" (2015), section 7.
            weights: float32 `[C]`; None weights all classes equally.
        """
        super().__init__(name="crossentropy")
        self.classes, self.smoothing, self.weights = classes, smoothing, weights

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss of each image, float32 `[n]`."""
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), [-1])
        targets = keras.ops.one_hot(labels, self.classes, dtype=y_pred.dtype)
        # Keras uses the softmax's logits if available, and clips probabilities away from 0.
        losses = keras.losses.categorical_crossentropy(targets, y_pred, label_smoothing=self.smoothing)
        if self.weights is None:
            return losses
        return losses * keras.ops.take(keras.ops.convert_to_tensor(self.weights, losses.dtype), labels)

    def get_config(self) -> dict[str, object]:
        """Return the arguments of an equal loss; `training_key` includes them."""
        weights = None if self.weights is None else [float(weight) for weight in self.weights]
        return {**super().get_config(), "classes": self.classes, "smoothing": self.smoothing, "weights": weights}
