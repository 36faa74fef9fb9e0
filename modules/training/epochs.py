"""The train split as batches, epoch by epoch.

Order and augmentation of an epoch depend only on the seed and the epoch number. A dataset that reshuffles on every
iteration does not guarantee that: `fit` of Keras 3.15 iterates data of known length twice per epoch, that of Keras 3.6
once, and a resumed training would have to iterate the epochs that it skips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

_LAST_EPOCH = 2**31


@dataclass(frozen=True)
class Epochs:
    """Batches of every epoch.

    Args:
        of: Returns the batches of an epoch, given its number from 0 as an int64 scalar. TensorFlow traces it.
        count: Returns the number of batches per epoch, the same for all epochs.
    """

    of: Callable[[tf.Tensor], tf.data.Dataset]
    count: Callable[[], int]

    @cached_property
    def steps(self) -> int:
        """Batches per epoch."""
        return self.count()

    def since(self, first: int) -> tf.data.Dataset:
        """Return the batches of epoch `first` and of all later epochs, endlessly."""
        return tf.data.Dataset.range(first, _LAST_EPOCH).flat_map(self.of).prefetch(tf.data.AUTOTUNE)

    def one(self, number: int) -> tf.data.Dataset:
        """Return the batches of one epoch."""
        batches = self.since(number).take(self.steps)
        return batches.apply(tf.data.experimental.assert_cardinality(self.steps))


def shuffle_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return the seed of an epoch for `tf.data.Dataset.shuffle`, an int64 scalar of at least 1."""
    return tf.random.stateless_uniform([], tf.stack([seed, epoch]), 1, 2**31 - 1, tf.int64)
