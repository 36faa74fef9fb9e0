"""Blessings on platforms, which pass artifact ids as JSON, where large numbers are not exact."""

from __future__ import annotations

import json

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx import types
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as entry
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel, InfraBlessing
from edgetune.components.common.blessings import record_judged, refusal

STORE = "projects/1/locations/here/metadataStores/default/artifacts"


def handed_on(artifact: types.Artifact, number: int) -> types.Artifact:
    """Return the artifact as TFX's entry point passes it to the next component."""
    passed = entry.to_runtime_artifact(artifact, {})
    passed.name = f"{STORE}/{number}"
    passed.type.instance_schema = compiler_utils.get_artifact_schema(type(artifact))
    given = json_format.Parse(json_format.MessageToJson(passed), pipeline_spec_pb2.RuntimeArtifact())
    artifacts = {"it": pipeline_spec_pb2.ArtifactList(artifacts=[given])}
    return entry.parse_raw_artifact_dict(artifacts, {})["it"][0]


@pytest.fixture
def inputs() -> dict[str, list[types.Artifact]]:
    model = handed_on(standard_artifacts.Model(), 1)
    edge_model = handed_on(EdgeModel(), 2)
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_string_custom_property("current_model_id", f"{STORE}/1")  # the format of TFX's entry point
    evaluation, edge_blessing = EdgeEvaluation(), EdgeBlessing()
    for artifact in (evaluation, edge_blessing):
        artifact.set_int_custom_property("blessed", 1)
        record_judged(artifact, "model_id", model)
        record_judged(artifact, "edge_model_id", edge_model)
    infra_blessing = InfraBlessing()
    infra_blessing.set_int_custom_property("blessed", 1)
    record_judged(infra_blessing, "model_id", model)
    return {
        "model": [model],
        "infra_blessing": [handed_on(infra_blessing, 6)],
        "edge_model": [edge_model],
        "model_blessing": [handed_on(blessing, 3)],
        "edge_blessing": [handed_on(edge_blessing, 4)],
        "edge_evaluation": [handed_on(evaluation, 5)],
    }


def test_blessings_count_with_ids_larger_than_json_can_represent(inputs):
    assert inputs["model"][0].id > 2**53
    assert isinstance(inputs["edge_blessing"][0], EdgeBlessing)
    assert refusal(inputs) is None


@pytest.mark.parametrize(
    ("key", "kind", "reason"),
    [
        ("model", standard_artifacts.Model, "the Evaluator's blessing is for another model"),
        ("edge_model", EdgeModel, "the EdgeEvaluator's blessing is for another edge model"),
    ],
)
def test_a_blessing_for_another_artifact_does_not_count_on_platforms(inputs, key, kind, reason):
    inputs[key] = [handed_on(kind(), 7)]
    assert refusal(inputs) == reason


def test_an_edge_blessing_for_another_model_does_not_count_on_platforms(inputs):
    inputs["model"] = [handed_on(standard_artifacts.Model(), 7)]
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_string_custom_property("current_model_id", f"{STORE}/7")
    inputs["model_blessing"] = [handed_on(blessing, 3)]
    assert refusal(inputs) == "the EdgeEvaluator's blessing is for another model"


def test_a_refusal_is_passed_on_platforms(inputs):
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 0)
    blessing.set_string_custom_property("current_model_id", f"{STORE}/1")
    inputs["model_blessing"] = [handed_on(blessing, 3)]
    assert refusal(inputs) == "the Evaluator refused the model"


@pytest.mark.parametrize("kind", [EdgeModel, EdgeBlessing, EdgeEvaluation, InfraBlessing])
def test_artifact_types_have_names_that_kfp_allows_and_tfx_can_import(kind):
    assert yaml.safe_load(compiler_utils.get_artifact_schema(kind))["title"] == f"edgetune.{kind.__name__}"


def test_small_ids_stay_numbers():
    model, blessing = standard_artifacts.Model(), EdgeBlessing()
    model.id = 12
    record_judged(blessing, "model_id", model)
    assert json.loads(json_format.MessageToJson(blessing.mlmd_artifact))["customProperties"]["model_id"] == {
        "intValue": "12"
    }


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("model_blessing", "the Evaluator refused the model"),
        ("edge_blessing", "the EdgeEvaluator refused the edge models"),
        ("infra_blessing", "the InfraValidator refused the model"),
    ],
)
def test_each_gate_can_refuse(inputs, key, reason):
    inputs[key][0].set_int_custom_property("blessed", 0)
    assert refusal(inputs) == reason


def test_an_edge_evaluation_of_another_edge_model_does_not_count(inputs):
    record_judged(inputs["edge_evaluation"][0], "edge_model_id", inputs["model"][0])
    assert refusal(inputs) == "there is no edge evaluation of this edge model"


def test_two_blessings_are_none(inputs):
    inputs["infra_blessing"] *= 2
    assert refusal(inputs) == "the InfraValidator gave no blessing"
