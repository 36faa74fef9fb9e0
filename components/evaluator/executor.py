"""Executor of the Evaluator component: TFX's, with thresholds from the properties and small batches."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import EVALUATION_KEY, MODEL_KEY
from edgetune.components.evaluator import extractors
from edgetune.components.evaluator.keep_answers import DESTINATION, Destination
from edgetune.modules.serving.saved_model import read_labels
from edgetune.modules.settings.run import EvaluationSettings, unflatten

LIBRARIES = (
    "tensorflow",  # runs the SavedModel
    "tensorflow-model-analysis",  # computes the metrics and compares them with the thresholds
    "tfx",  # its executor writes the blessing
)
# TFX's executor reads this property and imports the function; TFX's component has no parameter for it.
_EXTRACTORS = {"custom_extractors": f"{extractors.__name__}.{extractors.custom_extractors.__name__}"}


class Executor(executor.Executor):
    """Evaluates the model, and blesses it by the thresholds in the execution properties."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write evaluation and blessing.

        Raises:
            ConfigError: A threshold is out of range.
        """
        stamp(output_dict, LIBRARIES)
        key = standard_component_specs.EVAL_CONFIG_KEY
        config = json_format.Parse(exec_properties[key], config_pb2.EvalConfig())
        put_thresholds(config, unflatten(EvaluationSettings, exec_properties))
        changed = {**exec_properties, **_EXTRACTORS, key: json_format.MessageToJson(config)}
        saved_model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[MODEL_KEY]))
        evaluation = artifact_utils.get_single_uri(output_dict[EVALUATION_KEY])
        kept = DESTINATION.set(Destination(evaluation, read_labels(saved_model)))
        try:
            super().Do(input_dict, output_dict, changed)
        finally:
            DESTINATION.reset(kept)


def put_thresholds(config: config_pb2.EvalConfig, settings: EvaluationSettings) -> None:
    """Set the values of the only threshold in `config` from `settings`.

    Raises:
        ValueError: There is not exactly one threshold, so it is unclear which metric the values are for.
    """
    bounds = [
        bound.threshold
        for specification in config.metrics_specs
        for metric in specification.metrics
        for bound in metric.per_slice_thresholds
    ]
    if len(bounds) != 1:
        raise ValueError(f"eval_config has {len(bounds)} thresholds instead of one")
    bounds[0].value_threshold.lower_bound.value = settings.min_accuracy
    bounds[0].change_threshold.absolute.value = -settings.max_regression
