"""Interface of the CrossValidator component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from edgetune.components.common.artifacts import CrossValidation
from edgetune.components.common.names import CROSS_VALIDATION_KEY, EXAMPLES_KEY
from edgetune.components.common.parameters import READING, parameters_of, reading_properties
from edgetune.components.cross_validator.executor import (
    FOLDS,
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
from edgetune.modules.settings.run import DataSettings, ModelSettings, TrainingSettings, flatten

_UNUSED = tuple(
    TRAINING_PREFIX + name for name in ("fine_tune", "mixed_precision", "baselines", "distribution")
)  # fine-tuning with other settings needs no other folds


class CrossValidatorSpec(ComponentSpec):
    """Inputs, outputs and properties of CrossValidator: the network, phase 1, and the number of folds."""

    PARAMETERS = {
        **parameters_of(ModelSettings, MODEL_PREFIX),
        **{
            name: parameter
            for name, parameter in parameters_of(TrainingSettings, TRAINING_PREFIX).items()
            if not name.startswith(_UNUSED)
        },
        FOLDS: ExecutionParameter(type=int),
        **{name: ExecutionParameter(type=kind) for name, kind in READING.items()},
        "weights_digest": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        GRAPH_KEY: ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {CROSS_VALIDATION_KEY: ChannelParameter(type=CrossValidation)}


class CrossValidator(base_component.BaseComponent):
    """A TFX component that answers every image by a head that was not trained on it.

    The images of all splits are divided into folds; near-duplicates are in the same one. For each fold, a head is
    trained on the others as phase 1 trains it, on features of the pretrained backbone that are computed once. The
    Evaluator uses the answers to see whether the test images are easier than the others; the heads are not delivered.

    ## Example
    ```
    cross_validator = CrossValidator(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=settings.model,
        training=settings.training,
        data=settings.data,
        folds=10,
    )
    ```

    Component `outputs` contains:
     - `cross_validation`: Channel of type `CrossValidation`: the answers (`modules.evaluation.answers`), a shard for
       each fold, and `folds.json`.
    """

    SPEC_CLASS = CrossValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: ModelSettings,
        training: TrainingSettings,
        data: DataSettings,
        folds: int,
    ) -> None:
        """Construct a CrossValidator component.

        Args:
            examples: Of type `standard_artifacts.Examples`: raw examples, with all splits.
            transform_graph: Of type `standard_artifacts.TransformGraph`, which has the names of the classes.
            model: The network. The content of a weights file is part of the cache key.
            training: Phase 1, loss, augmentation, seed and batch size.
            data: `max_pixels`, `max_side` and `background`, by which Transform reads images too.
            folds: Number of folds, at least 3.

        Raises:
            WeightsError: The weights file is missing.
        """
        of_training = flatten(training, TRAINING_PREFIX)
        super().__init__(
            spec=CrossValidatorSpec(
                **flatten(model.model_copy(update={"weights": portable(model.weights)}), MODEL_PREFIX),
                **{name: value for name, value in of_training.items() if not name.startswith(_UNUSED)},
                **{FOLDS: folds},
                **reading_properties(data),
                weights_digest=weights_digest(model),
                code_digest=code_digest("edgetune.components.cross_validator.executor"),
                library_versions=library_versions(LIBRARIES),
                examples=examples,
                transform_graph=transform_graph,
                cross_validation=Channel(type=CrossValidation),
            )
        )
