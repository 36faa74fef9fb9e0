"""The train split as batches, epoch by epoch.

The order and the random changes of an epoch depend on the seed and on the number of the epoch alone. A dataset that is
shuffled anew whenever it is iterated has no such order: the `fit` of Keras 3.15 iterates data of known length twice an
epoch, that of Keras 3.6 once, and a training that is resumed would have to iterate what it skips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

_LAST = 2**31


@dataclass(frozen=True)
class Epochs:
    """Batches of every epoch.

    Args:
        of: Gives the batches of one epoch; its number is an int64 scalar, counted from 0. It is traced.
        count: Gives the number of batches of an epoch, the same in each.
    """

    of: Callable[[tf.Tensor], tf.data.Dataset]
    count: Callable[[], int]

    @cached_property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.count()

    def since(self, first: int) -> tf.data.Dataset:
        """Return the batches of epoch `first` and of all that follow it, without an end."""
        return tf.data.Dataset.range(first, _LAST).flat_map(self.of).prefetch(tf.data.AUTOTUNE)

    def one(self, number: int) -> tf.data.Dataset:
        """Return the batches of one epoch."""
        batches = self.since(number).take(self.steps)
        return batches.apply(tf.data.experimental.assert_cardinality(self.steps))


def shuffle_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return a seed for `tf.data.Dataset.shuffle`, int64 scalar of at least 1, for one epoch of a training's seed."""
    return tf.random.stateless_uniform([], tf.stack([seed, epoch]), 1, 2**31 - 1, tf.int64)
