"""Which model a candidate has to compete with, and which data new data are compared with."""

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
    """The latest blessed model that is older than the candidate.

    TFX's LatestBlessedModelStrategy answers with the candidate itself once that is blessed: an unchanged second run
    would then evaluate the model against itself, bless it again and push it again. Older ones are the same in every
    run, so an unchanged run is served from the cache.

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
        """The baseline under `model`, and its blessing; both empty where no older model is blessed."""
        resolved, oldest = _candidate_alone(input_dict)
        blessings = _blessings(input_dict)
        older = [model for model in input_dict[MODEL_KEY] if model.id in blessings and model.id < oldest]
        if older:
            model = max(older, key=lambda artifact: artifact.id)
            resolved[MODEL_KEY], resolved[BLESSING_KEY] = [model], [blessings[model.id]]
        return resolved


class StatisticsOfLastBlessed(ResolverStrategy):
    """The statistics of the data that the latest blessed model was made of, among those older than the candidate.

    Drift is measured against them. As above, only older ones count: those are the same in every run of unchanged data.

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
        """The baseline under `statistics`; empty where no older one belongs to a blessed model."""
        resolved, oldest = _candidate_alone(input_dict)
        # Transform, too, puts out statistics, which hold something else.
        makers = _maker_kinds(store, oldest)
        older = {
            artifact.id: artifact
            for artifact in input_dict[STATISTICS_KEY]
            if artifact.id < oldest and _maker_kinds(store, artifact.id) & makers
        }
        # Statistics and model descend from the same examples: those are what tells which belong together.
        kind = {artifact.id for artifact in store.get_artifacts_by_type(standard_artifacts.Examples.TYPE_NAME)}
        examples = {identifier: _inputs(store, {identifier}) & kind for identifier in older}
        for model in sorted(_blessings(input_dict), reverse=True):
            ancestors = _ancestors(store, model)
            if belonging := [identifier for identifier in older if examples[identifier] & ancestors]:
                resolved[STATISTICS_KEY] = [older[max(belonging)]]
                break
        return resolved


def _candidate_alone(input_dict: Mapping[str, list[types.Artifact]]) -> tuple[dict[str, list[types.Artifact]], int]:
    """An answer that holds nothing but the candidate, and the id that whatever joins it must be below."""
    resolved: dict[str, list[types.Artifact]] = {key: [] for key in input_dict}
    resolved[CANDIDATE_KEY] = list(input_dict[CANDIDATE_KEY])
    return resolved, min(artifact.id for artifact in resolved[CANDIDATE_KEY])


def _blessings(input_dict: Mapping[str, list[types.Artifact]]) -> dict[int, types.Artifact]:
    """The blessing of each blessed model, by the model's id."""
    return {
        blessing.get_int_custom_property("current_model_id"): blessing
        for blessing in input_dict[BLESSING_KEY]
        if blessing.get_int_custom_property("blessed") == 1
    }


def _ancestors(store: MetadataStore, artifact_id: int) -> set[int]:
    """Ids of all artifacts that went into one, over any number of executions."""
    found: set[int] = set()
    waiting = {artifact_id}
    while waiting:
        waiting = _inputs(store, waiting) - found
        found |= waiting
    return found


def _maker_kinds(store: MetadataStore, artifact_id: int) -> set[str]:
    """Class names of the components that put out an artifact, without their modules, which differ between releases."""
    executions = store.get_executions_by_id(sorted(_makers(store, {artifact_id})))
    types_of = store.get_execution_types_by_id(sorted({execution.type_id for execution in executions}))
    return {found.name.rpartition(".")[2] for found in types_of}


def _makers(store: MetadataStore, artifact_ids: set[int]) -> set[int]:
    """Ids of the executions that put out any of these artifacts."""
    return {
        event.execution_id
        for event in store.get_events_by_artifact_ids(sorted(artifact_ids))
        if event.type in (Event.OUTPUT, Event.DECLARED_OUTPUT)
    }


def _inputs(store: MetadataStore, artifact_ids: set[int]) -> set[int]:
    """Ids of the artifacts that the executions read which put out these."""
    made_by = _makers(store, artifact_ids)
    if not made_by:
        return set()
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids(sorted(made_by))
        if event.type in (Event.INPUT, Event.DECLARED_INPUT)
    }
