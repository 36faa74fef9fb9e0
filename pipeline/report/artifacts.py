"""Files in the artifacts of a run, or why they are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.outcome import NOT_RUN, Node


class Absent(Exception):
    """A section has nothing to show, and the message says why."""


def folder(node: Node, key: str, name: str) -> Path:
    """Folder of the node's output that holds a file of that name.

    Raises:
        Absent: there is none; the message tells the node's state.
    """
    if not node.succeeded:
        raise Absent(f"{node.id} {'did not run' if node.state == NOT_RUN else 'did not succeed'}.")
    artifact = node.artifact(key)
    if artifact is None or not (artifact.path / name).is_file():
        raise Absent(f"{node.id} left no {name}.")
    return artifact.path


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def number(value: Any) -> float | None:
    """A float; None for what is absent or not a number, which strict JSON cannot hold."""
    number = float("nan") if value is None else float(value)
    return number if abs(number) < float("inf") else None
