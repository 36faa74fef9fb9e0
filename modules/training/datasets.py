"""The splits as batches of images, streamed from an artifact of transformed examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from edgetune.modules.examples import records
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training.augmentation import augment
from edgetune.modules.training.epochs import Epochs, shuffle_seed

_SHUFFLED_AHEAD = 2048
_MOST_IMAGES = 2**32
"""Of a split: epoch and position make one number, the seed of an image's change."""


@dataclass(frozen=True)
class Datasets:
    """Batches: images float32 `[n, S, S, 3]` in 0..255, labels int64 `[n]`."""

    train: Epochs
    """Shuffled and augmented anew in every epoch."""
    evaluation: tf.data.Dataset
    test: tf.data.Dataset


def load_datasets(examples_uri: str, image_size: int, settings: TrainingSettings) -> Datasets:
    """The splits of an artifact of transformed examples; nothing is held in memory but the shuffle's buffer."""

    def evaluated(split: str) -> tf.data.Dataset:
        images = records.transformed(examples_uri, split, image_size).batch(settings.batch_size)
        return images.map(lambda image, label: (tf.cast(image, tf.float32), label)).prefetch(tf.data.AUTOTUNE)

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        def change(position: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.stack([settings.seed, epoch * _MOST_IMAGES + position])
            return augment(example[0], seed, settings.augmentation), example[1]

        images = records.transformed(examples_uri, "train", image_size)
        images = images.shuffle(_SHUFFLED_AHEAD, shuffle_seed(settings.seed, epoch), reshuffle_each_iteration=False)
        return images.enumerate().map(change, num_parallel_calls=tf.data.AUTOTUNE).batch(settings.batch_size)

    def count(split: str) -> int:
        images = records.serialized(examples_uri, split).reduce(np.int64(0), lambda total, _: total + 1)
        return -(-int(images) // settings.batch_size)

    # Where the length is not known, Keras finds the end by a step that fails, and its mean of the loss counts that one.
    evaluation = evaluated("eval").apply(tf.data.experimental.assert_cardinality(count("eval")))
    # tf.data mixes TensorFlow's global seed into each seed that it is given, and what ran before may have set one.
    tf.random.set_seed(1)
    return Datasets(Epochs(batches, lambda: count("train")), evaluation, evaluated("test"))
