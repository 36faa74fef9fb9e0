"""Two-phase transfer learning: a new head on a frozen backbone, then the top of the backbone at a tenth of the rate.

Method: the transfer learning guide of Keras (https://keras.io/guides/transfer_learning/): batch normalisation stays in
inference mode in both phases, and the model is compiled anew before fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from modules import progress, records
from modules.augmentation import augment
from modules.backbones import unfreeze_last
from modules.errors import TrainingError
from modules.network import Classifier, build_classifier
from modules.phases import Phase, run_phase
from modules.settings import ModelSettings, PhaseSettings, TrainingSettings

_SHUFFLED_AHEAD = 2048
HEAD, FINE_TUNE, FROM_SCRATCH = "head", "fine_tune", "from_scratch"


@dataclass(frozen=True)
class Datasets:
    """The splits as batches: images float32 `[n, S, S, 3]` in 0..255, labels int64 `[n]`."""

    train: tf.data.Dataset
    """Shuffled and augmented anew in every epoch."""
    evaluation: tf.data.Dataset
    test: tf.data.Dataset


@dataclass(frozen=True)
class Result:
    """A trained classifier."""

    classifier: Classifier
    phases: tuple[Phase, ...]
    exported: str
    """Name of the phase whose weights the classifier has."""
    why: str
    """Why those, in one sentence."""
    after_head: list[np.ndarray]
    """All weights as they were after phase 1: what fixed features are worth."""

    @property
    def seconds(self) -> float:
        """Of all phases."""
        return sum(phase.seconds for phase in self.phases)


def load_datasets(examples_uri: str, image_size: int, settings: TrainingSettings) -> Datasets:
    """The splits of an artifact of transformed examples; nothing is held in memory but the shuffle's buffer."""

    def evaluated(split: str) -> tf.data.Dataset:
        images = records.transformed(examples_uri, split, image_size).batch(settings.batch_size)
        return images.map(lambda image, label: (tf.cast(image, tf.float32), label)).prefetch(tf.data.AUTOTUNE)

    # tf.data mixes TensorFlow's global seed into each seed that it is given, and what ran before may have set one.
    keras.utils.set_random_seed(settings.seed)
    generator = tf.data.Dataset.random(settings.seed, rerandomize_each_iteration=True).batch(2)
    train = records.transformed(examples_uri, "train", image_size).shuffle(_SHUFFLED_AHEAD, settings.seed)
    train = tf.data.Dataset.zip((train, generator)).map(
        lambda example, seed: (augment(example[0], seed, settings.augmentation), example[1]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    train = train.batch(settings.batch_size).prefetch(tf.data.AUTOTUNE)
    return Datasets(train, evaluated("eval"), evaluated("test"))


def train_two_phases(
    data: Datasets, classes: int, model: ModelSettings, settings: TrainingSettings, log_dir: Callable[[str], str]
) -> Result:
    """Trains the classifier.

    Args:
        data: The test split is not touched.
        classes: Number of classes.
        model: The network.
        settings: Both phases.
        log_dir: TensorBoard's folder for a phase's name.

    Raises:
        ConfigError: The architecture refuses the settings, or fewer layers can be unfrozen than are asked for.
        WeightsError: The weights cannot be had, or do not fit.
        TrainingError: A loss is no number.
    """
    classifier = build_classifier(model, classes, settings.seed)
    loss = keras.losses.SparseCategoricalCrossentropy()
    classifier.backbone.trainable = False
    head = run_phase(HEAD, classifier.model, data.train, data.evaluation, loss, settings.head, log_dir(HEAD))
    after_head = classifier.model.get_weights()
    if not settings.fine_tune.epochs:
        return Result(classifier, (head,), HEAD, "training.fine_tune.epochs is 0", after_head)

    opened = unfreeze_last(classifier.backbone, settings.fine_tune.unfreeze.last)
    logging.info("trainable in phase 2: %s", ", ".join(layer.name for layer in opened))
    tuned = run_phase(
        FINE_TUNE, classifier.model, data.train, data.evaluation, loss, settings.fine_tune, log_dir(FINE_TUNE)
    )
    before, after = head.best["val_loss"], tuned.best["val_loss"]
    if after < before:
        why = f"fine-tuning lowered the loss on eval from {before:.4f} to {after:.4f}"
        return Result(classifier, (head, tuned), FINE_TUNE, why, after_head)
    classifier.model.set_weights(after_head)
    why = f"fine-tuning did not lower the loss on eval: {before:.4f} before, {after:.4f} after"
    return Result(classifier, (head, tuned), HEAD, why, after_head)


def train_from_scratch(
    data: Datasets, classes: int, model: ModelSettings, settings: TrainingSettings, log_dir: Callable[[str], str]
) -> tuple[Classifier, Phase]:
    """The baseline without transfer: the same network from random weights, all of it trained, in as many epochs."""
    classifier = build_classifier(model, classes, settings.seed, pretrained=False, backbone_in_training=True)
    epochs = settings.head.epochs + settings.fine_tune.epochs
    patience = max(settings.head.patience, settings.fine_tune.patience)
    phase = PhaseSettings(epochs=epochs, learning_rate=settings.head.learning_rate, patience=patience)
    loss = keras.losses.SparseCategoricalCrossentropy()
    log = log_dir(FROM_SCRATCH)
    return classifier, run_phase(FROM_SCRATCH, classifier.model, data.train, data.evaluation, loss, phase, log)


def accuracy(model: keras.Model, dataset: tf.data.Dataset) -> float:
    """Share of images of which the most probable class is the right one."""
    progress.report("measuring accuracy")
    right = total = 0
    for images, labels in dataset:
        right += int(np.sum(np.argmax(model.predict_on_batch(images), axis=-1) == labels.numpy()))
        total += len(labels)
    return right / total


def check_learned(model: keras.Model, evaluation: tf.data.Dataset) -> None:
    """Stops where nothing was learned.

    Raises:
        TrainingError: On `eval`, the model is no better than naming the commonest class.
    """
    labels = np.concatenate([labels.numpy() for _, labels in evaluation])
    majority = float(np.bincount(labels).max() / len(labels))
    reached = accuracy(model, evaluation)
    if reached <= majority:
        raise TrainingError(
            f"accuracy on eval is {reached:.3f}, no better than always naming the commonest class ({majority:.3f})",
            "check the labels; train for more epochs, or with other weights or another learning rate",
        )
