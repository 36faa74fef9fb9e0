"""Executor of the CuratedSchema component: TFX's, for a path relative to the installed code."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.schema_gen.import_schema_gen import executor
from tfx.types import standard_component_specs

from edgetune.components.common.lineage import stamp
from edgetune.components.common.outputs import empty
from edgetune.modules.core.package_paths import located

LIBRARIES = (
    "tensorflow-metadata",  # parses and writes the schema
    "tfx",  # its executor does the work
)


class Executor(executor.Executor):
    """ImportSchemaGen's executor, with the path of the file resolved on this machine."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copy the schema."""
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        key = standard_component_specs.SCHEMA_FILE_KEY
        super().Do(input_dict, output_dict, {**exec_properties, key: located(exec_properties[key])})
