"""TFMA's records are read as plain numbers and sentences, from a real evaluation of two small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

from edgetune.modules.evaluation import tfma_results

LABELS = ["ash", "beech", "cedar"]
TRUE = [0] * 8 + [1] * 6 + [2] * 6
CANDIDATE = [0] * 8 + [1] * 5 + [2] * 1 + [2] * 3 + [0] * 3  # 16 of 20
BASELINE = TRUE[:19] + [1]  # 19 of 20

EVAL_CONFIG = """
  model_specs { name: "candidate" signature_name: "serving" label_key: "index" prediction_key: "candidate" }
  model_specs {
    name: "baseline" is_baseline: true signature_name: "serving" label_key: "index" prediction_key: "baseline"
  }
  slicing_specs {}
  slicing_specs { feature_keys: "label" }
  metrics_specs {
    metrics { class_name: "ExampleCount" }
    metrics { class_name: "SparseCategoricalCrossentropy" }
    metrics { class_name: "MultiClassConfusionMatrixPlot" config: '"thresholds": [0.0]' }
    metrics {
      class_name: "SparseCategoricalAccuracy"
      per_slice_thresholds {
        slicing_specs {}
        threshold {
          value_threshold { lower_bound { value: 0.9 } }
          change_threshold { absolute { value: -0.001 } direction: HIGHER_IS_BETTER }
        }
      }
    }
  }
"""


class Answers(tf.Module):
    """A model that returns the probabilities stored in the example."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serving(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("candidate", "baseline")}
        classes = tf.io.parse_example(examples, shape)
        return {name: tf.one_hot(index, len(LABELS)) * 0.85 + 0.05 for name, index in classes.items()}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tfma")
    model = Answers()
    tf.saved_model.save(model, str(folder / "model"), signatures={"serving": model.serving})
    with tf.io.TFRecordWriter(str(folder / "test.tfrecord")) as writer:
        for index, candidate, baseline in zip(TRUE, CANDIDATE, BASELINE, strict=True):
            numbers = {"index": index, "candidate": candidate, "baseline": baseline}
            features = {k: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for k, v in numbers.items()}
            features["label"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[LABELS[index].encode()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    config = text_format.Parse(EVAL_CONFIG, config_pb2.EvalConfig())
    models = [
        tfma.default_eval_shared_model(str(folder / "model"), eval_config=config, model_name=name)
        for name in ("candidate", "baseline")
    ]
    output = str(folder / "evaluation")
    data, options = str(folder / "test.tfrecord"), PipelineOptions(["--runner=FnApiRunner"])
    tfma.run_model_analysis(models, config, data_location=data, output_path=output, pipeline_options=options)
    return output


def test_overall_metrics_of_candidate_and_baseline(evaluation: str) -> None:
    candidate = tfma_results.overall_metrics(evaluation)
    baseline = tfma_results.overall_metrics(evaluation, baseline=True)
    assert candidate[tfma_results.EXAMPLES] == 20
    assert candidate[tfma_results.ACCURACY] == pytest.approx(16 / 20)
    assert baseline[tfma_results.ACCURACY] == pytest.approx(19 / 20)
    assert candidate[tfma_results.LOSS] == pytest.approx(-(16 * np.log(0.9 / 1) + 4 * np.log(0.05)) / 20, rel=1e-3)


def test_per_class(evaluation: str) -> None:
    found = tfma_results.per_class(evaluation)
    assert list(found) == LABELS
    assert {name: values["examples"] for name, values in found.items()} == {"ash": 8, "beech": 6, "cedar": 6}
    assert [values["accuracy"] for values in found.values()] == pytest.approx([1, 5 / 6, 3 / 6])


def test_confusion_matrix_has_true_classes_as_rows(evaluation: str) -> None:
    result = tfma_results.confusion_matrix(evaluation)
    assert result is not None
    labels, counts = result
    assert labels == LABELS and counts.dtype == np.int64
    assert counts.tolist() == [[8, 0, 0], [0, 5, 1], [3, 0, 3]]


def test_confusion_matrix_refuses_too_few_names(evaluation: str) -> None:
    with pytest.raises(ValueError, match="class 2, but only 2"):
        tfma_results.confusion_matrix(evaluation, LABELS[:2])


def test_failures_name_metric_value_and_bound(evaluation: str) -> None:
    assert tfma_results.failures(evaluation) == [
        "accuracy 0.8000 on the test split is below evaluation.min_accuracy 0.9",
        "accuracy fell by 0.1500 on the test split against the last blessed model, more than "
        "evaluation.max_regression 0.001",
    ]


def write_verdict(folder: Path, text: str) -> str:
    verdict = text_format.Parse(text, validation_result_pb2.ValidationResult())
    with tf.io.TFRecordWriter(str(folder / "validations.tfrecord")) as writer:
        writer.write(verdict.SerializeToString())
    return str(folder)


FAILURE = "metric_validations_per_slice {{ {slice} failures {{ metric_key {{ name: '{name}' }} {rest} }} }}"


@pytest.mark.parametrize(
    ("verdict", "reasons"),
    [
        ("validation_ok: true", []),
        ("validation_ok: false", ["the evaluation refused the model without naming a metric"]),
        ("missing_thresholds: true", ["no threshold is set, so nothing could be judged"]),
        ("missing_slices { feature_values { key: 'label' value: 'ash' } }", ["there are no examples for label ash"]),
        (
            FAILURE.format(slice="", name=tfma_results.ACCURACY, rest="message: 'Metric not found.'"),
            ["accuracy on the test split was not computed"],
        ),
        (
            FAILURE.format(slice="", name="auc", rest="metric_value { double_value { value: nan } }"),
            ["auc on the test split is not a number"],
        ),
        (  # so close that four decimals would hide the difference
            FAILURE.format(
                slice="slice_key { single_slice_keys { column: 'label' bytes_value: 'ash' } }",
                name=tfma_results.ACCURACY,
                rest="metric_value { double_value { value: 0.949999 } } "
                "metric_threshold { value_threshold { lower_bound { value: 0.95 } } }",
            ),
            ["accuracy 0.949999 on label ash is below evaluation.min_accuracy 0.95"],
        ),
        (
            FAILURE.format(
                slice="",
                name=tfma_results.LOSS,
                rest="metric_value { double_value { value: 2 } } "
                "metric_threshold { value_threshold { upper_bound { value: 1.5 } } }",
            ),
            ["loss 2.0000 on the test split is above the allowed maximum 1.5"],
        ),
    ],
)
def test_every_kind_of_refusal_has_a_sentence(tmp_path: Path, verdict: str, reasons: list[str]) -> None:
    assert tfma_results.failures(write_verdict(tmp_path, verdict)) == reasons


def test_an_evaluation_without_a_verdict_is_a_refusal(tmp_path: Path) -> None:
    assert tfma_results.failures(str(tmp_path)) == ["the evaluation has no verdict"]
