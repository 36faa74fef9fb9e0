"""The component DatasetGate: its interface."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import DatasetFindings, IngestReport
from components.dataset_gate.executor import ANOMALIES_KEY, EXAMPLES_KEY, FINDINGS_KEY, REPORT_KEY, Executor
from modules.code_digest import code_digest
from modules.settings import DataSettings


class DatasetGateSpec(ComponentSpec):
    """DatasetGate's interface."""

    PARAMETERS = {
        "min_examples_per_class": ExecutionParameter(type=int),
        "code_digest": ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        ANOMALIES_KEY: ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        REPORT_KEY: ChannelParameter(type=IngestReport),
    }
    OUTPUTS = {FINDINGS_KEY: ChannelParameter(type=DatasetFindings)}


class DatasetGate(base_beam_component.BaseBeamComponent):
    """A TFX component that stops a run on data that should not be trained on.

    It fails on anomalies that ExampleValidator found, on classes with too few usable images, and on images of equal
    pixels that stand under two labels or in two splits. What comes after it in a pipeline has to name it as upstream
    node; nothing reads its output.

    ## Example
    ```
    gate = DatasetGate(
        examples=example_gen.outputs["examples"],
        anomalies=example_validator.outputs["anomalies"],
        report=example_gen.outputs["report"],
        settings=DataSettings(path="/photos"),
    )
    transform.add_upstream_node(gate)
    ```

    Component `outputs` contains:
     - `findings`: Channel of type `DatasetFindings`: `findings.json`, an empty list where the data passed.
    """

    SPEC_CLASS = DatasetGateSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        anomalies: types.BaseChannel,
        report: types.BaseChannel,
        settings: DataSettings,
    ) -> None:
        """Construct a DatasetGate component.

        Args:
            examples: Raw examples, of type `standard_artifacts.Examples`.
            anomalies: ExampleValidator's, of type `standard_artifacts.ExampleAnomalies`.
            report: ImageExampleGen's, of type `IngestReport`.
            settings: `min_examples_per_class` is used.
        """
        super().__init__(
            spec=DatasetGateSpec(
                examples=examples,
                anomalies=anomalies,
                report=report,
                min_examples_per_class=settings.min_examples_per_class,
                code_digest=code_digest("components.dataset_gate.executor"),
                findings=Channel(type=DatasetFindings),
            )
        )
