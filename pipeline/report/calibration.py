"""Turn the measurements of probabilities and thresholds into rows of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.modules.evaluation.intervals import wilson
from edgetune.pipeline.report.artifacts import Absent, number


def calibration(metrics: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Return temperature, calibration error, reliability diagrams, and what the thresholds of the classes leave.

    Args:
        metrics: The edge evaluation's `metrics.json`.
        order: Names of the edge variants, in the order to show.

    Raises:
        Absent: Nothing was measured.
    """
    found = metrics.get("calibration")
    if not found or not found["selection"]["answers"]:
        raise Absent("The edge evaluation did not measure probabilities.")
    variants = metrics["variants"]
    measured = [(name, variants[name].get("calibration")) for name in order]
    return {
        "temperature": number(found["temperature"]),
        "images": found["selection"]["answers"],
        "bins": found["bins"],
        "before": _diagram(found["before"]),
        "after": _diagram(found["after"]),
        "precision": number(found["precision"]),
        "min_answers": found["min_answers"],
        "classes": [
            {"name": name, "threshold": number(threshold), **_selection(row)}
            for name, threshold, row in zip(metrics["labels"], found["thresholds"], found["test"], strict=True)
        ],
        "selection": _selection(found["selection"]),
        "variants": [
            {
                "name": name,
                "ece": number(values["ece"]),
                **_selection(values["selection"]),
                "unknown": _unknown(values["unknown"]),
            }
            for name, values in measured
            if values
        ],
        "unknown": _unknown(found["unknown"]),
    }


def temperature(fitted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what the trainer recorded about the temperature; None if it fitted none."""
    if not fitted:
        return None
    return {
        "temperature": number(fitted["temperature"]),
        "note": str(fitted["note"]),
        "images": fitted["images"],
        "before": number(fitted["before"]["cross_entropy"]),
        "after": number(fitted["after"]["cross_entropy"]),
    }


def _diagram(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ece": number(found["ece"]),
        "cross_entropy": number(found["cross_entropy"]),
        "reliability": [
            {"images": row["images"], "confidence": number(row["confidence"]), "accuracy": number(row["accuracy"])}
            for row in found["reliability"]
        ],
    }


def _selection(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "answers": row["answers"],
        "accepted": row["accepted"],
        "coverage": number(row["coverage"]),
        "precision": number(row["precision"]),
        "interval": wilson(row["correct"], row["accepted"]),
    }


def _unknown(found: Mapping[str, int] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    images, taken = found["images"], found["accepted"]
    return {
        "images": images,
        "unusable": found["unusable"],
        "accepted": taken,
        "share": taken / images if images else None,
        "interval": wilson(taken, images),
    }
