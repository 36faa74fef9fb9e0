"""Decide whether a model may be pushed.

All three gates must have blessed it: the Evaluator its answers, InfraValidator how it serves them, and EdgeEvaluator
the LiteRT models made from it. A blessing counts only for the artifact whose id is recorded in it. Anything missing
means no push.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfx import types
from tfx.components.util import model_utils

from edgetune.components.common import names

Artifacts = Mapping[str, Sequence[types.Artifact]]

MODEL_BLESSING, EDGE_BLESSING, INFRA_BLESSING = names.MODEL_BLESSING, names.EDGE_BLESSING, names.INFRA_BLESSING
EDGE_EVALUATION = "edge_evaluation"
MODEL_ID = "model_id"
"""Custom property of a blessing: the model that was judged."""
# Platforms pass properties as JSON, whose integers are exact up to this value; the ids that TFX makes there are larger.
_EXACT = 2**53


def refusal(inputs: Artifacts) -> str | None:
    """Return the reason not to push, in one sentence, or None if all gates blessed the model.

    Args:
        inputs: ReleasePusher's inputs by their keys.
    """
    model, model_blessing, edge_blessing, infra_blessing = (
        _single(inputs, key) for key in (names.MODEL_KEY, MODEL_BLESSING, EDGE_BLESSING, INFRA_BLESSING)
    )
    if model is None:
        return "there is no model to push"
    if model_blessing is None:
        return "the Evaluator gave no blessing"
    if edge_blessing is None:
        return "the EdgeEvaluator gave no blessing"
    if infra_blessing is None:
        return "the InfraValidator gave no blessing"
    # Check first that each blessing refers to this model.
    for artifact, gate, key in (
        (model_blessing, names.EVALUATOR, "current_model_id"),
        (edge_blessing, names.EDGE_EVALUATOR, MODEL_ID),
        (infra_blessing, names.INFRA_VALIDATOR, MODEL_ID),
    ):
        if not _is_for(artifact, key, model):
            return f"the {gate}'s blessing is for another model"
    edge_model = _single(inputs, names.EDGE_MODEL_KEY)
    if edge_model is None:
        return "there is no edge model to push"
    if not _is_for(edge_blessing, "edge_model_id", edge_model):
        return "the EdgeEvaluator's blessing is for another edge model"
    evaluation = _single(inputs, EDGE_EVALUATION)
    if evaluation is None or not _is_for(evaluation, "edge_model_id", edge_model):
        return "there is no edge evaluation of this edge model"
    if not model_utils.is_model_blessed(model_blessing):
        return "the Evaluator refused the model"
    if edge_blessing.get_int_custom_property(names.BLESSED) != 1:
        return "the EdgeEvaluator refused the edge models"
    if infra_blessing.get_int_custom_property(names.BLESSED) != 1:
        return "the InfraValidator refused the model"
    return None


def evaluation_of(inputs: Artifacts) -> str:
    """Return the folder or URL of the evaluation that the Evaluator's blessing was given for, empty if not recorded."""
    blessing = _single(inputs, MODEL_BLESSING)
    return blessing.get_string_custom_property(names.EVALUATION_URI) if blessing else ""


def record_judged(judgement: types.Artifact, key: str, judged: types.Artifact) -> None:
    """Record on a judgement which artifact was judged."""
    if judged.id <= _EXACT:
        judgement.set_int_custom_property(key, judged.id)
    else:
        judgement.set_string_custom_property(key, str(judged.id))


def record_pushed(artifact: types.Artifact, destination: str, version: str, digest: str) -> None:
    """Record on an output where the model was delivered, under the names that TFX's Pusher uses, and its digest."""
    artifact.set_int_custom_property(names.PUSHED, 1)
    artifact.set_string_custom_property(names.PUSHED_DESTINATION, destination)
    artifact.set_string_custom_property(names.PUSHED_VERSION, version)
    artifact.set_string_custom_property(names.PUSHED_SHA256, digest)


def record_refused(artifact: types.Artifact, reason: str) -> None:
    """Record on an output that nothing was pushed, and why."""
    artifact.set_int_custom_property(names.PUSHED, 0)
    artifact.set_string_custom_property(names.REASON, reason)


def _single(inputs: Artifacts, key: str) -> types.Artifact | None:
    found = inputs.get(key) or ()
    return found[0] if len(found) == 1 else None


def _is_for(judgement: types.Artifact, key: str, judged: types.Artifact) -> bool:
    # A missing property reads as 0, and so does the id of an artifact that was never stored.
    if not judgement.has_custom_property(key):
        return False
    written = judgement.get_string_custom_property(key)
    if not written:
        return bool(judgement.get_int_custom_property(key) == judged.id)
    return judged.id in (_as_number(written), _id_on_platform(written))


def _as_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _id_on_platform(name: str) -> int:
    """Return the id that TFX on Kubeflow and Vertex gives an artifact of this name; its Evaluator records the name."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

    return int(kubeflow_v2_entrypoint_utils._get_hashed_id(name, {}))  # noqa: SLF001 - not public
