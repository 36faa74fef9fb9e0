"""Read a pipeline compiled by `edgetune compile`, and check it before it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

_REMEDY = "create the file with `edgetune compile`"


@dataclass(frozen=True)
class Specification:
    """A compiled pipeline."""

    path: Path
    document: dict[str, Any]
    """The whole file, a PipelineJob: `displayName`, `pipelineSpec`, `runtimeConfig`."""
    name: str
    """Name of the pipeline."""
    schema_version: str
    root: str
    """Pipeline root; empty for the platform's default."""
    vertex_only: Sequence[str]
    """Tasks that look up artifacts of earlier runs, or run a hook before they look into the cache: only Vertex AI does.
    Without its hook, ImageExampleGen would take changed images from the cache."""

    @property
    def pipeline_spec(self) -> dict[str, Any]:
        """The part that all platforms support."""
        spec: dict[str, Any] = self.document["pipelineSpec"]
        return spec


def read(path: Path) -> Specification:
    """Read a compiled pipeline, and check it against KFP's schema.

    Raises:
        ConfigError: The file cannot be read, is not a compiled pipeline, or is incomplete.
    """
    try:
        document = json.loads(read_file(str(path), None, bounds.MAX_SPECIFICATION, "a compiled pipeline"))
    except UnreadableFile as error:
        raise ConfigError(f"{path}: {error}", _REMEDY) from None
    except RecursionError:
        raise ConfigError(f"{path} is not a compiled pipeline: it is nested too deeply", _REMEDY) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}", _REMEDY) from None
    if isinstance(document, dict) and "root" in document:  # a bare PipelineSpec, as written by other compilers
        document = {"pipelineSpec": document, "runtimeConfig": {}}
    if not isinstance(document, dict) or not isinstance(document.get("pipelineSpec"), dict):
        raise ConfigError(f"{path} is not a compiled pipeline: it has no pipelineSpec", _REMEDY)
    return _checked(path, document)


def write_yaml(document: dict[str, Any], path: Path) -> None:
    """Write a specification as YAML for the clients of both platforms.

    They also read JSON, but parse it as YAML, in which a number without a dot such as 1e-05 (a learning rate) is text.
    The YAML written here has the dot.
    """
    import yaml

    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


def _checked(path: Path, document: dict[str, Any]) -> Specification:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        job = json_format.ParseDict(document, pipeline_spec_pb2.PipelineJob())
        spec = json_format.ParseDict(document["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
        deployment = json_format.ParseDict(
            document["pipelineSpec"].get("deploymentSpec") or {},
            pipeline_spec_pb2.PipelineDeploymentConfig(),
            ignore_unknown_fields=True,  # as the platforms do
        )
    except json_format.ParseError as error:
        raise ConfigError(f"{path} is not a compiled pipeline: {error}", _REMEDY) from None
    name, tasks = spec.pipeline_info.name, spec.root.dag.tasks
    if not name or not tasks:
        raise ConfigError(f"{path} is not a compiled pipeline: it has no {'tasks' if name else 'name'}", _REMEDY)
    missing, vertex_only = [], []
    for task_name in sorted(tasks):
        component = spec.components[tasks[task_name].component_ref.name]
        if component.executor_label not in deployment.executors and not component.HasField("dag"):
            missing.append(task_name)
            continue
        executor = deployment.executors[component.executor_label]
        if executor.HasField("resolver") or executor.container.lifecycle.HasField("pre_cache_check"):
            vertex_only.append(task_name)
    if missing:
        raise ConfigError(f"{path} is incomplete: it has no executor for {', '.join(missing)}", _REMEDY)
    root = job.runtime_config.gcs_output_directory or spec.default_pipeline_root
    return Specification(path, document, name, spec.schema_version, root, vertex_only)
