"""Executor of the EdgeDescriber component."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from edgetune.components.common.lineage import record_recipe, stamp
from edgetune.components.common.names import CONVERTED_MODEL_KEY, EDGE_MODEL_KEY
from edgetune.components.common.outputs import empty
from edgetune.modules.contracts.bundle import model_file
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.metadata import Description, add_metadata
from edgetune.modules.storage import filesystem

NAME = "image_classifier"
TEXTS = ("description", "author", "license")
"""Settings in `modules.settings.run.EdgeSettings` that become metadata."""
LIBRARIES = ("ai-edge-litert",)  # has the schema of the files


class Executor(base_executor.BaseExecutor):
    """Adds metadata to each variant."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write every variant with its metadata.

        Raises:
            ExportError: A variant cannot be read, is not a LiteRT model, or a class name is not one line.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        record_recipe(input_dict, output_dict, exec_properties)
        empty(output_dict)
        converted = artifact_utils.get_single_instance(input_dict[CONVERTED_MODEL_KEY])
        edge_model = artifact_utils.get_single_instance(output_dict[EDGE_MODEL_KEY])
        variants = converted.get_string_custom_property("variants")
        about = Description(NAME, *(exec_properties[name] for name in TEXTS))
        listed = _read(f"{converted.uri}/{LABELS_FILE}")
        filesystem.make_folder(edge_model.uri)
        for variant in variants.split(", "):
            content = _read(f"{converted.uri}/{model_file(variant)}")
            described = add_metadata(content, listed.decode().splitlines(), about)
            filesystem.write(f"{edge_model.uri}/{model_file(variant)}", described)
        filesystem.write(f"{edge_model.uri}/{LABELS_FILE}", listed)
        edge_model.set_string_custom_property("variants", variants)
        edge_model.set_string_custom_property("code_digest", exec_properties["code_digest"])


def _read(path: str) -> bytes:
    try:
        return filesystem.read(path)
    except OSError as error:
        cause = f"{path}: {filesystem.error_line(error)}"
        raise ExportError(cause, "convert again, without the cache: `edgetune run --no-cache`") from error
