"""Files in the artifacts of a run, which may lie behind a URL, or why they are not there."""

from __future__ import annotations

import json
from typing import Any

from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.outcome import NOT_RUN, Node


class Absent(Exception):
    """A section has nothing to show, and the message says why."""


def folder(node: Node, key: str, name: str) -> str:
    """Folder or URL of the node's output that holds a file of that name.

    Raises:
        Absent: there is none; the message tells the node's state.
    """
    if not node.succeeded:
        raise Absent(f"{node.id} {'did not run' if node.state == NOT_RUN else 'did not succeed'}.")
    artifact = node.artifact(key)
    if artifact is None or not filesystem.exists(f"{artifact.uri}/{name}"):
        raise Absent(f"{node.id} left no {name}.")
    return artifact.uri


def read_text(path: str) -> str:
    """Text as it is: line ends too. What is not UTF-8 is shown as such."""
    return filesystem.read(path).decode("utf-8", "replace")


def read_json(path: str) -> Any:
    return json.loads(filesystem.read(path))


def number(value: Any) -> float | None:
    """A float; None for what is absent or not a number, which strict JSON cannot hold."""
    number = float("nan") if value is None else float(value)
    return number if abs(number) < float("inf") else None
