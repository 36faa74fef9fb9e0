"""`edgetune compile`: compile the pipeline for a platform."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, get_args

import click

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options
from edgetune.pipeline.kubeflow.kfp_package import check_kfp

# As in `pipeline.kubeflow.compiler`, which takes longer to import than `--help` may take.
Target = Literal["kubeflow", "vertex"]


@click.command(name="compile", short_help="Compile the pipeline for Kubeflow Pipelines or Vertex AI.")
@settings_options
@click.option("--target", required=True, type=click.Choice(get_args(Target)), help="The platform.")
@click.option("--image", metavar="IMAGE", help="Container image with edgetune; same as platform.image.")
@click.option("--pipeline-root", metavar="URL", help="Where artifacts go, such as gs://bucket/x; same as state.root.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("pipeline.json"),
    show_default=True,
    metavar="FILE",
    help="The compiled pipeline.",
)
def compile_command(
    config: Path | None,
    data: str | None,
    overrides: tuple[str, ...],
    target: Target,
    image: str | None,
    pipeline_root: str | None,
    output: Path,
) -> None:
    """Compile the pipeline that `edgetune run` runs into one file for a platform, for `edgetune submit`.

    Each component becomes a container with the resources of platform.resources. Data path, epochs, learning rates and
    thresholds become parameters of the run.
    """
    given = {"platform.image": image, "state.root": pipeline_root}
    overrides += tuple(f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None)
    if not output.name or output.is_dir():
        raise ConfigError(f"-o {output}: is a folder", "name a file, such as pipeline.json")
    if not output.parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}", "make it first")
    settings = api.load_settings(config, data=data, overrides=overrides)
    from edgetune.pipeline.kubeflow.checks import check

    check(settings, target)
    check_kfp("compile")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from edgetune.pipeline.kubeflow.compiler import compile_pipeline, write
    from edgetune.pipeline.kubeflow.parameters import parameters_of

    job = compile_pipeline(settings, target)
    write(job, output)
    parameters = ", ".join(parameters_of(job))
    click.echo(f"{output}: {settings.name} for {target}, with the parameters {parameters}")
