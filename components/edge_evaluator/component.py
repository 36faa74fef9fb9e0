"""Interface of the EdgeEvaluator component."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel
from edgetune.components.common.names import BLESSING_KEY, EDGE_MODEL_KEY, EVALUATION_KEY, EXAMPLES_KEY, MODEL_KEY
from edgetune.components.common.parameters import parameters_of, reading_properties
from edgetune.components.edge_evaluator import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.data import unknown_images
from edgetune.modules.settings.run import DataSettings, EdgeSettings, EvaluationSettings, flatten

USED = (
    "required",
    "max_accuracy_drop",
    "min_agreement",
    "max_class_drop",
    "max_bytes",
    "max_latency_ms",
    "input_range",
)


class EdgeEvaluatorSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of EdgeEvaluator."""

    PARAMETERS = {
        **{name: parameter for name, parameter in parameters_of(EdgeSettings).items() if name in USED},
        "precision": ExecutionParameter(type=float),
        "saliency": ExecutionParameter(type=int),
        **{name: ExecutionParameter(type=kind, optional=True) for name, kind in executor.UNKNOWN.items()},
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EDGE_MODEL_KEY: ChannelParameter(type=EdgeModel),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {
        EVALUATION_KEY: ChannelParameter(type=EdgeEvaluation),
        BLESSING_KEY: ChannelParameter(type=EdgeBlessing),
    }


class EdgeEvaluator(base_component.BaseComponent):
    """A TFX component that measures LiteRT models and blesses each of them separately.

    Every variant classifies the raw `test` split in the LiteRT interpreter, and is compared with the SavedModel, which
    classifies the same encoded images through `serving_default`. A variant is blessed if its accuracy, overall and on
    each class, its agreement with the SavedModel, its size and its time are within the settings, and if its file meets
    the needs of clients. The edge model is blessed if every required variant is blessed, and at least one is; without
    test images, none is. A refusal is not a failure: the component succeeds, and nothing is pushed.

    ```
    edge_evaluator = EdgeEvaluator(
        edge_model=edge_describer.outputs["edge_model"],
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        settings=settings.edge,
        evaluation=settings.evaluation,
        data=settings.data,
    )
    ```

    It also measures how far probabilities can be trusted: their calibration on `test`, and the threshold of each class,
    chosen on `eval`; and it keeps the most confident mistakes and the least certain right answers. If `data.unknown`
    names a folder, it is read too, and paths, sizes and times of its files are part of the cache key.

    Component `outputs` contains:
     - `evaluation`: Channel of type `EdgeEvaluation`: `metrics.json`, `notable.json` and `golden/`; the main figures
       are also custom properties.
     - `blessing`: Channel of type `EdgeBlessing`: custom properties `blessed` and `blessed_<variant>`, 1 or 0, and
       `model_id` and `edge_model_id`, the artifacts that were judged.
    """

    SPEC_CLASS = EdgeEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        edge_model: types.BaseChannel,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        settings: EdgeSettings,
        evaluation: EvaluationSettings | None = None,
        data: DataSettings | None = None,
        deferred: bool = False,
    ) -> None:
        """Construct an EdgeEvaluator component.

        Args:
            edge_model: Channel of type `EdgeModel`.
            model: Channel of type `Model`, from which `edge_model` was made.
            examples: Channel of type `Examples`: raw examples, with a split `test`.
            settings: The thresholds for a blessing, and the required variants.
            evaluation: `precision` and `saliency`; by default their defaults.
            data: `unknown`, and how images are read: `max_pixels`, `max_side` and `background`; by default there are no
                unknown images.
            deferred: Whether the data cannot be read yet, as when a pipeline is compiled for a platform; then unknown
                images have no fingerprint, and the platform must not cache the component.

        Raises:
            DataError: `unknown` cannot be listed, or has no files.
        """
        values = flatten(settings)
        evaluation = evaluation or EvaluationSettings()
        spec = EdgeEvaluatorSpec(
            edge_model=edge_model,
            model=model,
            examples=examples,
            evaluation=types.Channel(type=EdgeEvaluation),
            blessing=types.Channel(type=EdgeBlessing),
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            precision=evaluation.precision,
            saliency=evaluation.saliency,
            **{name: values[name] for name in USED if name in values},
            **_unknown(data, deferred),
        )
        super().__init__(spec=spec)


def _unknown(data: DataSettings | None, deferred: bool) -> dict[str, Any]:
    """Return the properties for reading the unknown images; none if there is no folder."""
    if data is None or data.unknown is None:
        return {}
    return {
        "unknown": data.unknown,
        "unknown_fingerprint": "" if deferred else unknown_images.fingerprint(data.unknown),
        **reading_properties(data),
    }
