"""How a run finds what it has to compete with: the last blessed model, and the statistics of its data.

That is a question to ML Metadata, and each platform answers it in its own way, or not at all.
"""

from __future__ import annotations

from typing import Protocol

from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from edgetune.components.resolvers.last_blessed import LastBlessedBeforeCandidate, StatisticsOfLastBlessed

MODEL, STATISTICS = "Baseline", "BaselineStatistics"


class Baselines(Protocol):
    """Nodes that find baselines, with outputs `model` and `statistics`; None where there is no way to find one."""

    def model(self, candidate: BaseChannel) -> Resolver | None:
        """For the channel of the new model: the blessed one that it has to compete with."""

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """For the channel of the new data's statistics: those that drift is measured against."""


class OwnMetadata:
    """Our own queries, where the runner lets us ask ML Metadata."""

    def model(self, candidate: BaseChannel) -> Resolver:
        """The last blessed model before the candidate."""
        return Resolver(
            strategy_class=LastBlessedBeforeCandidate,
            candidate=candidate,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(MODEL)

    def statistics(self, candidate: BaseChannel) -> Resolver:
        """Those of the last blessed model's data."""
        return Resolver(
            strategy_class=StatisticsOfLastBlessed,
            candidate=candidate,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(STATISTICS)


class OfVertex:
    """The one query that TFX can write down for Vertex: the latest blessed model.

    It is asked as the run begins, so the run's own model is never the answer. But where nothing has changed, it is the
    very model that the cache gives the run: that is then evaluated against itself, and pushed once more.
    """

    def model(self, candidate: BaseChannel) -> Resolver:
        """The latest blessed model."""
        return Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(MODEL)

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """Not to be found: data drift is not measured."""
        return None


class Nothing:
    """Kubeflow Pipelines refuses every pipeline with a resolver in it: neither regression nor drift is measured."""

    def model(self, candidate: BaseChannel) -> Resolver | None:
        """Not to be found: the model is judged by `min_accuracy` alone."""
        return None

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """Not to be found."""
        return None
