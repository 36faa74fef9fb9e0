"""`edgetune compile`: write the pipeline down for a platform."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.kubeflow.kfp_package import check_kfp

# As in `pipeline.kubeflow.compiler`, which takes longer to import than `--help` may take.
TARGETS = ("kubeflow", "vertex")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], settings: argparse.ArgumentParser) -> None:
    """Adds the command to those of the command line; `settings` has the options of all that take a configuration."""
    command = commands.add_parser(
        "compile",
        parents=[settings],
        help="write the pipeline down for Kubeflow Pipelines or Vertex AI",
        description="Writes the pipeline that `edgetune run` runs as one file for a platform, for `edgetune submit`. "
        "Each component becomes a container with the resources of platform.resources. Data path, epochs, learning "
        "rates and thresholds become parameters of the run.",
    )
    command.add_argument("--target", required=True, choices=TARGETS, help="the platform")
    command.add_argument("--image", metavar="IMAGE", help="container image with edgetune; stands for platform.image")
    command.add_argument(
        "--pipeline-root", metavar="URL", help="where artifacts go, such as gs://bucket/x; stands for state.root"
    )
    command.add_argument(
        "-o", "--output", type=Path, default=Path("pipeline.json"), metavar="FILE", help="default: ./%(default)s"
    )
    command.set_defaults(command=_compile)


def _compile(options: argparse.Namespace) -> None:
    given = {"platform.image": options.image, "state.root": options.pipeline_root}
    overrides = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    if not options.output.name or options.output.is_dir():
        raise ConfigError(f"-o {options.output}: is a folder", "name a file, such as pipeline.json")
    if not options.output.parent.is_dir():
        raise ConfigError(f"-o {options.output}: there is no folder {options.output.parent}", "make it first")
    from edgetune.pipeline.config.load import load
    from edgetune.pipeline.kubeflow.checks import check

    settings = load(options.config, [*options.set, *overrides], options.data)
    check(settings, options.target)
    check_kfp("compile")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from edgetune.pipeline.kubeflow.compiler import compile_pipeline, write
    from edgetune.pipeline.kubeflow.parameters import parameters_of

    job = compile_pipeline(settings, options.target)
    write(job, options.output)
    parameters = ", ".join(parameters_of(job))
    print(f"{options.output}: {settings.name} for {options.target}, with the parameters {parameters}")
