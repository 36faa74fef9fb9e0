"""Executor of the InfraValidator component."""

from __future__ import annotations

import json
from typing import Any

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
    EVALUATION_KEY,
    EXAMPLES_KEY,
    INFRA_FILE,
    MODEL_KEY,
    REPORT_KEY,
    SOURCE_FILE,
)
from edgetune.components.common.outputs import empty
from edgetune.modules.core import progress
from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.gates import FILE, blessed, file_of, read_gates, refused
from edgetune.modules.evaluation.infra import validate
from edgetune.modules.evaluation.originals import Location
from edgetune.modules.settings.run import InfraSettings, unflatten
from edgetune.modules.storage import filesystem

LIBRARIES = (
    "tensorflow",  # loads and runs the SavedModel
    "pillow",  # reads the originals again, to see whether they were changed
    "pillow-heif",
)


class Executor(base_executor.BaseExecutor):
    """Asks the model in a process of its own, and sets the blessing."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validate the model.

        Raises:
            ConfigError: A setting is out of range.
            DataError: The examples are not those that were written, or the answers or the place of the files cannot be
                read.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        check_examples(input_dict[EXAMPLES_KEY])
        settings = unflatten(InfraSettings, exec_properties)
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        evaluation, examples, report = (
            artifact_utils.get_single_uri(input_dict[key]) for key in (EVALUATION_KEY, EXAMPLES_KEY, REPORT_KEY)
        )
        saved_model = path_utils.serving_model_path(model.uri)
        measured_files.record(blessing, measured_files.SAVED_MODEL, saved_model)
        gates, facts = validate(saved_model, evaluation, examples, _location(report), settings)
        filesystem.make_folder(blessing.uri)
        filesystem.write(f"{blessing.uri}/{FILE}", file_of(gates).encode())
        filesystem.write(
            f"{blessing.uri}/{INFRA_FILE}", json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n"
        )
        measured_files.record(blessing, measured_files.INFRA_EVALUATION, blessing.uri)
        for gate in refused(gates):
            logging.info("refused: %s", gate.sentence())
        # By what is written: nothing is blessed whose gates cannot be read.
        is_blessed = blessed(read_gates(blessing.uri))
        blessing.set_int_custom_property(BLESSED, int(is_blessed))
        progress.conclude("passed" if is_blessed else "refused the model", well=is_blessed)
        blessings.record_judged(blessing, blessings.MODEL_ID, model)


def _location(report: str) -> Location:
    path = f"{report}/{SOURCE_FILE}"
    try:
        return Location.of(json.loads(filesystem.read(path)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__})", "run again with --no-cache") from None
