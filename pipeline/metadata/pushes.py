"""Find out whether what a run released is what is served, and make a later run release again if it is not.

TFX takes a release from the cache, like anything else, if a configuration is set back to an earlier one. But another
version has been released meanwhile, and servers take the newest. So ReleasePusher has a property `after`: with another
value it is another release. A run takes the value from the release that made the newest version (`reason_to_push`); if
it turns out that what it released, or took from the cache, is not the newest, it runs again with a new value
(`superseded`), and everything but ReleasePusher comes from the cache.

A rollback is meant to last: it is not superseded by a run that has nothing new.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetune.components.common import names
from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, newest
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import DELIVERIES, Outcome
from edgetune.pipeline.metadata.releases import is_of
from edgetune.pipeline.metadata.store import describe, open_store

_PUSHED_MODEL = "PushedModel"


def reason_to_push(config: Any, pipeline_name: str, places: Places) -> str | None:
    """Return the property `after` of the execution that made the newest version, rollbacks aside; None if it has none.

    Args:
        config: A connection from `pipeline.metadata.store`.
        pipeline_name: Name of the pipeline. Others in the store may release in the same second, elsewhere.
        places: Folders or URLs of versions.
    """
    if config.WhichOneof("config") == "sqlite" and not Path(describe(config)).is_file():
        return None
    try:
        made_by_runs = (
            version for version in reversed(marker.released(places.edge)) if not is_rollback(places, version)
        )
        served = next(made_by_runs, None)
    except OSError:  # ReleasePusher will say so
        return None
    store = open_store(config)
    for artifact in store.get_artifacts_by_type(_PUSHED_MODEL):
        version = artifact.custom_properties[names.PUSHED_VERSION].string_value
        if version == str(served) and is_of(store, artifact, pipeline_name):
            made = [event.execution_id for event in store.get_events_by_artifact_ids([artifact.id])]
            for execution in store.get_executions_by_id(made):
                if after := execution.custom_properties[names.AFTER].string_value:
                    return str(after)
    return None


def superseded(outcome: Outcome) -> str | None:
    """Return the version after which to release again, because what the run released is not what is served.

    It is None if that is served, if a rollback to another version is served, or if nobody can tell. Files of a rollback
    that are gone are replaced by those of the run.

    Args:
        outcome: Of a run that ended without an error.
    """
    places, version = places_of(outcome), version_of(outcome)
    if places is None or version is None:
        return None
    try:
        model, release = newest(places)
        bundles = filesystem.versions(places.edge)
        # A rollback of which anything is gone serves nobody.
        if model == release and release in bundles and (release == version or is_rollback(places, release)):
            return None
    except OSError:  # the report and the last lines then name no version that is served
        return None
    return str(max(model or 0, release or 0, version, *bundles))


def places_of(outcome: Outcome) -> Places | None:
    """Return the folders or URLs of versions that a run released to; None if ReleasePusher did not run."""
    properties = outcome.node(names.RELEASE_PUSHER).properties
    edge, saved_model = (properties.get(key) for key in (names.EDGE_DESTINATION, names.SAVED_MODEL_DESTINATION))
    return Places(str(edge), str(saved_model)) if edge and saved_model else None


def version_of(outcome: Outcome) -> int | None:
    """Return the version that a run released, also if it is from the cache; None if it released none."""
    for key in DELIVERIES:
        artifact = outcome.node(names.RELEASE_PUSHER).artifact(key)
        properties = artifact.custom_properties if artifact else {}
        version = str(properties.get(names.PUSHED_VERSION, ""))
        if properties.get(names.PUSHED) == 1 and version.isdecimal():
            return int(version)
    return None


def is_rollback(places: Places, version: int) -> bool:
    """Return whether a version is a rollback, as its marker says.

    Raises:
        OSError: The marker cannot be read.
    """
    try:
        return marker.read(places.edge, version).rollback_to is not None
    except PushError:
        return False
