"""The gates of a run as they were judged, and which version is served."""

from __future__ import annotations

import contextlib
from typing import Any

from edgetune.components.common.names import (
    BLESSING_KEY,
    EDGE_EVALUATOR,
    EDGE_PUSHER,
    EVALUATION_KEY,
    EVALUATOR,
    INFRA_VALIDATOR,
    SAVED_MODEL_PUSHER,
)
from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.gates import FILE, FOLDS, SAVED_MODEL, SERVED, Gate, from_json, read_gates
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import PUSHERS, Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, read_json

_METRICS = "metrics.json"


def gates(outcome: Outcome) -> list[Gate]:
    """Return all gates that were applied or left out, those of the SavedModel first.

    Raises:
        Absent: The Evaluator wrote none.
    """
    found = _read(outcome, EVALUATOR, EVALUATION_KEY)
    with contextlib.suppress(Absent):
        found += _read(outcome, INFRA_VALIDATOR, BLESSING_KEY)
    try:
        metrics = read_json(f"{folder(outcome.node(EDGE_EVALUATOR), EVALUATION_KEY, _METRICS)}/{_METRICS}")
    except Absent:
        return found
    return found + [gate for facts in metrics["variants"].values() for gate in from_json(facts.get("gates", []))]


def _read(outcome: Outcome, node_id: str, key: str) -> list[Gate]:
    try:
        return read_gates(folder(outcome.node(node_id), key, FILE))
    except DataError as error:
        raise Absent(f"{error.cause}.") from None


def row(gate: Gate) -> dict[str, Any]:
    """Return what the report shows of a gate, as text, and its values."""
    return {
        **{name: getattr(gate, name) for name in ("name", "subject", "what", "images", "passed", "reason", "remedy")},
        **{name: getattr(gate, name) for name in ("measured", "low", "high", "needed", "judged", "p_value")},
        "measured_text": gate.value(gate.measured),
        "interval_text": "–" if gate.low is None else f"{gate.value(gate.low)} to {gate.value(gate.high)}",
        "needed_text": ("at most " if gate.at_most else "") + gate.value(gate.needed),
    }


def headline(outcome: Outcome) -> str | None:
    """Return the verdict in one line, with the figures that decided it; None if the Evaluator judged nothing."""
    try:
        found = gates(outcome)
    except Absent:
        return None
    failed = [gate for gate in found if gate.passed is False and gate.subject == SAVED_MODEL]
    if outcome.blessed:
        accuracy = next((gate for gate in found if gate.name == "evaluation.min_accuracy"), None)
        return f"blessed: {accuracy.sentence()}" if accuracy else "blessed"
    shown = [gate.sentence() for gate in failed] or outcome.reasons
    return "not blessed: " + "; ".join(shown[:_SHOWN]) + (f"; and {len(shown) - _SHOWN} more" * (len(shown) > _SHOWN))


def notes(outcome: Outcome) -> list[str]:
    """Return lines about the SavedModel that the headline lacks: cross-validation, and answers of the served model."""
    try:
        found = {gate.name: gate for gate in gates(outcome) if gate.passed and gate.subject == SAVED_MODEL}
    except Absent:
        return []
    lines = [found[FOLDS].sentence().partition(";")[0]] if FOLDS in found else []
    return lines + ([f"answers as measured when served: {found[SERVED].reason}"] if SERVED in found else [])


_SHOWN = 3


def serving(outcome: Outcome) -> dict[str, dict[str, int | None]]:
    """Return by pusher the newest version in its destination, `now`, and the newest before this run, `before`.

    A pusher that did not run, or whose destination cannot be read, is left out.
    """
    found = {}
    for node_id, what in ((SAVED_MODEL_PUSHER, "SavedModel"), (EDGE_PUSHER, "edge bundle")):
        node = outcome.node(node_id)
        destination = node.properties.get("destination")
        if not destination:
            continue
        try:
            versions = filesystem.versions(str(destination))
        except OSError:
            continue
        artifact = node.artifact(PUSHERS[node_id])
        pushed = str((artifact.custom_properties if artifact else {}).get("pushed_version", ""))
        before = [version for version in versions if not pushed.isdecimal() or version < int(pushed)]
        found[what] = {"now": versions[-1] if versions else None, "before": before[-1] if before else None}
    return found


def serving_sentence(what: str, versions: dict[str, int | None]) -> str:
    """Say which version of what is served: the newest in its destination."""
    now, before = versions["now"], versions["before"]
    if now is None:
        return f"no version of the {what} is served"
    if now == before:
        return f"{what}: version {now} is served, as before"
    return f"{what}: version {now} is served" + (f", before it {before}" if before is not None else ", the first")
