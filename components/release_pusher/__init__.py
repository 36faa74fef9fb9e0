"""ReleasePusher: delivery of both models of a run, as one release, if all gates blessed them."""

from edgetune.components.release_pusher.component import ReleasePusher as ReleasePusher
