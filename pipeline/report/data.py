"""What the report shows of the data: files, classes and splits, sizes and colours, and what is wrong with them."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.outcome import Outcome
from pipeline.report.artifacts import Absent, folder, read_json
from pipeline.report.statistics import statistics

INGEST, STATISTICS, FINDINGS = "ImageExampleGen", "StatisticsGen", "DatasetGate"
MAX_REJECTED = 50
"""Rejected files that the report names; it counts all."""


def data(outcome: Outcome) -> dict[str, Any]:
    place = folder(outcome.node(INGEST), "report", "ingest.json")
    ingest = read_json(place / "ingest.json")
    return {
        "files": int(ingest["files"]),
        "accepted": int(ingest["accepted"]),
        "rejected": int(ingest["rejected"]),
        "splits": {
            split: {str(name): int(count) for name, count in counts.items()}
            for split, counts in ingest["splits"].items()
        },
        "rejected_files": _rejected(place / "rejected.csv"),
        "deviations": [
            {
                "class": str(name),
                "splits": {split: [int(have), float(share)] for split, (have, share) in splits.items()},
            }
            for name, splits in ingest.get("deviations", {}).items()
        ],
    }


def _rejected(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = itertools.islice(csv.DictReader(file), MAX_REJECTED)
        return [{"path": row["path"], "reason": row["reason"] or ""} for row in rows]


def findings(outcome: Outcome) -> list[dict[str, Any]]:
    node = outcome.node(FINDINGS)
    found = read_json(folder(node, "findings", "findings.json") / "findings.json")["findings"]
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
