"""Interface of the EdgeExporter component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import ConvertedModel
from edgetune.components.common.names import CONVERTED_MODEL_KEY, MODEL_KEY
from edgetune.components.common.parameters import parameters_of
from edgetune.components.edge_exporter import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import EdgeSettings, flatten

# Thresholds are left out, which change the verdict and not the models, and the texts, which EdgeDescriber writes.
USED = ("variants", "representative_images")


class EdgeExporterSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of EdgeExporter."""

    PARAMETERS = {
        **{name: parameter for name, parameter in parameters_of(EdgeSettings).items() if name in USED},
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        "transformed_examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {CONVERTED_MODEL_KEY: ChannelParameter(type=ConvertedModel)}


class EdgeExporter(base_component.BaseComponent):
    """A TFX component that converts a SavedModel into LiteRT models for phones.

    It converts the signature `edge` into every variant in the settings, in a child process. Class names and texts are
    written into the files by EdgeDescriber. Quantization is calibrated on images of the `train` split, equally many of
    each class. EdgeEvaluator measures the models; nothing is pushed without it. The component fails if the converter
    fails, or if a file does not meet the needs of clients: an operation that is not built in, a second subgraph, a
    wrong input or output, or floating point inside `int8`.

    ```
    edge_exporter = EdgeExporter(
        model=trainer.outputs["model"],
        transformed_examples=transform.outputs["transformed_examples"],
        settings=settings.edge,
    )
    ```

    Component `outputs` contains:
     - `converted_model`: Channel of type `ConvertedModel`: `model_<variant>.tflite` for each variant, and `labels.txt`.
    """

    SPEC_CLASS = EdgeExporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self, model: types.BaseChannel, transformed_examples: types.BaseChannel, settings: EdgeSettings
    ) -> None:
        """Construct an EdgeExporter component.

        Args:
            model: Channel of type `Model`, with signatures as in `modules.contracts.signatures`.
            transformed_examples: Channel of type `Examples`, with a split `train`.
            settings: Variants, and number of representative images.
        """
        values = flatten(settings)
        spec = EdgeExporterSpec(
            model=model,
            transformed_examples=transformed_examples,
            converted_model=types.Channel(type=ConvertedModel),
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            **{name: values[name] for name in USED},
        )
        super().__init__(spec=spec)
