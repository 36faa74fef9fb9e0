"""How long work tells what it is doing, without knowing who listens.

An executor reports; a runner in the same process subscribes and draws. Where nobody subscribes (a container on
a platform), a report is a line of the ordinary log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from absl import logging

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def report(message: str) -> None:
    """Says what the running component is doing now, in a few words, such as `head: epoch 3/10, accuracy 0.91`."""
    if not _listeners:
        logging.info("progress: %s", message)
    for listener in _listeners:
        listener(message)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Sends every report made inside the context to `listener`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
