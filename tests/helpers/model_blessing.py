"""Blessings as the Evaluator and InfraValidator give them."""

from __future__ import annotations

from pathlib import Path

from tfx.types import standard_artifacts

from edgetune.components.common import measured_files
from edgetune.components.common.artifacts import InfraBlessing
from edgetune.modules.evaluation.gates import FILE, Gate, file_of

GATES = (
    Gate(
        "evaluation.min_accuracy", "SavedModel", "accuracy", needed=0.9, passed=True, measured=0.978, low=0.9439,
        high=0.9913, images=179,
    ),
    Gate("evaluation.min_class_accuracy", "SavedModel", "weakest", needed=None, passed=None, reason="it is | not"),
)  # fmt: skip

INFRA_GATES = (
    Gate("infra.originals", "SavedModel", "original files asked", needed=32, passed=True, measured=32, whole=True),
)


def model_blessing(folder: Path, model: standard_artifacts.Model) -> standard_artifacts.ModelBlessing:
    """Write `GATES` to an evaluation below `folder`, and return a blessing of a model's files as they are now."""
    evaluation = folder / "model_evaluation"
    evaluation.mkdir(parents=True, exist_ok=True)
    (evaluation / FILE).write_text(file_of(GATES), encoding="utf-8")
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("current_model_id", model.id)
    measured_files.record(blessing, measured_files.SAVED_MODEL, f"{model.uri}/Format-Serving")
    blessing.set_string_custom_property("evaluation_uri", str(evaluation))
    measured_files.record(blessing, measured_files.MODEL_EVALUATION, str(evaluation))
    return blessing


def infra_blessing(folder: Path, model: standard_artifacts.Model) -> InfraBlessing:
    """Write `INFRA_GATES` to a folder below `folder`, and return a blessing of a model's files as they are now."""
    blessing = InfraBlessing()
    blessing.uri = str(folder / "infra_blessing")
    (folder / "infra_blessing").mkdir(parents=True, exist_ok=True)
    (folder / "infra_blessing" / FILE).write_text(file_of(INFRA_GATES), encoding="utf-8")
    measured_files.record(blessing, measured_files.INFRA_EVALUATION, blessing.uri)
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("model_id", model.id)
    measured_files.record(blessing, measured_files.SAVED_MODEL, f"{model.uri}/Format-Serving")
    return blessing
