"""TFX's StatisticsGen and ExampleValidator, but for one thing: they run again when a library changes that decides."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.example_validator import component as tfx_example_validator
from tfx.components.example_validator import executor as example_validator_executor
from tfx.components.statistics_gen import component as tfx_statistics_gen
from tfx.components.statistics_gen import executor as statistics_gen_executor
from tfx.dsl.components.base import executor_spec
from tfx.proto.orchestration import execution_result_pb2

from edgetune.components.common.lineage import stamp
from edgetune.modules.core.library_versions import KEY, library_versions

LIBRARIES = (
    "tensorflow-data-validation",  # takes the statistics and finds the anomalies
    "tfx",  # whose executors these are: which splits, with which options
)


class StatisticsExecutor(statistics_gen_executor.Executor):
    """StatisticsGen's work, with the versions that did it on its outputs."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the statistics."""
        stamp(output_dict, LIBRARIES)
        super().Do(input_dict, output_dict, exec_properties)


class ValidatorExecutor(example_validator_executor.Executor):
    """ExampleValidator's work, with the versions that did it on its outputs."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Writes the anomalies."""
        stamp(output_dict, LIBRARIES)
        return super().Do(input_dict, output_dict, exec_properties)


class StatisticsGen(tfx_statistics_gen.StatisticsGen):
    """TFX's StatisticsGen with the execution property `library_versions`.

    Component `outputs` contains:
     - `statistics`: Channel of type `standard_artifacts.ExampleStatistics`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(StatisticsExecutor)

    def __init__(self, examples: types.BaseChannel, schema: types.BaseChannel) -> None:
        """Construct a StatisticsGen component.

        Args:
            examples: Of type `standard_artifacts.Examples`.
            schema: Of type `standard_artifacts.Schema`.
        """
        super().__init__(examples=examples, schema=schema)
        self.exec_properties[KEY] = library_versions(LIBRARIES)


class ExampleValidator(tfx_example_validator.ExampleValidator):
    """TFX's ExampleValidator with the execution property `library_versions`.

    Component `outputs` contains:
     - `anomalies`: Channel of type `standard_artifacts.ExampleAnomalies`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ValidatorExecutor)

    def __init__(self, statistics: types.BaseChannel, schema: types.BaseChannel) -> None:
        """Construct an ExampleValidator component.

        Args:
            statistics: Of type `standard_artifacts.ExampleStatistics`.
            schema: Of type `standard_artifacts.Schema`.
        """
        super().__init__(statistics=statistics, schema=schema)
        self.exec_properties[KEY] = library_versions(LIBRARIES)
