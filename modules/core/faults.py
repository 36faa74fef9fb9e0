"""Recognize a fault of the environment in an exception of a library: a full disk, no memory, a damaged database.

Libraries wrap what the system said. Beam re-raises an error of a `DoFn` with the step's name (`[while running ...]`),
and of a worker it has only the traceback, as the text of a RuntimeError; TensorFlow and ML Metadata have errors of
their own, with the system's words in the message. So the whole chain of causes is searched: errors of edgetune first,
then numbers of the system (`errno`), then these words in the lines that name an exception.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Callable, Iterator

from edgetune.modules.core import errors
from edgetune.modules.core.errors import (
    AccessError,
    DatabaseError,
    EdgetuneError,
    MachineError,
    MemoryShortage,
)

AGAIN = "run the same command again: it resumes where this run ended"
MOVE_AWAY = "move the file away, or restore a copy of it; the next run creates a new one, and what is pushed stays"
_MOST_CAUSES = 50
"""Exceptions that are looked at: chains can be circular."""
_LONGEST = 300

_NUMBERS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "large",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "memory",  # of fork: a limit on processes, or no memory for one
    errno.EACCES: "access",
    errno.EPERM: "access",
    errno.EROFS: "access",
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.EIO: "disk",
    errno.ESTALE: "disk",
    errno.ENOTCONN: "disk",
}
# Words of strerror(3), of SQLite (sqlite3ErrStr), of C++, of CPython, and of TensorFlow's allocators.
_WORDS = {
    "full": r"No space left on device|Disk quota exceeded|database or disk is full",
    "large": r"File too large",
    "memory": r"\bMemoryError\b|std::bad_alloc|Cannot allocate memory|OOM when allocating|failed to allocate memory"
    r"|failed to map segment|can't start new thread|Unable to allocate .* for an array"
    r"|Resource temporarily unavailable|the process that decodes images does not start: SIGKILL",
    "database": r"database disk image is malformed|file is not a database|disk I/O error|malformed database schema",
    "access": r"Permission denied|Read-only file system|Operation not permitted|attempt to write a readonly database",
    "files": r"Too many open files",
    "disk": r"Input/output error|Stale file handle|Transport endpoint is not connected",
}
# The last words of C++ and of LLVM, which compiles for TensorFlow.
_NATIVE = rf"{_WORDS['memory']}|pthread_create failed|LLVM ERROR: out of memory|Out of memory"
_LAST_LINES = 20
_WRAPPING = (OSError, RuntimeError, ImportError, sqlite3.Error)
_RAISED = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|bad_alloc|Shortage|Killed)\b.*$", re.M)
_OURS = re.compile(r"^edgetune\.modules\.core\.errors\.(\w+): (.*)(?:\n  remedy: (.*))?$", re.M)
_STEP = re.compile(r" \[while running '.*?'\]")
_PATH = re.compile(r"(?:^|[:'\"\s])((?:[a-z][a-z\d+.-]*:/)?/[^\s:;,'\"]+)")
_TRACEBACK = "Traceback (most recent call last)"


def fault(error: BaseException) -> EdgetuneError | None:
    """Return what an exception means, as an error with a cause and a remedy; None if it is not one of these faults.

    An error of edgetune that is the exception or one of its causes is returned as it is.
    """
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, EdgetuneError):
            return one
    for one in chain:
        if found := _of(one):
            return found
    return None


def memory_shortage(log: str) -> EdgetuneError | None:
    """Return what the end of a log says, of a process that C++ has aborted, if it is that memory ran out.

    Args:
        log: Its last lines.
    """
    lines = [line for line in log.splitlines()[-_LAST_LINES:] if re.search(_NATIVE, line)]
    return _memory(None, lines[-1]) if lines else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what caused it, the nearest first."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_CAUSES:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        context = None if one.__suppress_context__ else one.__context__
        held = [value for value in one.args if isinstance(value, BaseException)]
        waiting += [cause for cause in (one.__cause__, context, *held) if cause is not None]


def _of(error: BaseException) -> EdgetuneError | None:
    text = _STEP.sub("", str(error))
    if isinstance(error, MemoryError):
        return _SENTENCES["memory"](None, text)
    # Of what is behind a URL, the number is TensorFlow's and not the system's (`modules.storage.filesystem`).
    if isinstance(error, OSError) and error.errno is not None and "://" not in str(error.filename):
        kind = _NUMBERS.get(error.errno)
        path = str(error.filename) if error.filename else None
        return _SENTENCES[kind](path, error.strerror or text) if kind else None
    module = type(error).__module__.partition(".")[0]
    if not isinstance(error, _WRAPPING) and module not in ("tensorflow", "ml_metadata"):
        return None
    if found := _OURS.search(text):
        kind_of_ours = getattr(errors, found[1], EdgetuneError)
        return kind_of_ours(found[2], found[3] or "")
    # Of a traceback, only what was raised: a line of code in it may say anything.
    lines = _RAISED.findall(text.partition(_TRACEBACK)[2]) if _TRACEBACK in text else [text]
    for line in reversed(lines):
        for kind, words in _WORDS.items():
            if re.search(words, line):
                named = _PATH.search(line)
                return _SENTENCES[kind](named[1] if named else None, line)
    if module == "ml_metadata" and type(error).__name__ in ("InternalError", "DataLossError"):
        return _database(None, text)
    return None


def _full(path: str | None, said: str) -> EdgetuneError:
    where = f"{path}: the disk is full" if path else "a disk is full"
    quota = "Disk quota exceeded"
    return MachineError(
        f"{path}: {quota}" if quota in said and path else where,
        f"free space there, or name another disk with --workdir or the environment variable TMPDIR; then {AGAIN}",
    )


def _large(path: str | None, said: str) -> EdgetuneError:
    return MachineError(
        f"{path or 'a file'}: larger than this process or the file system allows",
        f"raise the limit (`ulimit -f`), or name another file system with --workdir or TMPDIR; then {AGAIN}",
    )


def _memory(path: str | None, said: str) -> EdgetuneError:
    return MemoryShortage(
        f"memory ran out{_quoted(said)}",
        "close other programs, raise the limit of this process or container, or lower training.batch_size; then "
        + AGAIN,
    )


def _database(path: str | None, said: str) -> EdgetuneError:
    where = f"{path}: " if path else ""
    return DatabaseError(f"{where}the records of the runs cannot be used{_quoted(said)}", MOVE_AWAY)


def _access(path: str | None, said: str) -> EdgetuneError:
    words = re.search(_WORDS["access"], said)
    return AccessError(
        f"{path or 'a file'}: {words[0] if words else said}",
        f"allow this user to read and write it, or name another folder; then {AGAIN}",
    )


def _files(path: str | None, said: str) -> EdgetuneError:
    return MachineError("too many open files", f"raise the limit (`ulimit -n`); then {AGAIN}")


def _disk(path: str | None, said: str) -> EdgetuneError:
    words = re.search(_WORDS["disk"], said)
    return MachineError(
        f"{path or 'a file'}: {words[0] if words else said}",
        f"check the disk or the network file system that it is on; then {AGAIN}",
    )


def _quoted(said: str) -> str:
    line = " ".join(said.split())
    return f" ({line if len(line) <= _LONGEST else line[: _LONGEST - 1] + '…'})" if line else ""


_SENTENCES: dict[str, Callable[[str | None, str], EdgetuneError]] = {
    "full": _full,
    "large": _large,
    "memory": _memory,
    "database": _database,
    "access": _access,
    "files": _files,
    "disk": _disk,
}
