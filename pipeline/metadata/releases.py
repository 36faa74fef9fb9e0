"""Releases in ML Metadata: find the record of a version, and record what only its marker knows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.components.common import names
from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.marker import EDGE, SAVED_MODEL, Release
from edgetune.modules.release.release import Places
from edgetune.modules.storage.digests import digest_of
from edgetune.pipeline.metadata.store import describe, open_store

RECOVERY = "Recovery"
"""Node of executions that record a release that was interrupted before ML Metadata heard of it."""
BLESSINGS = {
    names.MODEL_BLESSING: names.EVALUATOR,
    names.INFRA_BLESSING: names.INFRA_VALIDATOR,
    names.EDGE_BLESSING: names.EDGE_EVALUATOR,
}
"""Gate by input key of ReleasePusher."""
_OUTPUTS = {
    SAVED_MODEL: (names.PUSHED_MODEL_KEY, "PushedModel"),
    EDGE: (names.PUSHED_BUNDLE_KEY, "edgetune.PushedBundle"),
}
"""Output key and type of the record of each model."""
PUSHED_TYPES = tuple(kind for _, kind in _OUTPUTS.values())
"""Types of the artifacts that a release outputs."""
_MAX_ID = 2**63
_NEWEST = 20
"""Number of markers that are looked up in every run."""


@dataclass(frozen=True)
class Record:
    """A released version as ML Metadata has it."""

    version: int
    execution: int
    """Id of the execution that released it."""
    digests: Mapping[str, str]
    """`digest_of` all files as they were delivered, by model; empty if it is not recorded."""
    inputs: Mapping[str, int]
    """Ids of what was released, by input key."""


def find(store: Any, pipeline_name: str, version: int) -> Record | None:
    """Return the record of a version; None if there is none.

    Args:
        store: Of ML Metadata.
        pipeline_name: Name of the pipeline that released it.
        version: Its number.
    """
    from ml_metadata.proto import metadata_store_pb2 as pb

    for artifact in store.get_artifacts_by_type(_OUTPUTS[SAVED_MODEL][1]):
        if _version(artifact) != version or not is_of(store, artifact, pipeline_name):
            continue
        events = store.get_events_by_artifact_ids([artifact.id])
        made = [event.execution_id for event in events if event.type == pb.Event.OUTPUT]
        if not made:
            continue
        events = store.get_events_by_execution_ids([min(made)])
        inputs = {_key(event): event.artifact_id for event in events if event.type == pb.Event.INPUT}
        outputs = {_key(event): event.artifact_id for event in events if event.type == pb.Event.OUTPUT}
        found = {each.id: each for each in store.get_artifacts_by_id(list(outputs.values()))}
        digests = {
            name: found[outputs[key]].custom_properties[names.PUSHED_SHA256].string_value
            for name, (key, _) in _OUTPUTS.items()
            if key in outputs
        }
        return Record(version, min(made), digests, inputs)
    return None


def not_blessed(store: Any, inputs: Mapping[str, Any], release: Release) -> str | None:
    """Return why a release is not what all gates blessed, in one sentence; None if it is.

    Args:
        store: Of ML Metadata.
        inputs: Ids of artifacts by input key of ReleasePusher, with the blessings.
        release: Its marker.
    """
    unsigned = {name: digest for name, digest in release.saved_model.files.items() if name != SIGNATURE}
    for key, gate in BLESSINGS.items():
        known = _known({key: inputs.get(key, "")})
        found = store.get_artifacts_by_id([known[key]]) if known else []
        if not found or found[0].custom_properties[names.BLESSED].int_value != 1:
            return f"there is no blessing of the {gate}"
        if found[0].custom_properties[names.SAVED_MODEL_SHA256].string_value != digest_of(unsigned):
            return f"its SavedModel is not the one that the {gate} measured"
    return None


def record(
    config: Any, pipeline_name: str, release: Release, inputs: Mapping[str, Any], places: Places, node_id: str
) -> None:
    """Record a release: one execution with both models, in one transaction.

    Args:
        config: A connection from `pipeline.metadata.store`.
        pipeline_name: Name of the pipeline, which has run before.
        release: Its marker.
        inputs: Ids of what was released, by input key.
        places: Folders or URLs of versions.
        node_id: `names.ROLLBACK`, or `RECOVERY`.
    """
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    store = metadata_store.MetadataStore(config)
    kind = store.put_execution_type(pb.ExecutionType(name=f"edgetune.{node_id}"))
    execution = pb.Execution(type_id=kind, last_known_state=pb.Execution.COMPLETE)
    properties = {names.EDGE_DESTINATION: places.edge, names.SAVED_MODEL_DESTINATION: places.saved_model}
    for key, value in properties.items():
        execution.custom_properties[key].string_value = value
    pairs = []
    known = _known(inputs)
    for artifact in store.get_artifacts_by_id(list(known.values())):
        key = next(key for key, identifier in known.items() if identifier == artifact.id)
        pairs.append((artifact, _event(pb.Event.INPUT, key, artifact.id)))
    for name, (key, type_name) in _OUTPUTS.items():
        part, made = release.parts()[name], pb.Artifact(state=pb.Artifact.LIVE)
        made.type_id = store.put_artifact_type(
            pb.ArtifactType(name=type_name), can_add_fields=True, can_omit_fields=True
        )
        made.custom_properties[names.PUSHED].int_value = 1
        if release.rollback_to is not None:
            made.custom_properties[names.ROLLBACK_TO].string_value = str(release.rollback_to)
        for custom, text in (
            (names.PUSHED_VERSION, str(release.version)),
            (names.PUSHED_DESTINATION, part.path),
            (names.PUSHED_SHA256, digest_of(part.files)),
        ):
            made.custom_properties[custom].string_value = text
        pairs.append((made, _event(pb.Event.OUTPUT, key)))
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    node = pb.Context(
        type_id=store.put_context_type(pb.ContextType(name="node"), can_add_fields=True, can_omit_fields=True),
        name=f"{pipeline_name}.{node_id}",
    )
    store.put_execution(execution, pairs, [pipeline, node], reuse_context_if_already_exist=True)


def record_missing(config: Any, pipeline_name: str, places: Places) -> list[int]:
    """Record releases of this pipeline that have a marker and no record, because something ended between the two.

    A release whose blessings these records do not have is left: it is of another workdir.

    Returns:
        The versions that were recorded.
    """
    if config.WhichOneof("config") == "sqlite" and not Path(describe(config)).is_file():
        return []
    try:
        released = marker.released(places.edge)[-_NEWEST:]
    except OSError:  # whoever pushes there next says so
        return []
    store, done = open_store(config), []
    artifacts = [one for one in store.get_artifacts_by_type(_OUTPUTS[SAVED_MODEL][1]) if _version(one) in released]
    # Two pipelines of one server may release at once, under one number in two places.
    recorded = {_version(artifact) for artifact in artifacts if is_of(store, artifact, pipeline_name)}
    for version in released:
        if version in recorded:
            continue
        try:
            found = marker.read(places.edge, version)
        except (OSError, PushError) as error:
            logging.warning("%s", error)
            continue
        if found.pipeline != pipeline_name or not_blessed(store, found.inputs, found):
            continue
        node_id = RECOVERY if found.rollback_to is None else names.ROLLBACK
        record(config, pipeline_name, found, found.inputs, places, node_id)
        done.append(version)
    return done


def _known(inputs: Mapping[str, Any]) -> dict[str, int]:
    """Return the ids that ML Metadata can have; on platforms, they are texts, or larger."""
    ids = {key: str(identifier) for key, identifier in inputs.items()}
    numbers = {key: int(text) for key, text in ids.items() if text.isascii() and text.isdecimal()}
    return {key: number for key, number in numbers.items() if number < _MAX_ID}


def _version(artifact: Any) -> int | None:
    """Return the version that an artifact records as pushed; None if it records none."""
    version = artifact.custom_properties[names.PUSHED_VERSION].string_value
    pushed = artifact.custom_properties[names.PUSHED].int_value == 1
    return int(version) if pushed and version.isdecimal() else None


def is_of(store: Any, artifact: Any, pipeline_name: str) -> bool:
    """Return whether a pipeline has output or used an artifact."""
    contexts = store.get_contexts_by_artifact(artifact.id)
    return any((context.type, context.name) == ("pipeline", pipeline_name) for context in contexts)


def _key(event: Any) -> str:
    return next((step.key for step in event.path.steps if step.HasField("key")), "")


def _event(kind: Any, key: str, artifact: int | None = None) -> Any:
    from ml_metadata.proto import metadata_store_pb2 as pb

    event = pb.Event(type=kind, artifact_id=artifact)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event
