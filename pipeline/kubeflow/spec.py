"""What TFX's compiler leaves out of a specification, added to it: resources, retries, defaults, our own cache hook."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from edgetune.modules.settings.execution import PlatformSettings, Resources
from edgetune.pipeline.kubeflow.parameters import PARAMETERS

# The one component whose input is not an artifact: whether that has changed, the platform has to be told.
_INGEST = "ImageExampleGen"
_HOOK = ("python", "-m", "edgetune.pipeline.kubeflow.pre_cache_check")
_LONGEST_WAIT = "3600s"
# Kubernetes knows an accelerator by what it is asked for at the cluster, Vertex by its kind.
_ON_KUBERNETES = {"NVIDIA": "nvidia.com/gpu", "TPU": "google.com/tpu"}

Json = dict[str, Any]


def finish(job: Json, platform: PlatformSettings, target: str, defaults: Json) -> None:
    """Completes a job, in place.

    Args:
        job: As TFX's KubeflowV2DagRunner returns it.
        platform: Resources and retries.
        target: `kubeflow` or `vertex`.
        defaults: Values of all runtime parameters, by their names.
    """
    spec = job["pipelineSpec"]
    _declare(spec["root"]["inputDefinitions"]["parameters"], defaults)
    executors = spec["deploymentSpec"]["executors"]
    for name, task in spec["root"]["dag"]["tasks"].items():
        container = executors[spec["components"][task["componentRef"]["name"]]["executorLabel"]].get("container")
        if container is None:  # a resolver: it is a query, and nothing runs
            continue
        if resources := _resources(platform.resources.of(name), target):
            container["resources"] = resources
        if platform.retries:
            task["retryPolicy"] = {
                "maxRetryCount": platform.retries,
                "backoffDuration": f"{platform.retry_wait}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": _LONGEST_WAIT,
            }
    ingest = executors[spec["components"][_INGEST]["executorLabel"]]["container"]
    if target == "vertex":
        ingest["lifecycle"]["preCacheCheck"]["command"] = list(_HOOK)
    else:
        # Without the hook, whoever adds an image would be served what was made without it.
        del ingest["lifecycle"]
        spec["root"]["dag"]["tasks"][_INGEST].pop("cachingOptions", None)
        spec["defaultPipelineRoot"] = job["runtimeConfig"]["gcsOutputDirectory"]


def validate(job: Json) -> None:
    """Holds a job, and what stands in it without a type, against KFP's schema.

    Raises:
        ParseError: It has a field that the schema does not know, or one of another type.
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


def _resources(asked: Resources, target: str) -> Json:
    found: Json = {}
    if asked.cpu is not None:
        found["cpuLimit"] = asked.cpu
    if asked.memory_gb is not None:
        found["memoryLimit"] = asked.memory_gb
    if asked.accelerator is not None:
        kind = asked.accelerator
        if target == "kubeflow":
            kind = _ON_KUBERNETES[kind.partition("_")[0]]  # type: ignore[assignment]
        found["accelerator"] = {"type": kind, "count": str(asked.accelerator_count)}
    return found
