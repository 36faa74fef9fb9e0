"""How far work is that several processes of this machine share: each says what it has done, one of them hears it.

Work on another machine is not heard, and does not notice.
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
_LONGEST = 20


@dataclass(frozen=True)
class SharedCount:
    """Goes with the work to wherever it is done, by pickling."""

    address: str | None
    """Path of a Unix socket; None where none could be had, and nothing is told."""

    def add(self, number: int) -> None:
        """Tells that so much more is done."""
        if self.address is None:
            return
        # Nobody there, or too busy to hear: the work is what matters.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
            outbox.setblocking(False)
            outbox.sendto(b"%d" % number, self.address)


@contextmanager
def counting(what: str) -> Iterator[SharedCount]:
    """Reports the sum of all that is added inside the context, as `progress` has it.

    Args:
        what: Of what there are so many, as in `1,200 images read`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgetune-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox,
    ):
        address = f"{folder}/count"
        try:
            inbox.bind(address)
        except OSError:  # The path of the temporary folder is longer than a socket's may be.
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
    while (said := inbox.recv(_LONGEST)) != _END:
        total += int(said)
        progress.report(f"{total:,} {what}")
