"""The settings of platforms that run each component in a container: Kubeflow Pipelines, Vertex AI Pipelines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgetune.modules.settings.base import Settings

# What Vertex AI names so in its `AcceleratorType`, and still offers.
# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec
# fmt: off
Accelerator = Literal[
    "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100", "NVIDIA_TESLA_T4", "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB", "NVIDIA_L4", "NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200",
    "TPU_V2", "TPU_V3",
]
# fmt: on
NotEmpty = Annotated[str, Field(min_length=1)]
# The bounds are Vertex AI's. https://cloud.google.com/vertex-ai/docs/pipelines/machine-types
Cpus = Annotated[float, Field(gt=0.0, le=96.0)]
Gigabytes = Annotated[float, Field(gt=0.0, le=624.0)]


class Resources(Settings):
    """What the container of a component may use; what it leaves open is as in `platform.resources.default`."""

    cpu: Cpus | None = None
    """Processors; null in `default` leaves it to the platform."""
    memory_gb: Gigabytes | None = None
    """Memory, in gigabytes; null in `default` leaves it to the platform."""
    accelerator: Accelerator | None = None
    """Accelerator; Kubeflow asks its cluster for any GPU, or any TPU, and leaves the kind to the cluster's nodes."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Accelerators of one container, where it has any."""


class ComponentResources(Settings):
    """What each component's container may use."""

    default: Resources = Resources()
    """For what a component leaves open."""
    ImageExampleGen: Resources = Resources()
    """Reads the images."""
    ImportSchemaGen: Resources = Resources()
    """Copies the schema."""
    StatisticsGen: Resources = Resources()
    """Counts and measures."""
    ExampleValidator: Resources = Resources()
    """Compares the statistics with the schema."""
    DatasetGate: Resources = Resources()
    """Judges the data."""
    Transform: Resources = Resources()
    """Decodes and resizes the images."""
    TwoPhaseTrainer: Resources = Resources()
    """Trains."""
    Evaluator: Resources = Resources()
    """Measures the SavedModel."""
    EdgeExporter: Resources = Resources()
    """Converts to LiteRT."""
    EdgeEvaluator: Resources = Resources()
    """Measures the LiteRT models, in an interpreter that uses the processor."""
    SavedModelPusher: Resources = Resources()
    """Delivers the SavedModel."""
    EdgePusher: Resources = Resources()
    """Delivers the edge bundle."""

    def of(self, component: str) -> Resources:
        """What a component's container may use, with what it leaves open filled in from `default`."""
        own: Resources = getattr(self, component)
        given = {name: value for name in ("cpu", "memory_gb") if (value := getattr(own, name)) is not None}
        if own.accelerator is not None:
            given |= {"accelerator": own.accelerator, "accelerator_count": own.accelerator_count}
        return self.default.model_copy(update=given)


class PlatformSettings(Settings):
    """How a compiled pipeline runs in containers: `edgetune compile`; where it runs is said to `edgetune submit`."""

    image: NotEmpty | None = None
    """Container image that holds edgetune, as the `Dockerfile` builds it; `--image` stands for it."""
    resources: ComponentResources = ComponentResources()
    """What each component's container may use."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a component that failed is tried again."""
    retry_wait: Annotated[int, Field(ge=0, le=3600)] = 60
    """Seconds until the first of them; each wait is twice the one before, up to an hour."""
    cache: bool = True
    """Take results of earlier runs where nothing they depend on has changed."""
