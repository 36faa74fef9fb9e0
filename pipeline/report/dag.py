"""Place the components of a run for a picture: each below all that it reads from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgetune.pipeline.metadata.outcome import CACHED, Node

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 158, 46, 16, 26, 8
"""Sizes of the picture, in pixels: of a box, between boxes, around all."""


@dataclass(frozen=True)
class Box:
    """A component in the picture."""

    name: str
    state: str
    """`done`, `cached` or `failed`."""
    seconds: float
    x: float
    y: float


@dataclass(frozen=True)
class Picture:
    """Boxes and the lines between them, in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    """Paths in SVG's notation."""


def picture(nodes: Sequence[Node]) -> Picture:
    """Place the nodes of a run in rows; a node that reads from another is in a row below it.

    A line that another explains is left out: if C reads from A and B, and B from A, then A is above C anyway.
    """
    known = {node.id: node for node in nodes}
    after = {node.id: [name for name in node.after if name in known and name != node.id] for node in nodes}
    rows: dict[str, int] = {}
    # In the order of their starts, so that whatever a node reads from has a row already.
    for node in nodes:
        rows[node.id] = 1 + max([rows[name] for name in after[node.id] if name in rows], default=-1)
    levels: list[list[str]] = [[] for _ in range(max(rows.values(), default=-1) + 1)]
    for name, row in rows.items():
        levels[row].append(name)
    widest = max(map(len, levels), default=0)
    width = 2 * MARGIN + widest * WIDTH + max(widest - 1, 0) * GAP_X
    places: dict[str, tuple[float, float]] = {}
    for row, names in enumerate(levels):
        left = (width - len(names) * WIDTH - (len(names) - 1) * GAP_X) / 2
        for column, name in enumerate(names):
            places[name] = (left + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    boxes = tuple(
        Box(node.id, _state(node), node.computed_seconds if node.state == CACHED else node.seconds, *places[node.id])
        for node in nodes
    )
    above = {name: _above(name, after) for name in known}
    lines = [
        _line(places[source], places[name])
        for name, sources in after.items()
        for source in sources
        if not any(source in above[other] for other in sources if other != source)
    ]
    return Picture(width, 2 * MARGIN + len(levels) * (HEIGHT + GAP_Y) - GAP_Y, boxes, tuple(lines))


def _state(node: Node) -> str:
    return "cached" if node.state == CACHED else "done" if node.succeeded else "failed"


def _above(name: str, after: dict[str, list[str]]) -> set[str]:
    """Return all nodes that a node depends on."""
    found: set[str] = set()
    waiting = list(after[name])
    while waiting:
        if (source := waiting.pop()) not in found:
            found.add(source)
            waiting += after[source]
    return found


def _line(source: tuple[float, float], target: tuple[float, float]) -> str:
    x1, y1, x2, y2 = source[0] + WIDTH / 2, source[1] + HEIGHT, target[0] + WIDTH / 2, target[1]
    bend = GAP_Y * 0.6
    return f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
