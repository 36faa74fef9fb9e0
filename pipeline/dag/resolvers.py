"""Nodes that find the baselines of a run: the last released model, and the statistics of its data.

They query ML Metadata, which works differently on each platform, or not at all.
"""

from __future__ import annotations

from typing import Protocol

from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from edgetune.components.common.names import BASELINE, BASELINE_STATISTICS
from edgetune.components.resolvers.last_blessed import BlessingsBeforeCandidate, StatisticsOfLastBlessed
from edgetune.modules.settings.run import EvaluationSettings


class Baselines(Protocol):
    """Factory of nodes that find baselines; None if the platform has no way."""

    def blessings(self, candidate: BaseChannel, settings: EvaluationSettings) -> Resolver | None:
        """Return a node that finds `model_blessing`: of the models to compare the candidate model with."""

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """Return a node that finds `statistics` to measure the drift of the candidate statistics from."""


class MetadataBaselines:
    """Baselines found by our own queries, for runners that give access to ML Metadata."""

    def blessings(self, candidate: BaseChannel, settings: EvaluationSettings) -> Resolver:
        """Return a node that finds the last released model before the candidate, and those of some days before it."""
        return Resolver(
            strategy_class=BlessingsBeforeCandidate,
            config={"days": settings.compare_days, "models": settings.compare_models},
            candidate=candidate,
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(BASELINE)

    def statistics(self, candidate: BaseChannel) -> Resolver:
        """Return a node that finds the statistics of the last released model's data."""
        return Resolver(
            strategy_class=StatisticsOfLastBlessed,
            candidate=candidate,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(BASELINE_STATISTICS)


class VertexBaselines:
    """Baselines found by the only query that TFX can compile for Vertex: the latest blessed model.

    So a model is compared with the last one only: a slow decline over several is not detected; and "blessed" means by
    the Evaluator, since the query cannot ask whether the model was released. Vertex resolves it when the run starts, so
    it never returns the run's own model. But if nothing has changed, it returns the model that the run gets from the
    cache, which is then compared with itself and pushed again.
    """

    def blessings(self, candidate: BaseChannel, settings: EvaluationSettings) -> Resolver:
        """Return a node that finds the blessing of the latest blessed model."""
        return Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id(BASELINE)

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """Return None: there is no such query, so drift is not measured."""
        return None


class NoBaselines:
    """No baselines, since Kubeflow Pipelines rejects resolvers: neither regression nor drift is measured."""

    def blessings(self, candidate: BaseChannel, settings: EvaluationSettings) -> Resolver | None:
        """Return None: the model is compared with no other, and the absolute gates alone decide on it."""
        return None

    def statistics(self, candidate: BaseChannel) -> Resolver | None:
        """Return None: drift is not measured."""
        return None
