"""Baselines that a trained model is compared with: training from scratch, and always naming the most common class."""

from __future__ import annotations

import time

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.core.errors import TrainingError
from edgetune.modules.models.classifier import Classifier, build_classifier
from edgetune.modules.settings.run import ModelSettings, PhaseSettings, TrainingSettings
from edgetune.modules.training.datasets import Datasets
from edgetune.modules.training.phase import Phase, run_phase

FROM_SCRATCH = "from_scratch"


def train_from_scratch(
    data: Datasets,
    classes: int,
    model: ModelSettings,
    settings: TrainingSettings,
    loss: keras.losses.Loss,
    logs: str,
    seconds: float,
) -> tuple[Classifier, Phase]:
    """Train the same network from random weights, all layers at once, for as long as the transfer took.

    An epoch that has begun is finished, so the training takes up to one epoch longer; it also ends after as many epochs
    as both phases may have.

    Args:
        data: The datasets; the test split is not used.
        classes: Number of classes.
        model: The network.
        settings: The epochs of both phases are added up; the learning rate is that of the first.
        loss: The loss object of the two phases.
        logs: Folder for TensorBoard logs.
        seconds: Duration of the two phases, the preparation of their features included.

    Raises:
        TrainingError: A loss is not a finite number.
    """
    began = time.monotonic()
    classifier = build_classifier(model, classes, settings.seed, pretrained=False, backbone_in_training=True)
    epochs = settings.head.epochs + settings.fine_tune.epochs
    patience = max(settings.head.patience, settings.fine_tune.patience)
    phase = PhaseSettings(epochs=epochs, learning_rate=settings.head.learning_rate, patience=patience)
    left = seconds - (time.monotonic() - began)
    ended = run_phase(FROM_SCRATCH, classifier.model, data.train, data.evaluation, loss, phase, logs, seconds=left)
    return classifier, ended


def accuracy(model: keras.Model, dataset: tf.data.Dataset) -> float:
    """Return the share of images whose most probable class is the right one."""
    progress.report("measuring accuracy")
    model.jit_compile = False  # as in `modules.training.phase`
    right = total = 0
    for images, labels in dataset:
        right += int(np.sum(np.argmax(model.predict_on_batch(images), axis=-1) == labels.numpy()))
        total += len(labels)
    return right / total


def check_learned(logits: np.ndarray, labels: np.ndarray) -> None:
    """Check that the model learned something.

    Args:
        logits: Its answers on `eval`, `[N, C]`: logits or probabilities.
        labels: int64 `[N]`.

    Raises:
        TrainingError: On `eval`, the model is no better than always naming the most common class.
    """
    majority = float(np.bincount(labels).max() / len(labels))
    reached = float(np.mean(logits.argmax(axis=1) == labels))
    if reached <= majority:
        raise TrainingError(
            f"accuracy on eval is {reached:.3f}, no better than always naming the most common class ({majority:.3f})",
            "check the labels; or train for more epochs, with other weights or with another learning rate",
        )
