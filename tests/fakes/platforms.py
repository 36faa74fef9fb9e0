"""Fakes on loopback of the two platforms that `edgetune submit` uses, as far as it uses them.

They answer like the real ones, reject the same requests, and record every request. The one for Kubeflow follows the
source of its API server (backend/api/v2beta1/*.proto, backend/src/apiserver/template, backend/src/v2/compiler), the one
for Vertex AI the v1 REST reference.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Refusal(Exception):
    """An error response: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Stub:
    """A server; `url` is its address."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    """States of the run, one for each request; the last one stays."""
    refuse: tuple[int, str] | None = None
    """Status and message for all requests that would start a run."""
    html: bool = False
    """Answer everything with an HTML page, like a web site."""
    require_token: str | None = None
    created: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests that started runs."""
    ROUTES: ClassVar[list[tuple[str, str, str]]] = []

    def answer(self, asked: Asked) -> Any:
        """Return the JSON response to a request."""
        if self.require_token and asked.headers.get("authorization") != f"Bearer {self.require_token}":
            raise Refusal(401, "missing or wrong token")
        for method, pattern, name in self.ROUTES:
            if method == asked.method and (match := re.fullmatch(pattern, asked.path)):
                return getattr(self, name)(asked, *match.groups())
        raise Refusal(404, f"no such path: {asked.method} {asked.path}")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """Return the JSON body of an error response."""
        raise NotImplementedError

    def next_state(self) -> str:
        """Return the current state of the run."""
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def calls(self, method: str, ending: str) -> list[Asked]:
        """Return the requests to a path."""
        return [asked for asked in self.asked if asked.method == method and asked.path.endswith(ending)]


