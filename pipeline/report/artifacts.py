"""Read files in the artifacts of a run, which may be at a URL."""

from __future__ import annotations

import json
from typing import Any

from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import NOT_RUN, Node


class Absent(Exception):
    """A section has nothing to show; the message is the reason."""


def folder(node: Node, key: str, name: str) -> str:
    """Return the folder or URL of the node's output that holds a file of this name.

    Raises:
        Absent: There is none; the message has the node's state.
    """
    if not node.succeeded:
        raise Absent(f"{node.id} {'did not run' if node.state == NOT_RUN else 'did not succeed'}.")
    artifact = node.artifact(key)
    if artifact is None or not filesystem.exists(f"{artifact.uri}/{name}"):
        raise Absent(f"{node.id} wrote no {name}.")
    return artifact.uri


def read_text(path: str) -> str:
    """Read text with unchanged line endings; bytes that are not UTF-8 become replacement characters."""
    return filesystem.read(path).decode("utf-8", "replace")


def read_json(path: str) -> Any:
    return json.loads(filesystem.read(path))


def number(value: Any) -> float | None:
    """Convert to a float, or to None if missing, infinite or NaN, which strict JSON cannot hold."""
    number = float("nan") if value is None else float(value)
    return number if abs(number) < float("inf") else None
