"""The data sections of the report: files, classes and splits, sizes and colours, and findings."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgetune.components.common.names import (
    DATASET_GATE,
    FINDINGS_FILE,
    FINDINGS_KEY,
    IMAGE_EXAMPLE_GEN,
    INGEST_FILE,
    LABEL_REVIEWER,
    REJECTED_FILE,
    REPORT_KEY,
    STATISTICS_GEN,
    STATISTICS_KEY,
)
from edgetune.modules.core.untrusted_text import of_cell
from edgetune.modules.data.findings import Finding, UnusableFiles
from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, number, read_json, read_text
from edgetune.pipeline.report.statistics import statistics

MAX_REJECTED = 50
"""Number of rejected files that the report names; it counts all."""
MAX_PICTURES = 300
"""Number of thumbnails in a report. One takes some 4 KB, of noise 10 KB, and a report stays below 5 MB."""


def data(outcome: Outcome, rejected: UnusableFiles | None = None) -> dict[str, Any]:
    """Return ImageExampleGen's report, from its artifact or from the error with which it failed."""
    if rejected:
        return _data(rejected.ingest, rejected.rows)
    uri = folder(outcome.node(IMAGE_EXAMPLE_GEN), REPORT_KEY, INGEST_FILE)
    return _data(read_json(f"{uri}/{INGEST_FILE}"), _rejected(f"{uri}/{REJECTED_FILE}"))


def _data(ingest: Mapping[str, Any], rejected: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "files": int(ingest["files"]),
        "accepted": int(ingest["accepted"]),
        "rejected": int(ingest["rejected"]),
        "left_out": int(ingest.get("left_out", 0)),
        "not_images": int(ingest.get("not_images", 0)),
        "not_images_by_kind": {str(kind): int(n) for kind, n in ingest.get("not_images_by_kind", {}).items()},
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
    rows = csv.DictReader(io.StringIO(read_text(path), newline="")) if filesystem.exists(path) else ()
    return ({key: of_cell(value or "") for key, value in row.items() if key} for row in rows)


def findings(outcome: Outcome, stopped: Sequence[Finding] | None = None) -> list[dict[str, Any]]:
    """Return the findings of DatasetGate and LabelReviewer.

    Args:
        outcome: The run.
        stopped: The findings with which one of them failed, if it did: TFX has removed its artifact.
    """
    found = [_finding(asdict(finding), None) for finding in stopped or ()]
    for name in (DATASET_GATE, LABEL_REVIEWER):
        node = outcome.node(name)
        try:
            uri = folder(node, FINDINGS_KEY, FINDINGS_FILE)
        except Absent:
            if name == DATASET_GATE and stopped is None:
                raise
            continue
        artifact = node.artifact(FINDINGS_KEY)
        who = str(artifact.custom_properties.get("allowed_by", "")) if artifact else ""
        content = read_json(f"{uri}/{FINDINGS_FILE}")
        found += [_finding(item, who if item.get("allowed") else None) for item in content["findings"]]
        found += [_finding(item, None) for item in content.get("notes", [])]  # missing in those of older versions
    room = MAX_PICTURES
    for finding in found:
        finding["pictures"], room = finding["pictures"][:room], max(0, room - len(finding["pictures"]))
    return found


def _finding(item: Mapping[str, Any], allowed_by: str | None) -> dict[str, Any]:
    """Return the fields of a finding that the report shows."""
    return {
        "name": str(item["name"]),
        "cause": str(item.get("cause", "")),
        "remedy": str(item.get("remedy", "")),
        "files": [str(name) for name in item.get("files", [])],
        "informs": item.get("informs") is True,
        "allowed": item.get("allowed") is True,
        "allowed_by": allowed_by or None,
        "pictures": [
            {
                **{name: str(picture.get(name, "")) for name in ("file", "jpeg", "given", "looks_like")},
                "score": number(picture.get("score")),
                "group": int(picture.get("group", 0)),  # missing in those of older versions
            }
            for picture in item.get("pictures", [])
        ],
    }


def counted(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return the statistics of sizes and colours."""
    found = statistics(folder(outcome.node(STATISTICS_GEN), STATISTICS_KEY, "Split-train/FeatureStats.pb"))
    if not found:
        raise Absent("The statistics have no sizes or colours.")
    return found