@dataclass
class Kubeflow(Stub):
    """Fake of the Kubeflow Pipelines API server."""

    several_users: bool = False
    experiments: list[dict[str, Any]] = field(
        default_factory=lambda: [{"experiment_id": "e0", "display_name": "Default"}]
    )
    ROUTES = [
        ("GET", "/apis/v2beta1/healthz", "healthz"),
        ("GET", "/apis/v2beta1/experiments", "find_experiments"),
        ("POST", "/apis/v2beta1/experiments", "make_experiment"),
        ("POST", "/apis/v2beta1/runs", "start"),
        ("GET", "/apis/v2beta1/runs/([^/]+)", "look"),
    ]

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": str(refusal), "code": 3, "message": str(refusal), "details": []}

    def healthz(self, asked: Asked) -> Any:
        return {"multi_user": self.several_users}

    def find_experiments(self, asked: Asked) -> Any:
        if self.several_users and not asked.query.get("namespace"):
            raise Refusal(400, "Invalid input error: in multi-user mode, a namespace is needed")
        [wanted] = json.loads(asked.query["filter"])["predicates"]
        assert wanted["operation"] == 1 and wanted["key"] == "display_name"
        found = [one for one in self.experiments if one["display_name"] == wanted["stringValue"]]
        return {"experiments": found, "total_size": len(found)}

    def make_experiment(self, asked: Asked) -> Any:
        self.experiments.append({**asked.body, "experiment_id": f"e{len(self.experiments)}"})
        return self.experiments[-1]

    def start(self, asked: Asked) -> Any:
        if self.refuse:
            raise Refusal(*self.refuse)
        if asked.body["experiment_id"] not in [one["experiment_id"] for one in self.experiments]:
            raise Refusal(404, "no such experiment")
        try:
            spec = json_format.ParseDict(asked.body["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise Refusal(400, f"invalid v2 pipeline spec: {error}") from None
        if spec.schema_version != "2.1.0":
            raise Refusal(400, "KFP only supports schema version 2.1.0")
        for label, executor in asked.body["pipeline_spec"]["deploymentSpec"]["executors"].items():
            if not {"container", "importer"} & set(executor):
                raise Refusal(400, f"executor {label}: neither a container nor an importer")
        given = asked.body["runtime_config"].get("parameters", {})
        if unknown := set(given) - set(spec.root.input_definitions.parameters):
            raise Refusal(400, f"parameters not in the pipeline: {unknown}")
        self.created.append(asked.body)
        return {**asked.body, "run_id": "r-1", "state": "PENDING"}

    def look(self, asked: Asked, run: str) -> Any:
        state = self.next_state()
        tasks = [{"display_name": "Transform", "state": "SUCCEEDED"}, {"display_name": "Evaluator", "state": state}]
        answer = {**self.created[-1], "run_id": run, "state": state, "run_details": {"task_details": tasks}}
        return {**answer, "error": {"code": 13, "message": "a pod was evicted"}} if state == "FAILED" else answer


@dataclass
class Vertex(Stub):
    """Fake of Vertex AI, Cloud Storage and the token server."""

    buckets: list[str] = field(default_factory=lambda: ["bucket"])
    hidden_buckets: list[str] = field(default_factory=list)
    token_refused: bool = False
    refusal: str = ""
    """Reason of a gate that let nothing be pushed."""
    contexts: dict[str, Any] = field(default_factory=dict)
    ROUTES = [
        ("POST", "/token", "token"),
        ("GET", "/storage/v1/b/([^/]+)", "bucket"),
        ("POST", "/v1/(projects/[^/]+/locations/[^/]+)/pipelineJobs", "start"),
        ("GET", "/v1/(projects/[^/]+/locations/[^/]+/pipelineJobs/[^/]+)", "look"),
        ("GET", "/v1/(projects/[^/]+/locations/[^/]+/metadataStores/default)", "store"),
        ("GET", "/v1/(projects/[^/]+/locations/[^/]+/metadataStores/default/contexts/[^/]+)", "context"),
        ("POST", "/v1/(projects/[^/]+/locations/[^/]+/metadataStores/default/contexts)", "make_context"),
        ("POST", "/v1/(projects/.*/contexts/[^/]+):addContextChildren", "add_children"),
    ]

    def error(self, refusal: Refusal) -> dict[str, Any]:
        if self.token_refused:
            return {"error": "invalid_grant", "error_description": str(refusal)}
        return {"error": {"code": refusal.status, "message": str(refusal), "status": "X"}}

    def token(self, asked: Asked) -> Any:
        if self.token_refused:
            raise Refusal(400, "Reauthentication is needed")
        assert "assertion=" in asked.body
        return {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}

    def bucket(self, asked: Asked, name: str) -> Any:
        if name in self.hidden_buckets:
            raise Refusal(403, "no storage.buckets.get")
        if name not in self.buckets:
            raise Refusal(404, "The specified bucket does not exist.")
        return {"name": name, "projectNumber": "1"}

    def start(self, asked: Asked, parent: str) -> Any:
        if self.refuse:
            raise Refusal(*self.refuse)
        spec = json_format.ParseDict(asked.body["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
        config = asked.body["runtimeConfig"]
        if unknown := set(config.get("parameterValues", {})) - set(spec.root.input_definitions.parameters):
            raise Refusal(400, f"parameters not in the pipeline: {unknown}")
        if not config["gcsOutputDirectory"].startswith("gs://"):
            raise Refusal(400, "gcsOutputDirectory is not a Cloud Storage path")
        self.created.append(asked.body)
        return {**asked.body, "name": f"{parent}/pipelineJobs/{asked.query['pipelineJobId']}"}

    def look(self, asked: Asked, name: str) -> Any:
        state = self.next_state()
        tasks: list[dict[str, Any]] = [{"taskName": "Evaluator", "state": "SUCCEEDED"}]
        if state == "PIPELINE_STATE_FAILED":
            tasks[0] = {"taskName": "Evaluator", "state": "FAILED", "error": {"code": 9, "message": "out of memory"}}
        if self.refusal:
            told = {"metadata": {"pushed": 0.0, "reason": self.refusal}}
            for pusher, output in (("ReleasePusher", "pushed_model"),):
                outputs = {output: {"artifacts": [told]}}
                tasks.append({"taskName": pusher, "state": "SUCCEEDED", "outputs": outputs})
        context = {"name": f"{name.partition('/pipelineJobs/')[0]}/metadataStores/default/contexts/run"}
        self.contexts[context["name"]] = {**context, "schemaTitle": "system.PipelineRun"}
        answer = {"name": name, "state": state, "jobDetail": {"taskDetails": tasks, "pipelineRunContext": context}}
        return {**answer, "error": {"code": 9, "message": "it failed"}} if "FAILED" in state else answer

    def store(self, asked: Asked, name: str) -> Any:
        return {"name": name}

    def context(self, asked: Asked, name: str) -> Any:
        if name not in self.contexts:
            raise Refusal(404, "no such context")
        return self.contexts[name]

    def make_context(self, asked: Asked, parent: str) -> Any:
        name = f"{parent}/{asked.query['contextId']}"
        self.contexts[name] = {**asked.body, "name": name}
        return self.contexts[name]

    def add_children(self, asked: Asked, name: str) -> Any:
        return {}


@contextmanager
def serving(stub: Stub, certificate: Path | None = None) -> Iterator[Stub]:
    """Serve a stub on a free local port; over TLS if given a file with certificate and key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(length).decode()
            parts = urlsplit(self.path)
            try:
                body = json.loads(raw) if raw else None
            except ValueError:
                body = raw
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            asked = Asked(self.command, parts.path, query, headers, body)
            stub.asked.append(asked)
            if stub.html:
                self.reply(200, "text/html", "<!doctype html><title>a web site</title>")
                return
            try:
                self.reply(200, "application/json", json.dumps(stub.answer(asked)))
            except Refusal as refusal:
                self.reply(refusal.status, "application/json", json.dumps(stub.error(refusal)))

        do_GET = do_POST = handle_any

        def reply(self, status: int, kind: str, text: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing, since tests read standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
