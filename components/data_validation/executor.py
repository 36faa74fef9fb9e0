"""Executors of StatisticsGen and ExampleValidator: TFX's, with the library versions recorded on their outputs."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.example_validator import executor as example_validator_executor
from tfx.components.statistics_gen import executor as statistics_gen_executor
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import standard_component_specs

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import DATA_BASE
from edgetune.components.common.outputs import empty

LIBRARIES = (
    "tensorflow-data-validation",  # computes the statistics and finds the anomalies
    "tfx",  # its executors choose splits and options
)


class StatisticsExecutor(statistics_gen_executor.Executor):
    """StatisticsGen's executor, with the library versions recorded on its outputs."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the statistics.

        Raises:
            DataError: The examples are not those that were written.
        """
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        check_examples(input_dict[standard_component_specs.EXAMPLES_KEY])
        [examples] = input_dict[standard_component_specs.EXAMPLES_KEY]
        if base := examples.get_string_custom_property(DATA_BASE):
            for statistics in output_dict[standard_component_specs.STATISTICS_KEY]:
                statistics.set_string_custom_property(DATA_BASE, base)
        super().Do(input_dict, output_dict, exec_properties)


class ValidatorExecutor(example_validator_executor.Executor):
    """ExampleValidator's executor, with the library versions recorded on its outputs."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Write the anomalies."""
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        return super().Do(input_dict, output_dict, exec_properties)
