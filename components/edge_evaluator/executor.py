"""Executor of the EdgeEvaluator component."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from edgetune.components.common import blessings, measured_files
from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import (
    BLESSED,
    BLESSING_KEY,
    EDGE_MODEL_KEY,
    EVALUATION_KEY,
    EXAMPLES_KEY,
    MODEL_KEY,
    TEMPERATURE,
)
from edgetune.components.common.outputs import empty
from edgetune.components.common.parameters import READING
from edgetune.modules.bundle.golden import Golden
from edgetune.modules.bundle.write import METRICS
from edgetune.modules.contracts.bundle import GOLDEN, model_file
from edgetune.modules.core import progress
from edgetune.modules.core.errors import ExportError
from edgetune.modules.data import unknown_images
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.notable import FILE, Notable
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.images.reading import Reading
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.settings.run import EdgeSettings, unflatten
from edgetune.modules.storage import filesystem

LIBRARIES = (
    "ai-edge-litert",  # runs the variants
    "tensorflow",  # runs the SavedModel that they are compared with
    "numpy",  # computes the metrics
    "scipy",  # compares the answers to the images of each class
    "pillow",  # reads images of none of the classes
    "pillow-heif",
)
UNKNOWN = {"unknown": str, "unknown_fingerprint": str, **READING}
"""Types of the properties that are set if there is a folder of images of none of the classes."""
# TFX's Evaluator writes one of these files for people who look into the folder of its blessing.
BLESSED_FILE, NOT_BLESSED_FILE = "BLESSED", "NOT_BLESSED"


class Executor(base_executor.BaseExecutor):
    """Measures the variants, writes the metrics, and sets the blessing."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluate all variants.

        Raises:
            ConfigError: A threshold is not allowed.
            ExportError: The SavedModel cannot be evaluated, or a variant is missing or was not written with the others.
            DataError: An image of the eval or test split has a class that the model does not know, the examples are not
                those that were written, or the folder of unknown images cannot be read.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        check_examples(input_dict[EXAMPLES_KEY])
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        edge_model = artifact_utils.get_single_instance(input_dict[EDGE_MODEL_KEY])
        examples = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        evaluation = artifact_utils.get_single_instance(output_dict[EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])

        saved_model = path_utils.serving_model_path(model.uri)
        measured_files.record(blessing, measured_files.SAVED_MODEL, saved_model)
        measured_files.record(blessing, measured_files.EDGE_MODEL, edge_model.uri)
        # All variants in the edge model are evaluated; `variants` is not a property of this component.
        given = {"variants": exec_properties["required"], **exec_properties}
        settings = unflatten(EdgeSettings, given)
        _check_variants(edge_model)
        thresholds = Thresholds(
            required=settings.required,
            max_accuracy_drop=settings.max_accuracy_drop,
            min_agreement=settings.min_agreement,
            max_class_drop=settings.max_class_drop,
            max_bytes=settings.max_bytes,
            max_latency_ms=settings.max_latency_ms,
        )
        labels = saved_model_reader.read_labels(saved_model)
        golden = Golden(f"{evaluation.uri}/{GOLDEN}", labels)
        notable = Notable(f"{evaluation.uri}/{FILE}", labels, exec_properties["saliency"])
        metrics = evaluate(
            saved_model,
            edge_model.uri,
            examples.uri,
            thresholds,
            golden,
            exec_properties["precision"],
            # A model of an earlier version has no such property, and was not scaled.
            model.get_float_custom_property(TEMPERATURE) or 1.0,
            _unknown(exec_properties),
            notable,
            settings.input_range,
        )
        # Here and not in the pusher: a run that is repeated releases the very bundle, and not another one.
        metrics["run"] = self._context.pipeline_run_id if self._context else None
        _write(f"{evaluation.uri}/{METRICS}", json.dumps(metrics, indent=1, ensure_ascii=False) + "\n")

        for artifact in (evaluation, blessing):
            artifact.set_int_custom_property(BLESSED, int(metrics["blessed"]))
            blessings.record_judged(artifact, "model_id", model)
            blessings.record_judged(artifact, "edge_model_id", edge_model)
        for name, facts in metrics["variants"].items():
            blessing.set_int_custom_property(f"blessed_{name}", int(facts["blessed"]))
        _record(evaluation, metrics)
        refused = [name for name, facts in metrics["variants"].items() if not facts["blessed"]]
        said = f"refused {', '.join(refused) or 'all'}" if refused or not metrics["blessed"] else "passed"
        progress.conclude(said, well=metrics["blessed"])
        evaluation.set_string_custom_property("code_digest", exec_properties["code_digest"])
        # For the lineage of the bundle: the pusher does not read the examples.
        evaluation.set_string_custom_property("data_digest", examples.get_string_custom_property("data_digest"))
        measured_files.record(blessing, measured_files.EDGE_EVALUATION, evaluation.uri)
        _write(f"{blessing.uri}/{BLESSED_FILE if metrics['blessed'] else NOT_BLESSED_FILE}", "")


def _check_variants(edge_model: types.Artifact) -> None:
    """Check that the artifact has the models that EdgeDescriber recorded on it, and no others.

    Raises:
        ExportError: A model is missing, or was not written with the artifact.
    """
    recorded = {model_file(name) for name in edge_model.get_string_custom_property("variants").split(", ")}
    models = {name for name in filesystem.names(edge_model.uri) if fnmatch.fnmatchcase(name, model_file("*"))}
    if wrong := sorted(models ^ recorded):
        what = "was not written with the artifact" if wrong[0] in models else "is missing"
        raise ExportError(f"{edge_model.uri}/{wrong[0]}: {what}", "run again with --no-cache")


def _record(evaluation: types.Artifact, metrics: dict[str, Any]) -> None:
    """Record the main figures as properties, so that runs can be compared in ML Metadata without opening a file."""
    evaluation.set_int_custom_property("test_images", metrics["test"]["images"])
    if metrics["saved_model"]["accuracy"] is not None:
        evaluation.set_float_custom_property("accuracy_saved_model", metrics["saved_model"]["accuracy"])
    if (ece := metrics["calibration"]["after"]["ece"]) is not None:
        evaluation.set_float_custom_property("ece_saved_model", ece)
    for name, facts in metrics["variants"].items():
        evaluation.set_int_custom_property(f"bytes_{name}", facts["bytes"])
        for figure in ("accuracy", "agreement"):
            if facts[figure] is not None:
                evaluation.set_float_custom_property(f"{figure}_{name}", facts[figure])
        if facts["latency"]:
            for figure in ("p50_ms", "p95_ms"):
                evaluation.set_float_custom_property(f"{figure}_{name}", facts["latency"][figure])


def _unknown(exec_properties: dict[str, Any]) -> Iterator[bytes | str]:
    """Yield the images of none of the classes, if there is a folder of them, and log why files are not used."""
    if not exec_properties.get("unknown"):
        return
    for content in unknown_images.read(exec_properties["unknown"], Reading.of(exec_properties)):
        if isinstance(content, str):
            logging.warning("data.unknown: %s", content)
        yield content


def _write(path: str, text: str) -> None:
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)
