"""Interface of the Transform component, which is TFX's."""

from __future__ import annotations

from typing import Any

from tfx.components.transform import component as tfx_transform
from tfx.dsl.components.base import executor_spec

from edgetune.components.transform import executor
from edgetune.modules.core.library_versions import KEY, library_versions


class Transform(tfx_transform.Transform):
    """TFX's Transform with small batches and faster writing: see `executor`.

    It runs again when the version of a library changes.

    Disable its statistics (`disable_statistics`): statistics of encoded images and raw pixels are useless, and cost
    more than all the rest.

    ## Example
    ```
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn="edgetune.modules.examples.preprocessing.preprocessing_fn",
        custom_config={
            "image_size": 224,
            "reading": {"max_pixels": 89_478_485, "max_side": 640, "background": [255, 255, 255]},
        },
        disable_statistics=True,
    )
    ```

    Component `outputs` contains the same channels as TFX's Transform.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, **arguments: Any) -> None:
        """Construct a Transform component.

        Args:
            **arguments: Arguments of TFX's Transform.
        """
        super().__init__(**arguments)
        self.exec_properties[KEY] = library_versions(executor.LIBRARIES)
