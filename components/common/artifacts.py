"""edgetune's own artifact types, so that no resolver mistakes an edge model for a SavedModel.

TFX on Kubeflow and Vertex imports the classes by their type names, through `edgetune/__init__.py`.
"""

from __future__ import annotations

from tfx.types.artifact import Artifact


class IngestReport(Artifact):
    """ImageExampleGen's report: `ingest.json` (counts per split and class), `rejected.csv` (path, reason) and
    `source.json` (where the files are, and how they were read)."""

    TYPE_NAME = "edgetune.IngestReport"


class DatasetFindings(Artifact):
    """Findings of DatasetGate or LabelReviewer: `findings.json`."""

    TYPE_NAME = "edgetune.DatasetFindings"


class CrossValidation(Artifact):
    """CrossValidator's answers out of fold to all images (`modules.evaluation.answers`), and `folds.json`."""

    TYPE_NAME = "edgetune.CrossValidation"


class ConvertedModel(Artifact):
    """EdgeExporter's models, without metadata: `model_<variant>.tflite` for each variant, and `labels.txt`."""

    TYPE_NAME = "edgetune.ConvertedModel"


class EdgeModel(Artifact):
    """EdgeDescriber's models, with metadata: `model_<variant>.tflite` for each variant, and `labels.txt`."""

    TYPE_NAME = "edgetune.EdgeModel"


class EdgeEvaluation(Artifact):
    """EdgeEvaluator's measurements: `metrics.json` and `golden/`."""

    TYPE_NAME = "edgetune.EdgeEvaluation"


class EdgeBlessing(Artifact):
    """EdgeEvaluator's verdict: custom property `blessed` (1 or 0), and one `blessed_<variant>` for each variant."""

    TYPE_NAME = "edgetune.EdgeBlessing"


class InfraBlessing(Artifact):
    """InfraValidator's verdict: `gates.json` and `infra.json`; custom properties `blessed` (1 or 0), and `model_id` and
    `saved_model_sha256`, which model and which files were loaded."""

    TYPE_NAME = "edgetune.InfraBlessing"


class PushedBundle(Artifact):
    """Record of a bundle's delivery: custom property `pushed` (1 or 0), `pushed_destination` and `pushed_version`."""

    TYPE_NAME = "edgetune.PushedBundle"
