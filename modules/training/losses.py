"""The loss of both phases: cross entropy, with smoothed labels and weighted classes where the settings want them."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import TrainingSettings


def build_loss(settings: TrainingSettings, counts: Sequence[int]) -> keras.losses.Loss:
    """The loss object, to be the same one in all phases.

    Args:
        settings: Label smoothing and class weights.
        counts: Images of each class in the train split, in the order of the labels.

    Returns:
        A loss of labels int `[n]` and probabilities float32 `[n, C]`, averaged over the images. Keras's own where both
        settings are off.

    Raises:
        DataError: Weights are asked for, and a class has no images.
    """
    weights = balanced_weights(counts) if settings.class_weights == "balanced" else None
    if not settings.label_smoothing and weights is None:
        return keras.losses.SparseCategoricalCrossentropy()
    return WeightedCrossentropy(len(counts), settings.label_smoothing, weights)


def balanced_weights(counts: Sequence[int]) -> np.ndarray:
    """A weight for each class: images / (classes * images of the class), so that every class has the same say.

    The formula is scikit-learn's `compute_class_weight("balanced")`, after King and Zeng, "Logistic Regression in Rare
    Events Data" (2001). Over the images they average to 1, which leaves the learning rate its meaning.

    Returns:
        float32 `[C]`.

    Raises:
        DataError: A class has no images.
    """
    images = np.asarray(counts, np.float64)
    if not images.size or images.min() < 1:
        raise DataError(
            f"training.class_weights is balanced, and a class has no images in the train split: {list(counts)}",
            "add images of each class, or set training.class_weights to none",
        )
    return (images.sum() / (len(images) * images)).astype(np.float32)


class WeightedCrossentropy(keras.losses.Loss):
    """Cross entropy of integer labels and probabilities. Keras's sparse one knows neither smoothing nor weights."""

    def __init__(self, classes: int, smoothing: float, weights: np.ndarray | None) -> None:
        """
        Args:
            classes: Number of classes, C.
            smoothing: The label's class is `1 - smoothing + smoothing / C`, the others `smoothing / C`: Szegedy et al.,
                "Rethinking the Inception Architecture" (2015), section 7.
            weights: float32 `[C]`; None weighs all classes alike.
        """
        super().__init__(name="crossentropy")
        self.classes, self.smoothing, self.weights = classes, smoothing, weights

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each image, float32 `[n]`."""
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), [-1])
        wanted = keras.ops.one_hot(labels, self.classes, dtype=y_pred.dtype)
        # This one goes back to the softmax's logits where there are any, and bounds probabilities away from 0.
        losses = keras.losses.categorical_crossentropy(wanted, y_pred, label_smoothing=self.smoothing)
        if self.weights is None:
            return losses
        return losses * keras.ops.take(keras.ops.convert_to_tensor(self.weights, losses.dtype), labels)

    def get_config(self) -> dict[str, object]:
        """What makes an equal loss: it is part of what a checkpoint of the training belongs to."""
        weights = None if self.weights is None else [float(weight) for weight in self.weights]
        return {**super().get_config(), "classes": self.classes, "smoothing": self.smoothing, "weights": weights}
