"""Find the baseline of a new model, and the baseline of new data."""

from __future__ import annotations

from collections.abc import Mapping

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Event
from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import standard_artifacts

CANDIDATE_KEY, MODEL_KEY, BLESSING_KEY = "candidate", "model", "model_blessing"
STATISTICS_KEY = "statistics"


class LastBlessedBeforeCandidate(ResolverStrategy):
    """Resolves the latest blessed model that is older than the candidate.

    TFX's LatestBlessedModelStrategy returns the candidate itself once it is blessed: an unchanged second run would then
    evaluate the model against itself, bless it again and push it again. Older models are the same in every run, so an
    unchanged run is served from the cache.

    ## Example
    ```
    baseline = Resolver(
        strategy_class=LastBlessedBeforeCandidate,
        candidate=trainer.outputs["model"],
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    )
    ```
    """

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: Mapping[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Return the baseline under `model`, and its blessing; both empty if no older model is blessed."""
        resolved, oldest = _candidate_alone(input_dict)
        blessings = _blessings(input_dict)
        older = [model for model in input_dict[MODEL_KEY] if model.id in blessings and model.id < oldest]
        if older:
            model = max(older, key=lambda artifact: artifact.id)
            resolved[MODEL_KEY], resolved[BLESSING_KEY] = [model], [blessings[model.id]]
        return resolved


class StatisticsOfLastBlessed(ResolverStrategy):
    """Resolves the statistics of the data of the latest blessed model, among those older than the candidate.

    Drift is measured against them. As above, only older ones count, since they are the same in every run of unchanged
    data.

    ## Example
    ```
    baseline = Resolver(
        strategy_class=StatisticsOfLastBlessed,
        candidate=statistics_gen.outputs["statistics"],
        statistics=Channel(type=ExampleStatistics),
        model_blessing=Channel(type=ModelBlessing),
    )
    ```
    """

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: Mapping[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Return the baseline under `statistics`; empty if no older statistics belong to a blessed model."""
        resolved, oldest = _candidate_alone(input_dict)
        # Transform outputs statistics too, of transformed examples.
        makers = _maker_kinds(store, oldest)
        older = {
            artifact.id: artifact
            for artifact in input_dict[STATISTICS_KEY]
            if artifact.id < oldest and _maker_kinds(store, artifact.id) & makers
        }
        # Statistics belong to a model if both descend from the same examples.
        kind = {artifact.id for artifact in store.get_artifacts_by_type(standard_artifacts.Examples.TYPE_NAME)}
        examples = {identifier: _inputs(store, {identifier}) & kind for identifier in older}
        for model in sorted(_blessings(input_dict), reverse=True):
            ancestors = _ancestors(store, model)
            if belonging := [identifier for identifier in older if examples[identifier] & ancestors]:
                resolved[STATISTICS_KEY] = [older[max(belonging)]]
                break
        return resolved


def _candidate_alone(input_dict: Mapping[str, list[types.Artifact]]) -> tuple[dict[str, list[types.Artifact]], int]:
    """Return a result that holds only the candidate, and the id that a baseline must be below."""
    resolved: dict[str, list[types.Artifact]] = {key: [] for key in input_dict}
    resolved[CANDIDATE_KEY] = list(input_dict[CANDIDATE_KEY])
    return resolved, min(artifact.id for artifact in resolved[CANDIDATE_KEY])


def _blessings(input_dict: Mapping[str, list[types.Artifact]]) -> dict[int, types.Artifact]:
    """Return the blessing of each blessed model, by the model's id."""
    return {
        blessing.get_int_custom_property("current_model_id"): blessing
        for blessing in input_dict[BLESSING_KEY]
        if blessing.get_int_custom_property("blessed") == 1
    }


def _ancestors(store: MetadataStore, artifact_id: int) -> set[int]:
    """Return the ids of all artifacts from which this one was made, over any number of executions."""
    found: set[int] = set()
    waiting = {artifact_id}
    while waiting:
        waiting = _inputs(store, waiting) - found
        found |= waiting
    return found


def _maker_kinds(store: MetadataStore, artifact_id: int) -> set[str]:
    """Return the class names of the components that output an artifact, without modules, which vary by release."""
    executions = store.get_executions_by_id(sorted(_makers(store, {artifact_id})))
    types_of = store.get_execution_types_by_id(sorted({execution.type_id for execution in executions}))
    return {found.name.rpartition(".")[2] for found in types_of}


def _makers(store: MetadataStore, artifact_ids: set[int]) -> set[int]:
    """Return the ids of the executions that output any of these artifacts."""
    return {
        event.execution_id
        for event in store.get_events_by_artifact_ids(sorted(artifact_ids))
        if event.type in (Event.OUTPUT, Event.DECLARED_OUTPUT)
    }


def _inputs(store: MetadataStore, artifact_ids: set[int]) -> set[int]:
    """Return the ids of the inputs of the executions that output these artifacts."""
    made_by = _makers(store, artifact_ids)
    if not made_by:
        return set()
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids(sorted(made_by))
        if event.type in (Event.INPUT, Event.DECLARED_INPUT)
    }
