"""The schema that people wrote, as an artifact; read again when its content changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import component as import_schema_gen
from tfx.dsl.components.base import base_component
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ExecutionParameter


class CuratedSchemaSpec(standard_component_specs.ImportSchemaGenSpec):
    """ImportSchemaGen's interface and the digest of the file."""

    PARAMETERS = {
        **standard_component_specs.ImportSchemaGenSpec.PARAMETERS,
        "schema_digest": ExecutionParameter(type=str),
    }


class CuratedSchema(import_schema_gen.ImportSchemaGen):
    """TFX's ImportSchemaGen, but for one thing: TFX's own caches by the file's name, and an edit would be ignored.

    Component `outputs` contains:
     - `schema`: Channel of type `standard_artifacts.Schema`.
    """

    SPEC_CLASS = CuratedSchemaSpec

    def __init__(self, schema_file: Path) -> None:
        """Construct a CuratedSchema component.

        Args:
            schema_file: A `Schema` of tensorflow_metadata in text format.
        """
        spec = CuratedSchemaSpec(
            schema_file=str(schema_file),
            schema_digest=hashlib.sha256(schema_file.read_bytes()).hexdigest(),
            schema=Channel(type=standard_artifacts.Schema),
        )
        # ImportSchemaGen's own constructor would build its own specification.
        base_component.BaseComponent.__init__(self, spec=spec)
