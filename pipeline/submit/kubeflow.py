"""Submit a run to Kubeflow Pipelines with its own client."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kfp
import kfp_server_api
import urllib3
from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH, ServiceAccountTokenVolumeCredentials

from edgetune.modules.core.errors import ConfigError, SubmitError
from edgetune.modules.core.generation import health_check
from edgetune.pipeline.submit.run import Request, State, Submitted
from edgetune.pipeline.submit.specification import Specification, write_yaml

# Seconds to connect and seconds to answer; urllib3 makes four attempts.
_TIMEOUT = (4, 20)
_EXPERIMENT = "Default"
# Schema and stores that the API server and its launcher support: backend/src/v2/objectstore/config.go and .../template.
_SCHEMA = "2.1.0"
_STORES = ("gs://", "s3://", "minio://")
_ENDED = {"SUCCEEDED": True, "SKIPPED": True, "FAILED": False, "CANCELED": False}


def submit(request: Request, endpoint: str, namespace: str | None = None) -> Submitted:
    """Start a run.

    Each request reads a token from the file named by $KF_PIPELINES_SA_TOKEN_PATH, which Kubernetes can mount.
    $SSL_CERT_FILE names a file with the certificates of private authorities.

    Args:
        request: What to run.
        endpoint: URL of the API, such as `https://kubeflow.example.org/pipeline`.
        namespace: The user's namespace, if Kubeflow serves several users.

    Raises:
        ConfigError: The endpoint is not a URL, or Kubeflow cannot run the specification.
        SubmitError: The endpoint is unreachable, is not Kubeflow Pipelines, or rejects the request.
    """
    endpoint = _url(endpoint)
    _check(request.specification)
    with _answers(endpoint):
        client = _client(endpoint, namespace)
        several_users = client.get_kfp_healthz().multi_user
        if several_users and not (namespace or client.get_user_namespace()):
            raise ConfigError(f"{endpoint} serves several users", "name your namespace with --namespace NAME")
        with _as_yaml(request.specification) as package, contextlib.redirect_stdout(io.StringIO()):
            experiment = client.create_experiment(request.experiment or _EXPERIMENT, namespace=namespace)
            run = client.run_pipeline(
                experiment_id=experiment.experiment_id,
                job_name=request.name,
                pipeline_package_path=str(package),
                params=request.values,
                pipeline_root=request.specification.root or None,
                enable_caching=None if request.cache else False,
                service_account=request.service_account,
            )

    def state() -> State:
        with _answers(endpoint):
            return _state(client.get_run(run.run_id))

    return Submitted(run.run_id, f"{endpoint}/#/runs/details/{run.run_id}", state)


class _Client(kfp.Client):
    """kfp's client with a health check that gives up after seconds; kfp's own takes minutes and prints tracebacks."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> kfp_server_api.V2beta1GetHealthzResponse:
        response = health_check(self.healthzs)(_preload_content=False, _request_timeout=_TIMEOUT)
        try:
            several_users = json.loads(response.data).get("multi_user", False)
        except (ValueError, AttributeError):  # an HTML page, or other JSON
            raise SubmitError(
                f"{self._existing_config.host} answers, but is not Kubeflow Pipelines",
                "use the URL under which /apis/v2beta1/healthz answers, often https://HOST/pipeline",
            ) from None
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=several_users)


def _client(endpoint: str, namespace: str | None) -> _Client:
    token = os.environ.get(KF_PIPELINES_SA_TOKEN_ENV)
    if token and not os.access(token, os.R_OK):
        raise ConfigError(f"${KF_PIPELINES_SA_TOKEN_ENV}: {token} cannot be read", "name a file that holds a token")
    has_token = bool(token) or Path(KF_PIPELINES_SA_TOKEN_PATH).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # says that the client is for Kubeflow Pipelines v2
        return _Client(
            host=endpoint,
            namespace=namespace or "kubeflow",  # kfp's value for no namespace
            credentials=ServiceAccountTokenVolumeCredentials() if has_token else None,
            ssl_ca_cert=os.environ.get("SSL_CERT_FILE"),
        )


def _url(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # invalid port
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ConfigError(f"--endpoint {endpoint} is not an API URL", "write https://HOST, with its path if it has one")
    return endpoint.rstrip("/")


def _check(specification: Specification) -> None:
    path = specification.path
    if specification.schema_version != _SCHEMA:
        raise ConfigError(
            f"{path} has schema {specification.schema_version}, but Kubeflow Pipelines supports only {_SCHEMA}",
            "compile it again with --target kubeflow",
        )
    if specification.vertex_only:
        raise ConfigError(
            f"{path}: Kubeflow Pipelines does not run {', '.join(specification.vertex_only)} as Vertex AI does: it has "
            "no resolvers, and no hooks before the cache",
            "compile it again with --target kubeflow",
        )
    if specification.root and not specification.root.startswith(_STORES):
        raise ConfigError(
            f"{path}: the pipeline root {specification.root} is not accessible to components on other machines",
            f"compile it again with a pipeline root on {', '.join(_STORES)}",
        )


@contextlib.contextmanager
def _as_yaml(specification: Specification) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        path = Path(folder, "pipeline.yaml")
        write_yaml(specification.pipeline_spec, path)
        yield path


@contextlib.contextmanager
def _answers(endpoint: str) -> Iterator[None]:
    """Turn errors of the connection and of the endpoint into one sentence."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        remedies = {
            401: f"set ${KF_PIPELINES_SA_TOKEN_ENV} to a file with a valid token",
            403: "ask its administrator for permission, or name another --namespace",
            404: "use the URL under which /apis/v2beta1/healthz answers, often https://HOST/pipeline",
        }
        remedy = remedies.get(error.status, "see the server's own log")
        raise SubmitError(f"{endpoint} rejects the request: {error.status} {_message(error)}", remedy) from None
    except urllib3.exceptions.HTTPError as error:
        raise SubmitError(f"{endpoint} cannot be reached: {_reason(error)}", "check the URL and the network") from None


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    text = str(getattr(error, "reason", None) or error)
    within = re.search(r"'(.+)'\)$", text)  # (<connection object>, 'what happened')
    return within[1] if within else re.sub(r"<[^>]*>:? ?", "", text)


def _message(error: kfp_server_api.ApiException) -> str:
    try:
        answer = json.loads(error.body)
        text = str(answer.get("message") or answer.get("error"))
    except (TypeError, ValueError, AttributeError):
        text = str(error.reason)
    text = " ".join(text.split())
    return text if len(text) <= 400 else text[:399] + "…"


def _state(run: kfp_server_api.V2beta1Run) -> State:
    name = run.state or "PENDING"
    reasons = [run.error.message] if run.error and run.error.message else []
    for task in (run.run_details and run.run_details.task_details) or []:
        if task.state == "FAILED":
            reasons.append(f"{task.display_name} failed")
    return State(name.lower(), name in _ENDED, _ENDED.get(name, False), "; ".join(reasons))
