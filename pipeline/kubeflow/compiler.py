"""Compile the pipeline for platforms that run each component in a container: Kubeflow Pipelines and Vertex AI.

It is the same pipeline as in `edgetune run`, from the same `create_pipeline`, except where a container differs from
this machine: the data are examined at run time, and earlier models are found by the markers of releases. The result is
a PipelineJob of KFP's pipeline specification 2.1, which `edgetune submit` sends.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetune.components.common.names import RELEASE_PUSHER
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.library_versions import KEY, image_versions
from edgetune.modules.settings.run import RunSettings, tree_of
from edgetune.pipeline.kubeflow.checks import check
from edgetune.pipeline.kubeflow.parameters import DATA_PATH, PARAMETERS, check_data_path

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

_COMMAND = ("python", "-m", "edgetune.pipeline.kubeflow.container_entry")

Target = Literal["kubeflow", "vertex"]


def compile_pipeline(settings: RunSettings, target: Target) -> dict[str, Any]:
    """Build the pipeline and compile it for a platform, without reading data or sending anything.

    Args:
        settings: The configuration, with `platform.image` and `state.root`.
        target: `kubeflow` for Kubeflow Pipelines 2, `vertex` for Vertex AI Pipelines.

    Returns:
        A PipelineJob as JSON values; the same for the same settings and code.

    Raises:
        ConfigError: A setting is missing, or does not work in a container.
        WeightsError: The weights file is missing.
    """
    image, root = check(settings, target)
    pipeline = _build(settings, root)
    return _completed(_compiled(pipeline, settings, image), settings, target)


def write(job: dict[str, Any], path: Path) -> None:
    """Write a compiled pipeline atomically.

    Raises:
        ConfigError: The file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(job, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"-o {path} cannot be written: {error.strerror}", "name another file") from None


def _build(settings: RunSettings, root: str) -> Pipeline:
    from edgetune.pipeline.beam.flags import beam_flags
    from edgetune.pipeline.pipeline import Destinations, create_pipeline

    destinations = Destinations(
        root=f"{root}/{settings.name}",
        saved_model=settings.push.saved_model or f"{root}/pushed/{settings.name}/saved_model",
        edge=settings.push.edge or f"{root}/pushed/{settings.name}/edge",
    )
    return create_pipeline(
        settings,
        None,
        destinations,
        beam_args=beam_flags(settings.beam),
        cache=settings.platform.cache,
        resolvers=False,
    )


def _compiled(pipeline: Pipeline, settings: RunSettings, image: str) -> dict[str, Any]:
    """Compile the pipeline with TFX."""
    from tfx.orchestration.data_types import RuntimeParameter
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

    components = {component.id: component for component in pipeline.components}
    for parameter in PARAMETERS:
        for name in (parameter.component, *({parameter.also} & components.keys())):
            properties = components[name].exec_properties
            if parameter.key not in properties:
                raise KeyError(f"{name} has no property {parameter.key}")
            properties[parameter.key] = RuntimeParameter(name=parameter.name, ptype=parameter.kind)
    in_image = image_versions()
    for component in components.values():
        if KEY in component.exec_properties:
            component.exec_properties[KEY] = in_image
    _add_configuration(components[RELEASE_PUSHER].exec_properties, settings)
    config = KubeflowV2DagRunnerConfig(
        display_name=settings.name, default_image=image, default_commands=list(_COMMAND), use_pipeline_spec_2_1=True
    )
    job: dict[str, Any] = KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    return job


def _add_configuration(properties: dict[str, Any], settings: RunSettings) -> None:
    """Pass the parameters of the run to ReleasePusher, whose lineage must record them and not the compiled values."""
    from tfx.orchestration.data_types import RuntimeParameter

    from edgetune.components.release_pusher.executor import CONFIGURATION_KEY

    changeable = {f"run_{parameter.name}": parameter for parameter in PARAMETERS}
    names = {key: parameter.setting for key, parameter in changeable.items()}
    configuration = {"settings": tree_of(settings), "changeable": names}
    properties[CONFIGURATION_KEY] = json.dumps(configuration, sort_keys=True)
    for key, parameter in changeable.items():
        properties[key] = RuntimeParameter(name=parameter.name, ptype=parameter.kind)


def _completed(job: dict[str, Any], settings: RunSettings, target: Target) -> dict[str, Any]:
    """Add what TFX's compiler leaves out, and validate the job against KFP's schema."""
    from edgetune.pipeline.kubeflow.spec import finish, validate

    defaults = {parameter.name: _value(settings, parameter.setting) for parameter in PARAMETERS}
    finish(job, settings.platform, target, defaults)
    validate(job)
    return job


def _value(settings: RunSettings, setting: str) -> Any:
    at: Any = settings
    for name in setting.split("."):
        at = getattr(at, name)
    if setting == DATA_PATH:
        check_data_path(at, setting)
    return at
