"""The component Transform: its interface, which is TFX's."""

from __future__ import annotations

from tfx.components.transform import component as tfx_transform
from tfx.dsl.components.base import executor_spec

from components.transform import executor


class Transform(tfx_transform.Transform):
    """TFX's Transform, but for how much it takes at a time and how it writes: see `executor`.

    Its statistics are better left off (`disable_statistics`): they would be of encoded images and of raw pixels, say
    nothing, and cost more than all the rest.

    ## Example
    ```
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        custom_config={"image_size": 224},
        disable_statistics=True,
    )
    ```

    Component `outputs` contains what TFX's does.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
