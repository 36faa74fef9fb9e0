"""Progress reporting, decoupled from the UI.

An executor reports; a runner in the same process subscribes and displays. Without a subscriber, as in a container on a
platform, each report becomes a line in the ordinary log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from absl import logging

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def report(message: str) -> None:
    """Report what the running component is doing, in a few words, such as `head: epoch 3/10, accuracy 0.91`."""
    if not _listeners:
        logging.info("progress: %s", message)
    for listener in _listeners:
        listener(message)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send every report made inside the context to `listener`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
