"""Interface of the DatasetGate component."""

from __future__ import annotations

import getpass
import json

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from edgetune.components.common.artifacts import DatasetFindings, IngestReport
from edgetune.components.common.names import EXAMPLES_KEY, FINDINGS_KEY, REPORT_KEY, STATISTICS_KEY
from edgetune.components.dataset_gate.executor import ANOMALIES_KEY, BASELINE_KEY, LIBRARIES, Executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import DataSettings


class DatasetGateSpec(ComponentSpec):
    """Inputs, outputs and execution properties of DatasetGate."""

    PARAMETERS = {
        "min_examples_per_class": ExecutionParameter(type=int),
        "max_imbalance": ExecutionParameter(type=float),
        "min_side": ExecutionParameter(type=int),
        "image_size": ExecutionParameter(type=int),
        "max_label_drift": ExecutionParameter(type=float),
        "max_image_drift": ExecutionParameter(type=float),
        "on_duplicates": ExecutionParameter(type=str),
        "group": ExecutionParameter(type=str),
        "allow": ExecutionParameter(type=str),
        "allowed_by": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        ANOMALIES_KEY: ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        REPORT_KEY: ChannelParameter(type=IngestReport),
        STATISTICS_KEY: ChannelParameter(type=standard_artifacts.ExampleStatistics),
        BASELINE_KEY: ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS = {FINDINGS_KEY: ChannelParameter(type=DatasetFindings)}


class DatasetGate(base_beam_component.BaseBeamComponent):
    """A TFX component that stops the run if the data are not fit for training.

    It fails on anomalies that ExampleValidator found, on classes with too few usable images or far fewer than others,
    on small images, on near-duplicates with two labels or in two splits, and on drift from the data of the last blessed
    model. A finding is allowed if `data.allow` names it; the artifact then records the user who ran the pipeline.
    Pictures that show little, such as dark or blurred ones, are findings that only inform.
    No component reads its output, so later components must name it as an upstream node.

    ## Example
    ```
    gate = DatasetGate(
        examples=example_gen.outputs["examples"],
        anomalies=example_validator.outputs["anomalies"],
        report=example_gen.outputs["report"],
        statistics=statistics_gen.outputs["statistics"],
        settings=DataSettings(path="/photos"),
        image_size=224,
    )
    transform.add_upstream_node(gate)
    ```

    Component `outputs` contains:
     - `findings`: Channel of type `DatasetFindings`: `findings.json`, the findings that are allowed or only
                   inform. Custom properties: `findings`, their number; if there are any, `allowed` and `allowed_by`.
    """

    SPEC_CLASS = DatasetGateSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        anomalies: types.BaseChannel,
        report: types.BaseChannel,
        statistics: types.BaseChannel,
        settings: DataSettings,
        image_size: int,
        baseline_statistics: types.BaseChannel | None = None,
    ) -> None:
        """Construct a DatasetGate component.

        Args:
            examples: Raw examples, of type `standard_artifacts.Examples`.
            anomalies: From ExampleValidator, of type `standard_artifacts.ExampleAnomalies`.
            report: From ImageExampleGen, of type `IngestReport`.
            statistics: From StatisticsGen, of type `standard_artifacts.ExampleStatistics`.
            settings: The bounds, `on_duplicates`, `group` and `allow` are used.
            image_size: `model.image_size`, by which pictures are small.
            baseline_statistics: Statistics to measure drift from; without them, drift is not measured.
        """
        super().__init__(
            spec=DatasetGateSpec(
                examples=examples,
                anomalies=anomalies,
                report=report,
                statistics=statistics,
                baseline_statistics=baseline_statistics,
                min_examples_per_class=settings.min_examples_per_class,
                max_imbalance=settings.max_imbalance,
                min_side=settings.min_side,
                image_size=image_size,
                max_label_drift=settings.max_label_drift,
                max_image_drift=settings.max_image_drift,
                on_duplicates=settings.on_duplicates,
                group=settings.group or "",
                allow=json.dumps(sorted(settings.allow)),
                # Empty unless something is allowed, so that the user name does not change the cache key.
                allowed_by=getpass.getuser() if settings.allow else "",
                code_digest=code_digest("edgetune.components.dataset_gate.executor"),
                library_versions=library_versions(LIBRARIES),
                findings=Channel(type=DatasetFindings),
            )
        )
