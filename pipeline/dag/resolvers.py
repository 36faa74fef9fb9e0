"""Nodes that find what a run is compared with: earlier released models, and the statistics of the last one's data.

They query ML Metadata, which platforms do not allow: Kubeflow Pipelines rejects resolvers, and Vertex AI has one query,
for the latest model that the Evaluator blessed, released or not.
"""

from __future__ import annotations

from tfx.dsl.components.common.resolver import Resolver
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from edgetune.components.common.names import BASELINE, BASELINE_STATISTICS
from edgetune.components.resolvers.last_blessed import BlessingsBeforeCandidate, StatisticsOfLastBlessed
from edgetune.modules.settings.run import EvaluationSettings


def earlier_blessings(candidate: BaseChannel, settings: EvaluationSettings) -> Resolver:
    """Return a node that finds `model_blessing`: of the last released model before this one, and of some days' more."""
    return Resolver(
        strategy_class=BlessingsBeforeCandidate,
        config={"days": settings.compare_days, "models": settings.compare_models},
        candidate=candidate,
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id(BASELINE)


def earlier_statistics(candidate: BaseChannel) -> Resolver:
    """Return a node that finds `statistics` to measure drift from: of the last released model's data."""
    return Resolver(
        strategy_class=StatisticsOfLastBlessed,
        candidate=candidate,
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id(BASELINE_STATISTICS)
