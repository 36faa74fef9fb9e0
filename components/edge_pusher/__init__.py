"""EdgePusher: delivery of the edge bundle that both gates blessed."""

from components.edge_pusher.component import EdgePusher as EdgePusher
