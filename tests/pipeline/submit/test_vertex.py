"""`edgetune submit --project --region`: the requests to Vertex AI over its REST protocol, and the error messages.

Google's client is configured to use REST with a local server. The credentials are a real service account file with our
own key, so that they are read, signed and exchanged as usual.
"""

from __future__ import annotations

import json
import logging

import pytest

from edgetune.pipeline import cli
from edgetune.pipeline.submit import run as submit_run
from tests.fakes.platforms import Vertex, serving
from tests.helpers import certificates
from tests.tiny import pipeline_spec

WHERE = ("--project", "birds-project", "--region", "europe-west4")
PARENT = "/v1/projects/birds-project/locations/europe-west4"


@pytest.fixture
def vertex(monkeypatch, tmp_path):
    from google.auth import _regional_access_boundary_utils as boundary
    from google.cloud.aiplatform import initializer
    from google.cloud.aiplatform.utils import resource_manager_utils

    monkeypatch.setattr(submit_run, "PAUSE_SECONDS", 0.0)
    # Newer versions ask a server on the network for the owner of the bucket.
    monkeypatch.setattr(resource_manager_utils, "get_project_number", lambda *_: "1")
    # In a thread, which warns on standard error when it finds no network.
    monkeypatch.setattr(boundary._RegionalAccessBoundaryManager, "maybe_start_refresh", lambda *_: None)
    with serving(Vertex()) as stub:
        account = certificates.service_account(f"{stub.url}/token")
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
        monkeypatch.setattr(initializer.global_config, "_api_endpoint", stub.url)
        monkeypatch.setattr(initializer.global_config, "_api_transport", "rest")
        yield stub


