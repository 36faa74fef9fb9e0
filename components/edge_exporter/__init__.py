"""EdgeExporter: converts a SavedModel into LiteRT models."""

from edgetune.components.edge_exporter.component import EdgeExporter as EdgeExporter
