"""Write the index of all runs in a workdir: `reports/index.html`, from the `report.json` of each."""

from __future__ import annotations

import json
import logging
import urllib.parse
from pathlib import Path
from typing import Any

from edgetune.pipeline.report.report import NUMBERS, PAGE, render, write

MOST = 500
"""Number of latest runs in the index."""


def write_index(reports: Path) -> Path:
    """Write the index of the runs that have a report.

    Args:
        reports: Folder of reports, `<workdir>/reports/`, with `<name>/<run id>/report.json`.

    Returns:
        The page, which is replaced atomically.
    """
    paths = [(path.stat().st_mtime, path) for path in reports.glob(f"*/*/{NUMBERS}")]
    latest = sorted(paths, reverse=True)
    rows = [row for _, path in latest[:MOST] if (row := _row(path))]
    rows.sort(key=lambda row: row["started"] or "", reverse=True)
    page = render("index.html", {"runs": rows, "left_out": max(0, len(latest) - MOST)})
    write(reports / PAGE, page)
    return reports / PAGE


def _row(path: Path) -> dict[str, Any] | None:
    """Return a run in the index; None if its report cannot be read."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        verdict, results, edge = report["verdict"], report.get("results"), report.get("edge")
        state = "blessed" if verdict["blessed"] else "failed" if verdict["failed"] else "refused"
        variants = (edge or {"variants": []})["variants"]
        return {
            "name": str(verdict["pipeline"]),
            "run": str(verdict["run"]),
            "link": "/".join(urllib.parse.quote(part) for part in (path.parent.parent.name, path.parent.name, PAGE)),
            "started": verdict["started"],
            "state": state,
            "pushed": bool(verdict["pushed"]),
            "failed": [str(node) for node in verdict["failed"]],
            "reason": str((verdict["reasons"] or [""])[0]),
            "accuracy": results["accuracy"] if results else None,
            "interval": results["interval"] if results else None,
            "variants": [[str(one["name"]), one["accuracy"], one["bytes"]] for one in variants],
            "seconds": sum(node["seconds"] for node in report["components"]),
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        logging.warning("report: %s is not in the index", path, exc_info=True)
        return None
