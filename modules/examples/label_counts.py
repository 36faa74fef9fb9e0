"""Count the images of each class in the transformed examples, and reject labels that cannot be trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.examples import records

_MAX_CLASSES = 10


def label_counts(examples_uri: str, split: str, classes: int) -> tuple[int, ...]:
    """Return the number of images of each class in a split, in the order of the labels, without decoding pixels.

    Args:
        examples_uri: Artifact of transformed examples.
        split: Name of the split.
        classes: Number of classes, C.

    Raises:
        DataError: An image has a label outside 0..C-1: its class has no image in the train split.
    """
    features = {example_features.LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    batches = records.serialized(examples_uri, split).batch(1024)
    counts = np.zeros(classes, np.int64)
    for batch in batches.map(
        lambda serialized: tf.io.parse_example(serialized, features)[example_features.LABEL_INDEX]
    ):
        labels = batch.numpy()
        if unknown := labels[(labels < 0) | (labels >= classes)].tolist():
            raise DataError(
                f"the split {split} has {len(unknown)} or more images of a class that has no image in the train split",
                "every class needs images in train, eval and test",
            )
        counts += np.bincount(labels, minlength=classes)
    return tuple(counts.tolist())


def check_labels(labels: Sequence[str], splits: Mapping[str, Sequence[int]]) -> None:
    """Check before training that the model can be evaluated.

    Args:
        labels: Names of the classes.
        splits: `label_counts` of each split to check.

    Raises:
        DataError: There is only one class, or a split has no image of a class.
    """
    if len(labels) < 2:
        raise DataError(f"there is only one class: {', '.join(labels)}", "a classifier needs at least two")
    for split, counts in splits.items():
        if missing := [label for label, count in zip(labels, counts, strict=True) if not count]:
            named = ", ".join(missing[:_MAX_CLASSES]) + (", ..." if len(missing) > _MAX_CLASSES else "")
            raise DataError(
                f"the split {split} has no image of {named}",
                "add images of the class; if edgetune makes the splits, a larger share in data.splits helps too",
            )
