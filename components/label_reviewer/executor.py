"""Executor of the LabelReviewer component."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.findings import write_findings
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import CROSS_VALIDATOR, EXAMPLES_KEY, FINDINGS_KEY, INGEST_FILE, REPORT_KEY
from edgetune.components.common.outputs import empty
from edgetune.modules.core import progress
from edgetune.modules.core.package_paths import located
from edgetune.modules.data import label_findings
from edgetune.modules.data.findings import Picture
from edgetune.modules.examples.thumbnails import thumbnails
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import ModelSettings, unflatten
from edgetune.modules.storage import filesystem
from edgetune.modules.training import devices
from edgetune.modules.training.raw_features import clean_features

SEED = "training_seed"
MODEL_PREFIX = "model_"
LIBRARIES = (
    "tensorflow",  # decodes, computes features
    "keras",  # networks
    "numpy",  # order of cached features
    "scikit-learn",  # divides the images, judges labels, measures distances
    "cleanlab",  # estimates how many labels are wrong
)


class Executor(BaseExecutor):
    """Judges every label by a classifier that did not see its image."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the findings, and fail if too many labels are probably wrong.

        Raises:
            FindingsError: More labels than `max_label_errors` are probably wrong, and `allow` does not name it.
            DataError: The examples are not those that were written.
            WeightsError: The weights are unavailable, or do not match the architecture.
            TrainingError: The disk is full.
        """
        stamp(output_dict, LIBRARIES)
        check_examples(input_dict[EXAMPLES_KEY])
        devices.prepare()  # must be the first use of TensorFlow in this process
        empty(output_dict)
        model = unflatten(ModelSettings, exec_properties, MODEL_PREFIX)
        model = model.model_copy(update={"weights": located(model.weights)})
        examples = artifact_utils.get_single_uri(input_dict[EXAMPLES_KEY])
        labels = _labels(artifact_utils.get_single_uri(input_dict[REPORT_KEY]))
        made = artifact_utils.get_single_instance(output_dict[FINDINGS_KEY])
        tf.io.gfile.makedirs(made.uri)
        with tempfile.TemporaryDirectory(prefix="edgetune-") as temporary:
            # CrossValidator's, beside the artifacts: whichever of both runs later finds the features there. If
            # these are behind a URL, each computes them, since the cache is memory-mapped.
            remote = filesystem.is_remote(made.uri)
            cache = Path(temporary) if remote else Path(made.uri).parents[2] / CROSS_VALIDATOR / "activation_cache"
            seed, reading = exec_properties[SEED], Reading.of(exec_properties)
            features = clean_features(cache, examples, labels, model, seed, reading)
            progress.report(f"judging {len(features.label)} labels")
            found, wrong = label_findings.review(
                features.pooled,
                features.label,
                features.group,
                labels,
                exec_properties["max_label_errors"],
                _pictures(examples),
            )
        made.set_int_custom_property("label_errors", wrong)
        allowed = json.loads(exec_properties["allow"])
        write_findings(made, found, allowed, exec_properties["allowed_by"], beside=" beside all else that you allow")


def _labels(report: str) -> list[str]:
    """Return the names of all classes, in the order of Transform's vocabulary."""
    splits = json.loads(filesystem.read(f"{report}/{INGEST_FILE}"))["splits"]
    return sorted(set().union(*splits.values()), key=str.encode)


def _pictures(examples: str) -> label_findings.See:
    """Return the pictures of rows of the raw examples, with thumbnails."""

    def see(rows: AbstractSet[int]) -> Callable[[int], Picture]:
        seen = thumbnails(examples, lambda row, _: row in rows) if rows else {}
        return lambda row: Picture(seen[row].file, seen[row].jpeg, seen[row].label)

    return see
