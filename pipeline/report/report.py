"""Write the report of a run: `index.html`, a self-contained page, and `report.json` with the same numbers.

    collect.py, data.py, evaluation.py, statistics.py   artifacts -> plain numbers and text, or the reason for none
    plots.py, distributions.py                          numbers -> SVG
    page.html, style.css                                numbers and SVG -> the page

The page has no scripts and fetches nothing: it can be mailed, archived, and opened offline.
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
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config.load import to_yaml
from edgetune.pipeline.metadata.outcome import GATES, NOT_RUN, Outcome
from edgetune.pipeline.report import words
from edgetune.pipeline.report.collect import Collected, collect
from edgetune.pipeline.report.statistics import FEATURES
from edgetune.pipeline.terminal.console import duration

if TYPE_CHECKING:
    import jinja2

PAGE, NUMBERS = "index.html", "report.json"


def write_report(
    outcome: Outcome,
    folder: Path,
    *,
    settings: RunSettings,
    log: Path | None,
    error: str | None = None,
    findings: Sequence[Finding] | None = None,
    rejected: UnusableFiles | None = None,
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

    Returns:
        The page, `index.html`. It is replaced atomically.
    """
    collected = collect(outcome, settings, findings, rejected)
    facts = {
        "verdict": _verdict(outcome, error),
        **dict.fromkeys(collected.absent),
        **collected.sections,
        "absent": collected.absent,
        "components": _components(outcome),
        "configuration": settings.model_dump(mode="json"),
        "log": None if log is None else str(log),
    }
    page = _render({**facts, "feature_names": FEATURES, "plots": _plots(collected), "yaml": to_yaml(settings)})
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / NUMBERS, json.dumps(_without_thumbnails(facts), allow_nan=False) + "\n")
    _write(folder / PAGE, page)
    return folder / PAGE


def _without_thumbnails(facts: dict[str, Any]) -> dict[str, Any]:
    found = [
        {**finding, "pictures": [{**picture, "jpeg": None} for picture in finding["pictures"]]}
        for finding in facts["findings"] or ()
    ]
    return {**facts, "findings": found if facts["findings"] is not None else None}


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
    drawn = {}
    for name, draw in drawings.items():
        try:
            drawn[name] = draw()
        except Exception:  # noqa: BLE001 - the page still has the numbers
            logging.warning("report: no plot of %s", name, exc_info=True)
    return drawn


@functools.cache
def _template() -> jinja2.Template:
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
    return environment.get_template("page.html")


def _render(values: dict[str, Any]) -> str:
    from markupsafe import Markup

    ours = {name: Markup(svg) for name, svg in values["plots"].items()}
    style = Markup(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
    return _template().render({**values, "plots": ours, "style": style})


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A file name that is not UTF-8 has lone surrogates, which UTF-8 cannot encode.
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)
