"""ImportSchemaGen, keyed by the schema's content instead of its path."""

from edgetune.components.curated_schema.component import CuratedSchema as CuratedSchema
