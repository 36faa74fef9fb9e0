"""List the runs of a pipeline: verdict, accuracy, and which version is served."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from edgetune.modules.core.errors import ConfigError, PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, newest, uncompletable
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.local import places
from edgetune.pipeline.local.runner import is_in_use
from edgetune.pipeline.metadata.outcome import FAILED, GATES, NOT_RUN, Outcome, pipeline_names, read_outcomes
from edgetune.pipeline.metadata.pushes import version_of
from edgetune.pipeline.metadata.store import connection, open_store
from edgetune.pipeline.report.artifacts import Absent
from edgetune.pipeline.report.verdicts import gates
from edgetune.pipeline.report.words import interval, percent
from edgetune.pipeline.terminal.table import table

BLESSED, REFUSED, FAILED_RUN, INTERRUPTED, RUNNING = "blessed", "refused", "failed", "interrupted", "running"
GONE = "files gone"
"""Verdict of a run that was blessed, and of which it cannot be shown any more."""
_ACCURACY = "evaluation.min_accuracy"


def runs(settings: RunSettings, workdir: Path, last: int | None = None) -> dict[str, Any]:
    """Return the runs of a pipeline, its rollbacks, and what is served, as JSON values.

    Args:
        settings: The configuration, for the name of the pipeline and its places.
        workdir: Of the runs.
        last: Maximum number of runs; None for all.

    Returns:
        `pipeline`; `served`: `saved_model`, the version that servers take, and `release`, the newest complete one, both
        None if there is none or the place cannot be read; `runs`, the latest first: `run`, `started` (UTC, ISO 8601),
        `verdict`, `by` (ids of the gates that refused the model, or of the nodes that failed), `reasons`, `accuracy`
        (`measured`, `low`, `high`, each 0..1, and `images`; None if it was not measured or its files are gone) and
        `version` (None if nothing was released); `rollbacks`, the latest first: `version`, `created` and `rollback_to`;
        `unmarked`, the versions that were decided and have no marker;
        `uncompletable`, those of them that never get one, because files are lost or altered; `edge`, the folder or URL
        of the bundles.

    Raises:
        ConfigError: No run of this pipeline is recorded here, or the records cannot be read.
    """
    workdir = workdir.resolve()
    store = records(settings, workdir)
    running = is_in_use(workdir)  # before the records are read: a run that ends meanwhile is not called interrupted
    pushed = places.pushed(settings, workdir)
    model, release = _newest(pushed)
    rollbacks, unmarked, lost = _releases(pushed)
    return {
        "pipeline": settings.name,
        "served": {"saved_model": model, "release": release},
        "runs": [
            _run(outcome, running=running and number == 0)
            for number, outcome in enumerate(read_outcomes(store, settings.name, last))
        ],
        "rollbacks": rollbacks,
        "unmarked": unmarked,
        "uncompletable": lost,
        "edge": pushed.of()[marker.EDGE],
    }


def as_text(found: Mapping[str, Any]) -> list[str]:
    """Return the same as lines for a terminal: runs and rollbacks by time, the latest first."""
    served = found["served"]
    rows = [(run["started"] or "", _cells(run, served)) for run in found["runs"]]
    for back in found["rollbacks"]:
        cells = [f"rollback to {back['rollback_to']}", _time(back["created"]), "", "", "", ""]
        rows.append((back["created"], [*cells, _version(back["version"], served)]))
    heads = ["run", "started", "verdict", "accuracy", "95% interval", "images", "version"]
    lines = table([heads, *(cells for _, cells in sorted(rows, key=lambda row: row[0], reverse=True))])
    if served["saved_model"] != served["release"]:
        lines.append(f"SavedModel {served['saved_model']} is served, which is not a complete release")
    for version in found["unmarked"]:
        why = "it is being made, or it was interrupted and the next run will complete it"
        if version in found["uncompletable"]:
            path = marker.path_of(found["edge"], version, intent=True)
            why = f"it was interrupted, and cannot be completed: files of it are lost or altered; remove {path}"
        lines.append(f"release {version} has no marker: {why}")
    return lines


def records(settings: RunSettings, workdir: Path) -> Any:
    """Open the records of a pipeline for reading.

    Raises:
        ConfigError: It has no run here; the remedy names the pipelines that have.
    """
    database = places.metadata_db(settings, workdir)
    if settings.state.metadata is None and not os.path.lexists(database):
        there = sorted(path.parent.name for path in workdir.glob("tfx_metadata/*/metadata.db"))
        _named_instead(f"{database}: no run is recorded here", there)
    store = open_store(connection(settings.state.metadata, database))
    if settings.name not in (there := pipeline_names(store)):
        _named_instead(f"no run of {settings.name} is recorded here", there)
    return store


def _named_instead(cause: str, there: Sequence[str]) -> NoReturn:
    remedy = "run the pipeline first, or name its workdir"
    if there:
        remedy = (
            f"the workdir has runs of {', '.join(there)}: name the configuration of one, or `--set name={there[0]}`"
        )
    raise ConfigError(cause, remedy)


def verdict(outcome: Outcome, *, running: bool = False) -> str:
    """Return how a run ended, in one word.

    Args:
        outcome: The run.
        running: Whether the workdir is in use, and this is its latest run.
    """
    if outcome.blessed:
        return BLESSED
    if FAILED in {outcome.node(node).state for node in outcome.failed}:
        return FAILED_RUN
    if outcome.failed or any(outcome.node(gate).state == NOT_RUN for gate in GATES):
        return RUNNING if running else INTERRUPTED
    return GONE if outcome.refused_by == outcome.lost else REFUSED


def accuracy(outcome: Outcome) -> dict[str, Any] | None:
    """Return `measured`, `low`, `high` and `images` of the accuracy on the test split; None if it is not known."""
    try:
        found = next((gate for gate in gates(outcome) if gate.name == _ACCURACY), None)
    except (Absent, OSError, ValueError, KeyError):
        return None
    if found is None or found.measured is None:
        return None
    return {"measured": found.measured, "low": found.low, "high": found.high, "images": found.images}


def utc(seconds: float) -> str:
    """Return a time since the epoch in UTC, as in ISO 8601."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _run(outcome: Outcome, *, running: bool) -> dict[str, Any]:
    started = min((node.started for node in outcome.nodes), default=None)
    return {
        "run": outcome.run_id,
        "started": utc(started) if started else None,
        "verdict": (said := verdict(outcome, running=running)),
        "by": {REFUSED: outcome.refused_by, FAILED_RUN: outcome.failed}.get(said, []),
        "reasons": outcome.reasons,
        "accuracy": accuracy(outcome),
        "version": version_of(outcome),
    }


