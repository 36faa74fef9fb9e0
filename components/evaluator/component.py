"""Interface of the Evaluator component."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import component as tfx_evaluator
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from edgetune.components.common.artifacts import CrossValidation
from edgetune.components.common.names import CROSS_VALIDATION_KEY, EARLIER_KEY, RELEASES
from edgetune.components.common.parameters import parameters_of
from edgetune.components.evaluator import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import EvaluationSettings, flatten

NOT_USED = ("precision", "saliency")  # EdgeEvaluator's


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """The interface of TFX's Evaluator, with the thresholds, earlier blessings and a cross-validation added."""

    INPUTS = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        EARLIER_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
        CROSS_VALIDATION_KEY: ChannelParameter(type=CrossValidation, optional=True),
    }
    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        **{name: kind for name, kind in parameters_of(EvaluationSettings).items() if name not in NOT_USED},
        RELEASES: ExecutionParameter(type=str, optional=True),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }


class Evaluator(tfx_evaluator.Evaluator):
    """TFX's Evaluator for the metrics, and a verdict of our own.

    TFMA measures the model on the test images. The component keeps its answers too, judges them by the settings and by
    the answers that earlier blessed models gave to the same images, and writes every condition with what was measured.
    The settings are typed properties, so that users of a platform can change one for a single run.

    ## Example
    ```
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        example_splits=["test"],
        model=trainer.outputs["model"],
        earlier_blessings=baseline.outputs["model_blessing"],
        eval_config=eval_config(),
        settings=settings.evaluation,
    )
    ```

    Component `outputs` contains:
     - `evaluation`: Channel of type `standard_artifacts.ModelEvaluation`: TFMA's results, the answers
       (`modules.evaluation.answers`) and `gates.json` (`modules.evaluation.gates`).
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`, with the properties that TFX's pushers and
       resolvers read, and `evaluation_uri`.
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
        earlier_blessings: types.BaseChannel | None = None,
        releases: str | None = None,
        cross_validation: types.BaseChannel | None = None,
    ) -> None:
        """Construct an Evaluator component.

        Args:
            examples: Of type `standard_artifacts.Examples`.
            example_splits: Splits to evaluate on.
            model: Of type `standard_artifacts.Model`.
            eval_config: The metrics, without thresholds.
            settings: The thresholds.
            earlier_blessings: Of type `standard_artifacts.ModelBlessing`: of the models to compare with; None if the
                platform does not know them.
            releases: Instead of them, the folder or URL of released edge bundles, whose markers say it at run time.
            cross_validation: Of type `CrossValidation`; without it, nothing is blessed if `settings.folds` is not 0.
        """
        optional = {} if releases is None else {RELEASES: releases}
        spec = EvaluatorSpec(
            examples=examples,
            model=model,
            earlier_blessings=earlier_blessings,
            cross_validation=cross_validation,
            example_splits=json_utils.dumps(list(example_splits)),
            eval_config=eval_config,
            fairness_indicator_thresholds=json_utils.dumps(None),
            **{name: value for name, value in flatten(settings).items() if name in EvaluatorSpec.PARAMETERS},
            **optional,
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            evaluation=Channel(type=standard_artifacts.ModelEvaluation),
            blessing=Channel(type=standard_artifacts.ModelBlessing),
        )
        # TFX's own constructor would build its own specification.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
