"""How many images of each class there are in the transformed examples, and what cannot be trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from edgetune.modules.contracts import example_features
from edgetune.modules.core.errors import DataError
from edgetune.modules.examples import records

_NAMED = 10


def label_counts(examples_uri: str, split: str, classes: int) -> tuple[int, ...]:
    """Images of each class in one split, in the order of the labels. Pixels are read past, not decoded.

    Args:
        examples_uri: Artifact of transformed examples.
        split: Its name.
        classes: Number of classes, C.

    Raises:
        DataError: An image has a label outside 0..C-1: a class that the train split has no image of.
    """
    features = {example_features.LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    batches = records.serialized(examples_uri, split).batch(1024)
    counts = np.zeros(classes, np.int64)
    for batch in batches.map(
        lambda serialized: tf.io.parse_example(serialized, features)[example_features.LABEL_INDEX]
    ):
        labels = batch.numpy()
        if strange := labels[(labels < 0) | (labels >= classes)].tolist():
            raise DataError(
                f"the split {split} has {len(strange)} or more images of a class that the train split has no image of",
                "every class needs images in train, eval and test",
            )
        counts += np.bincount(labels, minlength=classes)
    return tuple(counts.tolist())


def check_labels(labels: Sequence[str], splits: Mapping[str, Sequence[int]]) -> None:
    """Stops before anything is trained that could not be judged.

    Args:
        labels: Names of the classes.
        splits: `label_counts` of each split that is looked at.

    Raises:
        DataError: There is one class only, or a split has no image of a class.
    """
    if len(labels) < 2:
        raise DataError(f"there is one class only: {', '.join(labels)}", "a classifier needs at least two")
    for split, counts in splits.items():
        if missing := [label for label, count in zip(labels, counts, strict=True) if not count]:
            named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            raise DataError(
                f"the split {split} has no image of {named}",
                "add images of the class; where edgetune splits, data.splits can give the split a larger share",
            )
