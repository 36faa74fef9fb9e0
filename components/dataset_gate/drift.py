"""Measure drift from the data of the last blessed model with TensorFlow Data Validation."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from edgetune.modules.contracts import example_features
from edgetune.modules.data.drift_findings import drift, no_baseline
from edgetune.modules.data.findings import Finding
from edgetune.modules.storage.filesystem import error_line

NUMBERS = (
    example_features.WIDTH,
    example_features.HEIGHT,
    example_features.ASPECT,
    example_features.BYTES,
    example_features.RED,
    example_features.GREEN,
    example_features.BLUE,
)
"""Numeric features whose distributions are compared."""
# The model learns from this split, and it is large enough for its distribution to be meaningful.
_SPLIT = "train"


def drifted(now_uri: str, before_uri: str, max_label_drift: float, max_image_drift: float) -> list[Finding]:
    """Return a finding for each feature whose distribution has drifted, or one that the baseline cannot be read.

    Args:
        now_uri: StatisticsGen's artifact of these data.
        before_uri: StatisticsGen's artifact of the baseline.
        max_label_drift: Bound on the L-infinity distance of the labels.
        max_image_drift: Bound on the Jensen-Shannon divergence of each of `NUMBERS`.
    """
    schema = schema_pb2.Schema()
    label = schema.feature.add(name=example_features.LABEL, type=schema_pb2.BYTES)
    label.drift_comparator.infinity_norm.threshold = max_label_drift
    for name in NUMBERS:
        kind = (
            schema_pb2.INT
            if name in (example_features.WIDTH, example_features.HEIGHT, example_features.BYTES)
            else schema_pb2.FLOAT
        )
        feature = schema.feature.add(name=name, type=kind)
        feature.drift_comparator.jensen_shannon_divergence.threshold = max_image_drift
    try:
        before = _read(before_uri)
    except (tf.errors.OpError, DecodeError) as error:
        return [no_baseline(before_uri, error_line(error))]
    found = tfdv.validate_statistics(_read(now_uri), schema, previous_statistics=before)
    findings = []
    for info in found.drift_skew_info:
        [feature_name] = info.path.step
        for measured in info.drift_measurements:
            if measured.value > measured.threshold:
                how = (
                    ("L-infinity distance", "data.max_label_drift")
                    if feature_name == example_features.LABEL
                    else ("Jensen-Shannon divergence", "data.max_image_drift")
                )
                findings.append(drift(feature_name, how[0], measured.value, measured.threshold, how[1]))
    return sorted(findings, key=lambda finding: finding.subject)


def _read(uri: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    with tf.io.gfile.GFile(f"{uri}/Split-{_SPLIT}/FeatureStats.pb", "rb") as file:
        return statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read())
