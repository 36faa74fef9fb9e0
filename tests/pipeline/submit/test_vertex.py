"""`edgetune submit --project --region`: what arrives at Vertex AI, over its REST protocol, and what is told when
something is wrong. Google's client is told to speak REST to a server of this machine; credentials are a real service
account's file with a key of our own, so that they are read, signed and exchanged as everywhere."""

from __future__ import annotations

import ast
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
    from google.cloud.aiplatform import initializer
    from google.cloud.aiplatform.utils import resource_manager_utils

    monkeypatch.setattr(submit_run, "PAUSE_SECONDS", 0.0)
    # Its newer versions ask a server on the network whose bucket it is.
    monkeypatch.setattr(resource_manager_utils, "get_project_number", lambda *_: "1")
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


def test_the_whole_specification_arrives_with_root_and_parameters(vertex, submit):
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


def test_account_and_cache_are_as_asked(vertex, submit):
    assert submit("--service-account", "trainer@x.iam.gserviceaccount.com", "--no-cache")[0] == 0
    [body] = vertex.created
    assert body["serviceAccount"] == "trainer@x.iam.gserviceaccount.com"
    tasks = body["pipelineSpec"]["root"]["dag"]["tasks"]
    assert [task["cachingOptions"] for task in tasks.values()] == [{"enableCache": False}] * 2


def test_an_experiment_is_made_and_the_run_is_filed_under_it(vertex, submit):
    vertex.states = ["PIPELINE_STATE_RUNNING"]
    assert submit("--experiment", "mine")[0] == 0
    experiment = f"{PARENT.removeprefix('/v1/')}/metadataStores/default/contexts/mine"
    assert vertex.contexts[experiment]["schemaTitle"] == "system.Experiment"
    [filed] = vertex.calls("POST", "contexts/mine:addContextChildren")
    assert filed.body["childContexts"] == [experiment.removesuffix("mine") + "run"]


def test_waiting_tells_each_state_once_and_ends_well(vertex, submit):
    states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    vertex.states = [f"PIPELINE_STATE_{state}" for state in states]
    code, out, _ = submit("--wait")
    assert code == 0 and out.splitlines()[2:] == ["pending", "running", "succeeded"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_that_does_not_succeed_exits_with_10_and_says_why(vertex, submit, state):
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
def test_credentials_that_are_none_are_told_with_their_file(vertex, submit, monkeypatch, tmp_path, content):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    code, _, err = submit()
    assert code == 10 and f"GOOGLE_APPLICATION_CREDENTIALS={path} holds no credentials" in err and vertex.asked == []


def test_credentials_that_google_takes_no_more_start_nothing(vertex, submit):
    vertex.token_refused = True
    code, _, err = submit()
    assert code == 10 and "Reauthentication is needed" in err and "gcloud auth application-default login" in err
    assert [asked.path for asked in vertex.asked] == ["/token"]


def test_a_bucket_that_is_not_there_is_told_and_not_made(vertex, submit):
    vertex.buckets = []
    code, _, err = submit()
    assert code == 10 and "gs://bucket does not exist" in err and "gcloud storage buckets create gs://bucket" in err
    assert vertex.created == [] and vertex.calls("POST", "/storage/v1/b") == []


def test_whoever_may_not_see_the_bucket_may_submit(vertex, submit):
    vertex.hidden_buckets = ["bucket"]
    code, out, err = submit()
    assert (code, err) == (0, "") and len(out.splitlines()) == 2 and len(vertex.created) == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "Vertex AI User"), (404, "--project and --region"), (400, "Vertex AI refuses"), (503, "again later")],
)
def test_what_vertex_says_is_told(vertex, submit, status, told):
    vertex.refuse = (status, "because of\n a rule")
    code, _, err = submit()
    assert code == 10 and "because of a rule" in err and told in err


def test_a_vertex_that_is_not_there_is_told(vertex, submit, monkeypatch):
    from google.cloud.aiplatform import initializer

    monkeypatch.setattr(initializer.global_config, "_api_endpoint", "http://127.0.0.1:9")
    code, _, err = submit()
    assert code == 10 and "Vertex AI cannot be reached" in err


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (("--project", "p"), "--project p alone names no platform"),
        (("--region", "europe-west4"), "give --project too"),
        (("--project", "p", "--region", "mars-1"), "no such region"),
        ((), "no platform is named"),
        ((*WHERE, "--endpoint", "http://h"), "name two platforms"),
        ((*WHERE, "--namespace", "n"), "--namespace and --project name two"),
        ((*WHERE, "--name", "n" * 129), "longer than 128"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(vertex, submit, where, told):
    code, _, err = submit(where=where)
    assert code == 2 and told in err and vertex.asked == []


def test_a_root_that_is_not_on_cloud_storage_is_refused(vertex, submit):
    job = pipeline_spec.document()
    job["runtimeConfig"]["gcsOutputDirectory"] = "s3://bucket/root"
    code, _, err = submit(job=job)
    assert code == 2 and "s3://bucket/root" in err and vertex.asked == []


def test_a_wrong_parameter_is_not_even_sent(vertex, submit):
    code, _, err = submit("--set", "epochs=many")
    assert code == 2 and "epochs" in err and vertex.asked == []


def test_a_run_that_pushed_nothing_exits_as_a_local_one_does(vertex, submit):
    vertex.states, vertex.refusal = ["PIPELINE_STATE_SUCCEEDED"], "the Evaluator refused the model"
    code, out, err = submit("--wait")
    assert code == 7 and out.splitlines()[-1] == "succeeded"
    assert err.count("the Evaluator refused the model") == 1 and "nothing was pushed" in err


def test_refusals_are_read_under_the_names_that_the_pushers_write(root):
    from edgetune.pipeline.submit import vertex as submit_vertex

    source = (root / "components" / "common" / "blessings.py").read_text(encoding="utf-8")
    written = {}
    for node in ast.parse(source).body:  # importing it would import TFX
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names = [target.id for target in node.targets[0].elts]
            written.update(zip(names, ast.literal_eval(node.value), strict=True))
    assert (written["PUSHED"], written["REASON"]) == (submit_vertex._PUSHED, submit_vertex._REASON)


def test_the_log_of_googles_client_is_silent_meanwhile_and_not_longer(vertex, submit, monkeypatch):
    vertex.states = ["PIPELINE_STATE_SUCCEEDED"]
    answer, levels = vertex.answer, []

    def listening(asked):
        levels.append((asked.path, logging.root.manager.disable))
        return answer(asked)

    monkeypatch.setattr(vertex, "answer", listening)
    assert submit("--wait")[0] == 0
    assert len(levels) > 3 and {level for path, level in levels if path != "/token"} == {logging.CRITICAL}
    assert logging.root.manager.disable == logging.NOTSET
