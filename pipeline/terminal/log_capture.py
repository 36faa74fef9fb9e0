"""Everything that a run writes goes into one log file; the terminal stays free for the progress console.

TensorFlow's C++ and the child processes of Beam write to the file descriptors 1 and 2 and pass Python's
`sys.stdout` by, so the descriptors themselves are turned to the file. With `verbose`, a thread follows the file
and copies what arrives to the real standard error. A pipe would do the same only until it is full: C++ code that
logs while it holds the interpreter's lock would then wait for a reader that cannot run.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

_STANDARD = {"stdout": 1, "stderr": 2}
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1 << 16


@contextmanager
def capture(log_path: Path, verbose: bool = False) -> Iterator[TextIO]:
    """Sends all output of this process and of its children into `log_path` while the context lasts.

    What was there is kept: the file is appended to. On leaving, also by an exception, everything is flushed into
    the file first and then turned back. Logging handlers made before or inside the context stay usable after it.

    Args:
        log_path: The log file; its folder is made.
        verbose: Also show the log on the real standard error.

    Yields:
        A line-buffered text stream to the real standard output, closed on leaving.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with ExitStack() as stack:
        stack.callback(os.close, log)
        _flush()
        saved = {descriptor: os.dup(descriptor) for descriptor in _STANDARD.values()}
        for copy in saved.values():
            stack.callback(os.close, copy)
        terminal = open(os.dup(saved[1]), "w", buffering=1, encoding=_encoding(), errors="replace")  # noqa: SIM115
        stack.callback(terminal.close)
        if verbose:
            stack.enter_context(_following(log_path, saved[2]))
        stack.enter_context(_standard_streams_on_descriptors())
        stack.callback(_turn, saved)
        _turn(dict.fromkeys(saved, log))
        yield terminal


def _turn(targets: dict[int, int]) -> None:
    """Flushes what is buffered for each descriptor, then makes it a copy of its target."""
    _flush()
    for descriptor, target in targets.items():
        os.dup2(target, descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A host may have taken the streams away (None) or closed them; neither is this module's to report.
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # C's own buffers: a printf of a native library


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


@contextmanager
def _standard_streams_on_descriptors() -> Iterator[None]:
    """Replaces `sys.stdout` and `sys.stderr` where a host has put something else than descriptors 1 and 2 there."""
    before = {name: getattr(sys, name) for name in _STANDARD}
    for name, descriptor in _STANDARD.items():
        if not _stands_on(before[name], descriptor):
            # Left open on purpose: a logging handler made inside the context may keep it and use it afterwards.
            stream = open(descriptor, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


def _stands_on(stream: TextIO | None, descriptor: int) -> bool:
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def _following(log_path: Path, target: int) -> Iterator[None]:
    """Copies what is appended to the file from now on to the descriptor `target`, up to the end of the context."""
    finished = threading.Event()
    source = os.open(log_path, os.O_RDONLY)
    os.lseek(source, 0, os.SEEK_END)

    def follow() -> None:
        last_round = False
        while True:
            while chunk := os.read(source, _CHUNK_BYTES):
                _write(target, chunk)
            if last_round:
                return
            # One more round after the event: what was written just before it is in the file by then.
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
