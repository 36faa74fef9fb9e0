"""Submit a run to Vertex AI Pipelines with Google's own client."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import google.auth.transport.requests
import requests
from google.api_core.exceptions import (
    Forbidden,
    GatewayTimeout,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)
from google.auth.credentials import Credentials
from google.cloud import storage
from google.cloud.aiplatform import Experiment, PipelineJob
from google.cloud.aiplatform.constants.base import SUPPORTED_REGIONS
from google.cloud.aiplatform_v1.types import PipelineState, PipelineTaskDetail

from edgetune.components.common.names import PUSHED, REASON
from edgetune.modules.core.errors import ConfigError, SubmitError
from edgetune.pipeline.submit.run import Request, State, Submitted
from edgetune.pipeline.submit.specification import Specification, write_yaml

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_LOG_IN = f"run `gcloud auth application-default login` or set {_FILE}"
_TIMEOUT = 60.0
_LONGEST_NAME = 128
_ENDED = {
    PipelineState.PIPELINE_STATE_SUCCEEDED: True,
    PipelineState.PIPELINE_STATE_FAILED: False,
    PipelineState.PIPELINE_STATE_CANCELLED: False,
}


def submit(request: Request, project: str, region: str) -> Submitted:
    """Start a run with Google's application default credentials.

    Args:
        request: What to run.
        project: Google Cloud project.
        region: Region, such as `europe-west4`.

    Raises:
        ConfigError: The region is unknown, the name is too long, or the pipeline root is not on gs://.
        SubmitError: There are no credentials, the bucket does not exist, or Vertex AI is unreachable or rejects the
            request.
    """
    _check(request, region)
    credentials = _credentials()
    with _answers(project), _silent_logs():
        _check_bucket(request.specification, project, region, credentials)
        experiment = None
        if request.experiment:
            where = {"project": project, "location": region, "credentials": credentials}
            experiment = Experiment.get_or_create(request.experiment, **where)
        job = _job(request, project, region, credentials)
        job.submit(service_account=request.service_account, create_request_timeout=_TIMEOUT, experiment=experiment)

    def state() -> State:
        with _answers(project), _silent_logs():
            return _state(job)

    page = (
        f"https://console.cloud.google.com/vertex-ai/locations/{region}/pipelines/runs/{job.job_id}?project={project}"
    )
    return Submitted(job.job_id, page, state)


def _check(request: Request, region: str) -> None:
    if region not in SUPPORTED_REGIONS:
        known = ", ".join(sorted(SUPPORTED_REGIONS))
        raise ConfigError(f"--region {region}: Vertex AI has no such region", f"use one of {known}")
    if len(request.name) > _LONGEST_NAME:
        raise ConfigError(f"--name {request.name} is longer than {_LONGEST_NAME} characters", "use a shorter name")
    specification = request.specification
    if not specification.root.startswith("gs://"):
        raise ConfigError(
            f"{specification.path}: the pipeline root is {specification.root or 'not set'}, but Vertex AI writes only "
            "to gs://",
            "compile it again with a pipeline root on gs://",
        )


def _credentials() -> Credentials:
    """Return credentials that Google accepts; problems are reported before anything is sent to Vertex AI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # says that user credentials have no quota project
        try:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
            credentials.refresh(google.auth.transport.requests.Request())
        except google.auth.exceptions.DefaultCredentialsError as error:
            if named := os.environ.get(_FILE):
                cause = f"{_FILE}={named} holds no usable credentials: {_line(error)}"
            else:
                cause = "no Google credentials were found"
            raise SubmitError(cause, _LOG_IN) from None
        except google.auth.exceptions.RefreshError as error:
            raise SubmitError(f"Google no longer accepts the credentials: {_line(error)}", _LOG_IN) from None
        except google.auth.exceptions.GoogleAuthError as error:
            raise SubmitError(
                f"the Google credentials cannot be checked: {_line(error)}", "check the network"
            ) from None
    return credentials


def _check_bucket(specification: Specification, project: str, region: str, credentials: Credentials) -> None:
    """Report a missing bucket, which Google's client would create: with a global name, billed to the project."""
    bucket = specification.root.removeprefix("gs://").partition("/")[0]
    try:
        exists = storage.Client(project=project, credentials=credentials).bucket(bucket).exists(timeout=_TIMEOUT)
    except Forbidden:  # the submitting user needs no access to the bucket: the components run as another account
        return
    if not exists:
        raise SubmitError(
            f"gs://{bucket} does not exist",
            f"create it with `gcloud storage buckets create gs://{bucket} --project={project} --location={region}`",
        )


def _job(request: Request, project: str, region: str, credentials: Credentials) -> PipelineJob:
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        path = Path(folder, "pipeline.yaml")
        write_yaml(request.specification.document, path)
        return PipelineJob(
            display_name=request.name,
            template_path=str(path),
            pipeline_root=request.specification.root,
            parameter_values=request.values,
            enable_caching=None if request.cache else False,
            project=project,
            location=region,
            credentials=credentials,
        )


@contextmanager
def _answers(project: str) -> Iterator[None]:
    """Turn errors of the connection and of Vertex AI into one sentence."""
    try:
        yield
    except (Forbidden, Unauthorized) as error:
        raise SubmitError(
            f"Vertex AI denies access: {_line(error)}",
            f"give the account the roles Vertex AI User and Service Account User in {project}, and enable the API",
        ) from None
    except NotFound as error:
        raise SubmitError(f"Vertex AI reports: not found: {_line(error)}", "check --project and --region") from None
    except (ServiceUnavailable, GatewayTimeout) as error:
        raise SubmitError(
            f"Vertex AI does not answer: {_line(error)}", "check the network, or try again later"
        ) from None
    except GoogleAPICallError as error:
        raise SubmitError(f"Vertex AI rejects the request: {_line(error)}", "see the message above") from None
    except (GoogleAPIError, google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        raise SubmitError(f"Vertex AI cannot be reached: {_line(error)}", "check the network") from None


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Suppress the logs of Google's client, with tracebacks on standard output; it raises all relevant errors too."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _state(job: PipelineJob) -> State:
    state = job.state
    resource = job.gca_resource
    reasons = [resource.error.message] if resource.error.message else []
    refusals = []
    for task in resource.job_detail.task_details:
        if task.state == PipelineTaskDetail.State.FAILED:
            reasons.append(f"{task.task_name} failed" + (f": {task.error.message}" if task.error.message else ""))
        refusals += [str(given[REASON]) for given in _metadata(task) if given.get(PUSHED) == 0 and REASON in given]
    name = PipelineState(state).name.removeprefix("PIPELINE_STATE_").lower()
    succeeded = _ENDED.get(state, False)
    refused = "; ".join(dict.fromkeys(refusals)) if succeeded else ""
    return State(name, state in _ENDED, succeeded, "; ".join(reasons), refused)


def _metadata(task: PipelineTaskDetail) -> Iterator[dict[str, Any]]:
    """Yield the properties of a task's output artifacts."""
    for artifacts in task.outputs.values():
        for artifact in artifacts.artifacts:
            yield dict(artifact.metadata or {})


def _line(error: Exception) -> str:
    text = " ".join(str(error.args[0] if error.args else error).split())
    return text if len(text) <= 400 else text[:399] + "…"
