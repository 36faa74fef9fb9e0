"""Interface of the CuratedSchema component."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import component as import_schema_gen
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ExecutionParameter

from edgetune.components.curated_schema import executor
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.core.package_paths import portable


class CuratedSchemaSpec(standard_component_specs.ImportSchemaGenSpec):
    """ImportSchemaGen's interface, with the digest of the file added."""

    PARAMETERS = {
        **standard_component_specs.ImportSchemaGenSpec.PARAMETERS,
        "schema_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }


class CuratedSchema(import_schema_gen.ImportSchemaGen):
    """TFX's ImportSchemaGen for a schema file that is edited by hand and lies beside the code.

    TFX's own component caches by the name of the file, so it ignores edits, and it records the path on the machine
    where the pipeline is built. This one caches by the content, and records a path relative to the code.

    Component `outputs` contains:
     - `schema`: Channel of type `standard_artifacts.Schema`.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, schema_file: Path) -> None:
        """Construct a CuratedSchema component.

        Args:
            schema_file: A `Schema` of tensorflow_metadata in text format.
        """
        spec = CuratedSchemaSpec(
            schema_file=portable(str(schema_file)),
            schema_digest=hashlib.sha256(schema_file.read_bytes()).hexdigest(),
            library_versions=library_versions(executor.LIBRARIES),
            schema=Channel(type=standard_artifacts.Schema),
        )
        # ImportSchemaGen's own constructor would build its own specification.
        base_component.BaseComponent.__init__(self, spec=spec)
