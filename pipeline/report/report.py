"""Write the report of a run: `index.html`, a self-contained page, and `report.json` with the same numbers.

    collect.py, data.py, evaluation.py, statistics.py, ...   artifacts -> plain numbers and text, or the reason for none
    pictures.py, originals.py                                artifacts and files of the data -> thumbnails
    plots.py, distributions.py, dag.py                       numbers -> SVG
    page.html, page_*.html, style.css                        all of these -> the page

The page has no scripts and fetches nothing: it can be mailed, archived, and opened offline. It is smaller than 5 MB.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.components.common.names import RELEASE_PUSHER
from edgetune.modules.data.findings import Finding, UnusableFiles
from edgetune.modules.release.release import Places
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config.load import to_yaml
from edgetune.pipeline.metadata.outcome import GATES, NOT_RUN, Outcome
from edgetune.pipeline.report import words
from edgetune.pipeline.report.checks import checks
from edgetune.pipeline.report.collect import Collected, collect, illustrate
from edgetune.pipeline.report.comparison import comparison
from edgetune.pipeline.report.dag import picture
from edgetune.pipeline.report.reproduce import reproduce
from edgetune.pipeline.report.statistics import FEATURES
from edgetune.pipeline.report.verdicts import row, serving
from edgetune.pipeline.terminal.console import duration

if TYPE_CHECKING:
    import jinja2

PAGE, NUMBERS = "index.html", "report.json"
TITLES = {
    "gates": "Verdict",
    "comparison": "Compared with the last blessed run",
    "results": "Results",
    "notable": "Mistakes and uncertain answers",
    "transfer": "Benefit of transfer learning",
    "training": "Training",
    "classes": "Classes",
    "confusion": "Confusion",
    "coverage": "Precision and coverage",
    "calibration": "Probabilities",
    "edge": "Edge models",
    "data": "Data",
    "samples": "Samples",
    "statistics": "Sizes and colours",
    "findings": "Findings in the data",
    "components": "Components",
    "reproduce": "Reproduce",
}
"""Title by section, in the order of the page."""
_THUMBNAILS = frozenset({"jpeg", "looked"})


def write_report(
    outcome: Outcome,
    folder: Path,
    *,
    settings: RunSettings,
    log: Path | None,
    error: str | None = None,
    findings: Sequence[Finding] | None = None,
    rejected: UnusableFiles | None = None,
    places: Places | None = None,
) -> Path:
    """Write the report of a run, no matter where the run ended.

    Args:
        outcome: The run.
        folder: Output folder, `<workdir>/reports/<run id>/`; created if missing.
        settings: The configuration of the run.
        log: The log of the run, whose path the report names.
        error: The error that stopped the run, as shown to the user; ML Metadata does not keep it.
        findings: The findings with which DatasetGate or LabelReviewer failed, if one did: TFX has removed its artifact.
        rejected: The error with which ImageExampleGen failed because of rejected files, if it did: likewise.
        places: Folders or URLs of versions, of which a run that ended early tells nothing.

    Returns:
        The page, `index.html`. It is replaced atomically.
    """
    collected = collect(outcome, settings, findings, rejected)
    illustrate(collected, outcome, settings)
    collected.read({"serving": lambda: serving(outcome, places)})
    known: dict[str, Any] = {
        "verdict": _verdict(outcome, error),
        "configuration": settings.model_dump(mode="json"),
        **collected.sections,
    }
    collected.read(
        {
            "comparison": lambda: comparison(known, folder.parent, outcome.run_id),
            "reproduce": lambda: reproduce(outcome, settings, _workdir(folder)),
        }
    )
    facts = {
        "verdict": known["verdict"],
        "checks": [row(gate) for gate in checks(collected.get("data"), collected.get("findings"), settings)],
        **dict.fromkeys(collected.absent),
        **collected.sections,
        "absent": collected.absent,
        "components": _components(outcome),
        "configuration": known["configuration"],
        "log": None if log is None else str(log),
    }
    shown = {"feature_names": FEATURES, "titles": TITLES, "plots": _plots(collected), "dag": picture(outcome.nodes)}
    page = _render({**facts, **shown, "yaml": to_yaml(settings)})
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / NUMBERS, json.dumps(_without_thumbnails(facts), allow_nan=False) + "\n")
    write(folder / PAGE, page)
    return folder / PAGE


def _workdir(folder: Path) -> Path:
    """Return the workdir of a report in `<workdir>/reports/<name>/<run id>`."""
    return folder.absolute().parents[2] if len(folder.absolute().parents) > 2 else folder


def _without_thumbnails(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in _THUMBNAILS else _without_thumbnails(part) for key, part in value.items()}
    return [_without_thumbnails(part) for part in value] if isinstance(value, list) else value


def _verdict(outcome: Outcome, error: str | None) -> dict[str, Any]:
    started = min((node.started for node in outcome.nodes), default=0.0)
    return {
        "pipeline": outcome.pipeline_name,
        "run": outcome.run_id,
        "started": datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="seconds") if started else None,
        "blessed": outcome.blessed,
        "failed": outcome.failed,
        "reasons": outcome.reasons,
        "error": error,
        "pushed": [str(path) for path in outcome.pushed],
        "not_run": [node for node in (*GATES, RELEASE_PUSHER) if outcome.node(node).state == NOT_RUN],
    }


def _components(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "id": node.id,
            "state": node.state,
            "seconds": node.seconds,
            "computed_seconds": node.computed_seconds,
            "artifacts": [
                {"key": key, "type": artifact.type, "uri": artifact.uri}
                for key, artifacts in node.outputs.items()
                for artifact in artifacts
            ],
        }
        for node in outcome.nodes
    ]


def _plots(collected: Collected) -> dict[str, str]:
    """Return SVG by section, without the sections that have no plot."""
    from edgetune.pipeline.report import distributions, plots

    data, training, matrix, counted = (collected.get(name) for name in ("data", "training", "confusion", "statistics"))
    drawings: dict[str, Callable[[], str]] = {}
    if data and any(data["splits"].values()):
        drawings["data"] = lambda: plots.split_counts(data["splits"])
    if counted:
        drawings["statistics"] = lambda: distributions.distributions(counted, FEATURES)
    if training and any(phase["epochs"] for phase in training["phases"]):
        drawings["training"] = lambda: plots.training_curves(training["phases"])
    if probabilities := collected.get("calibration"):
        drawings["calibration"] = lambda: plots.reliability(probabilities["before"], probabilities["after"])
    if matrix and matrix["labels"]:
        drawings["confusion"] = lambda: plots.confusion(matrix["labels"], matrix["counts"])
        if plots.is_counted(matrix["labels"]):
            drawings["shares"] = lambda: plots.confusion(matrix["labels"], matrix["counts"], shares=True)
    if curve := collected.get("coverage"):
        drawings["coverage"] = lambda: plots.coverage(curve["points"])
    if trainings := _trainings(training, collected.get("transfer")):
        drawings["timeline"] = lambda: plots.timeline(trainings)
    if measured := _measured(collected.get("edge")):
        drawings["variants"] = lambda: plots.variants(measured)
    drawn = {}
    for name, draw in drawings.items():
        try:
            drawn[name] = draw()
        except Exception:  # noqa: BLE001 - the page still has the numbers
            logging.warning("report: no plot of %s", name, exc_info=True)
    return drawn


def _trainings(training: dict[str, Any] | None, transfer: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return what the plot over time needs of each training; of the phases alone, if there are no baselines."""
    if transfer:
        found = [{**one, "name": " ".join(one["title"][:1])} for one in transfer if one["seconds"] is not None]
    elif training:
        accuracy = [epoch["val_accuracy"] for phase in training["phases"] for epoch in phase["epochs"]]
        seconds = sum(phase["seconds"] or 0.0 for phase in training["phases"])
        found = [{"name": "this model", "seconds": seconds, "eval_accuracy": accuracy, "test_accuracy": None}]
    else:
        found = []
    return [one for one in found if any(value is not None for value in one["eval_accuracy"])]


def _measured(edge: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the edge variants of which accuracy and size are known."""
    return [
        {**variant, "milliseconds": variant["latency"]["p50_ms"]}
        for variant in (edge["variants"] if edge else ())
        if variant["accuracy"] is not None and variant["bytes"] is not None
    ]


def _render(values: dict[str, Any]) -> str:
    from markupsafe import Markup

    ours = {name: Markup(svg) for name, svg in values["plots"].items()}
    return render("page.html", {**values, "plots": ours})


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        # Names of classes and files come from the data and must not become markup.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "interval": words.interval,
        "points": words.points,
        "size": words.size,
        "milliseconds": words.milliseconds,
        "duration": lambda seconds: words.UNKNOWN if seconds is None else duration(seconds),
        "count": lambda number: words.UNKNOWN if number is None else f"{number:,}",
    }
    return environment


def render(template: str, values: dict[str, Any]) -> str:
    """Render a template of this folder; `style` is its style sheet."""
    from markupsafe import Markup

    style = Markup(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render({**values, "style": style})


def write(path: Path, text: str) -> None:
    """Replace a text file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A file name that is not UTF-8 has lone surrogates, which UTF-8 cannot encode.
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)
