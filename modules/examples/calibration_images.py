"""Choose the images that calibrate the quantization, balanced over the classes and spread over the split."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.examples import records


def representative_images(examples_uri: str, image_size: int, count: int) -> np.ndarray:
    """Return transformed images of the train split, balanced over the classes; the same for the same examples.

    Args:
        examples_uri: An `Examples` artifact of transformed examples.
        image_size: Height and width of the images, in pixels.
        count: Number of images; all if the split has fewer.

    Returns:
        uint8 `[<= count, image_size, image_size, 3]`, RGB, in the order of the split.

    Raises:
        DataError: The split is empty.
    """
    feature = {example_features.LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    # Two passes, so that only the chosen images are unpacked and held in memory.
    serialized = records.serialized(examples_uri, "train")
    labels = serialized.map(lambda record: tf.io.parse_single_example(record, feature)[example_features.LABEL_INDEX])
    chosen = set(choose(np.fromiter(labels.as_numpy_iterator(), np.int64), count))
    if not chosen:
        raise DataError(f"{examples_uri}: the train split has no examples", "run the pipeline from the images again")
    keep = tf.constant(sorted(chosen), tf.int64)
    images = (
        serialized.enumerate()
        .filter(lambda index, _: tf.reduce_any(keep == index))
        .map(lambda _, record: records.parse_transformed(record, image_size)[0])
    )
    return np.stack(list(images.as_numpy_iterator()))


def choose(labels: np.ndarray, count: int) -> list[int]:
    """Choose `count` examples, spread evenly over the classes and over each class's examples.

    Args:
        labels: int64 `[N]`.
        count: Number of examples; all if there are fewer. Larger classes make up for what small ones lack.

    Returns:
        Sorted indices.
    """
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    by_class.sort(key=len)  # small ones first, so that the following ones share what they lack
    left, chosen = count, []
    for position, indices in enumerate(by_class):
        share = min(len(indices), -(-left // (len(by_class) - position)))
        chosen += [int(indices[i * len(indices) // share]) for i in range(share)]
        left -= share
    return sorted(chosen)
