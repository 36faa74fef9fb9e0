"""Artifact types of edgetune's own, so that no resolver ever takes an edge model for a SavedModel.

Their names are what TFX on Kubeflow and Vertex imports them by; `components/__init__.py` makes that so.
"""

from __future__ import annotations

from tfx.types.artifact import Artifact


class IngestReport(Artifact):
    """What ImageExampleGen read: `ingest.json` (counts per split and class) and `rejected.csv` (path, reason)."""

    TYPE_NAME = "edgetune.IngestReport"


class DatasetFindings(Artifact):
    """What DatasetGate found: `findings.json`."""

    TYPE_NAME = "edgetune.DatasetFindings"


class EdgeModel(Artifact):
    """What EdgeExporter made: `model_<variant>.tflite` for each variant, and `labels.txt`."""

    TYPE_NAME = "edgetune.EdgeModel"


class EdgeEvaluation(Artifact):
    """What EdgeEvaluator measured: `metrics.json` and `golden/`."""

    TYPE_NAME = "edgetune.EdgeEvaluation"


class EdgeBlessing(Artifact):
    """EdgeEvaluator's verdict: custom property `blessed` (1 or 0), and one `blessed_<variant>` for each variant."""

    TYPE_NAME = "edgetune.EdgeBlessing"


class PushedBundle(Artifact):
    """Where EdgePusher put a bundle: custom property `pushed` (1 or 0), and `pushed_destination`."""

    TYPE_NAME = "edgetune.PushedBundle"
