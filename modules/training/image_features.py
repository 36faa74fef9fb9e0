"""Pooled features of the frozen backbone for images that are not in a pipeline."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from edgetune.modules.images.decode import decode
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import ModelSettings
from edgetune.modules.training.cached_features import BATCH, POOLED
from edgetune.modules.training.raw_features import pooled_function


def features_of(encoded: Iterable[bytes], model: ModelSettings, reading: Reading, seed: int = 1) -> np.ndarray:
    """Return the features of images, as `raw_features.clean_features` does for those of a pipeline.

    Args:
        encoded: Images as raw examples store them (`modules.images.reader.ReadImage.encoded`); only a few are held.
        model: The backbone, its weights and the image size.
        reading: Options of reading.
        seed: Of the weights `none`.

    Returns:
        float32 `[N, c]`, in the order of the images.

    Raises:
        WeightsError: The weights are unavailable or do not match the architecture.
    """
    function = pooled_function(model, seed)

    def read(content: tf.Tensor) -> tf.Tensor:
        return tf.cast(decode(content, model.image_size, reading), tf.float32)

    images = tf.data.Dataset.from_generator(lambda: iter(encoded), output_signature=tf.TensorSpec([], tf.string))
    images = images.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    found = [function(batch)[POOLED].numpy() for batch in images.batch(BATCH).prefetch(2)]
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)
