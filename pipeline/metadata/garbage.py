"""Which folders of artifacts no later run needs.

Kept are the artifacts of the newest runs, which are also what a later run takes from the cache; those of the served
versions and of the last blessed model, with all from which they were made; and, for comparisons with later models, the
evaluations of all models that were blessed lately.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetune.components.common import names
from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.metadata.releases import PUSHED_TYPES
from edgetune.pipeline.metadata.store import describe, open_store

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

_BLESSING_TYPE, _EXAMPLES_TYPE, _STATISTICS_TYPE = "ModelBlessing", "Examples", "ExampleStatistics"
_MODEL_TYPE = "Model"
_COMPARED = {names.EARLIER_KEY, names.BASELINE_STATISTICS_KEY}
"""Input keys of earlier models and data, which a gate compares with."""
_DAY = 24 * 60 * 60 * 1000
"""Milliseconds."""


@dataclass(frozen=True)
class Garbage:
    """What can be removed of a pipeline's records."""

    folders: Mapping[int, str]
    """Folder or URL by artifact."""
    runs: frozenset[str]
    """Ids of the runs whose reports are kept."""


class _Records:
    """Artifacts, executions and events of a store, read once."""

    def __init__(self, config: ConnectionConfig) -> None:
        from ml_metadata.proto import metadata_store_pb2 as pb

        self.store = open_store(config)
        kinds = {kind.id: kind.name for kind in self.store.get_artifact_types()}
        self.artifacts = {one.id: one for one in sorted(self.store.get_artifacts(), key=lambda one: one.id)}
        self.types = {number: kinds[artifact.type_id] for number, artifact in self.artifacts.items()}
        self.inputs: dict[int, set[int]] = {}
        self.made_of: dict[int, set[int]] = {}
        """Inputs of each execution, without what it only compared with: each model with the one before, back to the
        first."""
        self.outputs: dict[int, set[int]] = {}
        self.makers: dict[int, set[int]] = {number: set() for number in self.artifacts}
        events = self.store.get_events_by_artifact_ids(list(self.artifacts)) if self.artifacts else []
        for event in events:
            if event.type in (pb.Event.OUTPUT, pb.Event.DECLARED_OUTPUT):
                self.outputs.setdefault(event.execution_id, set()).add(event.artifact_id)
                self.makers[event.artifact_id].add(event.execution_id)
            elif event.type in (pb.Event.INPUT, pb.Event.DECLARED_INPUT):
                self.inputs.setdefault(event.execution_id, set()).add(event.artifact_id)
                if not _COMPARED & {step.key for step in event.path.steps}:
                    self.made_of.setdefault(event.execution_id, set()).add(event.artifact_id)

    def text(self, artifact: int, name: str) -> str:
        return str(self.artifacts[artifact].custom_properties[name].string_value)

    def number(self, artifact: int, name: str) -> int:
        return int(self.artifacts[artifact].custom_properties[name].int_value)

    def newest_model(self, pushed: int) -> int:
        """Return the highest id of a model that was released as an artifact; 0 if none is recorded."""
        used = {one for execution in self.makers[pushed] for one in self.inputs.get(execution, ())}
        return max((one for one in used if self.types[one] == _MODEL_TYPE), default=0)

    def lineage(self, artifacts: Iterable[int]) -> set[int]:
        """Return artifacts, and all that they were made from."""
        found: set[int] = set()
        waiting = set(artifacts)
        while waiting:
            found |= waiting
            made_by = {execution for artifact in waiting for execution in self.makers[artifact]}
            waiting = {artifact for execution in made_by for artifact in self.made_of.get(execution, ())} - found
        return found

    def with_siblings(self, artifacts: set[int]) -> set[int]:
        """Return artifacts, all that was made together with them, and statistics of the examples among them."""
        made_by = {execution for artifact in artifacts for execution in self.makers[artifact]}
        made = {artifact for execution in made_by for artifact in self.outputs.get(execution, ())}
        examples = {artifact for artifact in artifacts if self.types[artifact] == _EXAMPLES_TYPE}
        statistics = {
            artifact
            for artifact, kind in self.types.items()
            if kind == _STATISTICS_TYPE
            and any(examples & self.inputs.get(execution, set()) for execution in self.makers[artifact])
        }
        return artifacts | made | statistics


