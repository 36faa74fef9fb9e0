"""The component Transform: its interface, which is TFX's."""

from __future__ import annotations

from typing import Any

from tfx.components.transform import component as tfx_transform
from tfx.dsl.components.base import executor_spec

from edgetune.components.transform import executor
from edgetune.modules.core.library_versions import KEY, library_versions


class Transform(tfx_transform.Transform):
    """TFX's Transform, but for how much it takes at a time and how it writes: see `executor`. It runs again where a
    library is of another version.

    Its statistics are better left off (`disable_statistics`): they would be of encoded images and of raw pixels, say
    nothing, and cost more than all the rest.

    ## Example
    ```
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn="edgetune.modules.examples.preprocessing.preprocessing_fn",
        custom_config={"image_size": 224},
        disable_statistics=True,
    )
    ```

    Component `outputs` contains what TFX's does.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, **arguments: Any) -> None:
        """Construct a Transform component.

        Args:
            **arguments: Those of TFX's.
        """
        super().__init__(**arguments)
        self.exec_properties[KEY] = library_versions(executor.LIBRARIES)
