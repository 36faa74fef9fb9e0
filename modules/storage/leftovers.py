"""Folders that only a living process needs: marked while it lives, and swept by later processes once it is dead.

The mark is a lock (flock(2)), which the system releases however the process ends. A folder whose lock can be taken has
no living owner. Processes of other machines are not seen on file systems that lock for each machine alone, so nothing
that was changed within `QUIET_SECONDS` is swept where other machines may write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from edgetune.modules.core.errors import MachineError

QUIET_SECONDS = 3600
FOREIGN_QUIET_SECONDS = 24 * 3600
"""The same for temporary folders of other machines, or of this one under another name, as a container's each night."""
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
# With the machine: on NFS without locks between machines, those of others would look dead. Its name may be long, and
# the path of a socket in the folder has at most 107 bytes (unix(7)).
_ANY_RUN = "edgetune-run-"
_RUN = f"{_ANY_RUN}{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]}-"
_PART = re.compile(r"\.(\d+)\.part")
_FILE = re.compile(r"\.\d+\.[0-9a-f]{32}\.part")


def mark(folder: Path) -> int:
    """Mark a folder as in use, on a file system with locks, and return a descriptor; closing it ends the mark."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(OSError):  # NFS locks no folders
        fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _check_locks(folder: Path) -> None:
    """Check that the file system has locks at all: where files cannot be locked either, nothing would ever be swept."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise MachineError(
            f"{folder.parent}: files there cannot be locked: {error.strerror}",
            "name a folder on a local disk in the environment variable TMPDIR",
        ) from None


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for all temporary files of this process, mark it, and remove it with all that is in it at the end.

    Those of dead processes of this user on this machine, beside it, are removed first; of other names of machines,
    those that nobody has marked and that have not changed for `FOREIGN_QUIET_SECONDS`.

    Raises:
        MachineError: The file system of temporary files has no locks.
        OSError: No folder for temporary files can be written.
    """
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_ANY_RUN}*")):
        _is_dead(folder, 0 if folder.name.startswith(_RUN) else FOREIGN_QUIET_SECONDS, remove=True)
    while True:
        made = Path(tempfile.mkdtemp(prefix=_RUN))
        lock = mark(made)
        if made.exists():
            break
        os.close(lock)  # swept before it was marked
    try:
        _check_locks(made)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def dead_parts(destination: Path, decided: Collection[int] = ()) -> list[Path]:
    """Return what killed pushes left in a folder of versions.

    Args:
        destination: The folder; versions are written in it as hidden folders first (`modules.storage.versions`).
        decided: Versions whose release will be completed.
    """
    found = [(folder, _PART.fullmatch(folder.name)) for folder in sorted(destination.glob(".*.part"))]
    undecided = [folder for folder, match in found if match and int(match[1]) not in decided]
    return [folder for folder in undecided if _is_dead(folder, QUIET_SECONDS)]


def sweep_parts(destination: Path, decided: Collection[int] = ()) -> list[Path]:
    """Remove what killed pushes left in a folder of versions, and return it. Arguments are as of `dead_parts`."""
    return [folder for folder in dead_parts(destination, decided) if _is_dead(folder, QUIET_SECONDS, remove=True)]


def sweep_files(folder: Path) -> list[Path]:
    """Remove the files that a killed `marker.write` left in a folder of markers, and return them."""
    found = [path for path in sorted(folder.glob(".*.part")) if _FILE.fullmatch(path.name)]
    return [path for path in found if _is_dead_file(path)]


def _is_dead_file(path: Path) -> bool:
    """Remove a file of this user that was written long ago; a living process renames it within seconds."""
    try:
        found = path.lstat()
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < QUIET_SECONDS:
            return False
        path.unlink()
    except OSError:  # gone, or not ours to remove
        return False
    return True


def _is_dead(folder: Path, quiet_seconds: float, remove: bool = False) -> bool:
    """Return whether this is a folder of this user that nobody has marked; if so, remove it before anybody can."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, or not a folder
        return False
    try:
        if os.fstat(lock).st_uid != os.geteuid() or time.time() - _changed(folder) < quiet_seconds:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            shutil.rmtree(folder)
    except OSError:  # marked, on a file system without locks, or not ours to remove
        return False
    finally:
        os.close(lock)
    return True


def _changed(folder: Path) -> float:
    """Return when the folder or anything in it was changed last, in seconds since the epoch."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
