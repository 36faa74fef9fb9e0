"""What differs from the last blessed run: results, and the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.pipeline.report.artifacts import Absent

_CLASSES = 8
"""Classes whose accuracy changed most."""


def comparison(now: Mapping[str, Any], reports: Path, run: str) -> dict[str, Any]:
    """Compare a run with the last one before it that was blessed and pushed.

    Args:
        now: What `report.json` will have.
        reports: Folder of the reports of all runs of the pipeline.
        run: Id of the run.

    Returns:
        `run`, its id; `rows` of `{what, before, now, kind}`; `classes` of `{name, before, now}`; and `settings` of
        `{key, before, now}`, as JSON.

    Raises:
        Absent: There is none, or it has no report.
    """
    before = _last_blessed(now["verdict"]["started"], reports, run)
    if before is None:
        raise Absent("No earlier run of this pipeline with a report in this workdir was blessed and pushed.")
    rows: list[dict[str, Any]] = []

    def add(what: str, kind: str, *keys: str | int) -> None:
        values = [_at(report, *keys) for report in (before, now)]
        if values != [None, None]:
            rows.append({"what": what, "kind": kind, "before": values[0], "now": values[1]})

    add("accuracy on test", "percent", "results", "accuracy")
    add("test images", "count", "results", "images")
    add("images", "count", "data", "accepted")
    variants = {report_name: _by_name(_at(report, "edge", "variants")) for report_name, report in
                (("before", before), ("now", now))}  # fmt: skip
    for name in dict.fromkeys([*variants["now"], *variants["before"]]):
        for what, kind, path in (
            ("accuracy", "percent", ("accuracy",)),
            ("size", "size", ("bytes",)),
            ("p50", "milliseconds", ("latency", "p50_ms")),
        ):
            values = {when: _at(of.get(name), *path) for when, of in variants.items()}
            if any(value is not None for value in values.values()):
                rows.append({"what": f"{name}: {what}", "kind": kind, **values})
    settings = {when: _flat(report.get("configuration") or {}) for when, report in (("before", before), ("now", now))}
    keys = [*settings["now"], *(key for key in settings["before"] if key not in settings["now"])]
    return {
        "run": str(before["verdict"]["run"]),
        "rows": rows,
        "classes": _classes(before, now),
        "settings": [
            {"key": key, **{when: json.dumps(of[key], ensure_ascii=False) if key in of else None
                            for when, of in settings.items()}}
            for key in keys
            if settings["before"].get(key, _at) != settings["now"].get(key, _at)
        ],
    }  # fmt: skip


def _last_blessed(started: str | None, reports: Path, run: str) -> dict[str, Any] | None:
    found = []
    for path in reports.glob("*/report.json"):
        if path.parent.name == run:
            continue
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            verdict = report["verdict"]
            if verdict["blessed"] and verdict["pushed"] and (started is None or verdict["started"] < started):
                found.append((verdict["started"], path.parent.name, report))
        except (OSError, ValueError, KeyError, TypeError):  # of another version, or being written
            continue
    return max(found, key=lambda one: one[:2])[2] if found else None


def _classes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the classes whose accuracy changed most."""
    old, new = (_by_name(report.get("classes")) for report in (before, now))
    changed = [
        {"name": name, "before": _at(old.get(name), "accuracy"), "now": _at(row, "accuracy")}
        for name, row in new.items()
        if _at(old.get(name), "accuracy") is not None and _at(row, "accuracy") is not None
    ]
    changed = [row for row in changed if row["before"] != row["now"]]
    return sorted(changed, key=lambda row: (-abs(row["now"] - row["before"]), row["name"]))[:_CLASSES]


def _by_name(rows: Any) -> dict[str, Any]:
    return {str(row["name"]): row for row in rows or ()}


def _at(value: Any, *keys: str | int) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by their dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
