"""Read the outcome of a run from ML Metadata: state, duration and artifacts of every node, and the verdict.

TFX records every execution in three contexts: `pipeline` (the pipeline's name), `pipeline_run` (the run's id, a child
of the pipeline) and `node` (`<pipeline>.<node id>`). A cache hit is a separate execution whose output events refer to
the artifacts of the earlier one. Only plain getters of the store are used, since MLMD 1.21 has no filter queries.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.components.common import names
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.store import connection, describe, open_store

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

# Output key of the blessing, by gate.
GATES = dict.fromkeys((names.EVALUATOR, names.INFRA_VALIDATOR, names.EDGE_EVALUATOR), names.BLESSING_KEY)
# Outputs of ReleasePusher, one for each model.
DELIVERIES = (names.PUSHED_MODEL_KEY, names.PUSHED_BUNDLE_KEY)

_PIPELINE = "pipeline"
"""Type of the context of a pipeline."""
COMPLETE, CACHED, FAILED, NOT_RUN = "COMPLETE", "CACHED", "FAILED", "NOT_RUN"


@dataclass(frozen=True)
class Artifact:
    """An artifact as ML Metadata records it."""

    id: int
    type: str
    """Type name, such as `Model`."""
    uri: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    custom_properties: Mapping[str, Any] = field(default_factory=dict)
    removed: bool = False
    """Whether its folder was removed because no run needed it."""


@dataclass(frozen=True)
class Node:
    """A node in a run."""

    id: str
    state: str = NOT_RUN
    """Name of the state in ML Metadata (`COMPLETE`, `CACHED`, `FAILED`, `RUNNING`, ...), or `NOT_RUN`."""
    seconds: float = 0.0
    """Time from the registration of the execution to its last change."""
    computed_seconds: float = 0.0
    """The same for the execution that made the artifacts, which is an earlier one after a cache hit."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Execution properties."""
    outputs: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    """Artifacts by output key."""
    started: float = 0.0
    """Start time in seconds since the epoch."""
    after: tuple[str, ...] = ()
    """Ids of the nodes of the run whose outputs it read."""

    @property
    def succeeded(self) -> bool:
        return self.state in (COMPLETE, CACHED)

    def artifact(self, key: str) -> Artifact | None:
        """Return the first artifact under an output key, or None."""
        return next(iter(self.outputs.get(key, ())), None)


@dataclass(frozen=True)
class Outcome:
    """A run with its nodes."""

    pipeline_name: str
    run_id: str
    nodes: tuple[Node, ...]
    """Nodes that ran, in the order in which they started."""

    def node(self, node_id: str) -> Node:
        """Return the node of this id; if it did not run, its state is `NOT_RUN` and it has no artifacts."""
        return next((node for node in self.nodes if node.id == node_id), Node(node_id))

    @property
    def failed(self) -> list[str]:
        """Ids of the nodes that started and did not succeed."""
        return [node.id for node in self.nodes if not node.succeeded]

    @property
    def blessed(self) -> bool:
        """Whether every gate ran and blessed its model, and no node failed."""
        return not self.failed and all(self._gate_blessed(gate) for gate in GATES)

    @property
    def refused_by(self) -> list[str]:
        """Ids of the gates that ran and did not bless the model."""
        return [gate for gate in GATES if self.node(gate).succeeded and not self._gate_blessed(gate)]

    @property
    def lost(self) -> list[str]:
        """Ids of the gates that blessed the model, by the records, and whose files are gone."""
        return [
            gate
            for gate in self.refused_by
            if self._is_recorded(gate)
            and any(not filesystem.exists(one.uri) for kept in self.node(gate).outputs.values() for one in kept)
        ]

    @property
    def reasons(self) -> list[str]:
        """Reasons why the run is not blessed, one sentence each; empty if it is."""
        if self.blessed:
            return []
        reasons = [
            f"{node} {'failed' if self.node(node).state == FAILED else 'did not finish'}" for node in self.failed
        ]
        for gate, why in _REASONS.items():
            node = self.node(gate)
            if node.succeeded and not self._gate_blessed(gate):
                reasons += why(node) or [f"{gate} gave no blessing"]
        # Gates that did not run are only named if nothing else explains it.
        return reasons or [f"{gate} did not run" for gate in GATES if self.node(gate).state == NOT_RUN]

    @property
    def pushed(self) -> list[str]:
        """Folders or URLs to which this run delivered its models."""
        artifacts = [self.node(names.RELEASE_PUSHER).artifact(key) for key in DELIVERIES]
        return [
            str(artifact.custom_properties[names.PUSHED_DESTINATION])
            for artifact in artifacts
            if artifact is not None
            and artifact.custom_properties.get(names.PUSHED) == 1
            and artifact.custom_properties.get(names.PUSHED_DESTINATION)
        ]

    def _gate_blessed(self, gate: str) -> bool:
        # What was judged must be there to be shown, and say the same.
        shown = gate == names.EDGE_EVALUATOR or not _REASONS[gate](self.node(gate))
        return self._is_recorded(gate) and shown

    def _is_recorded(self, gate: str) -> bool:
        artifact = self.node(gate).artifact(GATES[gate])
        return artifact is not None and artifact.custom_properties.get(names.BLESSED) == 1


