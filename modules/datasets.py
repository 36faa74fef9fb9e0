"""The splits as batches of images, streamed from an artifact of transformed examples."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from modules import records
from modules.augmentation import augment
from modules.settings import TrainingSettings

_SHUFFLED_AHEAD = 2048


@dataclass(frozen=True)
class Datasets:
    """Batches: images float32 `[n, S, S, 3]` in 0..255, labels int64 `[n]`."""

    train: tf.data.Dataset
    """Shuffled and augmented anew in every epoch."""
    evaluation: tf.data.Dataset
    test: tf.data.Dataset


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
