"""CuratedSchema: ImportSchemaGen with the content of the schema in the cache key instead of its path."""

from edgetune.components.curated_schema.component import CuratedSchema as CuratedSchema
