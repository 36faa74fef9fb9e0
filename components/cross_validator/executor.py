"""Executor of the CrossValidator component."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import CROSS_VALIDATION_KEY, EXAMPLES_KEY, FOLDS_FILE
from edgetune.components.common.outputs import empty
from edgetune.modules.core.package_paths import located
from edgetune.modules.evaluation.answers import shard_writer, table
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.serving import export
from edgetune.modules.settings.run import ModelSettings, TrainingSettings, unflatten
from edgetune.modules.storage import filesystem
from edgetune.modules.training import devices
from edgetune.modules.training.folds import Fold, train_folds
from edgetune.modules.training.raw_features import RawFeatures, raw_features

GRAPH_KEY = "transform_graph"
FOLDS = "folds"
MODEL_PREFIX, TRAINING_PREFIX = "model_", "training_"
LIBRARIES = (
    "tensorflow",  # decodes, computes features, shuffles and augments
    "keras",  # networks, optimizers, initial weights
    "numpy",  # order of cached features
    "scikit-learn",  # divides the images
)


@dataclass(frozen=True)
class _Answered:
    """Counts of a fold's answers, int `[C]`, and how its head was trained."""

    images: np.ndarray
    right: np.ndarray
    facts: dict[str, Any]


class Executor(BaseExecutor):
    """Trains a head for each fold, and writes the answers to the images that were held out."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the answers and `folds.json`.

        Raises:
            ConfigError: The architecture does not accept the settings.
            DataError: There are too few images, an image has an unknown class, or the examples are not those that were
                written.
            WeightsError: The weights are unavailable, or do not match the architecture.
            TrainingError: A loss is not finite, or the disk is full.
        """
        stamp(output_dict, LIBRARIES)
        check_examples(input_dict[EXAMPLES_KEY])
        training = unflatten(TrainingSettings, exec_properties, TRAINING_PREFIX)
        devices.prepare()  # must be the first use of TensorFlow in this process
        empty(output_dict)
        model = unflatten(ModelSettings, exec_properties, MODEL_PREFIX)
        model = model.model_copy(update={"weights": located(model.weights)})
        examples = artifact_utils.get_single_uri(input_dict[EXAMPLES_KEY])
        labels = export.transform_labels(tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict[GRAPH_KEY])))
        made = artifact_utils.get_single_instance(output_dict[CROSS_VALIDATION_KEY])
        tf.io.gfile.makedirs(made.uri)
        with tempfile.TemporaryDirectory(prefix="edgetune-") as temporary:
            # Beside the artifacts, so that the next run finds the features, if that is on a local disk.
            remote = filesystem.is_remote(made.uri)
            cache = (Path(temporary) if remote else Path(made.uri).parents[1]) / "activation_cache"
            started = time.monotonic()
            features = raw_features(cache, examples, labels, model, training)
            frozen_seconds = time.monotonic() - started
            number = exec_properties[FOLDS]
            heads = train_folds(features, len(labels), number, model.head, training, f"{temporary}/logs")
            folds = [
                _write_answers(made.uri, fold, (position, number), features, labels, Path(temporary))
                for position, fold in enumerate(heads)
            ]
        summary = {**_summary(folds, labels), "frozen_seconds": round(frozen_seconds, 2)}
        filesystem.write(
            f"{made.uri}/{FOLDS_FILE}", (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
        )
        made.set_float_custom_property("accuracy", summary["accuracy"])
        made.set_int_custom_property("images", summary["images"])


def _write_answers(
    uri: str, fold: Fold, shard: tuple[int, int], features: RawFeatures, labels: Sequence[str], temporary: Path
) -> _Answered:
    """Write the answers of a fold's head to the images that were held out."""
    images, right = np.zeros(len(labels), int), np.zeros(len(labels), int)
    names = np.array(labels, object)
    with shard_writer(uri, *shard, temporary) as writer:
        for rows, probabilities in fold.answers(features):
            truth, given = features.label[rows], probabilities.argmax(axis=1)
            writer.write_table(table(features.image_id[rows].astype(str), names[truth], names[given], probabilities))
            np.add.at(images, truth, 1)
            np.add.at(right, truth[given == truth], 1)
    facts = {
        "images": int(images.sum()),
        "accuracy": float(right.sum() / images.sum()),
        "trained_on": fold.trained_on,
        "epochs": len(fold.phase.epochs),
        "best_epoch": fold.phase.best_epoch,
        "seconds": fold.phase.seconds,
    }
    return _Answered(images, right, facts)


def _summary(folds: Sequence[_Answered], labels: Sequence[str]) -> dict[str, Any]:
    """Return the content of `folds.json`: shares 0..1 with their 95% intervals, and what these ignore."""
    images, right = (sum(getattr(fold, name) for fold in folds) for name in ("images", "right"))
    return {
        **_share(int(right.sum()), int(images.sum())),
        "ignored": "the heads of any two folds share most of their training images, so their errors are correlated",
        "classes": {label: _share(int(right[at]), int(images[at])) for at, label in enumerate(labels)},
        "folds": [fold.facts for fold in folds],
    }


def _share(right: int, images: int) -> dict[str, Any]:
    return {"images": images, "accuracy": right / images if images else None, "interval": wilson(right, images)}