def _newest(pushed: Places) -> tuple[int | None, int | None]:
    try:
        return newest(pushed)
    except OSError:
        return None, None


def _releases(pushed: Places) -> tuple[list[dict[str, Any]], list[int], list[int]]:
    """Return the rollbacks, the latest first, the versions without a marker, and those that never get one."""
    try:
        released = marker.released(pushed.edge)
        decided = marker.released(pushed.edge, intent=True)
        lost = uncompletable(pushed) if decided else []
    except OSError:
        return [], [], []
    found = []
    for version in reversed(released):
        try:
            release = marker.read(pushed.edge, version)
        except (OSError, PushError):
            continue
        if release.rollback_to is not None:
            found.append({"version": version, "created": release.created, "rollback_to": release.rollback_to})
    return found, [version for version in decided if version not in released], lost


def _cells(run: Mapping[str, Any], served: Mapping[str, Any]) -> list[str]:
    measured = run["accuracy"] or {}
    known = measured.get("low") is not None and measured.get("high") is not None
    return [
        run["run"],
        _time(run["started"]),
        run["verdict"] + (f" by {', '.join(run['by'])}" if run["verdict"] == REFUSED else ""),
        percent(measured.get("measured")),
        interval((measured["low"], measured["high"])) if known else "–",
        str(measured.get("images") or "–"),
        _version(run["version"], served),
    ]


def _version(version: int | None, served: Mapping[str, Any]) -> str:
    if version is None:
        return "–"
    return f"{version}  served" if version == served["release"] == served["saved_model"] else str(version)


def _time(text: str | None) -> str:
    return text[:16].replace("T", " ") if text else "–"
