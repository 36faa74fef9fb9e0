"""Find what a new model is compared with, and the baseline of new data.

Both are of models that were released: a model that the Evaluator alone blessed, and another gate refused or a failed
push did not deliver, has never served anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Event
from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import standard_artifacts

from edgetune.components.common import names
from edgetune.modules.core import progress
from edgetune.modules.release.earlier import spread
from edgetune.modules.storage import filesystem

CANDIDATE_KEY, BLESSING_KEY, STATISTICS_KEY = "candidate", "model_blessing", "statistics"
_DAY = 24 * 60 * 60 * 1000
"""Milliseconds."""


class BlessingsBeforeCandidate(ResolverStrategy):
    """Resolves the blessings of earlier models that a candidate is compared with.

    They are those of the last model before the candidate that all gates blessed and that was released, and of all such
    models in some days before it.
    A blessing names the evaluation that has the model's answers; the model itself is not needed any more. If the folder
    of the last one's evaluation is gone, the latest one that has its evaluation is added, whatever its age; the
    Evaluator says of the others why it does not compare with them.

    TFX's LatestBlessedModelStrategy returns the candidate itself once it is blessed: an unchanged second run would then
    compare the model with itself, bless it again and push it again. What is older than the candidate is the same in
    every run, also in later ones since the days are counted from the candidate, so an unchanged run is served from the
    cache.

    ## Example
    ```
    baseline = Resolver(
        strategy_class=BlessingsBeforeCandidate,
        config={"days": 90, "models": 30},
        candidate=trainer.outputs["model"],
        model_blessing=Channel(type=ModelBlessing),
    )
    ```
    """

    def __init__(self, days: int, models: int) -> None:
        """Construct the strategy.

        Args:
            days: Age of the oldest blessing, in days before the candidate; the last blessing has no limit.
            models: Maximum number of blessings; of more, some are left out evenly, never the oldest or the last.
        """
        self._milliseconds, self._models = days * _DAY, models

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: Mapping[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Return the blessings under `model_blessing`, the oldest first; none if no older model was released."""
        resolved, oldest = _candidate_alone(input_dict)
        blessings = [blessing for model, blessing in sorted(_blessings(store, input_dict).items()) if model < oldest]
        since = min(map(_created, resolved[CANDIDATE_KEY])) - self._milliseconds
        kept = [
            blessing
            for blessing in blessings
            if not _is_gone(blessing.get_string_custom_property(names.EVALUATION_URI))
        ]
        last = [blessing for blessing in blessings if blessing in (*kept[-1:], *blessings[-1:])]
        if last and last[-1] not in kept:
            progress.report("the evaluation of the last blessed model is gone" + _older(kept))
        recent = [blessing for blessing in blessings if _created(blessing) >= since and blessing not in last]
        chosen = sorted([*recent, *last], key=blessings.index)
        resolved[BLESSING_KEY] = spread(chosen, self._models)
        return resolved


class StatisticsOfLastBlessed(ResolverStrategy):
    """Resolves the statistics of the data of the latest released model, among those older than the candidate.

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
        """Return the baseline under `statistics`; empty if no older statistics belong to a released model.

        Statistics whose folder is gone are skipped, if there are older ones; if not, DatasetGate reports a finding.
        """
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
        found: list[types.Artifact] = []
        for model in sorted(_blessings(store, input_dict), reverse=True):
            ancestors = _ancestors(store, model)
            if belonging := [identifier for identifier in older if examples[identifier] & ancestors]:
                found.append(older[max(belonging)])
                if not _is_gone(found[-1].uri):
                    break
        kept = [statistics for statistics in found if not _is_gone(statistics.uri)]
        resolved[STATISTICS_KEY] = kept or found[:1]
        if len(found) > len(kept):
            progress.report("the statistics of the last blessed model's data are gone" + _older(kept))
        return resolved


def _candidate_alone(input_dict: Mapping[str, list[types.Artifact]]) -> tuple[dict[str, list[types.Artifact]], int]:
    """Return a result that holds only the candidate, and the id that a baseline must be below."""
    resolved: dict[str, list[types.Artifact]] = {key: [] for key in input_dict}
    resolved[CANDIDATE_KEY] = list(input_dict[CANDIDATE_KEY])
    return resolved, min(artifact.id for artifact in resolved[CANDIDATE_KEY])


def _blessings(store: MetadataStore, input_dict: Mapping[str, list[types.Artifact]]) -> dict[int, types.Artifact]:
    """Return the Evaluator's blessing of each model that was released, by the model's id.

    A release needs the blessings of all gates, and has the model among its inputs.
    """
    pushed = store.get_artifacts_by_type(standard_artifacts.PushedModel.TYPE_NAME)
    released = _inputs(store, {each.id for each in pushed if each.custom_properties[names.PUSHED].int_value == 1})
    found = {
        blessing.get_int_custom_property("current_model_id"): blessing
        for blessing in input_dict[BLESSING_KEY]
        if blessing.get_int_custom_property(names.BLESSED) == 1
    }
    return {model: blessing for model, blessing in found.items() if model in released}


def _is_gone(uri: str) -> bool:
    """Return whether a folder was removed after it was recorded."""
    return bool(uri) and not filesystem.exists(uri)


def _older(kept: Sequence[types.Artifact]) -> str:
    return ": those of an older one are used" if kept else ", and there are no older ones"


def _created(artifact: types.Artifact) -> int:
    """Return when an artifact was recorded, in milliseconds since the epoch."""
    return int(artifact.mlmd_artifact.create_time_since_epoch)


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
    made_by = _makers(store, artifact_ids) if artifact_ids else set()
    if not made_by:
        return set()
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids(sorted(made_by))
        if event.type in (Event.INPUT, Event.DECLARED_INPUT)
    }
