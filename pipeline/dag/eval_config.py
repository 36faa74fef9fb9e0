"""How the SavedModel is judged: TFMA's configuration."""

from __future__ import annotations

from tensorflow_model_analysis.proto import config_pb2

from edgetune.modules.contracts import signatures
from edgetune.modules.contracts.example_features import LABEL, LABEL_INDEX
from edgetune.modules.settings.run import EvaluationSettings


def eval_config(settings: EvaluationSettings) -> config_pb2.EvalConfig:
    """Accuracy overall and per class, loss, and a confusion matrix, through the signatures that are pushed.

    The thresholds hold for all examples together: a plain `threshold` would be applied to every slice, and refuse a
    model for its weakest class.
    """
    overall = config_pb2.SlicingSpec()
    threshold = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": settings.min_accuracy}),
        # Left out by TFX where there is no baseline yet.
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -settings.max_regression}
        ),
    )
    accuracy = config_pb2.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        per_slice_thresholds=[config_pb2.PerSliceMetricThreshold(slicing_specs=[overall], threshold=threshold)],
    )
    others = [
        config_pb2.MetricConfig(class_name="ExampleCount"),
        config_pb2.MetricConfig(class_name="SparseCategoricalCrossentropy"),
        # At its own threshold, 0, the predicted class is the most probable one. To say so would be JSON inside JSON, of
        # which ML Metadata on PostgreSQL takes no backslash (`pipeline.metadata.store`).
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
        metrics_specs=[config_pb2.MetricsSpec(metrics=[accuracy, *others])],
    )
