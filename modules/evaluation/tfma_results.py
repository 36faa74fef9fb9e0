"""Read the results of TensorFlow Model Analysis as plain numbers, from its records `metrics` and `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ACCURACY, LOSS, EXAMPLES = "sparse_categorical_accuracy", "sparse_categorical_crossentropy", "example_count"
LABEL_SLICE = "label"


def overall_metrics(uri: str) -> dict[str, float]:
    """Return the metrics over all examples of an evaluation, by TFMA's names (`ACCURACY`, `LOSS`, `EXAMPLES`, ...)."""
    return _metrics(uri).get(None, {})


def per_class(uri: str) -> dict[str, dict[str, float]]:
    """Return `{class name: {"accuracy": 0..1, "examples": count}}` from the slices by label, sorted by name."""
    return {
        name: {"accuracy": values[ACCURACY], "examples": values[EXAMPLES]}
        for name, values in sorted((n, v) for n, v in _metrics(uri).items() if n is not None)
        if ACCURACY in values and EXAMPLES in values
    }


def confusion_matrix(uri: str, labels: Sequence[str] | None = None) -> tuple[list[str], np.ndarray] | None:
    """Return the confusion matrix.

    Args:
        uri: Folder of an evaluation.
        labels: Class names in the order of the model's outputs; by default the sorted names of the slices, which are
            the same if every class has a test example.

    Returns:
        The class names and int64 `[C, C]`: rows are true classes, columns predicted ones. None if the evaluation has
        no confusion matrix.

    Raises:
        ValueError: The matrix has a class that `labels` does not name.
    """
    import tensorflow_model_analysis as tfma

    names = list(labels) if labels is not None else list(per_class(uri))
    for plots in tfma.load_plots(uri):
        if plots.slice_key.single_slice_keys:
            continue
        for item in plots.plot_keys_and_values:
            matrices = item.value.multi_class_confusion_matrix_at_thresholds.matrices
            if matrices:
                return names, _counts(min(matrices, key=lambda matrix: matrix.threshold).entries, names)
    return None


def _metrics(uri: str) -> dict[str | None, dict[str, float]]:
    """Return values by metric by class name; the class name None stands for all examples."""
    import tensorflow_model_analysis as tfma

    found: dict[str | None, dict[str, float]] = {}
    for record in tfma.load_metrics(uri):
        keys = record.slice_key.single_slice_keys
        if len(keys) > 1 or (keys and keys[0].column != LABEL_SLICE):
            continue
        values = found.setdefault(_value(keys[0]) if keys else None, {})
        for item in record.metric_keys_and_values:
            if item.value.HasField("double_value"):
                values[item.key.name] = item.value.double_value.value
    return found


def _counts(entries: Any, names: list[str]) -> np.ndarray:
    counts = np.zeros([len(names), len(names)], np.int64)
    for entry in entries:
        for index in (entry.actual_class_id, entry.predicted_class_id):
            if not 0 <= index < len(names):
                raise ValueError(f"the confusion matrix has class {index}, but only {len(names)} classes have a name")
        counts[entry.actual_class_id, entry.predicted_class_id] += round(entry.num_weighted_examples)
    return counts


def _value(key: Any) -> str:
    kind = key.WhichOneof("kind")
    value = getattr(key, kind) if kind else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
