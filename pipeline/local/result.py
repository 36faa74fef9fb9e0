"""What a run returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.components.common.names import MODEL_RUN_KEY, TWO_PHASE_TRAINER
from edgetune.modules.core.errors import NotBlessed
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.collect import collect


@dataclass(frozen=True)
class Run:
    """A run that ended: verdict, measurements, and where its results are."""

    name: str
    """Name of the pipeline."""
    run_id: str
    blessed: bool
    """Whether all gates accepted the model: its accuracy, how it serves, and the LiteRT models against it."""
    reasons: tuple[str, ...]
    """Why it is not blessed, one sentence each with what was measured and needed; empty if it is."""
    pushed: tuple[str, ...]
    """Folders or URLs of the delivered versions: the SavedModel, then the edge bundle."""
    report: Path
    """The report, an HTML page."""
    log: Path
    metrics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Measurements on the test split: `accuracy` (0..1), `images`, `interval` (95 %, or None), and by name `variants`
    (`accuracy`, `agreement`, `bytes`, `latency`, `blessed`, `reasons`) and `baselines` (`test_accuracy`, `seconds`,
    `epochs`). `gates` is the list of conditions: what was `measured`, its 95 % interval (`low`, `high`), what was
    `needed` and whether it `passed` (None if it was not applied). What was not measured is absent."""
    tensorboard: str | None = None
    """Folder or URL of the training's TensorBoard logs; None if nothing was trained."""
    artifacts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Folder or URL of every output, by the id of its component and by its name, such as `["Evaluator"]["evaluation"]`,
    which TensorFlow Model Analysis can load."""

    def require_blessed(self) -> Run:
        """Return this run.

        Raises:
            NotBlessed: A gate refused the model.
        """
        if not self.blessed:
            refused = [gate for gate in self.metrics.get("gates", ()) if gate["passed"] is False]
            remedies = dict.fromkeys(gate["remedy"] for gate in refused if gate["remedy"])
            hints = "; ".join(["nothing was pushed", *remedies])
            raise NotBlessed("; ".join(self.reasons), f"{hints}; {self.report} shows the measurements")
        return self


def result(outcome: Outcome, report: Path, log: Path) -> Run:
    """Return what came of a run that ended.

    Args:
        outcome: As ML Metadata has it.
        report: The report's page.
        log: The log file.
    """
    collected = collect(outcome)
    trained = outcome.node(TWO_PHASE_TRAINER).artifact(MODEL_RUN_KEY)
    metrics: dict[str, Any] = {}
    if found := collected.get("results"):
        metrics |= {key: found[key] for key in ("accuracy", "images", "interval")}
    if found := collected.get("gates"):
        metrics["gates"] = found
    for key, section, rows in (("variants", "edge", "variants"), ("baselines", "transfer", None)):
        if values := collected.get(section):
            named = values[rows] if rows else values
            metrics[key] = {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in named}
    return Run(
        name=outcome.pipeline_name,
        run_id=outcome.run_id,
        blessed=outcome.blessed,
        reasons=tuple(outcome.reasons),
        pushed=tuple(outcome.pushed),
        report=report,
        log=log,
        tensorboard=trained.uri if trained else None,
        metrics=metrics,
        artifacts={node.id: {key: made[0].uri for key, made in node.outputs.items() if made} for node in outcome.nodes},
    )
