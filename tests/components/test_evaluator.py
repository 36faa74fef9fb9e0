"""Evaluator: TFX's, with thresholds that one run can change."""

from __future__ import annotations

import pytest
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import executor as tfx_executor
from tfx.components.evaluator.component import Evaluator as TfxEvaluator
from tfx.types import standard_artifacts

from components.evaluator import Evaluator
from components.evaluator.executor import Executor, put_thresholds
from modules.errors import ConfigError
from modules.settings import EvaluationSettings
from pipeline.evaluation import eval_config

SETTINGS = EvaluationSettings(min_accuracy=0.75, max_regression=0.02)


def component(settings: EvaluationSettings = SETTINGS) -> Evaluator:
    return Evaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        example_splits=["test"],
        model=types.Channel(type=standard_artifacts.Model),
        baseline_model=types.Channel(type=standard_artifacts.Model),
        eval_config=eval_config(settings),
        settings=settings,
    )


@pytest.fixture
def evaluated(monkeypatch) -> list[config_pb2.EvalConfig]:
    """The configurations that TFX's own executor was called with."""
    calls: list[config_pb2.EvalConfig] = []

    def do(self, input_dict, output_dict, exec_properties):
        calls.append(json_format.Parse(exec_properties["eval_config"], config_pb2.EvalConfig()))

    monkeypatch.setattr(tfx_executor.Executor, "Do", do)
    return calls


def test_it_is_tfxs_own_in_everything_but_the_thresholds():
    ours = component()
    theirs = TfxEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        example_splits=["test"],
        model=types.Channel(type=standard_artifacts.Model),
        baseline_model=types.Channel(type=standard_artifacts.Model),
        eval_config=eval_config(SETTINGS),
    )
    assert ours.id == theirs.id == "Evaluator"
    assert set(ours.outputs) == set(theirs.outputs)
    assert set(ours.inputs) == set(theirs.inputs)
    own = {"min_accuracy": 0.75, "max_regression": 0.02, "code_digest": ours.exec_properties["code_digest"]}
    given = {name: value for name, value in theirs.exec_properties.items() if value is not None}
    assert ours.exec_properties == {**given, **own}


def test_the_properties_win_over_what_the_configuration_says(evaluated):
    changed = {**component().exec_properties, "min_accuracy": 0.25, "max_regression": 0.5}
    Executor().Do({}, {}, changed)
    assert evaluated == [eval_config(EvaluationSettings(min_accuracy=0.25, max_regression=0.5))]


def test_unchanged_properties_leave_the_configuration_as_it_is(evaluated):
    Executor().Do({}, {}, dict(component().exec_properties))
    assert evaluated == [eval_config(SETTINGS)]


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan"), "high"])
def test_a_threshold_out_of_range_ends_before_anything_is_evaluated(evaluated, wrong):
    with pytest.raises(ConfigError, match="min_accuracy is "):
        Executor().Do({}, {}, {**component().exec_properties, "min_accuracy": wrong})
    assert evaluated == []


def test_a_configuration_without_a_threshold_blesses_nothing():
    config = eval_config(SETTINGS)
    for metric in config.metrics_specs[0].metrics:
        del metric.per_slice_thresholds[:]
    with pytest.raises(ValueError, match="has 0 thresholds"):
        put_thresholds(config, SETTINGS)
