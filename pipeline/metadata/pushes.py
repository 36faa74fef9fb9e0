"""Find out whether what a run pushed is what is served, and make a later run push again if it is not.

TFX takes a push from the cache, like anything else, if a configuration is set back to an earlier one. But another
version has been pushed meanwhile, and servers take the newest. So each pusher has a property `after`: a push with
another value is another push. A run takes the value from the push that made the newest version (`reasons_to_push`);
if it turns out that what it pushed, or took from the cache, is not the newest, it runs again with a new value
(`superseded`), and everything but the pushers comes from the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.components.common import names
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import PUSHERS, Outcome
from edgetune.pipeline.metadata.store import describe, open_store

AFTER = "after"
"""Property of both pushers: the version that the push comes after; absent in most."""
PUSHED_TYPES = {names.SAVED_MODEL_PUSHER: "PushedModel", names.EDGE_PUSHER: "edgetune.PushedBundle"}
"""Type of the artifact that a pusher outputs, by pusher."""


def reasons_to_push(config: Any, destinations: Mapping[str, str]) -> dict[str, str]:
    """Return the property `after` of the pushes that made the newest versions, by pusher; of others nothing.

    Args:
        config: A connection from `pipeline.metadata.store`.
        destinations: Folder or URL of versions, by pusher.
    """
    if config.WhichOneof("config") == "sqlite" and not Path(describe(config)).is_file():
        return {}
    store, found = open_store(config), {}
    for pusher, destination in destinations.items():
        try:
            served = filesystem.versions(destination)[-1:]
        except OSError:  # the pusher will say so
            continue
        for artifact in store.get_artifacts_by_type(PUSHED_TYPES[pusher]):
            if [artifact.custom_properties[names.PUSHED_VERSION].string_value] != [str(version) for version in served]:
                continue
            made = [event.execution_id for event in store.get_events_by_artifact_ids([artifact.id])]
            for execution in store.get_executions_by_id(made):
                if after := execution.custom_properties[AFTER].string_value:
                    found[pusher] = after
    return found


def superseded(outcome: Outcome) -> dict[str, str]:
    """Return by pusher the version after which to push again, because what it pushed is not the newest version.

    Args:
        outcome: Of a run that ended without an error.
    """
    found = {}
    for pusher, key in PUSHERS.items():
        artifact = outcome.node(pusher).artifact(key)
        properties = artifact.custom_properties if artifact else {}
        if properties.get(names.PUSHED) != 1:
            continue
        pushed, version = str(properties[names.PUSHED_DESTINATION]), str(properties[names.PUSHED_VERSION])
        try:
            versions = filesystem.versions(pushed.rstrip("/").rpartition("/")[0])
        except OSError:  # the report and the last lines then name no version that is served
            continue
        if versions[-1:] != [int(version)]:
            found[pusher] = str(max([*versions, int(version)]))
    return found
