"""Redirect all output of a run to one log file, so that the terminal is free for the progress console.

TensorFlow's C++ code and Beam's child processes write to the file descriptors 1 and 2, not to Python's `sys.stdout`, so
the descriptors themselves are redirected. With `verbose`, a thread follows the file and copies it to the real standard
error. A pipe could deadlock once it is full: C++ code that logs while it holds the interpreter's lock would wait for a
reader that cannot run.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO, cast

from edgetune.modules.core.untrusted_text import for_terminal
from edgetune.pipeline.terminal.output import Output

_STANDARD = {"stdout": 1, "stderr": 2}
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1 << 16


@contextmanager
def capture(log_path: Path, verbose: bool = False) -> Iterator[TextIO]:
    """Append all output of this process and of its children to `log_path` while the context lasts.

    On exit, also by an exception, everything is flushed to the file before the output is restored. Logging handlers
    created before or inside the context stay usable after it.

    Args:
        log_path: The log file; its folder is created.
        verbose: Whether to show the log on the real standard error, too.

    Yields:
        A line-buffered text stream to the real standard output, closed on exit.

    Raises:
        OutputError: Standard output could not be written.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with ExitStack() as stack:
        stack.callback(os.close, log)
        _flush()
        saved = {descriptor: os.dup(descriptor) for descriptor in _STANDARD.values()}
        for copy in saved.values():
            stack.callback(os.close, copy)
        terminal = Output(open(os.dup(saved[1]), "w", buffering=1, encoding=_encoding(), errors="replace"))  # noqa: SIM115
        stack.callback(terminal.close)
        if verbose:
            stack.enter_context(_following(log_path, saved[2]))
        stack.enter_context(_standard_streams_on_descriptors())
        stack.callback(_redirect, saved)
        _redirect(dict.fromkeys(saved, log))
        try:
            yield cast(TextIO, terminal)
        except Exception as error:
            # What a component raised because it could not show its progress, Beam and TensorFlow wrap.
            if terminal.failure and error is not terminal.failure:
                raise terminal.failure from error
            raise


def _redirect(targets: dict[int, int]) -> None:
    """Flush all buffers, then make each descriptor a copy of its target."""
    _flush()
    for descriptor, target in targets.items():
        os.dup2(target, descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A host may have removed the streams (None) or closed them; both are fine here.
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # C's own buffers, for the output of native libraries


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


@contextmanager
def _standard_streams_on_descriptors() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` if a host has set them to something other than descriptors 1 and 2."""
    before = {name: getattr(sys, name) for name in _STANDARD}
    for name, descriptor in _STANDARD.items():
        if not _writes_to(before[name], descriptor):
            # Left open on purpose: a logging handler created inside the context may use it afterwards.
            stream = open(descriptor, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


def _writes_to(stream: TextIO | None, descriptor: int) -> bool:
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def _following(log_path: Path, target: int) -> Iterator[None]:
    """Copy everything appended to the file while the context lasts to the descriptor `target`."""
    finished = threading.Event()
    source = os.open(log_path, os.O_RDONLY)
    os.lseek(source, 0, os.SEEK_END)

    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def follow() -> None:
        last_round = False
        while True:
            while chunk := os.read(source, _CHUNK_BYTES):
                _write(target, for_terminal(decoder.decode(chunk)).encode())
            if last_round:
                return
            # One more round after the event, for what was written just before it.
            last_round = finished.wait(_POLL_SECONDS)

    thread = threading.Thread(target=follow, name="log-follower", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        os.close(source)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError:  # the terminal is gone; the log file still has everything
            return
