"""`edgetune submit PIPELINE.json`: run a compiled pipeline on a platform."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.kubeflow.kfp_package import check_kfp

if TYPE_CHECKING:
    from edgetune.pipeline.submit.run import Request, Submitted

_KUBEFLOW, _VERTEX = ("endpoint", "namespace"), ("project", "region")
_PLATFORMS = "give --endpoint URL for Kubeflow Pipelines, or --project ID and --region NAME for Vertex AI"


@click.command(short_help="Run a compiled pipeline on Kubeflow Pipelines or Vertex AI.")
@click.argument("pipeline", type=click.Path(path_type=Path), metavar="PIPELINE.json")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="One runtime parameter of the pipeline, such as training.head.epochs=5; repeatable.",
)
@click.option("--name", metavar="NAME", help="Name of the run.  [default: the pipeline's, with date and time]")
@click.option("--experiment", metavar="NAME", help="Experiment of the run; made if it is missing.")
@click.option("--no-cache", "cache", is_flag=True, flag_value=False, default=True, help="Run every component again.")
@click.option("--service-account", metavar="NAME", help="Account that the components run as.")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the end; exit with 10 if the run fails, with 7 if Vertex AI reports that nothing was pushed.",
)
@click.option("--endpoint", metavar="URL", help="Kubeflow Pipelines: its API, https://kubeflow.example.org/pipeline.")
@click.option("--namespace", metavar="NAME", help="Kubeflow Pipelines: the user's namespace, if it serves several.")
@click.option("--project", metavar="ID", help="Vertex AI: the Google Cloud project.")
@click.option("--region", metavar="NAME", help="Vertex AI: the region, such as europe-west4.")
def submit(
    pipeline: Path,
    overrides: tuple[str, ...],
    name: str | None,
    experiment: str | None,
    cache: bool,
    service_account: str | None,
    wait: bool,
    **platform: str | None,
) -> None:
    """Run what `edgetune compile` wrote.

    The platform is Kubeflow Pipelines (--endpoint) or Vertex AI (--project and --region). The file, its parameters
    and the platform are checked before anything is sent.
    """
    _check_platform(platform)
    check_kfp("submit")
    # The file and its parameters are checked before a client is even imported.
    request = _request(pipeline, overrides, name, experiment=experiment, cache=cache, service_account=service_account)
    run = _submitted(request, platform)
    click.echo(f"submitted {request.name}, run {run.identifier}\n{run.url}")
    if wait:
        from edgetune.pipeline.submit.run import follow

        follow(run, report=click.echo)


def _check_platform(platform: dict[str, str | None]) -> None:
    kubeflow = [name for name in _KUBEFLOW if platform[name]]
    vertex = [name for name in _VERTEX if platform[name]]
    if kubeflow and vertex:
        raise ConfigError(f"--{kubeflow[0]} and --{vertex[0]} name two platforms", _PLATFORMS)
    if not kubeflow and not vertex:
        raise ConfigError("no platform is named", _PLATFORMS)
    given, needed = (kubeflow, ("endpoint",)) if kubeflow else (vertex, _VERTEX)
    if missing := [name for name in needed if name not in given]:
        raise ConfigError(f"--{given[0]} {platform[given[0]]} also needs --{missing[0]}", f"give --{missing[0]} too")


def _request(pipeline: Path, overrides: Sequence[str], name: str | None, **options: Any) -> Request:
    from edgetune.pipeline.kubeflow.parameters import runtime_values
    from edgetune.pipeline.submit.run import Request
    from edgetune.pipeline.submit.specification import read

    specification = read(pipeline)
    return Request(
        specification=specification,
        values=runtime_values(specification.document, list(overrides)),
        name=name or f"{specification.name}-{time.strftime('%Y%m%d-%H%M%S')}",
        **options,
    )


def _submitted(request: Request, platform: dict[str, str | None]) -> Submitted:
    if platform["endpoint"]:
        from edgetune.pipeline.submit import kubeflow as submit_kubeflow

        return submit_kubeflow.submit(request, platform["endpoint"], platform["namespace"])
    from edgetune.pipeline.submit import vertex as submit_vertex

    return submit_vertex.submit(request, platform["project"] or "", platform["region"] or "")
