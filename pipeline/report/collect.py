"""Read the contents of the report from the artifacts of a run, as plain numbers and text.

A report is written no matter where a run ended: every section is read separately, and a section that cannot be read
has a sentence with the reason instead. A section takes only the values that it needs, by name, so that a malformed file
is detected here and not while the page is rendered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgetune.components.common.names import (
    EDGE_EVALUATOR,
    EVALUATION_KEY,
    EVALUATOR,
    HISTORY_FILE,
    MODEL_KEY,
    MODEL_RUN_KEY,
    TRANSFER_FILE,
    TWO_PHASE_TRAINER,
)
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.data.findings import Finding, UnusableFiles
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import Node, Outcome
from edgetune.pipeline.report import pictures
from edgetune.pipeline.report.artifacts import Absent, folder, number, read_json
from edgetune.pipeline.report.calibration import calibration, temperature
from edgetune.pipeline.report.coverage import coverage
from edgetune.pipeline.report.data import counted, data
from edgetune.pipeline.report.data import findings as found_in
from edgetune.pipeline.report.evaluation import classes, confusion, results
from edgetune.pipeline.report.originals import originals_of
from edgetune.pipeline.report.verdicts import gates, row, serving

TRANSFER_NAMES = ("fixed_features", "fine_tuned", "from_scratch")
_TRAININGS = {
    "fixed_features": ("fixed features", "backbone frozen, head trained"),
    "fine_tuned": ("fine-tuned", "this model"),
    "from_scratch": ("from scratch", "the same network in the same time, random initial weights"),
}


@dataclass(frozen=True)
class Collected:
    """Sections as JSON values; each section is in one of the two fields."""

    sections: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Reason for a missing section, as a sentence."""

    def get(self, name: str) -> Any:
        """Return the section, or None."""
        return self.sections.get(name)

    def read(self, readers: Mapping[str, Callable[[], Any]]) -> None:
        """Add sections, each of which its reader returns, or the reason for their absence.

        Args:
            readers: By name; one raises `Absent` if there is nothing to show.
        """
        for name, read in readers.items():
            try:
                self.sections[name] = read()
            except Absent as reason:
                self.absent[name] = str(reason)
            except Exception as error:  # noqa: BLE001 - one broken artifact must not cost the rest of the report
                logging.warning("report: no section %s", name, exc_info=True)
                self.absent[name] = f"The results of the run cannot be read ({type(error).__name__}: {error})."


def collect(
    outcome: Outcome,
    settings: RunSettings | None = None,
    findings: Sequence[Finding] | None = None,
    rejected: UnusableFiles | None = None,
) -> Collected:
    """Read all sections for which the run has results.

    Args:
        outcome: The run.
        settings: Its configuration, for the order of the edge variants and the configured baselines.
        findings: The findings with which DatasetGate or LabelReviewer failed, if one did.
        rejected: The error with which ImageExampleGen failed because of rejected files, if it did.
    """
    readers: dict[str, Callable[[], Any]] = {
        "gates": lambda: [row(gate) for gate in gates(outcome)],
        "serving": lambda: serving(outcome),
        "results": lambda: results(_evaluation(outcome)),
        "transfer": lambda: _transfer(outcome, settings),
        "edge": lambda: _edge(outcome, settings),
        "calibration": lambda: _calibration(outcome, settings),
        "data": lambda: data(outcome, rejected),
        "statistics": lambda: counted(outcome),
        "findings": lambda: found_in(outcome, findings),
        "training": lambda: _training(outcome),
        "classes": lambda: _classes(outcome),
        "confusion": lambda: _confusion(outcome),
    }
    collected = Collected()
    collected.read(readers)
    return collected


def illustrate(collected: Collected, outcome: Outcome, settings: RunSettings) -> None:
    """Add what only the page shows, because it takes time: images, and what is computed from all answers."""
    originals = originals_of(outcome, settings)
    collected.read({"notable": lambda: pictures.notable(outcome), "coverage": lambda: coverage(_evaluation(outcome))})
    if found := collected.get("data"):
        found["rejected_files"] = pictures.rejected(found["rejected_files"], originals)
    if found := collected.get("findings"):
        pictures.complete(found, originals)
    collected.read({"samples": lambda: pictures.samples(outcome, originals)})


def _training(outcome: Outcome) -> dict[str, Any]:
    history = read_json(f"{folder(outcome.node(TWO_PHASE_TRAINER), MODEL_RUN_KEY, HISTORY_FILE)}/{HISTORY_FILE}")
    keys = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    phases = [
        {
            "name": str(phase["name"]),
            "epochs": [{key: number(epoch.get(key)) for key in keys} for epoch in phase["epochs"]],
            "best_epoch": phase.get("best_epoch"),
            "seconds": number(phase.get("seconds")),
            "trainable_parameters": phase.get("trainable_parameters"),
        }
        for phase in history["phases"]
    ]
    device = history.get("device") or {}  # missing in the history of older versions
    return {
        "phases": phases,
        "exported": str(history["exported"]),
        "why": str(history.get("why", "")),
        "temperature": temperature(history.get("calibration")),
        "device": {key: str(device.get(key, "")) for key in ("device", "why", "warning")},
    }


