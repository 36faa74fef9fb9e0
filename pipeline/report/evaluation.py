"""Turn TFMA's results for the SavedModel on the test split into rows of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgetune.modules.evaluation.intervals import wilson

MAX_CONFUSIONS = 12
"""Number of class pairs listed as the most frequent confusions."""


def results(uri: str) -> dict[str, Any]:
    """Return accuracy with its 95% interval, loss and number of images.

    Args:
        uri: Folder of an evaluation.
    """
    from edgetune.modules.evaluation import tfma_results

    candidate = tfma_results.overall_metrics(uri)
    images, accuracy = int(candidate[tfma_results.EXAMPLES]), candidate[tfma_results.ACCURACY]
    return {
        "accuracy": accuracy,
        "interval": wilson(round(accuracy * images), images),
        "images": images,
        "loss": candidate.get(tfma_results.LOSS),
    }


def classes(uri: str, labels: list[str] | None) -> list[dict[str, Any]]:
    """Return each class with its recall, precision, F1 and the class that it is most often confused with.

    The weakest is first.

    Args:
        uri: Folder of an evaluation.
        labels: Class names in the order of the model's outputs; None if they are unknown.
    """
    from edgetune.modules.evaluation import tfma_results

    found = tfma_results.per_class(uri)
    taken: dict[str, tuple[str, int]] = {}
    scores: dict[str, dict[str, Any]] = {}
    if (matrix := tfma_results.confusion_matrix(uri, labels)) is not None:
        names, wrong = matrix[0], _off_diagonal(matrix[1])
        scores = {name: _scores(matrix[1], at) for at, name in enumerate(names)}
        for row, column in enumerate(wrong.argmax(axis=1) if len(wrong) else []):
            if wrong[row, column]:
                taken[names[row]] = (names[column], int(wrong[row, column]))
    rows = []
    for name in sorted({*found, *(labels or ())}):
        values = found.get(name)
        images = int(values["examples"]) if values else 0
        accuracy = values["accuracy"] if values else None
        rows.append(
            {
                "name": name,
                "images": images,
                "accuracy": accuracy,
                "interval": None if accuracy is None else wilson(round(accuracy * images), images),
                **scores.get(name, _UNKNOWN),
                "taken_for": taken[name][0] if name in taken else None,
                "taken_for_images": taken[name][1] if name in taken else 0,
            }
        )
    return sorted(rows, key=lambda row: (row["accuracy"] is None, row["accuracy"], row["name"]))


_UNKNOWN = dict.fromkeys(("precision", "precision_interval", "f1", "f1_interval"))


def _scores(counts: np.ndarray, at: int) -> dict[str, Any]:
    """Return precision and F1 of a class with 95% intervals; None for what cannot be said.

    F1 is 2 J / (1 + J), where J = TP / (TP + FP + FN) is a share of the images that are of the class or called so: its
    interval is that of J (Wilson), transformed. `accuracy` of a class is its recall.
    """
    right = int(counts[at, at])
    called, either = int(counts[:, at].sum()), int(counts[:, at].sum() + counts[at].sum() - right)
    of_either = wilson(right, either) if either else None
    return {
        "precision": right / called if called else None,
        "precision_interval": wilson(right, called) if called else None,
        "f1": 2 * right / (either + right) if either else None,
        "f1_interval": (2 * of_either[0] / (1 + of_either[0]), 2 * of_either[1] / (1 + of_either[1]))
        if of_either
        else None,
    }


def confusion(uri: str, labels: list[str] | None) -> dict[str, Any] | None:
    """Return the confusion matrix, and its largest off-diagonal entries.

    Args:
        uri: Folder of an evaluation.
        labels: Class names in the order of the model's outputs; None if they are unknown.

    Returns:
        `labels`, `counts` (rows are the true classes) and `largest`; None if no matrix was computed.
    """
    from edgetune.modules.evaluation import tfma_results

    matrix = tfma_results.confusion_matrix(uri, labels)
    if matrix is None:
        return None
    names, counts = matrix
    wrong = _off_diagonal(counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_CONFUSIONS]
    largest = [(int(row), int(column)) for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    return {
        "labels": names,
        "counts": counts.tolist(),
        "largest": [
            {
                "true": names[row],
                "predicted": names[column],
                "images": int(wrong[row, column]),
                "of": int(counts[row].sum()),
            }
            for row, column in largest
            if wrong[row, column]
        ],
    }


def _off_diagonal(counts: np.ndarray) -> np.ndarray:
    return counts * (1 - np.eye(len(counts), dtype=counts.dtype))
