"""Interface of the Evaluator component."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import component as tfx_evaluator
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ExecutionParameter
from tfx.utils import json_utils

from edgetune.components.evaluator import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import EvaluationSettings, flatten


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """The interface of TFX's Evaluator, with the thresholds added."""

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        "min_accuracy": ExecutionParameter(type=float),
        "max_regression": ExecutionParameter(type=float),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }


class Evaluator(tfx_evaluator.Evaluator):
    """TFX's Evaluator with its two thresholds as typed properties, so that they can be changed for a single run.

    TFX's own has them inside `eval_config`, one JSON text, which users of a platform could only replace as a whole. The
    properties override the values in `eval_config`.

    ## Example
    ```
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        example_splits=["test"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config(settings.evaluation),
        settings=settings.evaluation,
    )
    ```

    Component `outputs` contains:
     - `evaluation`: Channel of type `standard_artifacts.ModelEvaluation`.
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        example_splits: Sequence[str],
        model: types.BaseChannel,
        eval_config: config_pb2.EvalConfig,
        settings: EvaluationSettings,
        baseline_model: types.BaseChannel | None = None,
    ) -> None:
        """Construct an Evaluator component.

        Args:
            examples: Of type `standard_artifacts.Examples`.
            example_splits: Splits to evaluate on.
            model: Of type `standard_artifacts.Model`.
            eval_config: The metrics, one of which has a value threshold and a change threshold over all examples.
            settings: The thresholds.
            baseline_model: The model to compare with; without it, the change threshold is not applied.
        """
        spec = EvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            example_splits=json_utils.dumps(list(example_splits)),
            eval_config=eval_config,
            fairness_indicator_thresholds=json_utils.dumps(None),
            **{name: value for name, value in flatten(settings).items() if name in EvaluatorSpec.PARAMETERS},
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            evaluation=Channel(type=standard_artifacts.ModelEvaluation),
            blessing=Channel(type=standard_artifacts.ModelBlessing),
        )
        # TFX's own constructor would build its own specification.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
