"""Runtime parameters, and the messages for wrong values."""

from __future__ import annotations

import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.run import RunSettings, flatten
from edgetune.pipeline.kubeflow.parameters import PARAMETERS, check_data_path, parameters_of, runtime_values

TYPES = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"}
SPEC = {
    "root": {
        "inputDefinitions": {"parameters": {p.name: {"parameterType": TYPES[p.kind]} for p in PARAMETERS}},
        "dag": {"tasks": {}},
    }
}


def test_these_settings_can_be_changed_for_a_single_run():
    assert {parameter.setting: parameter.kind for parameter in PARAMETERS} == {
        "data.path": str,
        "training.head.epochs": int,
        "training.head.learning_rate": float,
        "training.fine_tune.epochs": int,
        "training.fine_tune.learning_rate": float,
        "evaluation.min_accuracy": float,
        "evaluation.max_regression": float,
        "edge.max_accuracy_drop": float,
        "edge.min_agreement": float,
    }


def test_a_parameter_has_the_flat_name_of_its_setting():
    settings = RunSettings.model_validate({"name": "birds", "data": {"path": "/photos"}})
    assert {parameter.name for parameter in PARAMETERS} <= set(flatten(settings))


@pytest.mark.parametrize("document", [SPEC, {"displayName": "birds", "pipelineSpec": SPEC}])
def test_both_names_of_a_parameter_are_accepted_and_the_last_value_wins(document):
    given = ["training.head.epochs=3", "training_head_epochs=4", "evaluation.min_accuracy=1", "data.path=gs://b/photos"]
    values = runtime_values(document, given)
    assert values == {"training_head_epochs": 4, "evaluation_min_accuracy": 1.0, "data_path": "gs://b/photos"}
    assert type(values["training_head_epochs"]) is int and type(values["evaluation_min_accuracy"]) is float
    assert runtime_values(document, []) == {}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training_head_epochs=many", "training_head_epochs: 'many' must be a whole number of at least 1"),
        ("training_head_epochs=2.0", "training_head_epochs: 2.0 must be a whole number of at least 1"),
        ("training_head_epochs=true", "training_head_epochs: True must be a whole number of at least 1"),
        ("training_head_epochs=0", "training_head_epochs: 0 must be a whole number of at least 1"),
        ("training_head_epochs=", "training_head_epochs: None must be a whole number of at least 1"),
        ("training_fine_tune_epochs=-1", "training_fine_tune_epochs: -1 must be a whole number of at least 0"),
        ("evaluation.min_accuracy=95", "evaluation_min_accuracy: 95 must be a number from 0 to 1"),
        ("evaluation.min_accuracy=.nan", "evaluation_min_accuracy: nan must be a number from 0 to 1"),
        ("evaluation.min_accuracy='0.9'", "evaluation_min_accuracy: '0.9' must be a number from 0 to 1"),
        ("edge_min_agreement=[1]", r"edge_min_agreement: \[1\] must be a number from 0 to 1"),
        ("training_head_learning_rate=0", "training_head_learning_rate: 0 must be a number above 0 and at most 1"),
        ("data_path=5", "data_path: 5 must be text"),
        ("data_path=photos", "data_path 'photos' is a relative path, which a container cannot resolve"),
        ("trainin_head_epochs=3", "no runtime parameter trainin_head_epochs; did you mean training_head_epochs?"),
        ("model.alpha=0.5", "no runtime parameter model_alpha"),
        ("training_head_epochs", "'training_head_epochs': not of the form name=value"),
        ("=3", "'=3': not of the form name=value"),
        ("training_head_epochs={", "runtime parameter training_head_epochs.*not valid YAML"),
    ],
)
def test_a_wrong_value_is_reported_with_the_allowed_values(assignment, message):
    with pytest.raises(ConfigError, match=message):
        runtime_values(SPEC, [assignment])


@pytest.mark.parametrize("document", [{}, {"root": {"inputDefinitions": {"parameters": {"a": {}}}}}, {"root": 3}])
def test_another_document_is_reported_as_not_a_compiled_pipeline(document):
    with pytest.raises(ConfigError, match="not a pipeline compiled by edgetune"):
        runtime_values(document, ["training_head_epochs=3"])


def test_a_parameter_known_only_to_another_version_is_checked_by_its_type():
    spec = {"root": {"inputDefinitions": {"parameters": {"new": {"parameterType": "NUMBER_INTEGER"}}}}}
    assert parameters_of(spec) == {"new": int}
    assert runtime_values(spec, ["new=7"]) == {"new": 7}
    with pytest.raises(ConfigError, match="new: 'x' must be a whole number"):
        runtime_values(spec, ["new=x"])


@pytest.mark.parametrize("path", ["/mnt/photos", "gs://b/photos", "s3://b/list.csv", "embedded:digits"])
def test_a_path_that_a_container_can_resolve_passes(path):
    check_data_path(path, "data.path")
