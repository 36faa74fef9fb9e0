"""Standard output whose failures are told as what they are: a full disk or a closed pipe, and not a defect."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from edgetune.modules.core.errors import MachineError
from edgetune.modules.core.untrusted_text import for_terminal


class OutputError(MachineError):
    """Standard output cannot be written."""


class ReaderGone(OutputError):
    """Nobody reads standard output any more, as in `edgetune config | head -1`."""


class Output:
    """A text stream that raises `OutputError` where writing fails; everything else is the stream's own.

    Args:
        stream: The stream.
        plain: Whether control characters in the text are written as escapes, as for names that others gave. It is for a
            stream to which nobody writes those of a terminal.

    Attributes:
        failure: The first error, which a library between the writer and the command line may have hidden; None so far.
    """

    def __init__(self, stream: TextIO, plain: bool = False) -> None:
        self.failure: OutputError | None = None
        self._stream, self._escaped = stream, for_terminal if plain else str

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text to the stream."""
        with self._told():
            return self._stream.write(self._escaped(text))

    def writelines(self, lines: Any) -> None:
        """Write several texts to the stream."""
        with self._told():
            self._stream.writelines(map(self._escaped, lines))

    def flush(self) -> None:
        """Write what is buffered."""
        with self._told():
            self._stream.flush()

    def close(self) -> None:
        """Write what is buffered and close the stream; what could not be written before is given up."""
        if self.failure is None:
            self.flush()
        with suppress(OSError):
            self._stream.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.failure = self.failure or ReaderGone("nobody reads the standard output any more")
        except OSError as error:
            self.failure = self.failure or OutputError(
                f"standard output cannot be written: {error.strerror or error}",
                "free space where it is written to, or redirect it elsewhere",
            )
        if self.failure:
            raise self.failure


def open_closed_descriptors() -> None:
    """Open /dev/null for each of the descriptors 0 to 2 that is closed.

    Otherwise the next file that is opened gets the number, and receives what a library prints.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def discard(stream: TextIO) -> None:
    """Send what is still buffered to /dev/null: Python flushes the stream once more at its end, and would complain."""
    with suppress(OSError, ValueError):  # a stream of a host without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