def find(config: ConnectionConfig, name: str, keep: int, days: int, served: Iterable[str]) -> Garbage:
    """Return what can be removed.

    Args:
        config: A connection.
        name: Name of the pipeline.
        keep: Number of newest runs of which everything is kept; at least 1.
        days: Evaluations of models that were blessed in so many days before the newest one are kept.
        served: Folders or URLs of the versions that are served.
    """
    from ml_metadata.proto import metadata_store_pb2 as pb

    records = _Records(config)
    runs = [run for run in records.store.get_contexts_by_type("pipeline_run") if _is_of(records.store, run, name)]
    runs.sort(key=lambda run: run.id)
    of_run = {run.name: _executions(records.store, run) for run in runs}
    newest = {number for run in runs[-keep:] for number in of_run[run.name]}
    blessings = sorted(
        number
        for number, kind in records.types.items()
        if kind == _BLESSING_TYPE and records.number(number, names.BLESSED) == 1
    )
    places, roots = set(served), set(blessings[-1:])
    for kind in PUSHED_TYPES:
        pushed = [number for number, of in records.types.items() if of == kind and records.number(number, names.PUSHED)]
        # The last one also if it was delivered elsewhere.
        roots |= {number for number in pushed if records.text(number, names.PUSHED_DESTINATION) in places}
        roots |= set(pushed[-1:])
        # Later models are compared with the newest model that was released, also if a rollback replaced it.
        roots |= set(sorted(pushed, key=records.newest_model)[-1:])
    kept = records.with_siblings(records.lineage(roots))
    for execution in newest:
        kept |= records.outputs.get(execution, set()) | records.inputs.get(execution, set())
    # Of what later runs took from the cache, the run that made it.
    makers = {min(records.makers[artifact]) for artifact in kept if records.makers[artifact]} | newest
    if blessings:
        since = records.artifacts[blessings[-1]].create_time_since_epoch - days * _DAY
        recent = [number for number in blessings if records.artifacts[number].create_time_since_epoch >= since]
        evaluations = {records.text(number, names.EVALUATION_URI) for number in recent}
        kept |= {*recent, *(number for number, artifact in records.artifacts.items() if artifact.uri in evaluations)}
    uris = {records.artifacts[number].uri for number in kept}
    folders = {
        number: artifact.uri
        for number, artifact in sorted(records.artifacts.items())
        if number not in kept
        and artifact.uri not in uris
        and artifact.state != pb.Artifact.DELETED
        and any(_is_made_by(artifact.uri, name, execution) for execution in records.makers[number])
    }
    return Garbage(folders, frozenset(run for run, executions in of_run.items() if executions & makers))


def check_newest(config: ConnectionConfig, released: Sequence[int]) -> None:
    """Check that the records have the newest release: others would say what is garbage.

    Args:
        config: A connection.
        released: Its version; empty if there is none.

    Raises:
        ConfigError: They do not: they are an older copy, or runs keep their records elsewhere now.
    """
    pushed = open_store(config).get_artifacts_by_type(PUSHED_TYPES[0])
    recorded = {artifact.custom_properties[names.PUSHED_VERSION].string_value for artifact in pushed}
    if missing := [version for version in released if str(version) not in recorded]:
        raise ConfigError(
            f"{describe(config)}: does not have the newest release, {missing[0]}: a run was killed before it recorded "
            "it, or runs keep their records elsewhere now",
            "run the pipeline again, which records it; if state.metadata names a server, do not use `edgetune gc`",
        )


def record_doomed(config: ConnectionConfig, artifact: int) -> None:
    """Record that the folder of an artifact is about to be removed: no later run is given it."""
    from ml_metadata.proto import metadata_store_pb2 as pb

    _record_state(config, artifact, pb.Artifact.MARKED_FOR_DELETION)


def record_removed(config: ConnectionConfig, artifact: int) -> None:
    """Record that the folder of an artifact is gone: no later run is given it."""
    from ml_metadata.proto import metadata_store_pb2 as pb

    _record_state(config, artifact, pb.Artifact.DELETED)


def _record_state(config: ConnectionConfig, artifact: int, state: int) -> None:
    from ml_metadata import metadata_store

    store = metadata_store.MetadataStore(config)
    [found] = store.get_artifacts_by_id([artifact])
    found.state = state
    store.put_artifacts([found])


def _is_of(store: Any, run: Any, name: str) -> bool:
    return any(parent.name == name for parent in store.get_parent_contexts_by_context(run.id))


def _executions(store: Any, run: Any) -> set[int]:
    return {execution.id for execution in store.get_executions_by_context(run.id)}


def _is_made_by(uri: str, name: str, execution: int) -> bool:
    """Return whether a folder is where TFX puts an output of this execution: `<root>/<name>/<node>/<key>/<number>`."""
    return bool(re.search(rf"/{re.escape(name)}/[^/]+/[^/]+/{execution}$", uri.rstrip("/")))
