"""The gates of a run as they were judged, and which version is served."""

from __future__ import annotations

import contextlib
from typing import Any

from edgetune.components.common.names import (
    BLESSING_KEY,
    EDGE_EVALUATOR,
    EVALUATION_KEY,
    EVALUATOR,
    INFRA_VALIDATOR,
)
from edgetune.modules.core.errors import DataError, PushError
from edgetune.modules.evaluation.gates import FILE, SAVED_MODEL, SERVED, Gate, from_json, read_gates
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, newest
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.metadata.pushes import places_of, version_of
from edgetune.pipeline.report.artifacts import Absent, folder, read_json

_METRICS = "metrics.json"
_IN_HEADLINE = "evaluation.min_accuracy"


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
        accuracy = next((gate for gate in found if gate.name == _IN_HEADLINE), None)
        return f"blessed: {accuracy.sentence()}" if accuracy else "blessed"
    shown = [gate.sentence() for gate in failed] or outcome.reasons
    return "not blessed: " + "; ".join(shown[:_SHOWN]) + (f"; and {len(shown) - _SHOWN} more" * (len(shown) > _SHOWN))


def notes(outcome: Outcome) -> list[str]:
    """Return a line for each gate that was passed and that the headline lacks."""
    try:
        found = gates(outcome)
    except Absent:
        return []
    return [_line(gate) for gate in found if gate.passed and gate.name != _IN_HEADLINE]


def _line(gate: Gate) -> str:
    if gate.name == SERVED:
        return f"answers as measured when served: {gate.reason}"
    return gate.sentence() if gate.subject == SAVED_MODEL else f"{gate.subject}: {gate.sentence()}"


_SHOWN = 3


def serving(outcome: Outcome, otherwise: Places | None = None) -> list[str]:
    """Say which version is served after a run, and which was before it; nothing if no place of a version can be read.

    Servers take the newest version of the SavedModel, and apps the bundle of the newest release.

    Args:
        outcome: The run.
        otherwise: Folders or URLs of versions, for a run that ended before it could have pushed.
    """
    places = places_of(outcome) or otherwise
    try:
        return served(places, version_of(outcome)) if places else []
    except OSError:
        return []


def replaced(outcome: Outcome) -> bool:
    """Return whether a run released a version, or took it from the cache, that is not served, as after a rollback."""
    places, version = places_of(outcome), version_of(outcome)
    if places is None or version is None:
        return False
    try:
        return newest(places) != (version, version)
    except OSError:  # nobody can tell
        return False


def served(places: Places, pushed: int | None) -> list[str]:
    """Say which version is served.

    Args:
        places: Folders or URLs of versions.
        pushed: The version that a run released, if it did.

    Raises:
        OSError: A place cannot be read.
    """
    model, release = newest(places)
    if model is None and release is None:
        return ["no version is served"]
    if model != release:
        sentences = ["no SavedModel is served" if model is None else f"SavedModel: version {model} is served"]
        sentences[0] += ", which is not a complete release"
        return [*sentences, "edge bundle: " + (f"version {release} is released" if release else "none is released")]
    earlier = [version for version in marker.released(places.edge) if pushed is None or version < pushed]
    what = f"version {release} of both models is served"
    if release is not None and (back := _rollback_to(places, release)):
        return [f"{what}: a rollback to {back}" + (f"; {pushed} is not" if pushed not in (None, release) else "")]
    if earlier[-1:] == [release]:
        return [f"{what}, as before"]
    return [what + (f", before it {earlier[-1]}" if earlier else ", the first")]


def _rollback_to(places: Places, version: int) -> int | None:
    try:
        return marker.read(places.edge, version).rollback_to
    except PushError:
        return None
