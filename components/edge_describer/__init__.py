"""EdgeDescriber: writes class names and texts into LiteRT models."""

from edgetune.components.edge_describer.component import EdgeDescriber as EdgeDescriber
