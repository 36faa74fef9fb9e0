"""Progress counter shared by the worker processes of one machine.

Counts added on another machine are silently lost.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgetune.modules.core import progress

_END = b""
_MAX_MESSAGE_BYTES = 20


@dataclass(frozen=True)
class SharedCount:
    """Sending end of the counter, pickled along with the work."""

    address: str | None
    """Path of a Unix socket; None if none could be made, and counts are dropped."""

    def add(self, number: int) -> None:
        """Add to the count."""
        if self.address is None:
            return
        # If the receiver is gone or its queue is full, drop the count: the work matters more.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
            outbox.setblocking(False)
            outbox.sendto(b"%d" % number, self.address)


@contextmanager
def counting(what: str) -> Iterator[SharedCount]:
    """Report the running total of all counts added inside the context through `progress`.

    Args:
        what: What is counted, as in `1,200 images read`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgetune-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox,
    ):
        address = f"{folder}/count"
        try:
            inbox.bind(address)
        except OSError:  # the temporary folder's path is too long for a socket
            yield SharedCount(None)
            return
        listener = threading.Thread(target=_listen, args=(inbox, what), daemon=True)
        listener.start()
        try:
            yield SharedCount(address)
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
                outbox.sendto(_END, address)
            listener.join()


def _listen(inbox: socket.socket, what: str) -> None:
    total = 0
    while (message := inbox.recv(_MAX_MESSAGE_BYTES)) != _END:
        total += int(message)
        progress.report(f"{total:,} {what}")