def _transfer(outcome: Outcome, settings: RunSettings | None) -> list[dict[str, Any]]:
    node = outcome.node(TWO_PHASE_TRAINER)
    try:
        uri = folder(node, MODEL_RUN_KEY, TRANSFER_FILE)
    except Absent:
        if node.succeeded and settings and not settings.training.baselines:
            raise Absent("No baselines are configured: training.baselines is empty.") from None
        raise
    order = {name: index for index, name in enumerate(TRANSFER_NAMES)}
    exported = _exported(node)
    rows = [
        {
            "name": str(row["name"]),
            "title": _titled(str(row["name"]), exported),
            "test_accuracy": number(row["test_accuracy"]),
            "seconds": number(row.get("seconds")),
            "epochs": row.get("epochs"),
            # missing in the rows of older versions
            "eval_accuracy": [number(value) for value in row.get("eval_accuracy", [])],
        }
        for row in read_json(f"{uri}/{TRANSFER_FILE}")
    ]
    if not rows:
        raise Absent("The training measured no baselines.")
    return sorted(rows, key=lambda row: order.get(row["name"], len(order)))


def _exported(trainer: Node) -> str:
    """Return the name of the phase whose weights were exported; empty if it is unknown."""
    try:
        return str(read_json(f"{folder(trainer, MODEL_RUN_KEY, HISTORY_FILE)}/{HISTORY_FILE}")["exported"])
    except (Absent, OSError, ValueError, KeyError):
        return ""


def _titled(name: str, exported: str) -> list[str]:
    """Return a name and a description of a row about a training."""
    if name == "fine_tuned" and exported == "head":
        return ["this model", "phase 1 was exported: fine-tuning was not better on eval"]
    return list(_TRAININGS.get(name, (name.replace("_", " "), "")))


def _calibration(outcome: Outcome, settings: RunSettings | None) -> dict[str, Any]:
    metrics = _edge_metrics(outcome)
    return calibration(metrics, _in_order(metrics["variants"], settings))


def _edge_metrics(outcome: Outcome) -> dict[str, Any]:
    name = "metrics.json"
    return dict(read_json(f"{folder(outcome.node(EDGE_EVALUATOR), EVALUATION_KEY, name)}/{name}"))


def _in_order(variants: Iterable[str], settings: RunSettings | None) -> list[str]:
    wanted = list(settings.edge.variants) if settings else []
    return sorted(variants, key=lambda name: wanted.index(name) if name in wanted else len(wanted))


def _edge(outcome: Outcome, settings: RunSettings | None) -> dict[str, Any]:
    metrics = _edge_metrics(outcome)
    names = _in_order(metrics["variants"], settings)
    reference = number(metrics["saved_model"]["accuracy"])
    return {
        "accuracy": reference,
        "images": metrics["test"]["images"],
        "runtime": metrics.get("runtime"),
        "blessed": metrics.get("blessed") is True,
        "reasons": [str(reason) for reason in metrics.get("reasons", [])],
        "variants": [_variant(name, metrics["variants"][name], reference, outcome.blessed) for name in names],
    }


def _variant(name: str, metrics: dict[str, Any], reference: float | None, run_blessed: bool) -> dict[str, Any]:
    # A variant that failed to run has neither.
    accuracy, latency = number(metrics["accuracy"]), metrics["latency"] or {}
    return {
        "name": name,
        "accuracy": accuracy,
        "accuracy_drop": None if accuracy is None or reference is None else reference - accuracy,
        "agreement": number(metrics["agreement"]),
        "bytes": metrics["bytes"],
        "latency": {
            **{key: number(latency.get(key)) for key in ("p50_ms", "p95_ms")},
            **{key: latency.get(key) for key in ("runs", "threads", "cpu")},
        },
        "blessed": metrics.get("blessed") is True,
        # Blessed is what may be released: nothing is, beside a SavedModel or another variant that was refused.
        "verdict": ("blessed" if run_blessed else "passed") if metrics.get("blessed") is True else "refused",
        "reasons": [str(reason) for reason in metrics.get("reasons", [])],
    }


def _classes(outcome: Outcome) -> list[dict[str, Any]]:
    found = classes(_evaluation(outcome), _labels(outcome))
    if not found:
        raise Absent("The evaluation has no results by class.")
    return found


def _confusion(outcome: Outcome) -> dict[str, Any]:
    found = confusion(_evaluation(outcome), _labels(outcome))
    if found is None:
        raise Absent("The evaluation has no confusion matrix.")
    return found


def _evaluation(outcome: Outcome) -> str:
    """Return the URI of TFMA's results."""
    return folder(outcome.node(EVALUATOR), EVALUATION_KEY, "eval_config.json")


def _labels(outcome: Outcome) -> list[str] | None:
    """Return the class names in the order of the model's outputs, from the trained SavedModel."""
    artifact = outcome.node(TWO_PHASE_TRAINER).artifact(MODEL_KEY)
    # TFX's trainers write the SavedModel to `Format-Serving`. Not read by `modules.serving`, which needs TensorFlow.
    path = f"{artifact.uri}/Format-Serving/assets/{LABELS_FILE}" if artifact else ""
    # Not `splitlines`: a class name may contain one of Unicode's line separators.
    return filesystem.read(path).decode("utf-8").removesuffix("\n").split("\n") if filesystem.exists(path) else None
