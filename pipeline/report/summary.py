"""Summarize the results of a run in the last lines on the console."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetune.modules.core.wording import counted
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.collect import collect
from edgetune.pipeline.report.verdicts import headline, notes, replaced
from edgetune.pipeline.report.words import UNKNOWN, interval, milliseconds, percent, size
from edgetune.pipeline.terminal.console import duration
from edgetune.pipeline.terminal.table import table


def summary(outcome: Outcome, *, report: Path | None) -> list[str]:
    """Return lines of plain text, one for each gate and each model; fewer if the run ended early.

    Args:
        outcome: The run.
        report: The page of the report, if it was written.
    """
    collected = collect(outcome)
    lines = []
    if verdict := headline(outcome):
        lines.append(verdict)
    elif found := collected.get("results"):
        lines.append(_accuracy(found))
    lines += notes(outcome)
    lines += table([_transfer(row) for row in collected.get("transfer") or []], "<><", "  ")
    lines += table(
        [_variant(variant) for variant in (collected.get("edge") or {"variants": []})["variants"]], "<>>><", "  "
    )
    lines += _data(collected.get("data"), collected.get("findings"))
    where = "not served" if replaced(outcome) else "pushed to "
    lines += [f"{where} {path}" for path in outcome.pushed]
    if not outcome.pushed and outcome.nodes:
        lines.append("nothing was pushed")
    lines += collected.get("serving") or []
    if report is not None:
        lines.append(f"report     {report}")
    return lines


def _data(data: dict[str, Any] | None, findings: Sequence[dict[str, Any]] | None) -> list[str]:
    """Return a line on what was read of the data, and one on each finding that informs."""
    if data is None:
        return []
    line = f"read {counted(data['files'], 'file')}: {counted(data['accepted'], 'image')}, {data['rejected']:,} rejected"
    if data["not_images"]:
        line += f", {data['not_images']:,} not images"
    return [line, *(note["cause"].partition(":")[0] for note in findings or [] if note["informs"])]


def _accuracy(results: dict[str, Any]) -> str:
    line = f"accuracy {percent(results['accuracy'])} on {counted(results['images'], 'test image')}"
    if results["interval"]:
        line += f" (95% interval {interval(results['interval'])})"
    return line


def _transfer(row: dict[str, Any]) -> list[str]:
    seconds = UNKNOWN if row["seconds"] is None else duration(row["seconds"])
    return [row["title"][0], percent(row["test_accuracy"]), f"trained in {seconds}"]


def _variant(variant: dict[str, Any]) -> list[str]:
    reasons = "; ".join(" ".join(reason.split()) for reason in variant["reasons"])
    return [
        variant["name"],
        percent(variant["accuracy"]),
        size(variant["bytes"]),
        milliseconds(variant["latency"]["p50_ms"]),
        f"refused: {reasons or 'no reason given'}" if variant["verdict"] == "refused" else variant["verdict"],
    ]
