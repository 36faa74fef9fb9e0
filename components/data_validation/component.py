"""TFX's StatisticsGen and ExampleValidator, run again when a library that determines their output changes.

TFX's own components have no property for library versions, so their cached results would outlive an upgrade.
"""

from __future__ import annotations

from tfx import types
from tfx.components.example_validator import component as tfx_example_validator
from tfx.components.statistics_gen import component as tfx_statistics_gen
from tfx.dsl.components.base import executor_spec

from edgetune.components.data_validation import executor
from edgetune.modules.core.library_versions import KEY, library_versions


class StatisticsGen(tfx_statistics_gen.StatisticsGen):
    """TFX's StatisticsGen with the execution property `library_versions`.

    Component `outputs` contains:
     - `statistics`: Channel of type `standard_artifacts.ExampleStatistics`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.StatisticsExecutor)

    def __init__(self, examples: types.BaseChannel, schema: types.BaseChannel) -> None:
        """Construct a StatisticsGen component.

        Args:
            examples: Of type `standard_artifacts.Examples`.
            schema: Of type `standard_artifacts.Schema`.
        """
        super().__init__(examples=examples, schema=schema)
        self.exec_properties[KEY] = library_versions(executor.LIBRARIES)


class ExampleValidator(tfx_example_validator.ExampleValidator):
    """TFX's ExampleValidator with the execution property `library_versions`.

    Component `outputs` contains:
     - `anomalies`: Channel of type `standard_artifacts.ExampleAnomalies`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.ValidatorExecutor)

    def __init__(self, statistics: types.BaseChannel, schema: types.BaseChannel) -> None:
        """Construct an ExampleValidator component.

        Args:
            statistics: Of type `standard_artifacts.ExampleStatistics`.
            schema: Of type `standard_artifacts.Schema`.
        """
        super().__init__(statistics=statistics, schema=schema)
        self.exec_properties[KEY] = library_versions(executor.LIBRARIES)
