"""`edgetune submit --endpoint`: the requests to a Kubeflow Pipelines API, and the error messages."""

from __future__ import annotations

import socket

import pytest

from edgetune.pipeline import cli
from edgetune.pipeline.submit import run as submit_run
from tests.fakes.platforms import Kubeflow, serving
from tests.helpers import certificates
from tests.tiny import pipeline_spec

RUNS = "/apis/v2beta1/runs"


@pytest.fixture
def kubeflow(monkeypatch, tmp_path):
    monkeypatch.setattr(submit_run, "PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    # kfp stores data about earlier sessions in the home folder.
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with serving(Kubeflow()) as stub:
        yield stub


@pytest.fixture
def submit(kubeflow, tmp_path, capfd):
    def run(*arguments: str, job=None, endpoint=None):
        path = pipeline_spec.write(tmp_path, job)
        code = cli.main(["submit", str(path), "--endpoint", endpoint or kubeflow.url, *arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err + out
        return code, out, err

    return run


def test_the_complete_specification_is_sent_with_root_and_parameters(kubeflow, submit):
    code, out, err = submit("--set", "epochs=3", "--set", "learning_rate=2e-6", "--name", "first")
    assert (code, err) == (0, "")
    assert out == f"submitted first, run r-1\n{kubeflow.url}/#/runs/details/r-1\n"
    [body] = kubeflow.created
    assert body["pipeline_spec"] == pipeline_spec.document()["pipelineSpec"]
    assert body["runtime_config"]["pipeline_root"] == "gs://bucket/root"
    given = body["runtime_config"]["parameters"]
    assert (given["epochs"], given["learning_rate"]) == (3, 2e-6)
    assert (body["display_name"], body["experiment_id"]) == ("first", "e0")
    assert "service_account" not in body


def test_without_a_name_the_run_has_the_name_of_the_pipeline_and_the_time(kubeflow, submit):
    assert submit()[0] == 0
    name, date, time = kubeflow.created[0]["display_name"].split("-")
    assert name == "birds" and len(date) == 8 and len(time) == 6


def test_experiment_account_and_cache_are_as_requested(kubeflow, submit):
    assert submit("--experiment", "mine", "--service-account", "trainer", "--no-cache")[0] == 0
    [body] = kubeflow.created
    assert kubeflow.experiments[1]["display_name"] == "mine"
    assert (body["experiment_id"], body["service_account"]) == ("e1", "trainer")
    tasks = body["pipeline_spec"]["root"]["dag"]["tasks"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{}, {}]  # a missing value means false
    assert submit("--experiment", "mine")[0] == 0
    assert kubeflow.created[1]["experiment_id"] == "e1"


def test_a_namespace_is_required_if_there_are_several_users(kubeflow, submit):
    kubeflow.several_users = True
    code, _, err = submit()
    assert code == 2 and "--namespace" in err and kubeflow.created == []
    assert submit("--namespace", "anna")[0] == 0
    assert kubeflow.calls("GET", "/experiments")[-1].query["namespace"] == "anna"


def test_a_token_is_sent_and_a_missing_one_is_reported(kubeflow, submit, tmp_path, monkeypatch):
    kubeflow.require_token = "secret"
    code, _, err = submit()
    assert code == 10 and "rejects the request: 401" in err and "KF_PIPELINES_SA_TOKEN_PATH" in err
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert submit()[0] == 0
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "gone"))
    code, _, err = submit()
    assert code == 2 and "gone cannot be read" in err


def test_waiting_reports_each_state_once_and_ends_well(kubeflow, submit):
    kubeflow.states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    code, out, _ = submit("--wait")
    assert code == 0 and out.splitlines()[2:] == ["pending", "running", "succeeded"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_failed_run_exits_with_10_and_reports_why(kubeflow, submit, state):
    kubeflow.states = ["RUNNING", state]
    code, out, err = submit("--wait")
    assert code == 10 and out.splitlines()[-1] == state.lower()
    assert f"run r-1 {state.lower()}" in err and f"{kubeflow.url}/#/runs/details/r-1" in err
    if state == "FAILED":
        assert "a pod was evicted; Evaluator failed" in err


def test_a_few_failed_requests_are_tolerated_while_waiting(kubeflow, submit, monkeypatch):
    kubeflow.states = ["SUCCEEDED"]
    answer, left = kubeflow.answer, [3]

    def shaky(asked):
        if asked.path.startswith(f"{RUNS}/") and left[0]:
            left[0] -= 1
            kubeflow.refuse = (503, "busy")
            return kubeflow.start(asked)
        return answer(asked)

    monkeypatch.setattr(kubeflow, "answer", shaky)
    assert submit("--wait")[0] == 0
    left[0] = 100
    kubeflow.refuse = None
    code, _, err = submit("--wait")
    assert code == 10 and "503 busy" in err and left[0] == 92


def test_the_message_of_the_api_is_reported(kubeflow, submit):
    kubeflow.refuse = (400, "Invalid input error:\n the quota is used up")
    code, _, err = submit()
    assert code == 10 and "rejects the request: 400 Invalid input error: the quota is used up" in err


def test_an_unreachable_endpoint_is_reported_within_seconds(submit):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code, _, err = submit(endpoint=endpoint)
    assert code == 10 and f"{endpoint} cannot be reached" in err and "Connection refused" in err


def test_an_endpoint_that_never_answers_is_given_up(submit, monkeypatch):
    monkeypatch.setattr("edgetune.pipeline.submit.kubeflow._TIMEOUT", (1, 1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, _, err = submit(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert code == 10 and "cannot be reached" in err


def test_a_web_site_is_not_an_endpoint(kubeflow, submit):
    kubeflow.html = True
    code, _, err = submit()
    assert code == 10 and "answers, but is not Kubeflow Pipelines" in err


def test_a_wrong_path_is_reported(kubeflow, submit):
    code, _, err = submit(endpoint=f"{kubeflow.url}/pipelines/")
    assert code == 10 and "rejects the request: 404" in err and "/apis/v2beta1/healthz" in err


@pytest.mark.parametrize("endpoint", ["localhost:8080", "ftp://host", "http://", "http://host:port", "http://h/#/runs"])
def test_an_invalid_url_is_rejected(kubeflow, submit, endpoint):
    code, _, err = submit(endpoint=endpoint)
    assert code == 2 and f"--endpoint {endpoint} is not an API URL" in err


def schema(job):
    job["pipelineSpec"]["schemaVersion"] = "2.0.0"


def resolver(job):
    job["pipelineSpec"]["deploymentSpec"]["executors"]["Evaluator_executor"] = {"resolver": {}}


def local_root(job):
    job["runtimeConfig"]["gcsOutputDirectory"] = "/tmp/root"


@pytest.mark.parametrize(
    ("alter", "why"), [(schema, "schema 2.0.0"), (resolver, "Evaluator"), (local_root, "/tmp/root")]
)
def test_a_specification_that_kubeflow_would_reject_is_not_sent(kubeflow, submit, alter, why):
    job = pipeline_spec.document()
    alter(job)
    code, _, err = submit(job=job)
    assert code == 2 and why in err and kubeflow.asked == []


@pytest.mark.parametrize("assignment", ["epoch=3", "epochs=many", "epochs=2.5", "learning_rate=fast", "epochs"])
def test_a_wrong_parameter_is_not_sent(kubeflow, submit, assignment):
    code, _, err = submit("--set", assignment)
    assert code == 2 and assignment.split("=")[0] in err and kubeflow.asked == []


def test_a_private_certificate_authority_is_trusted_if_it_is_named(tmp_path, submit, monkeypatch):
    certificate = certificates.self_signed(tmp_path)
    with serving(Kubeflow(), certificate) as secure:
        code, _, err = submit(endpoint=secure.url)
        assert code == 10 and "cannot be reached" in err and "certificate verify failed" in err and secure.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert submit(endpoint=secure.url)[0] == 0
