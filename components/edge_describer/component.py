"""Interface of the EdgeDescriber component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import ConvertedModel, EdgeModel
from edgetune.components.common.names import CONVERTED_MODEL_KEY, EDGE_MODEL_KEY
from edgetune.components.edge_describer import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import EdgeSettings


class EdgeDescriberSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of EdgeDescriber."""

    PARAMETERS = {
        **{name: ExecutionParameter(type=str) for name in (*executor.TEXTS, executor.INPUT_RANGE)},
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {CONVERTED_MODEL_KEY: ChannelParameter(type=ConvertedModel)}
    OUTPUTS = {EDGE_MODEL_KEY: ChannelParameter(type=EdgeModel)}


class EdgeDescriber(base_component.BaseComponent):
    """A TFX component that writes class names, description, author and licence into each LiteRT model, and lets the
    float variants take another range of values than 0 to 255 if `input_range` says so.

    They are metadata, as MediaPipe Tasks and ML Kit read them, and change no answer. EdgeExporter does not depend on
    them, so that a changed text does not convert the model again. What is measured and pushed are the files with them.

    ```
    edge_describer = EdgeDescriber(converted_model=edge_exporter.outputs["converted_model"], settings=settings.edge)
    ```

    Component `outputs` contains:
     - `edge_model`: Channel of type `EdgeModel`: `model_<variant>.tflite` for each variant, and `labels.txt`.
    """

    SPEC_CLASS = EdgeDescriberSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, converted_model: types.BaseChannel, settings: EdgeSettings) -> None:
        """Construct an EdgeDescriber component.

        Args:
            converted_model: Channel of type `ConvertedModel`, from EdgeExporter.
            settings: Description, author and licence of the model, and the range of its input.
        """
        spec = EdgeDescriberSpec(
            converted_model=converted_model,
            edge_model=types.Channel(type=EdgeModel),
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            **{name: getattr(settings, name) for name in (*executor.TEXTS, executor.INPUT_RANGE)},
        )
        super().__init__(spec=spec)