@pytest.fixture
def submit(vertex, tmp_path, capfd):
    def run(*arguments: str, job=None, where=WHERE):
        path = pipeline_spec.write(tmp_path, job)
        code = cli.main(["submit", str(path), *where, *arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err + out
        return code, out, err

    return run


def test_the_complete_specification_is_sent_with_root_and_parameters(vertex, submit):
    code, out, err = submit("--set", "epochs=3", "--set", "learning_rate=2e-6", "--name", "first")
    assert (code, err) == (0, "")
    [asked] = vertex.calls("POST", "/pipelineJobs")
    assert asked.path == f"{PARENT}/pipelineJobs" and asked.headers["authorization"].startswith("Bearer ")
    job = asked.query["pipelineJobId"]
    assert job.startswith("birds-")
    page = (
        f"https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/{job}?project=birds-project"
    )
    assert out == f"submitted first, run {job}\n{page}\n"
    assert asked.body["pipelineSpec"] == pipeline_spec.document()["pipelineSpec"]
    assert asked.body["displayName"] == "first"
    assert asked.body["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    given = asked.body["runtimeConfig"]["parameterValues"]
    assert (given["epochs"], given["learning_rate"]) == (3, 2e-6)
    assert "serviceAccount" not in asked.body


def test_account_and_cache_are_as_requested(vertex, submit):
    assert submit("--service-account", "trainer@x.iam.gserviceaccount.com", "--no-cache")[0] == 0
    [body] = vertex.created
    assert body["serviceAccount"] == "trainer@x.iam.gserviceaccount.com"
    tasks = body["pipelineSpec"]["root"]["dag"]["tasks"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{"enableCache": False}] * 2


def test_an_experiment_is_created_and_the_run_is_filed_under_it(vertex, submit):
    vertex.states = ["PIPELINE_STATE_RUNNING"]
    assert submit("--experiment", "mine")[0] == 0
    experiment = f"{PARENT.removeprefix('/v1/')}/metadataStores/default/contexts/mine"
    assert vertex.contexts[experiment]["schemaTitle"] == "system.Experiment"
    [filed] = vertex.calls("POST", "contexts/mine:addContextChildren")
    assert filed.body["childContexts"] == [experiment.removesuffix("mine") + "run"]


def test_waiting_reports_each_state_once_and_ends_well(vertex, submit):
    states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    vertex.states = [f"PIPELINE_STATE_{state}" for state in states]
    code, out, _ = submit("--wait")
    assert code == 0 and out.splitlines()[2:] == ["pending", "running", "succeeded"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_failed_run_exits_with_10_and_reports_why(vertex, submit, state):
    vertex.states = ["PIPELINE_STATE_RUNNING", f"PIPELINE_STATE_{state.upper()}"]
    code, out, err = submit("--wait")
    assert code == 10 and out.splitlines()[-1] == state and f" {state}" in err
    if state == "failed":
        assert "failed: it failed; Evaluator failed: out of memory" in err


def test_without_credentials_nothing_is_sent(vertex, submit, monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    code, _, err = submit()
    assert code == 10 and vertex.asked == []
    assert "no Google credentials were found" in err
    assert "`gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS" in err


@pytest.mark.parametrize("content", [None, "{}", "no JSON", '{"type": "service_account"}'])
def test_unusable_credentials_are_reported_with_their_file(vertex, submit, monkeypatch, tmp_path, content):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    code, _, err = submit()
    assert (
        code == 10
        and f"GOOGLE_APPLICATION_CREDENTIALS={path} holds no usable credentials" in err
        and vertex.asked == []
    )


def test_with_expired_credentials_nothing_is_sent(vertex, submit):
    vertex.token_refused = True
    code, _, err = submit()
    assert code == 10 and "Reauthentication is needed" in err and "gcloud auth application-default login" in err
    assert [asked.path for asked in vertex.asked] == ["/token"]


def test_a_missing_bucket_is_reported_and_not_created(vertex, submit):
    vertex.buckets = []
    code, _, err = submit()
    assert code == 10 and "gs://bucket does not exist" in err and "gcloud storage buckets create gs://bucket" in err
    assert vertex.created == [] and vertex.calls("POST", "/storage/v1/b") == []


def test_submitting_needs_no_access_to_the_bucket(vertex, submit):
    vertex.hidden_buckets = ["bucket"]
    code, out, err = submit()
    assert (code, err) == (0, "") and len(out.splitlines()) == 2 and len(vertex.created) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Vertex AI User"),
        (404, "--project and --region"),
        (400, "Vertex AI rejects the request"),
        (503, "again later"),
    ],
)
def test_the_message_of_vertex_is_reported(vertex, submit, status, message):
    vertex.refuse = (status, "because of\n a rule")
    code, _, err = submit()
    assert code == 10 and "because of a rule" in err and message in err


def test_an_unreachable_vertex_is_reported(vertex, submit, monkeypatch):
    from google.cloud.aiplatform import initializer

    monkeypatch.setattr(initializer.global_config, "_api_endpoint", "http://127.0.0.1:9")
    code, _, err = submit()
    assert code == 10 and "Vertex AI cannot be reached" in err


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (("--project", "p"), "--project p also needs --region"),
        (("--region", "europe-west4"), "give --project too"),
        (("--project", "p", "--region", "mars-1"), "no such region"),
        ((), "no platform is named"),
        ((*WHERE, "--endpoint", "http://h"), "name two platforms"),
        ((*WHERE, "--namespace", "n"), "--namespace and --project name two"),
        ((*WHERE, "--name", "n" * 129), "longer than 128"),
    ],
)
def test_conflicting_arguments_are_rejected(vertex, submit, where, message):
    code, _, err = submit(where=where)
    assert code == 2 and message in err and vertex.asked == []


def test_a_root_that_is_not_on_cloud_storage_is_rejected(vertex, submit):
    job = pipeline_spec.document()
    job["runtimeConfig"]["gcsOutputDirectory"] = "s3://bucket/root"
    code, _, err = submit(job=job)
    assert code == 2 and "s3://bucket/root" in err and vertex.asked == []


def test_a_wrong_parameter_is_not_sent(vertex, submit):
    code, _, err = submit("--set", "epochs=many")
    assert code == 2 and "epochs" in err and vertex.asked == []


def test_a_run_that_pushed_nothing_exits_like_a_local_run(vertex, submit):
    vertex.states, vertex.refusal = ["PIPELINE_STATE_SUCCEEDED"], "the Evaluator refused the model"
    code, out, err = submit("--wait")
    assert code == 7 and out.splitlines()[-1] == "succeeded"
    assert err.count("the Evaluator refused the model") == 1 and "nothing was pushed" in err


def test_the_log_of_googles_client_is_suppressed_only_during_requests(vertex, submit, monkeypatch):
    vertex.states = ["PIPELINE_STATE_SUCCEEDED"]
    answer, levels = vertex.answer, []

    def listening(asked):
        levels.append((asked.path, logging.root.manager.disable))
        return answer(asked)

    monkeypatch.setattr(vertex, "answer", listening)
    assert submit("--wait")[0] == 0
    assert len(levels) > 3 and {level for path, level in levels if path != "/token"} == {logging.CRITICAL}
    assert logging.root.manager.disable == logging.NOTSET
