"""Read the results of TensorFlow Model Analysis as plain numbers, and its refusals as sentences.

Everything is read from TFMA's records (`metrics`, `plots`, `validations` and `eval_config.json` in the folder of an
evaluation). If a baseline was evaluated too, results are the candidate's unless stated otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetune.modules.storage import filesystem

ACCURACY, LOSS, EXAMPLES = "sparse_categorical_accuracy", "sparse_categorical_crossentropy", "example_count"
LABEL_SLICE = "label"

_NAMES = {ACCURACY: "accuracy", LOSS: "loss", EXAMPLES: "number of examples"}
_VALUE_KEYS = {ACCURACY: ("evaluation.min_accuracy", "the allowed maximum")}
_CHANGE_KEYS = {ACCURACY: "evaluation.max_regression"}


def overall_metrics(uri: str, baseline: bool = False) -> dict[str, float]:
    """Return the metrics over all examples, by TFMA's names (`ACCURACY`, `LOSS`, `EXAMPLES`, ...).

    Args:
        uri: Folder of an evaluation.
        baseline: Return those of the last blessed model instead; empty if there was none.

    Raises:
        FileNotFoundError: There is no evaluation.
    """
    return _metrics(uri, baseline).get(None, {})


def per_class(uri: str) -> dict[str, dict[str, float]]:
    """Return `{class name: {"accuracy": 0..1, "examples": count}}` from the slices by label, sorted by name."""
    return {
        name: {"accuracy": values[ACCURACY], "examples": values[EXAMPLES]}
        for name, values in sorted((n, v) for n, v in _metrics(uri, False).items() if n is not None)
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
    baseline = _baseline_name(uri)
    for plots in tfma.load_plots(uri):
        if plots.slice_key.single_slice_keys:
            continue
        for item in plots.plot_keys_and_values:
            matrices = item.value.multi_class_confusion_matrix_at_thresholds.matrices
            if matrices and item.key.model_name != baseline:
                return names, _counts(min(matrices, key=lambda matrix: matrix.threshold).entries, names)
    return None


def failures(uri: str) -> list[str]:
    """Return the reasons why the candidate was refused, one sentence each; empty if it was accepted.

    Fails closed: a missing result, or a refusal that names no metric, is a reason too.
    """
    if not filesystem.matching(uri, "validations*"):
        return ["the evaluation has no verdict"]
    import tensorflow_model_analysis as tfma

    result = tfma.load_validation_result(uri)
    if result.validation_ok:
        return []
    reasons = [
        _sentence(failure, _where(validation.slice_key))
        for validation in result.metric_validations_per_slice
        for failure in validation.failures
    ]
    if result.missing_thresholds:
        reasons.append("no threshold is set, so nothing could be judged")
    reasons += [f"there are no examples {_spec(spec)}" for spec in result.missing_slices]
    return reasons or ["the evaluation refused the model without naming a metric"]


def _metrics(uri: str, baseline: bool) -> dict[str | None, dict[str, float]]:
    """Return values by metric by class name; the class name None stands for all examples."""
    import tensorflow_model_analysis as tfma

    base = _baseline_name(uri)
    if baseline and base is None:
        return {}
    found: dict[str | None, dict[str, float]] = {}
    for record in tfma.load_metrics(uri):
        keys = record.slice_key.single_slice_keys
        if len(keys) > 1 or (keys and keys[0].column != LABEL_SLICE):
            continue
        values = found.setdefault(_value(keys[0]) if keys else None, {})
        for item in record.metric_keys_and_values:
            if (
                not item.key.is_diff
                and (item.key.model_name == base) == baseline
                and item.value.HasField("double_value")
            ):
                values[item.key.name] = item.value.double_value.value
    return found


def _baseline_name(uri: str) -> str | None:
    """Return the baseline's name in the records, from the configuration that TFMA writes beside them."""
    config = json.loads(filesystem.read(f"{uri}/eval_config.json"))
    specs = config.get("evalConfig", {}).get("modelSpecs", [])
    return next((spec.get("name", "") for spec in specs if spec.get("isBaseline")), None)


def _counts(entries: Any, names: list[str]) -> np.ndarray:
    counts = np.zeros([len(names), len(names)], np.int64)
    for entry in entries:
        for index in (entry.actual_class_id, entry.predicted_class_id):
            if not 0 <= index < len(names):
                raise ValueError(f"the confusion matrix has class {index}, but only {len(names)} classes have a name")
        counts[entry.actual_class_id, entry.predicted_class_id] += round(entry.num_weighted_examples)
    return counts


def _sentence(failure: Any, where: str) -> str:
    name = failure.metric_key.name
    subject = _NAMES.get(name, name)
    if not failure.HasField("metric_value"):
        return f"{subject} {where} was not computed"
    value = failure.metric_value.double_value.value
    if math.isnan(value):
        return f"{subject} {where} is not a number"
    threshold = failure.metric_threshold
    if threshold.HasField("change_threshold"):
        return _change(name, subject, value, threshold.change_threshold, where)
    bounds = threshold.value_threshold
    lower, upper = _VALUE_KEYS.get(name, ("the allowed minimum", "the allowed maximum"))
    if bounds.HasField("lower_bound") and value < bounds.lower_bound.value:
        given, bound = _numbers(value, bounds.lower_bound.value)
        return f"{subject} {given} {where} is below {lower} {bound}"
    if bounds.HasField("upper_bound") and value > bounds.upper_bound.value:
        given, bound = _numbers(value, bounds.upper_bound.value)
        return f"{subject} {given} {where} is above {upper} {bound}"
    return f"{subject} {_numbers(value, value)[0]} {where} was refused: {failure.message.strip() or 'no message'}"


def _change(name: str, subject: str, change: float, threshold: Any, where: str) -> str:
    verb = "fell" if change < 0 else "rose"
    limit = _CHANGE_KEYS.get(name, "the allowed change")
    if threshold.HasField("absolute"):
        given, bound = _numbers(abs(change), abs(threshold.absolute.value))
    else:
        given, bound = _numbers(abs(change), 0.0)[0], f"{abs(threshold.relative.value):.2%}"
    return f"{subject} {verb} by {given} {where} against the last blessed model, more than {limit} {bound}"


def _numbers(value: float, bound: float) -> tuple[str, str]:
    """Format both with as few digits as distinguish them, and the value with at least four decimals."""
    for decimals in range(4, 17):
        if value == bound or f"{value:.{decimals}f}" != f"{bound:.{decimals}f}":
            return f"{value:.{decimals}f}", f"{bound:g}"
    return repr(value), repr(bound)


def _where(slice_key: Any) -> str:
    keys = slice_key.single_slice_keys
    return "on the test split" if not keys else "on " + ", ".join(f"{key.column} {_value(key)}" for key in keys)


def _spec(spec: Any) -> str:
    parts = [*spec.feature_keys, *(f"{key} {value}" for key, value in spec.feature_values.items())]
    return "for " + ", ".join(parts) if parts else "at all"


def _value(key: Any) -> str:
    kind = key.WhichOneof("kind")
    value = getattr(key, kind) if kind else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
