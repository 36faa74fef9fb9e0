"""The component TwoPhaseTrainer: its work."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from modules import baselines, progress, serving
from modules.datasets import Datasets, load_datasets
from modules.label_counts import check_labels, label_counts
from modules.losses import build_loss
from modules.phases import Phase
from modules.settings import ModelSettings, TrainingSettings, unflatten
from modules.two_phase import FINE_TUNE, HEAD, Folders, Result, train_two_phases

EXAMPLES_KEY, GRAPH_KEY = "transformed_examples", "transform_graph"
MODEL_KEY, RUN_KEY = "model", "model_run"
MODEL_PREFIX, TRAINING_PREFIX = "model_", "training_"


class Executor(BaseExecutor):
    """Trains, exports, and measures what the configuration wants the result compared with."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains the model of `exec_properties`.

        Raises:
            ConfigError: The architecture refuses the settings.
            DataError: There is one class only, or a class is absent from a split.
            WeightsError: The weights cannot be had, or do not fit.
            TrainingError: A loss is no number, or nothing was learned.
            ExportError: The SavedModel is not what it should be.
        """
        examples_uri = artifact_utils.get_single_uri(input_dict[EXAMPLES_KEY])
        transform = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict[GRAPH_KEY]))
        model_artifact = artifact_utils.get_single_instance(output_dict[MODEL_KEY])
        run = artifact_utils.get_single_instance(output_dict[RUN_KEY])
        model = unflatten(ModelSettings, exec_properties, MODEL_PREFIX)
        training = unflatten(TrainingSettings, exec_properties, TRAINING_PREFIX)
        labels = serving.transform_labels(transform)
        counts = {split: label_counts(examples_uri, split, len(labels)) for split in ("train", "eval")}
        check_labels(labels, counts)

        data = load_datasets(examples_uri, model.image_size, training)
        loss = build_loss(training, counts["train"])
        beside = _local_folder(model_artifact.uri)
        folders = Folders(
            logs=f"{run.uri}/logs",
            cache=beside and beside / "activation_cache",
            resume=beside and beside / "resume" / _key(input_dict, exec_properties),
        )
        result = train_two_phases(examples_uri, data, len(labels), model, training, loss, folders)
        network = result.classifier.model
        baselines.check_learned(network, data.evaluation)
        history = {
            "phases": [phase.as_json() for phase in result.phases],
            "exported": result.exported,
            "why": result.why,
            "frozen_seconds": dict(zip((HEAD, FINE_TUNE), result.frozen_seconds, strict=False)),
        }
        _write(f"{run.uri}/history.json", history)
        run.set_string_custom_property("exported_phase", result.exported)
        model_artifact.set_string_custom_property("code_digest", exec_properties["code_digest"])
        progress.report("writing the SavedModel")
        serving.export_saved_model(
            network, transform, model.image_size, path_utils.serving_model_dir(model_artifact.uri)
        )
        if training.baselines:
            rows = _transfer(result, data, len(labels), model, training, loss, folders)
            _write(f"{run.uri}/transfer.json", rows)
            for row in rows:
                run.set_float_custom_property(f"{row['name']}_test_accuracy", row["test_accuracy"])
                run.set_float_custom_property(f"{row['name']}_seconds", row["seconds"])
        if folders.resume:  # with what trainings left that were killed and then given other settings
            shutil.rmtree(folders.resume.parent, ignore_errors=True)


def _transfer(
    result: Result,
    data: Datasets,
    classes: int,
    model: ModelSettings,
    training: TrainingSettings,
    loss: keras.losses.Loss,
    folders: Folders,
) -> list[dict[str, Any]]:
    """What the transfer is worth: the exported model beside the baselines, all on the test split."""

    def row(
        name: str, model: keras.Model, frozen_seconds: tuple[float, ...], phases: tuple[Phase, ...]
    ) -> dict[str, Any]:
        return {
            "name": name,
            "test_accuracy": baselines.accuracy(model, data.test),
            "seconds": round(sum(frozen_seconds) + sum(phase.seconds for phase in phases), 2),
            "epochs": sum(len(phase.epochs) for phase in phases),
        }

    network = result.classifier.model
    rows = [row("fine_tuned", network, result.frozen_seconds, result.phases)]
    if "fixed_features" in training.baselines:
        network.set_weights(result.after_head)
        rows.append(row("fixed_features", network, result.frozen_seconds[:1], result.phases[:1]))
    if "from_scratch" in training.baselines:
        logs = f"{folders.logs}/{baselines.FROM_SCRATCH}"
        scratch, phase = baselines.train_from_scratch(data, classes, model, training, loss, logs)
        rows.append(row("from_scratch", scratch.model, (), (phase,)))
    return rows


def _local_folder(model_uri: str) -> Path | None:
    """The component's folder, which its runs share; None where it is not on a local disk."""
    return None if "://" in model_uri else Path(model_uri).parents[1]


def _key(inputs: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> str:
    """Stands for one training: a run after one that was killed has another execution, but the same key."""
    uris = {key: [artifact.uri for artifact in artifacts] for key, artifacts in inputs.items()}
    return hashlib.sha256(json.dumps([uris, exec_properties], sort_keys=True).encode()).hexdigest()[:16]


def _write(path: str, content: Any) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