def read_outcome(metadata: Path | ConnectionConfig, pipeline_name: str, run_id: str | None = None) -> Outcome:
    """Read a run from ML Metadata.

    Args:
        metadata: Its sqlite file, which is only read, or a connection from `pipeline.metadata.store`.
        pipeline_name: Name of the pipeline.
        run_id: Id of the run; by default the latest.

    Raises:
        ConfigError: The database does not exist, or does not hold the run.
    """
    config = connection(None, metadata) if isinstance(metadata, Path) else metadata
    store = open_store(config)
    runs = [run for run in _runs(store, pipeline_name) if run_id in (None, run.name)]
    if not runs:
        what = f"run {run_id} of pipeline {pipeline_name}" if run_id else f"run of pipeline {pipeline_name}"
        raise ConfigError(f"{describe(config)} holds no {what}", "check the name, or run the pipeline first")
    return _outcome(store, pipeline_name, runs[-1])


def read_outcomes(store: Any, pipeline_name: str, last: int | None = None) -> list[Outcome]:
    """Return the runs of a pipeline, the latest first.

    Args:
        store: Of ML Metadata.
        pipeline_name: Name of the pipeline.
        last: Maximum number of runs; None for all.
    """
    runs = _runs(store, pipeline_name)
    return [_outcome(store, pipeline_name, run) for run in reversed(runs[-last:] if last else runs)]


def pipeline_names(store: Any) -> list[str]:
    """Return the names of all pipelines that ML Metadata has, sorted."""
    return sorted(str(pipeline.name) for pipeline in store.get_contexts_by_type(_PIPELINE))


def last_run(config: ConnectionConfig, pipeline_name: str) -> str | None:
    """Return the id of the latest run of a pipeline, or None."""
    if config.WhichOneof("config") == "sqlite" and not Path(describe(config)).is_file():
        return None
    runs = _runs(open_store(config), pipeline_name)
    return str(runs[-1].name) if runs else None


def _runs(store: Any, pipeline_name: str) -> list[Any]:
    """Return the contexts of a pipeline's runs, the latest last."""
    from ml_metadata import errors

    try:
        pipeline = store.get_context_by_type_and_name(_PIPELINE, pipeline_name)
    except errors.NotFoundError:  # the type is not registered yet: no pipeline ever ran
        pipeline = None
    runs = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    return sorted((run for run in runs if run.type == "pipeline_run"), key=lambda run: int(run.id))


def _outcome(store: Any, pipeline_name: str, run: Any) -> Outcome:
    return Outcome(pipeline_name, run.name, _read_nodes(store, store.get_executions_by_context(run.id), pipeline_name))


