"""EdgeExporter: LiteRT models from a SavedModel."""

from components.edge_exporter.component import EdgeExporter as EdgeExporter
