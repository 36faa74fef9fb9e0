"""Interface of the TwoPhaseTrainer component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from edgetune.components.common.names import MODEL_KEY, MODEL_RUN_KEY
from edgetune.components.common.parameters import parameters_of
from edgetune.components.two_phase_trainer.executor import (
    EXAMPLES_KEY,
    GRAPH_KEY,
    LIBRARIES,
    MODEL_PREFIX,
    TRAINING_PREFIX,
    Executor,
)
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.core.package_paths import portable
from edgetune.modules.models.weights import weights_digest
from edgetune.modules.settings.run import ModelSettings, TrainingSettings, flatten


class TwoPhaseTrainerSpec(ComponentSpec):
    """Inputs, outputs and properties of TwoPhaseTrainer: a typed property for every setting of network and phases."""

    PARAMETERS = {
        **parameters_of(ModelSettings, MODEL_PREFIX),
        **parameters_of(TrainingSettings, TRAINING_PREFIX),
        "weights_digest": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        GRAPH_KEY: ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        MODEL_RUN_KEY: ChannelParameter(type=standard_artifacts.ModelRun),
    }


class TwoPhaseTrainer(base_component.BaseComponent):
    """A TFX component to train an image classifier by two-phase transfer learning.

    Phase 1 trains a new head on the frozen, pretrained backbone. Phase 2 fine-tunes head and top of the backbone at a
    lower learning rate. Both stop early by the eval split and keep their best weights; if phase 2 is not better than
    phase 1, the weights of phase 1 are exported. Before, their logits are divided by a temperature that is fitted on
    eval, and recorded as the custom property `temperature` of the model. The component replaces TFX's Trainer and has
    the same outputs. It fails if a loss is not finite, or if the model is no better on eval than always predicting the
    commonest class.

    ## Example
    ```
    trainer = TwoPhaseTrainer(
        transformed_examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=ModelSettings(backbone="mobilenet_v2"),
        training=TrainingSettings(batch_size=32),
    )
    ```

    Component `outputs` contains:
     - `model`: Channel of type `standard_artifacts.Model`: the SavedModel, with Transform's graph inside.
     - `model_run`: Channel of type `standard_artifacts.ModelRun`: `history.json`, TensorBoard logs, and, if baselines
                    are trained, `transfer.json`.
    """

    SPEC_CLASS = TwoPhaseTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        transformed_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: ModelSettings,
        training: TrainingSettings,
    ) -> None:
        """Construct a TwoPhaseTrainer component.

        Args:
            transformed_examples: Of type `standard_artifacts.Examples`, from Transform.
            transform_graph: Of type `standard_artifacts.TransformGraph`.
            model: The network. The content of a weights file is part of the cache key.
            training: Both phases, augmentation, and baselines.

        Raises:
            WeightsError: The weights file is missing.
        """
        super().__init__(
            spec=TwoPhaseTrainerSpec(
                **flatten(model.model_copy(update={"weights": portable(model.weights)}), MODEL_PREFIX),
                **flatten(training, TRAINING_PREFIX),
                weights_digest=weights_digest(model),
                code_digest=code_digest("edgetune.components.two_phase_trainer.executor"),
                library_versions=library_versions(LIBRARIES),
                transformed_examples=transformed_examples,
                transform_graph=transform_graph,
                model=Channel(type=standard_artifacts.Model),
                model_run=Channel(type=standard_artifacts.ModelRun),
            )
        )
