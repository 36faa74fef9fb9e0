"""What the report shows of the data: files, classes and splits, sizes and colours, and what is wrong with them."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from edgetune.modules.data.findings import UnusableFiles
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, read_json, read_text
from edgetune.pipeline.report.statistics import statistics

INGEST, STATISTICS, FINDINGS = "ImageExampleGen", "StatisticsGen", "DatasetGate"
MAX_REJECTED = 50
"""Rejected files that the report names; it counts all."""


def data(outcome: Outcome, rejected: UnusableFiles | None = None) -> dict[str, Any]:
    """What ImageExampleGen read: from its artifact, or from the error that it ended with."""
    if rejected:
        return _data(rejected.ingest, rejected.rows)
    place = folder(outcome.node(INGEST), "report", "ingest.json")
    return _data(read_json(f"{place}/ingest.json"), _rejected(f"{place}/rejected.csv"))


def _data(ingest: Mapping[str, Any], rejected: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "files": int(ingest["files"]),
        "accepted": int(ingest["accepted"]),
        "rejected": int(ingest["rejected"]),
        "splits": {
            split: {str(name): int(count) for name, count in counts.items()}
            for split, counts in ingest["splits"].items()
        },
        "rejected_files": [
            {"path": str(row["path"]), "reason": str(row["reason"] or "")}
            for row in itertools.islice(rejected, MAX_REJECTED)
        ],
        "deviations": [
            {
                "class": str(name),
                "splits": {split: [int(have), float(share)] for split, (have, share) in splits.items()},
            }
            for name, splits in ingest.get("deviations", {}).items()
        ],
    }


def _rejected(path: str) -> Iterable[Mapping[str, str]]:
    return csv.DictReader(io.StringIO(read_text(path), newline="")) if filesystem.exists(path) else ()


def findings(outcome: Outcome) -> list[dict[str, Any]]:
    node = outcome.node(FINDINGS)
    found = read_json(f"{folder(node, 'findings', 'findings.json')}/findings.json")["findings"]
    artifact = node.artifact("findings")
    who = str(artifact.custom_properties.get("allowed_by", "")) if artifact else ""
    return [{**item, "allowed_by": who or None} for item in listed(found)]


def listed(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": str(item["name"]),
            "cause": str(item.get("cause", "")),
            "remedy": str(item.get("remedy", "")),
            "files": [str(name) for name in item.get("files", [])],
            "allowed_by": None,
        }
        for item in found
    ]


def counted(outcome: Outcome) -> dict[str, dict[str, Any]]:
    found = statistics(folder(outcome.node(STATISTICS), "statistics", "Split-train/FeatureStats.pb"))
    if not found:
        raise Absent("The statistics hold no sizes and no colours.")
    return found
