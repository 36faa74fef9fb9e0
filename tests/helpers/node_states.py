"""An observer of a run that keeps how each node ended."""

from __future__ import annotations


class Seen:
    """Observer of a run's nodes."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def started(self, node_id: str) -> None: ...

    def finished(self, node_id: str, state: str) -> None:
        self.states.append((node_id, state))
