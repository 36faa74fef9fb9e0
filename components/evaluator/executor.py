"""Executor of the Evaluator component: TFX's for the metrics, and our own verdict on the answers that it keeps."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.components.evaluator import constants, executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from edgetune.components.common import measured_files
from edgetune.components.common.examples import check_examples
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import (
    BLESSED,
    BLESSING_KEY,
    COMPARED_WITH,
    CROSS_VALIDATION_KEY,
    EARLIER_KEY,
    EVALUATION_KEY,
    EVALUATION_URI,
    EXAMPLES_KEY,
    MODEL_KEY,
    RELEASES,
)
from edgetune.components.common.outputs import empty
from edgetune.components.evaluator import extractors
from edgetune.components.evaluator.keep_answers import DESTINATION, Destination
from edgetune.modules.core import progress
from edgetune.modules.core.errors import DataError, PushError
from edgetune.modules.evaluation.answers import Answers, read_answers
from edgetune.modules.evaluation.folds_gate import folds_gate
from edgetune.modules.evaluation.gates import FILE, blessed, file_of, read_gates, refused
from edgetune.modules.evaluation.model_gates import Earlier, model_gates
from edgetune.modules.release.earlier import evaluations
from edgetune.modules.serving.saved_model import read_labels
from edgetune.modules.settings.run import EvaluationSettings, unflatten
from edgetune.modules.storage.filesystem import error_line

LIBRARIES = (
    "tensorflow",  # runs the SavedModel
    "tensorflow-model-analysis",  # computes the metrics
    "tfx",  # its executor passes the examples
    "numpy",  # judges the answers
    "scipy",  # compares them with those of earlier models
)
# TFX's executor reads this property and imports the function; TFX's component has no parameter for it.
_EXTRACTORS = {"custom_extractors": f"{extractors.__name__}.{extractors.custom_extractors.__name__}"}


class Executor(executor.Executor):
    """Evaluates the model, and blesses it by the thresholds in the execution properties."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write evaluation and blessing.

        Raises:
            ConfigError: A threshold is out of range.
            DataError: The examples are not those that were written, or the answers or the gates cannot be read back.
        """
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        settings = unflatten(EvaluationSettings, exec_properties)
        images = check_examples(input_dict[EXAMPLES_KEY])
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        evaluation = artifact_utils.get_single_uri(output_dict[EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        saved_model = path_utils.serving_model_path(model.uri)
        measured_files.record(blessing, measured_files.SAVED_MODEL, saved_model)
        labels = read_labels(saved_model)
        kept = DESTINATION.set(Destination(evaluation, labels))
        try:
            super().Do(input_dict, output_dict, {**exec_properties, **_EXTRACTORS})
        finally:
            DESTINATION.reset(kept)
        earlier, last = _earlier(_evaluations(input_dict, exec_properties.get(RELEASES), settings))
        answers = read_answers(evaluation, probabilities=False)
        gates = model_gates(answers, labels, settings, earlier)
        if settings.folds:
            validation = input_dict.get(CROSS_VALIDATION_KEY) or []
            uri = validation[0].uri if len(validation) == 1 else None
            gates.append(folds_gate(answers, uri, sum(images.values()), settings))
        _write(f"{evaluation}/{FILE}", file_of(gates))
        for gate in refused(gates):
            logging.info("refused: %s", gate.sentence())
        # By what is written: nothing is blessed whose gates cannot be read.
        is_blessed = blessed(read_gates(evaluation))
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
        # On Kubeflow and Vertex, TFX replaces this id by the artifact's name.
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
        blessing.set_string_custom_property(EVALUATION_URI, evaluation)
        if last:
            blessing.set_string_custom_property(COMPARED_WITH, last)
        blessing.set_int_custom_property(BLESSED, int(is_blessed))
        progress.conclude("passed" if is_blessed else "refused the model", well=is_blessed)
        measured_files.record(blessing, measured_files.MODEL_EVALUATION, evaluation)
        name = constants.BLESSED_FILE_NAME if is_blessed else constants.NOT_BLESSED_FILE_NAME
        _write(f"{blessing.uri}/{name}", "")


def _evaluations(
    input_dict: dict[str, list[types.Artifact]], releases: str | None, settings: EvaluationSettings
) -> list[str]:
    """Return the evaluations of earlier released models, the oldest first, by their blessings or by the markers."""
    if releases:
        try:
            return evaluations(releases, settings.compare_days, settings.compare_models)
        except OSError as error:
            raise DataError(
                f"{releases}: it cannot be seen which models were released: {error_line(error)}",
                "run again once it can be read",
            ) from error
        except PushError as error:
            raise DataError(error.cause, "look at what changed it; without it, no model can be compared") from error
    earlier = sorted(input_dict.get(EARLIER_KEY, []), key=lambda artifact: artifact.id)
    return [blessing.get_string_custom_property(EVALUATION_URI) for blessing in earlier]


def _earlier(uris: list[str]) -> tuple[Earlier, str]:
    """Read the answers of earlier models from their evaluations; what cannot be read is skipped, with the reason.

    Returns:
        The answers, and the evaluation that the last of them are from; empty if there are none.
    """
    found: dict[str, Answers] = {}
    skipped = []
    for uri in uris:
        try:
            if not uri:
                raise DataError("it was evaluated by an edgetune that kept no answers")
            found[uri] = read_answers(uri, probabilities=False)
        except DataError as error:
            skipped.append(f"an earlier blessed model is not compared with: {error.cause}")
    return Earlier(list(found.values()), skipped), next(reversed(found), "")


def _write(path: str, text: str) -> None:
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)
