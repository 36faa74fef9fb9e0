"""Add what TFX's compiler leaves out of a specification: resources, retries, defaults and our own cache hook."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from edgetune.components.common.names import EDGE_EVALUATOR, IMAGE_EXAMPLE_GEN
from edgetune.modules.settings.execution import PlatformSettings, Resources
from edgetune.pipeline.kubeflow.parameters import PARAMETERS

_HOOK = ("python", "-m", "edgetune.pipeline.kubeflow.pre_cache_check")
_LONGEST_WAIT = "3600s"
# Kubernetes names accelerators by their resource in the cluster, Vertex by their type.
_ON_KUBERNETES = {"NVIDIA": "nvidia.com/gpu", "TPU": "google.com/tpu"}

Json = dict[str, Any]


def finish(job: Json, platform: PlatformSettings, target: str, defaults: Json) -> None:
    """Complete a job in place.

    Args:
        job: A job from TFX's KubeflowV2DagRunner.
        platform: Resources and retries.
        target: `kubeflow` or `vertex`.
        defaults: Default values of all runtime parameters, by name.
    """
    spec = job["pipelineSpec"]
    _declare(spec["root"]["inputDefinitions"]["parameters"], defaults)
    executors = spec["deploymentSpec"]["executors"]
    for name, task in spec["root"]["dag"]["tasks"].items():
        container = executors[spec["components"][task["componentRef"]["name"]]["executorLabel"]]["container"]
        if resources := _resources(platform.resources.of(name), target):
            container["resources"] = resources
        if platform.retries:
            task["retryPolicy"] = {
                "maxRetryCount": platform.retries,
                "backoffDuration": f"{platform.retry_wait}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": _LONGEST_WAIT,
            }
    # Nor are images of none of the classes an artifact, and their component has no hook.
    if "unknown" in spec["components"][EDGE_EVALUATOR]["inputDefinitions"].get("parameters", {}):
        spec["root"]["dag"]["tasks"][EDGE_EVALUATOR].pop("cachingOptions", None)
    # The input of ImageExampleGen is not an artifact, so the platform must be told whether it has changed.
    ingest = executors[spec["components"][IMAGE_EXAMPLE_GEN]["executorLabel"]]["container"]
    if target == "vertex":
        ingest["lifecycle"]["preCacheCheck"]["command"] = list(_HOOK)
    else:
        # Without the hook, the cache would ignore new images, so the component must not be cached.
        del ingest["lifecycle"]
        spec["root"]["dag"]["tasks"][IMAGE_EXAMPLE_GEN].pop("cachingOptions", None)
        spec["defaultPipelineRoot"] = job["runtimeConfig"]["gcsOutputDirectory"]


def validate(job: Json) -> None:
    """Validate a job and its untyped parts against KFP's schema.

    Raises:
        ParseError: A field is unknown or has the wrong type.
    """
    json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(job["pipelineSpec"]["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())


def _declare(parameters: Json, defaults: Json) -> None:
    for parameter in PARAMETERS:
        parameters[parameter.name] |= {
            "defaultValue": defaults[parameter.name],
            "isOptional": True,
            "description": f"{parameter.setting}: {parameter.field.description}",
        }


def _resources(requested: Resources, target: str) -> Json:
    found: Json = {}
    if requested.cpu is not None:
        found["cpuLimit"] = requested.cpu
    if requested.memory_gb is not None:
        found["memoryLimit"] = requested.memory_gb
    if requested.accelerator is not None:
        kind = requested.accelerator
        if target == "kubeflow":
            kind = _ON_KUBERNETES[kind.partition("_")[0]]  # type: ignore[assignment]
        found["accelerator"] = {"type": kind, "count": str(requested.accelerator_count)}
    return found
