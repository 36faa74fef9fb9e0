"""The component TwoPhaseTrainer: its work."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from modules import progress, serving
from modules import two_phase as method
from modules.settings import ModelSettings, TrainingSettings, unflatten

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
        classes = len(serving.transform_labels(transform))

        def log_dir(phase: str) -> str:
            return f"{run.uri}/logs/{phase}"

        data = method.load_datasets(examples_uri, model.image_size, training)
        result = method.train_two_phases(data, classes, model, training, log_dir)
        network = result.classifier.model
        method.check_learned(network, data.evaluation)
        history = {
            "phases": [phase.as_json() for phase in result.phases],
            "exported": result.exported,
            "why": result.why,
        }
        _write(f"{run.uri}/history.json", history)
        run.set_string_custom_property("exported_phase", result.exported)
        model_artifact.set_string_custom_property("code_digest", exec_properties["code_digest"])
        progress.report("writing the SavedModel")
        serving.export_saved_model(
            network, transform, model.image_size, path_utils.serving_model_dir(model_artifact.uri)
        )
        if training.baselines:
            rows = _transfer(result, data, classes, model, training, log_dir)
            _write(f"{run.uri}/transfer.json", rows)
            for row in rows:
                run.set_float_custom_property(f"{row['name']}_test_accuracy", row["test_accuracy"])
                run.set_float_custom_property(f"{row['name']}_seconds", row["seconds"])


def _transfer(
    result: method.Result,
    data: method.Datasets,
    classes: int,
    model: ModelSettings,
    training: TrainingSettings,
    log_dir: Any,
) -> list[dict[str, Any]]:
    """What the transfer is worth: the exported model beside the baselines, all on the test split."""

    def row(name: str, accuracy: float, phases: tuple[Any, ...]) -> dict[str, Any]:
        seconds = round(sum(phase.seconds for phase in phases), 2)
        epochs = sum(len(phase.epochs) for phase in phases)
        return {"name": name, "test_accuracy": accuracy, "seconds": seconds, "epochs": epochs}

    network = result.classifier.model
    rows = [row("fine_tuned", method.accuracy(network, data.test), result.phases)]
    if "fixed_features" in training.baselines:
        network.set_weights(result.after_head)
        rows.append(row("fixed_features", method.accuracy(network, data.test), result.phases[:1]))
    if "from_scratch" in training.baselines:
        scratch, phase = method.train_from_scratch(data, classes, model, training, log_dir)
        rows.append(row("from_scratch", method.accuracy(scratch.model, data.test), (phase,)))
    return rows


def _write(path: str, content: Any) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
