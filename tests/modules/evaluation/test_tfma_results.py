"""TFMA's records are read as plain numbers, from a real evaluation of a small model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from edgetune.modules.evaluation import tfma_results

LABELS = ["ash", "beech", "cedar"]
TRUE = [0] * 8 + [1] * 6 + [2] * 6
CANDIDATE = [0] * 8 + [1] * 5 + [2] * 1 + [2] * 3 + [0] * 3  # 16 of 20

EVAL_CONFIG = """
  model_specs { signature_name: "serving" label_key: "index" prediction_key: "candidate" }
  slicing_specs {}
  slicing_specs { feature_keys: "label" }
  metrics_specs {
    metrics { class_name: "ExampleCount" }
    metrics { class_name: "SparseCategoricalCrossentropy" }
    metrics { class_name: "MultiClassConfusionMatrixPlot" config: '"thresholds": [0.0]' }
    metrics { class_name: "SparseCategoricalAccuracy" }
  }
"""


class Answers(tf.Module):
    """A model that returns the probabilities stored in the example."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serving(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        classes = tf.io.parse_example(examples, {"candidate": tf.io.FixedLenFeature([], tf.int64)})
        return {"candidate": tf.one_hot(classes["candidate"], len(LABELS)) * 0.85 + 0.05}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tfma")
    model = Answers()
    tf.saved_model.save(model, str(folder / "model"), signatures={"serving": model.serving})
    with tf.io.TFRecordWriter(str(folder / "test.tfrecord")) as writer:
        for index, candidate in zip(TRUE, CANDIDATE, strict=True):
            numbers = {"index": index, "candidate": candidate}
            features = {k: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for k, v in numbers.items()}
            features["label"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[LABELS[index].encode()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    config = text_format.Parse(EVAL_CONFIG, config_pb2.EvalConfig())
    shared = tfma.default_eval_shared_model(str(folder / "model"), eval_config=config)
    output = str(folder / "evaluation")
    data, options = str(folder / "test.tfrecord"), PipelineOptions(["--runner=FnApiRunner"])
    tfma.run_model_analysis(shared, config, data_location=data, output_path=output, pipeline_options=options)
    return output


def test_overall_metrics(evaluation: str) -> None:
    candidate = tfma_results.overall_metrics(evaluation)
    assert candidate[tfma_results.EXAMPLES] == 20
    assert candidate[tfma_results.ACCURACY] == pytest.approx(16 / 20)
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
