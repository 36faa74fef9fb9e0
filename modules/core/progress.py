"""Progress reporting, decoupled from the UI.

An executor reports; a runner in the same process subscribes and displays. Without a subscriber, as in a container on a
platform, each report becomes a line in the ordinary log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from absl import logging

Listener = Callable[[str], None]
Concluded = Callable[[str, bool], None]

_listeners: list[Listener] = []
_concluded: list[Concluded] = []


def report(message: str) -> None:
    """Report what the running component is doing, in a few words, such as `head: epoch 3/10, accuracy 0.91`."""
    if not _listeners:
        logging.info("progress: %s", message)
    for listener in _listeners:
        listener(message)


def conclude(message: str, well: bool = True) -> None:
    """Say what came of the running component, in a few words, such as `refused`.

    Args:
        message: The result, which the last line of the component has; a report of progress does not stand there.
        well: Whether the component did what a user hopes for: a gate passed, a version was released.
    """
    if not _concluded:
        logging.info("result: %s", message)
    for concluded in _concluded:
        concluded(message, well)


@contextmanager
def listening(listener: Listener, concluded: Concluded | None = None) -> Iterator[None]:
    """Send every report made inside the context to `listener`, and every conclusion to `concluded`."""
    _listeners.append(listener)
    _concluded.extend([concluded] if concluded else [])
    try:
        yield
    finally:
        _listeners.remove(listener)
        if concluded:
            _concluded.remove(concluded)
