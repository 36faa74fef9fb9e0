"""Reading compiled pipelines before they are submitted."""

from __future__ import annotations

import json

import pytest
import yaml

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.submit import specification as submit_spec
from tests.tiny import pipeline_spec


def test_a_compiled_pipeline_is_read(tmp_path):
    path = pipeline_spec.write(tmp_path)
    specification = submit_spec.read(path)
    assert (specification.name, specification.schema_version) == ("birds", "2.1.0")
    assert specification.root == "gs://bucket/root"
    assert specification.document == pipeline_spec.document()
    assert specification.vertex_only == []


def test_a_task_that_only_vertex_can_run_is_named(tmp_path):
    job = pipeline_spec.document()
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    executors["Evaluator_executor"] = {"resolver": {"outputArtifactQueries": {"model": {"filter": "x"}}}}
    assert submit_spec.read(pipeline_spec.write(tmp_path, job)).vertex_only == ["Evaluator"]
    executors["Trainer_executor"]["container"]["lifecycle"] = {"preCacheCheck": {"command": ["look"]}}
    assert submit_spec.read(pipeline_spec.write(tmp_path, job)).vertex_only == ["Evaluator", "Trainer"]


def test_the_root_of_the_specification_is_used_if_the_job_has_none(tmp_path):
    job = pipeline_spec.document()
    job["runtimeConfig"] = {}
    job["pipelineSpec"]["defaultPipelineRoot"] = "gs://other"
    assert submit_spec.read(pipeline_spec.write(tmp_path, job)).root == "gs://other"


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe{}", b"[]", b'{"a": 1}', b'{"pipelineSpec": []}', b"name: birds", b"[" * 100_000]
)
def test_another_file_is_rejected(tmp_path, content):
    path = tmp_path / "pipeline.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"pipeline\.json(: does not exist| is not JSON: | is not a compiled pipeline: )"
    ) as caught:
        submit_spec.read(path)
    assert "edgetune compile" in caught.value.remedy


def test_a_folder_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match=": a folder, not a file"):
        submit_spec.read(tmp_path)


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda spec: spec.pop("pipelineInfo"), "it has no name"),
        (lambda spec: spec["root"].pop("dag"), "it has no tasks"),
        (lambda spec: spec.pop("deploymentSpec"), "it has no executor for Evaluator, Trainer"),
        (lambda spec: spec["components"].pop("Trainer"), "it has no executor for Trainer"),
        (lambda spec: spec.update(steps=[]), 'no field named "steps"'),
        (lambda spec: spec["deploymentSpec"].update(executors=[]), "is not a compiled pipeline"),
        (
            lambda spec: spec["root"].update(inputDefinitions={"parameters": {"n": {"parameterType": "INTEGER"}}}),
            "INTEGER",
        ),
    ],
)
def test_missing_or_wrong_parts_are_named(tmp_path, alter, why):
    job = pipeline_spec.document()
    alter(job["pipelineSpec"])
    with pytest.raises(ConfigError) as caught:
        submit_spec.read(pipeline_spec.write(tmp_path, job))
    assert why in caught.value.cause


def test_numbers_stay_numbers_in_the_file_for_the_clients(tmp_path):
    job = pipeline_spec.document()
    # JSON of this number, read as YAML, would be text.
    assert yaml.safe_load(json.dumps({"rate": 1e-05})) == {"rate": "1e-05"}
    submit_spec.write_yaml(job, tmp_path / "pipeline.yaml")
    assert yaml.safe_load((tmp_path / "pipeline.yaml").read_text()) == job
