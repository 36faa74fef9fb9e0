"""Interface of the InfraValidator component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import InfraBlessing, IngestReport
from edgetune.components.common.names import BLESSING_KEY, EVALUATION_KEY, EXAMPLES_KEY, MODEL_KEY, REPORT_KEY
from edgetune.components.common.parameters import parameters_of
from edgetune.components.infra_validator import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import InfraSettings, flatten


class InfraValidatorSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of InfraValidator."""

    PARAMETERS = {
        **parameters_of(InfraSettings),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        REPORT_KEY: ChannelParameter(type=IngestReport),
    }
    OUTPUTS = {BLESSING_KEY: ChannelParameter(type=InfraBlessing)}


class InfraValidator(base_component.BaseComponent):
    """A TFX component that asks a SavedModel as a server would be asked, before it is pushed.

    The Evaluator measures the model on images that ImageExampleGen has stored. This component loads it in a process of
    its own, with bounds on time and memory, and sends original files of the test split, as the user has them, to
    `serving_default`, and stored examples to the other signatures, alone and in batches. The probabilities must be
    those that the Evaluator measured. Broken images must be errors, after which good ones are still answered.

    Originals that are gone, were changed since, are in TFRecord files, or that the server must refuse, are counted and
    not failed; if none is left, stored images are asked, and the blessing says so. A crash, a time-out or too much
    memory is a refusal, not a failure: the component succeeds, and nothing is pushed.

    The cache key has no fingerprint of the originals: they are the user's, and may go once they are read. A cached
    blessing is about the files as they were when it was given.

    TFX's own InfraValidator starts TensorFlow Serving, for which it needs a container engine, and only checks that a
    few requests are answered, not what the answers are.

    ```
    infra_validator = InfraValidator(
        model=trainer.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        examples=example_gen.outputs["examples"],
        report=example_gen.outputs["report"],
        settings=settings.infra,
    )
    ```

    Component `outputs` contains:
     - `blessing`: Channel of type `InfraBlessing`: `gates.json`, and `infra.json` with what was asked and measured
       (`modules.evaluation.infra`).
    """

    SPEC_CLASS = InfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        evaluation: types.BaseChannel,
        examples: types.BaseChannel,
        report: types.BaseChannel,
        settings: InfraSettings,
    ) -> None:
        """Construct an InfraValidator component.

        Args:
            model: Channel of type `Model`.
            evaluation: Channel of type `ModelEvaluation`, from the Evaluator of this model.
            examples: Channel of type `Examples`: the raw examples that it was evaluated on.
            report: Channel of type `IngestReport`, from the ImageExampleGen that made them: where the files are.
            settings: How many originals are asked, and the bounds of the process.
        """
        spec = InfraValidatorSpec(
            model=model,
            evaluation=evaluation,
            examples=examples,
            report=report,
            blessing=types.Channel(type=InfraBlessing),
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            **flatten(settings),
        )
        super().__init__(spec=spec)
