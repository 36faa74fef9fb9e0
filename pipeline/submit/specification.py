"""Reading what `edgetune compile` wrote, and finding what is wrong with it before it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.modules.core.errors import ConfigError

_REMEDY = "`edgetune compile` writes such a file"


@dataclass(frozen=True)
class Specification:
    """A compiled pipeline."""

    path: Path
    document: dict[str, Any]
    """The whole file, a PipelineJob: `displayName`, `pipelineSpec`, `runtimeConfig`."""
    name: str
    """Of the pipeline."""
    schema_version: str
    root: str
    """Where artifacts go; empty where the platform decides."""
    resolvers: Sequence[str]
    """Tasks that look for artifacts of earlier runs, in the way that only Vertex AI knows."""

    @property
    def pipeline_spec(self) -> dict[str, Any]:
        """The part that all platforms understand."""
        spec: dict[str, Any] = self.document["pipelineSpec"]
        return spec


def read(path: Path) -> Specification:
    """Reads a compiled pipeline, and checks it against the schema of such files.

    Raises:
        ConfigError: The file cannot be read, is no compiled pipeline, or is an incomplete one.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", _REMEDY) from None
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}", _REMEDY) from None
    if isinstance(document, dict) and "root" in document:  # a bare PipelineSpec, as other compilers write it
        document = {"pipelineSpec": document, "runtimeConfig": {}}
    if not isinstance(document, dict) or not isinstance(document.get("pipelineSpec"), dict):
        raise ConfigError(f"{path}: is no compiled pipeline: it has no pipelineSpec", _REMEDY)
    return _checked(path, document)


def write_yaml(document: dict[str, Any], path: Path) -> None:
    """Writes a specification as the clients of both platforms read it.

    They read JSON too, but as if it were YAML, where a number such as 1e-05 (a learning rate) is a text: it needs a
    dot to be a number. What is written here has one.
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
        how = json_format.ParseDict(
            document["pipelineSpec"].get("deploymentSpec") or {},
            pipeline_spec_pb2.PipelineDeploymentConfig(),
            ignore_unknown_fields=True,  # as the platforms do
        )
    except json_format.ParseError as error:
        raise ConfigError(f"{path}: is no compiled pipeline: {error}", _REMEDY) from None
    name, tasks = spec.pipeline_info.name, spec.root.dag.tasks
    if not name or not tasks:
        raise ConfigError(f"{path}: is no compiled pipeline: it has no {'tasks' if name else 'name'}", _REMEDY)
    lost, resolvers = [], []
    for task_name in sorted(tasks):
        component = spec.components[tasks[task_name].component_ref.name]
        if component.executor_label not in how.executors and not component.HasField("dag"):
            lost.append(task_name)
        elif how.executors[component.executor_label].HasField("resolver"):
            resolvers.append(task_name)
    if lost:
        raise ConfigError(f"{path}: is incomplete: nothing says how to run {', '.join(lost)}", _REMEDY)
    root = job.runtime_config.gcs_output_directory or spec.default_pipeline_root
    return Specification(path, document, name, spec.schema_version, root, resolvers)
