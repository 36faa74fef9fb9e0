"""The schema that people wrote, as an artifact; read again when its content changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.schema_gen.import_schema_gen import component as import_schema_gen
from tfx.components.schema_gen.import_schema_gen import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ExecutionParameter

from edgetune.components.common.lineage import stamp
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.core.package_paths import located, portable

LIBRARIES = (
    "tensorflow-metadata",  # what a schema is: parsed and written again
    "tfx",  # whose executor this is
)


class CuratedSchemaSpec(standard_component_specs.ImportSchemaGenSpec):
    """ImportSchemaGen's interface and the digest of the file."""

    PARAMETERS = {
        **standard_component_specs.ImportSchemaGenSpec.PARAMETERS,
        "schema_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }


class Executor(executor.Executor):
    """ImportSchemaGen's work, on a file that lies where this machine has the code."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the schema."""
        stamp(output_dict, LIBRARIES)
        key = standard_component_specs.SCHEMA_FILE_KEY
        super().Do(input_dict, output_dict, {**exec_properties, key: located(exec_properties[key])})


class CuratedSchema(import_schema_gen.ImportSchemaGen):
    """TFX's ImportSchemaGen, but for two things.

    TFX's own caches by the file's name, and an edit would be ignored; and it names the file by its path on the machine
    where the pipeline is built.

    Component `outputs` contains:
     - `schema`: Channel of type `standard_artifacts.Schema`.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_file: Path) -> None:
        """Construct a CuratedSchema component.

        Args:
            schema_file: A `Schema` of tensorflow_metadata in text format.
        """
        spec = CuratedSchemaSpec(
            schema_file=portable(str(schema_file)),
            schema_digest=hashlib.sha256(schema_file.read_bytes()).hexdigest(),
            library_versions=library_versions(LIBRARIES),
            schema=Channel(type=standard_artifacts.Schema),
        )
        # ImportSchemaGen's own constructor would build its own specification.
        base_component.BaseComponent.__init__(self, spec=spec)
