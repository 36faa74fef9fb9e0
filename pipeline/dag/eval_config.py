"""TFMA's configuration for the evaluation of the SavedModel."""

from __future__ import annotations

from tensorflow_model_analysis.proto import config_pb2

from edgetune.modules.contracts import signatures
from edgetune.modules.contracts.example_features import LABEL, LABEL_INDEX


def eval_config() -> config_pb2.EvalConfig:
    """Configure accuracy overall and per class, loss and confusion matrix, through the signatures that are pushed.

    There are no thresholds: the verdict is ours (`modules.evaluation.model_gates`).
    """
    overall = config_pb2.SlicingSpec()
    metrics = [
        config_pb2.MetricConfig(class_name="SparseCategoricalAccuracy"),
        config_pb2.MetricConfig(class_name="ExampleCount"),
        config_pb2.MetricConfig(class_name="SparseCategoricalCrossentropy"),
        # By default its threshold is 0, so the predicted class is the most probable one. Setting the threshold would
        # need JSON inside JSON, whose backslashes ML Metadata cannot store in PostgreSQL (`pipeline.metadata.store`).
        config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot"),
    ]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=signatures.EXAMPLES,
                preprocessing_function_names=[signatures.TRANSFORM],
                label_key=LABEL_INDEX,
                prediction_key=signatures.PROBABILITIES,
            )
        ],
        slicing_specs=[overall, config_pb2.SlicingSpec(feature_keys=[LABEL])],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )
