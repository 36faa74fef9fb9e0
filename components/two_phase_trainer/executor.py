"""Executor of the TwoPhaseTrainer component."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from absl import logging
from scipy.special import softmax
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import record_recipe, stamp
from edgetune.components.common.names import (
    HISTORY_FILE,
    MODEL_KEY,
    MODEL_RUN_KEY,
    TEMPERATURE,
    TRANSFER_FILE,
    WEIGHTS_SHA256,
)
from edgetune.components.common.outputs import empty
from edgetune.modules.core import progress
from edgetune.modules.core.package_paths import located
from edgetune.modules.evaluation.calibration import cross_entropy, expected_calibration_error, reliability
from edgetune.modules.examples.label_counts import check_labels, label_counts
from edgetune.modules.serving import export, saved_model
from edgetune.modules.settings.run import ModelSettings, TrainingSettings, unflatten
from edgetune.modules.training import baselines, devices, distribution, temperature
from edgetune.modules.training.datasets import Datasets, load_datasets
from edgetune.modules.training.losses import build_loss
from edgetune.modules.training.phase import Phase
from edgetune.modules.training.two_phase import FINE_TUNE, HEAD, Folders, Result, train_two_phases

EXAMPLES_KEY, GRAPH_KEY = "transformed_examples", "transform_graph"

MODEL_PREFIX, TRAINING_PREFIX = "model_", "training_"
LIBRARIES = (
    "tensorflow",  # computes, shuffles and augments, and writes the SavedModel
    "keras",  # networks, optimizers, initial weights
    "numpy",  # order of cached activations, class weights
    "scipy",  # solves a linear head, fits the temperature
    "tensorflow-transform",  # its graph becomes part of the SavedModel
)


class Executor(BaseExecutor):
    """Trains and exports the model, and measures the configured baselines."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Train and export the model described by `exec_properties`.

        With several workers, each calls this with the same arguments, and only the chief writes.

        Raises:
            ConfigError: The architecture does not accept the settings, or TF_CONFIG names no workers.
            DataError: There is only one class, a class is missing from a split, or the examples are not those that
                were written.
            WeightsError: The weights are unavailable, or do not match the architecture.
            TrainingError: A loss is not finite, nothing was learned, or the devices are unavailable.
            ExportError: The SavedModel failed its checks.
        """
        stamp(output_dict, LIBRARIES)
        record_recipe(input_dict, output_dict, exec_properties)
        check_examples(input_dict[EXAMPLES_KEY])
        training = unflatten(TrainingSettings, exec_properties, TRAINING_PREFIX)
        devices.prepare()  # must be the first use of TensorFlow in this process, directly followed by `start`
        strategy = distribution.start(training.distribution)
        if distribution.is_chief(strategy):
            empty(output_dict)
        device = devices.choose(training)
        logging.info("%s", device)
        if device.warning:
            logging.warning("%s", device.warning)
        # Keras numbers unnamed layers through a process, and their names are in the exported files: without this, what
        # ran in the process before would change the bytes of the models.
        keras.backend.clear_session()
        examples_uri = artifact_utils.get_single_uri(input_dict[EXAMPLES_KEY])
        transform = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict[GRAPH_KEY]))
        model_artifact = artifact_utils.get_single_instance(output_dict[MODEL_KEY])
        run = artifact_utils.get_single_instance(output_dict[MODEL_RUN_KEY])
        model = unflatten(ModelSettings, exec_properties, MODEL_PREFIX)
        model = model.model_copy(update={"weights": located(model.weights)})
        labels = export.transform_labels(transform)
        counts = {split: label_counts(examples_uri, split, len(labels)) for split in ("train", "eval")}
        check_labels(labels, counts)

        data = load_datasets(examples_uri, model.image_size, training)
        loss = build_loss(training, counts["train"])
        with tempfile.TemporaryDirectory(prefix="edgetune-") as temporary:
            key = _training_key(input_dict, exec_properties)
            folders = _folders(run.uri, model_artifact.uri, key, strategy, Path(temporary))
            result = train_two_phases(examples_uri, data, len(labels), model, training, loss, folders, strategy)
            logits, truth = temperature.measure_logits(result.classifier, data.evaluation)
            baselines.check_learned(logits, truth)
            # The only place: checkpoints, caches and `after_head` have the weights as they were trained.
            calibration = _calibrate(result.classifier.head, logits, truth) if training.calibrate else None
            if distribution.is_chief(strategy):
                _write_history(f"{run.uri}/{HISTORY_FILE}", result, device, calibration)
                model_artifact.set_float_custom_property(
                    TEMPERATURE, calibration["temperature"] if calibration else 1.0
                )
                run.set_string_custom_property("device", device.device)
                run.set_string_custom_property("exported_phase", result.exported)
                model_artifact.set_string_custom_property("code_digest", exec_properties["code_digest"])
                progress.report("writing the SavedModel")
                serving_dir = path_utils.serving_model_dir(model_artifact.uri)
                export.export_saved_model(result.classifier.model, transform, model.image_size, serving_dir)
                model_artifact.set_string_custom_property(WEIGHTS_SHA256, saved_model.weights_sha256(serving_dir))
                if training.baselines:
                    rows = _transfer(result, data, len(labels), model, training, loss, folders)
                    _write(f"{run.uri}/{TRANSFER_FILE}", rows)
                    for row in rows:
                        run.set_float_custom_property(f"{row['name']}_test_accuracy", row["test_accuracy"])
                        run.set_float_custom_property(f"{row['name']}_seconds", row["seconds"])
            distribution.wait_for_all(strategy)
        if folders.resume:  # including leftovers of killed trainings with other settings
            shutil.rmtree(folders.resume.parent, ignore_errors=True)


def _calibrate(head: keras.Model, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Fit the temperature, make it part of the head, and return what it changed on `eval`.

    The errors afterwards are those on the images that it was fitted on; EdgeEvaluator measures them on `test`.
    """
    fitted = temperature.fit(logits, labels)
    temperature.apply(head, fitted.value)
    found: dict[str, Any] = {"temperature": fitted.value, "note": fitted.note, "images": len(labels)}
    for when, value in (("before", 1.0), ("after", fitted.value)):
        probabilities = softmax(logits.astype(np.float64) / value, axis=1)
        diagram = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
        found[when] = {
            "cross_entropy": cross_entropy(probabilities[np.arange(len(labels)), labels]),
            "ece": expected_calibration_error(diagram),
        }
    return found


def _write_history(path: str, result: Result, device: devices.Choice, calibration: dict[str, Any] | None) -> None:
    history = {
        "phases": [phase.as_json() for phase in result.phases],
        "exported": result.exported,
        "why": result.why,
        "share": result.share,
        "device": asdict(device),
        "calibration": calibration,
        "frozen_seconds": dict(zip((HEAD, FINE_TUNE), result.frozen_seconds, strict=False)),
    }
    _write(path, history)


def _transfer(
    result: Result,
    data: Datasets,
    classes: int,
    model: ModelSettings,
    training: TrainingSettings,
    loss: keras.losses.Loss,
    folders: Folders,
) -> list[dict[str, Any]]:
    """Measure the exported model and the baselines on the test split, to show the benefit of transfer learning."""

    def row(
        name: str, model: keras.Model, frozen_seconds: tuple[float, ...], phases: tuple[Phase, ...]
    ) -> dict[str, Any]:
        return {
            "name": name,
            "test_accuracy": baselines.accuracy(model, data.test),
            "seconds": round(sum(frozen_seconds) + sum(phase.seconds for phase in phases), 2),
            "epochs": sum(len(phase.epochs) for phase in phases),
            "eval_accuracy": [epoch.get("val_accuracy") for phase in phases for epoch in phase.epochs],
        }

    network = result.classifier.model
    rows = [row("fine_tuned", network, result.frozen_seconds, result.phases)]
    if "fixed_features" in training.baselines:
        network.set_weights(result.after_head)
        rows.append(row("fixed_features", network, result.frozen_seconds[:1], result.phases[:1]))
    if "from_scratch" in training.baselines:
        logs = f"{folders.logs}/{baselines.FROM_SCRATCH}"
        scratch, phase = baselines.train_from_scratch(data, classes, model, training, loss, logs, result.seconds)
        rows.append(row("from_scratch", scratch.model, (), (phase,)))
    return rows


def _folders(
    run_uri: str, model_uri: str, key: str, strategy: tf.distribute.Strategy | None, temporary: Path
) -> Folders:
    """Return the folders for logs, cached activations and checkpoints.

    On a local disk they are in the component's folder, which its runs share: the next run finds the cache, and a killed
    run its checkpoints. With a URL, or several workers, cache and checkpoints are temporary: of several workers, only
    the chief would find its checkpoints again.
    """
    logs = f"{run_uri}/logs" if distribution.is_chief(strategy) else str(temporary / "logs")
    if "://" in model_uri or distribution.has_other_workers(strategy):
        return Folders(logs, temporary / "activation_cache")
    beside = Path(model_uri).parents[1]
    return Folders(logs, beside / "activation_cache", beside / "resume" / key)


def _training_key(inputs: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> str:
    """Return a key of the training that is the same in the run after a killed one, unlike the execution id."""
    uris = {key: [artifact.uri for artifact in artifacts] for key, artifacts in inputs.items()}
    return hashlib.sha256(json.dumps([uris, exec_properties], sort_keys=True).encode()).hexdigest()[:16]


def _write(path: str, content: Any) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