def _read_nodes(store: Any, executions: Iterable[Any], pipeline_name: str) -> tuple[Node, ...]:
    from ml_metadata.proto import metadata_store_pb2 as pb

    executions = {execution.id: execution for execution in sorted(executions, key=lambda execution: execution.id)}
    output = (pb.Event.OUTPUT, pb.Event.DECLARED_OUTPUT)
    every = store.get_events_by_execution_ids(list(executions))
    events = [event for event in every if event.type in output]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id({e.artifact_id for e in events})}
    types = {kind.id: kind.name for kind in store.get_artifact_types()}
    makers = _makers(store, list(artifacts))
    nodes: dict[str, Node] = {}
    named = {execution.id: _node_id(store, execution, pipeline_name) for execution in executions.values()}
    owners = {event.artifact_id: named[event.execution_id] for event in events}
    reads: dict[int, dict[str, None]] = defaultdict(dict)
    for event in every:
        if event.type not in output and event.artifact_id in owners:
            reads[event.execution_id][owners[event.artifact_id]] = None
    for execution in executions.values():
        outputs: dict[str, list[tuple[int, Artifact]]] = defaultdict(list)
        own = [event for event in events if event.execution_id == execution.id]
        for event in own:
            made = artifacts[event.artifact_id]
            key = next(step.key for step in event.path.steps if step.HasField("key"))
            index = next((step.index for step in event.path.steps if step.HasField("index")), 0)
            record = Artifact(
                made.id,
                types[made.type_id],
                made.uri,
                _values(made.properties),
                _values(made.custom_properties),
                removed=made.state in (pb.Artifact.MARKED_FOR_DELETION, pb.Artifact.DELETED),
            )
            outputs[key].append((index, record))
        name = named[execution.id]
        maker = next((makers[event.artifact_id] for event in own if event.artifact_id in makers), execution)
        # If a node was retried in the same run, its last execution counts; its position is that of the first.
        nodes[name] = Node(
            id=name,
            state=pb.Execution.State.Name(execution.last_known_state),
            seconds=_seconds(execution),
            computed_seconds=_seconds(maker),
            properties=_values(execution.properties) | _values(execution.custom_properties),
            outputs={key: tuple(item for _, item in sorted(v, key=lambda p: p[0])) for key, v in outputs.items()},
            started=execution.create_time_since_epoch / 1000,
            after=tuple(reads[execution.id]),
        )
    return tuple(nodes.values())


def _makers(store: Any, artifact_ids: list[int]) -> dict[int, Any]:
    """Return the execution that first output each artifact."""
    from ml_metadata.proto import metadata_store_pb2 as pb

    first: dict[int, int] = {}
    for event in store.get_events_by_artifact_ids(artifact_ids) if artifact_ids else []:
        if event.type == pb.Event.OUTPUT:
            first[event.artifact_id] = min(event.execution_id, first.get(event.artifact_id, event.execution_id))
    executions = {e.id: e for e in store.get_executions_by_id(set(first.values()))} if first else {}
    return {artifact: executions[execution] for artifact, execution in first.items()}


def _node_id(store: Any, execution: Any, pipeline_name: str) -> str:
    names = [context.name for context in store.get_contexts_by_execution(execution.id) if context.type == "node"]
    return str(names[0]).removeprefix(f"{pipeline_name}.") if names else f"execution {execution.id}"


def _seconds(execution: Any) -> float:
    return float(execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values, without TFX's internal keys; lists, which TFX stores as JSON, stay strings."""
    return {
        key: getattr(value, value.WhichOneof("value"))
        for key, value in properties.items()
        if not key.startswith("__") and value.WhichOneof("value")
    }


def _model_reasons(evaluator: Node) -> list[str]:
    return _refused_gates(evaluator, names.EVALUATION_KEY)


def _infra_reasons(validator: Node) -> list[str]:
    return _refused_gates(validator, names.BLESSING_KEY)


def _refused_gates(node: Node, key: str) -> list[str]:
    """Return the gates in an output that were not passed, or why there are none, in sentences."""
    from edgetune.modules.evaluation.gates import read_gates, refused

    artifact = node.artifact(key)
    if artifact is None:
        return [f"{node.id} wrote no {key}"]
    if artifact.removed:  # of an old run, whose verdict the blessing has
        return []
    try:
        return [gate.sentence() for gate in refused(read_gates(artifact.uri))]
    except DataError as error:
        return [error.cause]


def _edge_reasons(evaluator: Node) -> list[str]:
    evaluation = evaluator.artifact(names.EVALUATION_KEY)
    metrics = f"{evaluation.uri}/metrics.json" if evaluation else ""
    if not filesystem.exists(metrics):
        return []
    report = json.loads(filesystem.read(metrics))
    refused = {name: variant for name, variant in report.get("variants", {}).items() if not variant.get("blessed")}
    by_variant = [f"edge variant {name}: {'; '.join(v.get('reasons', [])) or 'refused'}" for name, v in refused.items()]
    return list(report.get("reasons", [])) or by_variant


_REASONS: dict[str, Callable[[Node], list[str]]] = {
    names.EVALUATOR: _model_reasons,
    names.INFRA_VALIDATOR: _infra_reasons,
    names.EDGE_EVALUATOR: _edge_reasons,
}
