"""Write runs into ML Metadata in TFX's format, without running any component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

Made = tuple[str, str, dict[str, Any]]
"""Type name, URI, custom properties."""


class Recorder:
    """Recorder of one pipeline's runs in one sqlite file."""

    def __init__(self, metadata_db: Path, pipeline: str) -> None:
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(metadata_db)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        self.pipeline_name = pipeline
        self.pipeline = self._context("pipeline", pipeline)
        self.artifacts: dict[tuple[str, str], list[pb.Artifact]] = {}

    def run(self, run_id: str) -> None:
        """Begin a run, to which the following nodes belong."""
        self.current = self._context("pipeline_run", run_id)
        self.store.put_parent_contexts([pb.ParentContext(child_id=self.current.id, parent_id=self.pipeline.id)])

    def node(
        self,
        node_id: str,
        state: str = "COMPLETE",
        outputs: Mapping[str, Made] | None = None,
        properties: Mapping[str, Any] | None = None,
        inputs: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Record an execution, RUNNING first as TFX does. A cached one outputs the earlier artifacts.

        Args:
            node_id: Id of the node.
            state: State in which it ends.
            outputs: Artifacts by output key.
            properties: Execution properties.
            inputs: Nodes and their output keys, of which the latest artifacts are inputs.

        Returns:
            The id of the execution.
        """
        kind = self.store.put_execution_type(pb.ExecutionType(name=f"edgetune.components.{node_id}"))
        execution = pb.Execution(type_id=kind, last_known_state=pb.Execution.RUNNING)
        for key, value in (properties or {}).items():
            _set(execution.custom_properties[key], value)
        node = self._context("node", f"{self.pipeline_name}.{node_id}")
        contexts = [self.pipeline, self.current, node]
        execution.id, _, _ = self.store.put_execution(execution, [], contexts)
        execution.last_known_state = pb.Execution.State.Value(state)
        pairs = []
        for key, made in (outputs or {}).items():
            artifact = self._artifact(made)
            pairs.append((artifact, _event(execution.id, key)))
            self.artifacts[node_id, key] = [artifact]
        if state == "CACHED":
            for (owner, key), artifacts in self.artifacts.items():
                pairs += [
                    (artifact, _event(execution.id, key, artifact.id)) for artifact in artifacts if owner == node_id
                ]
        for source in inputs:
            for artifact in self.artifacts[source]:
                pairs.append(
                    (artifact, pb.Event(type=pb.Event.INPUT, execution_id=execution.id, artifact_id=artifact.id))
                )
        _, ids, _ = self.store.put_execution(execution, pairs, contexts)
        for (artifact, _), identifier in zip(pairs, ids, strict=True):
            artifact.id = identifier
        return execution.id

    def _artifact(self, made: Made) -> pb.Artifact:
        name, uri, custom = made
        kind = self.store.put_artifact_type(pb.ArtifactType(name=name))
        artifact = pb.Artifact(type_id=kind, uri=uri, state=pb.Artifact.LIVE)
        for key, value in custom.items():
            _set(artifact.custom_properties[key], value)
        return artifact

    def _context(self, type_name: str, name: str) -> pb.Context:
        kind = self.store.put_context_type(pb.ContextType(name=type_name))
        existing = self.store.get_context_by_type_and_name(type_name, name)
        if existing is not None:
            return existing
        context = pb.Context(type_id=kind, name=name)
        [context.id] = self.store.put_contexts([context])
        return context


def _event(execution: int, key: str, artifact: int | None = None) -> pb.Event:
    event = pb.Event(type=pb.Event.OUTPUT, execution_id=execution, artifact_id=artifact)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def _set(target: pb.Value, value: Any) -> None:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    setattr(target, kinds[type(value)], value)
