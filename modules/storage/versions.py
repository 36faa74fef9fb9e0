"""Publish a folder as a new version, atomically.

`<destination>/<version>` appears in one step: its content is written beside it, under a hidden name that servers
ignore, and then renamed. Object stores cannot rename a folder in one step; there, a version's number is claimed first,
and the file that tells readers that a version is complete is written last.

Versions are whole numbers, as TensorFlow Serving requires: the time in seconds since 1970, or one more than the largest
existing version, so that the newest push is always the one that is served.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import filesystem, leftovers, permissions
from edgetune.modules.storage.filesystem import files_of

_BLOCK = 1 << 20
_CLAIMS = ".claims"  # a folder that servers ignore
_NUMBERS = 10  # to choose from after a version's number was taken


@dataclass(frozen=True)
class Pushed:
    """A published version."""

    path: str
    """Its folder or URL."""
    version: str
    """Its number."""


def push(source: str, destination: str, last: str) -> Pushed:
    """Copy `source` to a new version below `destination`.

    Args:
        source: A folder, local or a URL.
        destination: Folder of versions, local or a URL that TensorFlow can write to (`gs://...`); created if missing.
        last: Relative path of the file whose presence tells readers that a version is complete.

    Raises:
        PushError: `destination` cannot be written; no partial version is left there.
    """
    files = sorted(files_of(source), key=lambda name: (name == last, name))
    if not files:
        raise PushError(f"{source}: there is nothing to push", "run the pipeline again")
    return _push_url(source, files, destination) if "://" in destination else _push_local(source, files, destination)


def _push_local(source: str, files: list[str], destination: str) -> Pushed:
    folder = Path(destination).absolute()
    made = not folder.exists()
    part = mark = None
    try:
        readers = permissions.policy(folder)
        new = [above for above in (folder, *folder.parents) if not above.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        permissions.apply(readers, new)
        leftovers.sweep_parts(folder)
        version = _next_version([entry.name for entry in folder.iterdir()])
        part = folder / f".{version}.{uuid.uuid4().hex}.part"  # containers on one volume all have process 1
        part.mkdir()
        mark = leftovers.mark(part)
        for name in files:
            _copy_synced(f"{source}/{name}", part / name)
        permissions.apply(readers, (part, *part.rglob("*")))
        for below in (part, *(entry for entry in part.rglob("*") if entry.is_dir())):
            _sync_folder(below)
        # Renaming to a version that was taken meanwhile fails, because versions are not empty folders: try the next.
        while True:
            try:
                part.rename(folder / str(version))
                break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                version += 1
        _sync_folder(folder)
    except (OSError, tf.errors.OpError) as error:
        raise _push_error(destination, error) from error
    finally:
        if part is not None and part.exists():
            shutil.rmtree(part, ignore_errors=True)
        if mark is not None:
            os.close(mark)
        if made:
            with contextlib.suppress(OSError):  # it has versions, or was not made
                folder.rmdir()
    return Pushed(str(folder / str(version)), str(version))


def _push_url(source: str, files: list[str], destination: str) -> Pushed:
    folder = destination.rstrip("/")
    path, written, claim = "", [], ""
    try:
        filesystem.make_folder(folder)
        version, claim = _claim(folder)
        path = f"{folder}/{version}"
        for name in files:
            filesystem.make_folder(os.path.dirname(f"{path}/{name}"))  # noqa: PTH120 - a URL
            written.append(f"{path}/{name}")
            tf.io.gfile.copy(f"{source}/{name}", f"{path}/{name}")
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, tf.errors.AlreadyExistsError):
            written.pop()  # by somebody who does not claim numbers
        for one in reversed(written):
            _remove(one)
        if path:
            _remove_empty(path)
        raise _push_error(destination, error) from error
    finally:
        if claim:
            _remove(claim)
    return Pushed(path, str(version))


def _claim(folder: str) -> tuple[int, str]:
    """Take a version's number for this push alone, and return it with the file that marks it, until that is removed.

    Whoever finds another's mark beside its own, or files in the version, gives way. One of two that claim a number at
    the same time looks after the other has written, so at most one keeps it: object stores list every file that was
    written before. If both give way, they go on to different numbers, most probably.
    """
    version = _next_version(_names(folder))
    while True:
        marks, mark = f"{folder}/{_CLAIMS}/{version}", uuid.uuid4().hex
        filesystem.make_folder(marks)
        filesystem.write(f"{marks}/{mark}", b"")
        if _names(marks) == [mark] and not _names(f"{folder}/{version}"):
            return version, f"{marks}/{mark}"
        _remove(f"{marks}/{mark}")
        version += random.randint(1, _NUMBERS)


def _remove(path: str) -> None:
    """Remove a file of this push; what fails the push may fail this too."""
    with contextlib.suppress(tf.errors.OpError):
        tf.io.gfile.remove(path)


def _remove_empty(folder: str) -> None:
    """Remove the folder of a claimed version, if its store has folders and it has no files."""
    with contextlib.suppress(tf.errors.OpError):
        if tf.io.gfile.exists(folder) and not files_of(folder):
            tf.io.gfile.rmtree(folder)


def _names(folder: str) -> list[str]:
    try:
        return [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    except tf.errors.NotFoundError:  # some object stores do not keep empty folders
        return []


def _next_version(names: list[str]) -> int:
    return max([int(time.time()), *(int(name) + 1 for name in names if name.isdecimal())])


def _copy_synced(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.gfile.GFile(source, "rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, if the file system supports that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems do not sync folders
        pass
    finally:
        os.close(handle)


def _push_error(destination: str, error: Exception) -> PushError:
    remedies = {
        errno.ENOSPC: "free space there, or push elsewhere",
        errno.EDQUOT: "free space there, or push elsewhere",
        errno.EACCES: "allow this user to write there, or push elsewhere",
        errno.EPERM: "allow this user to write there, or push elsewhere",
        errno.EROFS: "the file system is read-only: push elsewhere",
        errno.ENOTDIR: "a file is in the way: move it, or push elsewhere",
        errno.EEXIST: "a file is in the way: move it, or push elsewhere",
    }
    number = error.errno if isinstance(error, OSError) else None
    what = error.strerror if isinstance(error, OSError) and error.strerror else filesystem.error_line(error)
    remedy = remedies.get(number or 0, "check that the destination exists and is writable")
    return PushError(f"{destination}: the push failed: {what}", remedy)
