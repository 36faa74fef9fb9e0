"""EdgeExporter: LiteRT models from a SavedModel."""

from edgetune.components.edge_exporter.component import EdgeExporter as EdgeExporter
