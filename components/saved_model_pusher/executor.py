"""Executor of the SavedModelPusher component."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from edgetune.components.common import blessings, measured_files
from edgetune.components.common.lineage import stamp
from edgetune.components.common.names import PUSHED_MODEL_KEY
from edgetune.components.common.outputs import empty
from edgetune.modules.bundle.signing import sign
from edgetune.modules.serving.saved_model import SAVED_MODEL_FILE
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.versions import push

LIBRARIES = ("edgetune",)  # the files are only copied


class Executor(base_executor.BaseExecutor):
    """Pushes the model if all gates blessed it, and its files are those that they measured."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Push the SavedModel if it is blessed.

        Raises:
            ConfigError: The signing tool is not installed.
            PushError: Files differ from those that were measured, the model cannot be signed, or the destination cannot
                be written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        pushed_model = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY])
        if reason := blessings.refusal(input_dict):
            logging.info("not pushed: %s", reason)
            blessings.record_refused(pushed_model, reason)
            return
        with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
            filesystem.fetch(measured_files.folders(input_dict)[measured_files.SAVED_MODEL], Path(folder))
            measured_files.check(input_dict, {measured_files.SAVED_MODEL: folder})
            if key := exec_properties.get("sign_key"):
                sign(Path(folder), key, exec_properties["sign_tool"])
            delivered = push(folder, exec_properties["destination"], last=SAVED_MODEL_FILE)
        blessings.record_pushed(pushed_model, delivered.path, delivered.version)
