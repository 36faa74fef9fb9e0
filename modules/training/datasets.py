"""Stream the splits of an artifact of transformed examples as batches of images."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from edgetune.modules.examples import records, shards
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training.augmentation import augment
from edgetune.modules.training.epochs import Epochs, shuffle_seed

_SHUFFLE_BUFFER = 2048
_MAX_IMAGES = 2**32
"""Upper bound of images in a split. The seed of an image's augmentation combines epoch and position in one number."""


@dataclass(frozen=True)
class Datasets:
    """Batches of images float32 `[n, S, S, 3]` in 0..255 and labels int64 `[n]`."""

    train: Epochs
    """Shuffled and augmented differently in every epoch."""
    evaluation: tf.data.Dataset
    test: tf.data.Dataset


def load_datasets(examples_uri: str, image_size: int, settings: TrainingSettings) -> Datasets:
    """Return the splits of an artifact of transformed examples; only the shuffle buffer is held in memory."""

    def evaluated(split: str) -> tf.data.Dataset:
        images = records.transformed(examples_uri, split, image_size).batch(settings.batch_size)
        return images.map(lambda image, label: (tf.cast(image, tf.float32), label)).prefetch(tf.data.AUTOTUNE)

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        def change(position: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.stack([settings.seed, epoch * _MAX_IMAGES + position])
            return augment(example[0], seed, settings.augmentation), example[1]

        images = records.transformed(examples_uri, "train", image_size)
        images = images.shuffle(_SHUFFLE_BUFFER, shuffle_seed(settings.seed, epoch), reshuffle_each_iteration=False)
        return images.enumerate().map(change, num_parallel_calls=tf.data.AUTOTUNE).batch(settings.batch_size)

    def count(split: str) -> int:
        return -(-shards.count(examples_uri, split) // settings.batch_size)

    # Without a known length, Keras detects the end by a failing step, and counts that step in the mean of the loss.
    evaluation = evaluated("eval").apply(tf.data.experimental.assert_cardinality(count("eval")))
    # tf.data mixes TensorFlow's global seed into each explicit seed, and earlier code may have set a global one.
    tf.random.set_seed(1)
    return Datasets(Epochs(batches, lambda: count("train")), evaluation, evaluated("test"))
