"""Names that components share with the readers of their results: component ids, output keys, properties and files.

This module imports nothing, so that `--help` and the report can use it without importing TFX.
"""

# Component ids.
IMAGE_EXAMPLE_GEN = "ImageExampleGen"
IMPORT_SCHEMA_GEN = "ImportSchemaGen"
STATISTICS_GEN = "StatisticsGen"
DATASET_GATE = "DatasetGate"
LABEL_REVIEWER = "LabelReviewer"
TWO_PHASE_TRAINER = "TwoPhaseTrainer"
CROSS_VALIDATOR = "CrossValidator"
EVALUATOR = "Evaluator"
EDGE_EXPORTER = "EdgeExporter"
EDGE_DESCRIBER = "EdgeDescriber"
EDGE_EVALUATOR = "EdgeEvaluator"
INFRA_VALIDATOR = "InfraValidator"
RELEASE_PUSHER = "ReleasePusher"

# Ids of the resolvers that find earlier released models and the statistics of the last one's data.
BASELINE = "Baseline"
BASELINE_STATISTICS = "BaselineStatistics"

# Output keys.
EXAMPLES_KEY = "examples"
REPORT_KEY = "report"
STATISTICS_KEY = "statistics"
FINDINGS_KEY = "findings"
MODEL_KEY = "model"
MODEL_RUN_KEY = "model_run"
CROSS_VALIDATION_KEY = "cross_validation"
EVALUATION_KEY = "evaluation"
BLESSING_KEY = "blessing"
EARLIER_KEY = "earlier_blessings"
BASELINE_STATISTICS_KEY = "baseline_statistics"
CONVERTED_MODEL_KEY = "converted_model"
EDGE_MODEL_KEY = "edge_model"
PUSHED_MODEL_KEY = "pushed_model"
PUSHED_BUNDLE_KEY = "pushed_bundle"

# Input keys of the gates' verdicts, of ReleasePusher.
MODEL_BLESSING, EDGE_BLESSING, INFRA_BLESSING = "model_blessing", "edge_blessing", "infra_blessing"

# Custom properties of blessings (1 or 0), and of the outputs of ReleasePusher.
BLESSED = "blessed"
PUSHED = "pushed"
PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"
PUSHED_SHA256 = "pushed_sha256"
"""`modules.storage.digests.digest_of` all files that were delivered, with the signature."""
ROLLBACK_TO = "rollback_to"
"""The earlier version whose files were delivered again; absent if they are new."""
REASON = "reason"

ROLLBACK = "Rollback"
"""Node of executions that `edgetune rollback` records."""

# Execution properties of ReleasePusher.
SAVED_MODEL_DESTINATION = "saved_model_destination"
EDGE_DESTINATION = "edge_destination"
AFTER = "after"
"""The version that the release comes after; absent in most. With another value it is another release, not taken from
the cache."""
SAVED_MODEL_SHA256 = "saved_model_sha256"
"""Of each blessing: `modules.storage.digests.digest_of` the files that the gate measured."""
WEIGHTS_SHA256 = "weights_sha256"
"""Of a model: `modules.serving.saved_model.weights_sha256`, equal for equal trainings, as that of its files is not."""
FILES_SHA256 = "files_sha256"
"""Of a converted model: JSON, SHA-256 of each file as it was written, by name."""
RECIPE_SHA256 = "recipe_sha256"
"""Of what Transform, TwoPhaseTrainer, EdgeExporter and EdgeDescriber made: see `lineage.record_recipe` beside this."""
EVALUATION_URI = "evaluation_uri"
"""Of the Evaluator's blessing: the evaluation with the answers and the gates that it was given for."""
COMPARED_WITH = "compared_with"
"""Of the Evaluator's blessing: the evaluation of the last blessed model that it was compared with."""
RELEASES = "releases"
"""Property of the Evaluator: where the markers of earlier releases are, on platforms."""

TEMPERATURE = "temperature"
"""Custom property of a model: what its logits were divided by after training."""

# Files in the artifacts.
INGEST_FILE = "ingest.json"
INGEST_DIGEST = "ingest_sha256"
"""Custom property of the report: SHA-256 of `INGEST_FILE`, 64 hexadecimal digits."""
REJECTED_FILE = "rejected.csv"
SAMPLES_FILE = "samples.json"
SOURCE_FILE = "source.json"
DATA_BASE = "data_base"
"""Custom property of examples and statistics: folder or URL of the data that they are of."""
FINDINGS_FILE = "findings.json"
HISTORY_FILE = "history.json"
TRANSFER_FILE = "transfer.json"
INFRA_FILE = "infra.json"
FOLDS_FILE = "folds.json"
