"""Which model a candidate has to compete with."""

from __future__ import annotations

from collections.abc import Mapping

from ml_metadata import MetadataStore
from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy

CANDIDATE_KEY, MODEL_KEY, BLESSING_KEY = "candidate", "model", "model_blessing"


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
        resolved: dict[str, list[types.Artifact]] = {key: [] for key in input_dict}
        resolved[CANDIDATE_KEY] = list(input_dict[CANDIDATE_KEY])
        oldest = min(artifact.id for artifact in resolved[CANDIDATE_KEY])
        blessings = {
            blessing.get_int_custom_property("current_model_id"): blessing
            for blessing in input_dict[BLESSING_KEY]
            if blessing.get_int_custom_property("blessed") == 1
        }
        older = [model for model in input_dict[MODEL_KEY] if model.id in blessings and model.id < oldest]
        if older:
            model = max(older, key=lambda artifact: artifact.id)
            resolved[MODEL_KEY], resolved[BLESSING_KEY] = [model], [blessings[model.id]]
        return resolved
