"""`edgetune submit PIPELINE.json`: run a compiled pipeline on a platform."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.kubeflow.kfp_package import check_kfp

if TYPE_CHECKING:
    from edgetune.pipeline.submit.run import Request, Submitted

_KUBEFLOW, _VERTEX = ("endpoint", "namespace"), ("project", "region")
_PLATFORMS = "give --endpoint URL for Kubeflow Pipelines, or --project ID and --region NAME for Vertex AI"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of the command line."""
    submit = commands.add_parser(
        "submit",
        help="run a compiled pipeline on Kubeflow Pipelines or on Vertex AI",
        description="Runs what `edgetune compile` wrote on a platform. What can be found wrong from here is found "
        "before anything is sent.",
    )
    submit.add_argument("pipeline", type=Path, metavar="PIPELINE.json", help="what `edgetune compile` wrote")
    submit.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one runtime parameter of the pipeline, as training.head.epochs=5; repeatable",
    )
    submit.add_argument("--name", metavar="NAME", help="of the run; default: the pipeline's, with date and time")
    submit.add_argument("--experiment", metavar="NAME", help="what the run is filed under; made where it is missing")
    submit.add_argument("--no-cache", dest="cache", action="store_false", help="run every component again")
    submit.add_argument(
        "--service-account", metavar="NAME", help="whom the components run as; default: as the platform is set up"
    )
    submit.add_argument(
        "--wait",
        action="store_true",
        help="wait for the end; exits with 10 if the run fails, with 7 if Vertex AI tells that nothing was pushed",
    )
    kubeflow = submit.add_argument_group("Kubeflow Pipelines")
    kubeflow.add_argument("--endpoint", metavar="URL", help="of its API, such as https://kubeflow.example.org/pipeline")
    kubeflow.add_argument("--namespace", metavar="NAME", help="whose run it is, where Kubeflow serves several users")
    vertex = submit.add_argument_group("Vertex AI")
    vertex.add_argument("--project", metavar="ID", help="Google Cloud project")
    vertex.add_argument("--region", metavar="NAME", help="such as europe-west4")
    submit.set_defaults(command=_submit)


def _submit(options: argparse.Namespace) -> None:
    _check_platform(options)
    check_kfp("submit")
    # What is wrong with the file and its parameters is found before a client is even imported.
    request = _request(options)
    run = _submitted(options, request)
    print(f"submitted {request.name}, run {run.identifier}\n{run.url}", flush=True)
    if options.wait:
        from edgetune.pipeline.submit.run import follow

        follow(run, report=lambda state: print(state, flush=True))


def _check_platform(options: argparse.Namespace) -> None:
    kubeflow = [name for name in _KUBEFLOW if getattr(options, name)]
    vertex = [name for name in _VERTEX if getattr(options, name)]
    if kubeflow and vertex:
        raise ConfigError(f"--{kubeflow[0]} and --{vertex[0]} name two platforms", _PLATFORMS)
    if not kubeflow and not vertex:
        raise ConfigError("no platform is named", _PLATFORMS)
    given, needed = (kubeflow, ("endpoint",)) if kubeflow else (vertex, _VERTEX)
    if missing := [name for name in needed if name not in given]:
        alone = f"--{given[0]} {getattr(options, given[0])}"
        raise ConfigError(f"{alone} alone names no platform", f"give --{missing[0]} too")


def _request(options: argparse.Namespace) -> Request:
    from edgetune.pipeline.kubeflow.parameters import runtime_values
    from edgetune.pipeline.submit.run import Request
    from edgetune.pipeline.submit.specification import read

    specification = read(options.pipeline)
    return Request(
        specification=specification,
        values=runtime_values(specification.document, options.set),
        name=options.name or f"{specification.name}-{time.strftime('%Y%m%d-%H%M%S')}",
        experiment=options.experiment,
        cache=options.cache,
        service_account=options.service_account,
    )


def _submitted(options: argparse.Namespace, request: Request) -> Submitted:
    if options.endpoint:
        from edgetune.pipeline.submit import kubeflow as submit_kubeflow

        return submit_kubeflow.submit(request, options.endpoint, options.namespace)
    from edgetune.pipeline.submit import vertex as submit_vertex

    return submit_vertex.submit(request, options.project, options.region)
