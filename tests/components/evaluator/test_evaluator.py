"""Evaluator: TFX's Evaluator with thresholds that can be changed for a single run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util, util
from tfx import types
from tfx.components.evaluator import executor as tfx_executor
from tfx.components.evaluator.component import Evaluator as TfxEvaluator
from tfx.types import standard_artifacts
from tfx_bsl.coders import batch_util

from edgetune.components.evaluator import Evaluator
from edgetune.components.evaluator.executor import Executor, put_thresholds
from edgetune.components.evaluator.extractors import BATCH, small_batches
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.evaluation.answers import read_answers
from edgetune.modules.settings.run import EvaluationSettings
from edgetune.pipeline.dag.eval_config import eval_config
from tests.helpers.beam_context import context
from tests.tiny import model

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
    """Return the configurations with which TFX's own executor is called."""
    calls: list[config_pb2.EvalConfig] = []

    def do(self, input_dict, output_dict, exec_properties):
        calls.append(json_format.Parse(exec_properties["eval_config"], config_pb2.EvalConfig()))

    monkeypatch.setattr(tfx_executor.Executor, "Do", do)
    return calls


def test_everything_except_the_thresholds_is_as_in_tfxs_component():
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
    own = {"min_accuracy": 0.75, "max_regression": 0.02}
    own |= {name: ours.exec_properties[name] for name in ("code_digest", "library_versions")}
    given = {name: value for name, value in theirs.exec_properties.items() if value is not None}
    assert ours.exec_properties == {**given, **own}


def test_the_properties_override_the_configuration(evaluated):
    changed = {**component().exec_properties, "min_accuracy": 0.25, "max_regression": 0.5}
    Executor().Do({}, {}, changed)
    assert evaluated == [eval_config(EvaluationSettings(min_accuracy=0.25, max_regression=0.5))]


def test_unchanged_properties_leave_the_configuration_as_it_is(evaluated):
    Executor().Do({}, {}, dict(component().exec_properties))
    assert evaluated == [eval_config(SETTINGS)]


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan"), "high"])
def test_a_threshold_out_of_range_is_an_error_before_the_evaluation(evaluated, wrong):
    with pytest.raises(ConfigError, match="min_accuracy is "):
        Executor().Do({}, {}, {**component().exec_properties, "min_accuracy": wrong})
    assert evaluated == []


def test_a_configuration_without_a_threshold_is_an_error():
    config = eval_config(SETTINGS)
    for metric in config.metrics_specs[0].metrics:
        del metric.per_slice_thresholds[:]
    with pytest.raises(ValueError, match="has 0 thresholds"):
        put_thresholds(config, SETTINGS)


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (BATCH, [BATCH]), (70, [32, 32, 6])])
def test_a_batch_is_split_without_losing_rows(rows, sizes):
    images = pa.array([[b"%d" % row] for row in range(rows)], pa.list_(pa.binary()))
    whole = pa.RecordBatch.from_pydict({"image": images})
    cut = list(small_batches({tfma.ARROW_RECORD_BATCH_KEY: whole, "other": 1}))
    parts = [part[tfma.ARROW_RECORD_BATCH_KEY] for part in cut]
    assert [part.num_rows for part in parts] == sizes
    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()
    assert all(part["other"] == 1 for part in cut)


@pytest.fixture
def model_and_examples(tmp_path) -> dict[str, list[types.Artifact]]:
    """Return 70 images, ten of them with a wrong label."""
    model.save(model.colour_net(), tmp_path / "model" / "Format-Serving")
    labelled = [(model.png(pixels), label) for pixels, label in model.examples(24)][:70]
    wrong = {"red": "green", "green": "blue", "blue": "red"}
    pairs = [(encoded, wrong[label] if row % 7 == 0 else label) for row, (encoded, label) in enumerate(labelled)]
    model.write_raw(tmp_path / "examples", "test", pairs)
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples")
    examples.split_names = '["test"]'
    return {"examples": [examples], "model": [artifact(standard_artifacts.Model, tmp_path / "model")]}


def artifact(kind: type[types.Artifact], uri: Path) -> types.Artifact:
    made = kind()
    made.uri = str(uri)
    return made


def test_the_model_gets_only_small_batches_however_many_examples_are_read_at_once(
    monkeypatch, tmp_path, model_and_examples
):
    monkeypatch.setattr(batch_util, "GetBatchElementsKwargs", lambda *_: {"min_batch_size": 70, "max_batch_size": 70})
    given: list[int] = []
    process = model_util.ModelSignaturesDoFn._batch_reducible_process

    def observed(self, extracts):
        given.append(util.batch_size(extracts))
        return process(self, extracts)

    monkeypatch.setattr(model_util.ModelSignaturesDoFn, "_batch_reducible_process", observed)
    evaluation = artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
    blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
    properties = {**component().exec_properties, "min_accuracy": 60 / 70}
    Executor(context(tmp_path)).Do(model_and_examples, {"evaluation": [evaluation], "blessing": [blessing]}, properties)

    # Each batch goes through the model twice: for Transform's labels, and for the predictions.
    assert sorted(given) == [6, 6, 32, 32, 32, 32]
    [metrics] = (metrics for key, metrics in tfma.load_eval_result(evaluation.uri).slicing_metrics if not key)
    measured = {name: value["doubleValue"] for name, value in metrics[""][""].items() if value}
    assert measured["example_count"] == 70
    assert measured["sparse_categorical_accuracy"] == pytest.approx(60 / 70)
    assert blessing.get_int_custom_property("blessed") == 1

    answers = read_answers(evaluation.uri)
    assert len(set(answers.image_id)) == 70
    assert answers.correct.sum() == 60
    assert set(answers.label) == set(answers.predicted) == set(model.LABELS)
    assert answers.predicted.tolist() == [model.LABELS[index] for index in answers.probabilities.argmax(axis=1)]
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
