"""EdgePusher: delivery of the edge bundle that all gates blessed."""

from edgetune.components.edge_pusher.component import EdgePusher as EdgePusher
