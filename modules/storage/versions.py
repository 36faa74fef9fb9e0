"""Publish folders as one new version: all under one number, each complete or not there at all.

Every folder is first copied to its destination under a hidden name, which servers ignore: `.<version>.part`. When all
copies are complete, they are switched: `<destination>/<version>` appears in one step on a disk. Object stores cannot
rename a folder in one step; there, each file is renamed, and the one that tells readers that a version is complete is
the last.

Versions are whole numbers, as TensorFlow Serving requires: the time in seconds since 1970, or one more than the largest
existing version, so that the newest push is always the one that is served. A number is claimed in every destination
before anything is written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgetune.modules.core.errors import PushError
from edgetune.modules.storage import filesystem, leftovers, permissions
from edgetune.modules.storage.digests import file_digest

_CLAIMS = ".claims"  # a folder that servers ignore
_NUMBERS = 10  # to choose from after a version's number was taken


@dataclass
class Copy:
    """A folder on its way to a destination: claimed, then copied, then switched; or removed again.

    All methods raise OSError if the destination cannot be read or written.
    """

    destination: str
    """Folder of versions, local and absolute or a URL that TensorFlow can write to (`gs://...`)."""
    version: int
    files: Mapping[str, str]
    """SHA-256 by relative path."""
    last: str
    """Relative path of the file whose presence tells readers that a version is complete."""
    made: bool = False
    """Whether the folder of versions was created for this push."""
    _mark: str = field(default="", init=False)
    _lock: int | None = field(default=None, init=False)
    _switched: list[str] = field(default_factory=list, init=False)

    @property
    def path(self) -> str:
        """The version's folder or URL."""
        return f"{self.destination}/{self.version}"

    @property
    def part(self) -> str:
        """The folder or URL of the copy until it is switched."""
        return f"{self.destination}/.{self.version}.part"

    def claim(self) -> bool:
        """Take the version's number for this push alone; return False if another has it.

        On an object store, whoever finds another's mark beside its own, or files in the version, gives way. One of two
        that claim a number at the same time looks after the other has written, so at most one keeps it: object stores
        list every file that was written before. If both give way, they go on to different numbers, most probably.
        """
        if not filesystem.is_remote(self.destination):
            try:
                Path(self.part).mkdir()
            except FileExistsError:
                return False
            if not os.path.lexists(self.path):
                self._lock = leftovers.mark(Path(self.part))
                return True
            Path(self.part).rmdir()
            return False
        marks, mark = f"{self.destination}/{_CLAIMS}/{self.version}", uuid.uuid4().hex
        filesystem.make_folder(marks)
        self._mark = f"{marks}/{mark}"
        filesystem.write(self._mark, b"")
        if _names(marks) == [mark] and not _names(self.path) and not _names(self.part):
            return True
        self.unclaim()
        return False

    def unclaim(self) -> None:
        """Leave the number to others: if nothing was copied, or if the version is there, which they see."""
        if self._mark:
            _remove(self._mark)
            self._mark = ""
        elif not filesystem.is_remote(self.destination):
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            with contextlib.suppress(OSError):  # it is not empty, or was renamed
                Path(self.part).rmdir()

    def write(self, source: str) -> None:
        """Copy the files from a folder, local or a URL, to the hidden name."""
        for name in self._ordered():
            self._copy(f"{source}/{name}", f"{self.part}/{name}")
        if not filesystem.is_remote(self.part):
            written = [Path(self.part), *Path(self.part).rglob("*")]
            permissions.apply(permissions.policy(Path(self.destination)), written)
            for below in (entry for entry in written if entry.is_dir()):
                sync_folder(below)

    def is_whole(self) -> bool:
        """Return whether every file is there as it should be, under either name."""
        return all(
            digest in (_digest(f"{self.part}/{name}"), _digest(f"{self.path}/{name}"))
            for name, digest in self.files.items()
        )

    def switch(self) -> None:
        """Give the copy its name; do nothing if another process has just done so.

        Raises:
            FileExistsError: Files of somebody else, who does not claim numbers, are in the way.
        """
        if filesystem.is_remote(self.destination):
            for name in self._ordered():
                self._rename(name)
            return
        try:
            os.rename(self.part, self.path)  # noqa: PTH104 - over a folder that is not empty, it fails
            self._switched = [self.path]
        except FileNotFoundError:
            if not os.path.isdir(self.path):  # noqa: PTH112
                raise
        sync_folder(Path(self.destination))

    def remove(self) -> None:
        """Remove what this push wrote, and nothing else; what failed the push may fail this too."""
        if not filesystem.is_remote(self.destination):
            for folder in (self.part, *self._switched):
                shutil.rmtree(folder, ignore_errors=True)
            return
        for path in (*reversed(self._switched), *(f"{self.part}/{name}" for name in self.files)):
            _remove(path)
        for folder in (self.path, self.part):
            _remove_empty(folder)

    def _ordered(self) -> list[str]:
        return sorted(self.files, key=lambda name: (name == self.last, name))

    def _copy(self, source: str, target: str) -> None:
        filesystem.make_folder(os.path.dirname(target))  # noqa: PTH120 - may be a URL
        if filesystem.is_remote(target):
            filesystem.copy(source, target)
            return
        with open(target, "wb") as writer:
            for block in filesystem.blocks(source):
                writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())

    def _rename(self, name: str) -> None:
        part, path = f"{self.part}/{name}", f"{self.path}/{name}"
        filesystem.make_folder(os.path.dirname(path))  # noqa: PTH120 - a URL
        try:
            filesystem.rename(part, path)
            self._switched.append(path)
        except (FileExistsError, FileNotFoundError):
            if _digest(path) != self.files[name]:
                raise
            _remove(part)


def claim(parts: Sequence[tuple[str, Mapping[str, str], str]], above: int = 0) -> list[Copy]:
    """Claim one number in several destinations, which are created if missing.

    Args:
        parts: Destination, files and last file of each, as in `Copy`.
        above: The number is larger than this one.

    Raises:
        OSError: A destination cannot be written.
        PushError: A destination has the highest version that there can be.
    """
    made = {destination for destination, *_ in parts if not filesystem.exists(destination)}
    for destination, *_ in parts:
        if filesystem.is_remote(destination):
            filesystem.make_folder(destination)
        else:
            permissions.make_folder(Path(destination))
    taken = [(number, place) for place, *_ in parts for number in filesystem.in_order(_names(place))]
    highest, where = max(taken, default=(0, ""))
    version = _next_version([above, highest])
    while True:
        if version > filesystem.LARGEST_VERSION:
            raise PushError(
                f"{where or parts[0][0]}: has version {highest}, and there is no higher one",
                "move it away: servers take the highest version",
            )
        copies: list[Copy] = []
        try:
            for destination, files, last in parts:
                copy = Copy(destination, version, files, last, destination in made)
                if not copy.claim():
                    break
                copies.append(copy)
            if len(copies) == len(parts):
                return copies
        finally:
            if len(copies) < len(parts):
                for copy in copies:
                    copy.unclaim()
        version += random.randint(1, _NUMBERS)


def folder_of_versions(place: str) -> str:
    """Return a folder of versions as it is recorded: absolute, or a URL without a slash at its end."""
    return place.rstrip("/") if filesystem.is_remote(place) else str(Path(place).absolute())


def sync_folder(folder: Path) -> None:
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


def push_error(destination: str, error: OSError) -> PushError:
    """Return the error of a push that failed, with a remedy."""
    remedies = {
        errno.ENOSPC: "free space there, or push elsewhere",
        errno.EDQUOT: "free space there, or push elsewhere",
        errno.EACCES: "allow this user to write there, or push elsewhere",
        errno.EPERM: "allow this user to write there, or push elsewhere",
        errno.EROFS: "the file system is read-only: push elsewhere",
        errno.ENOTDIR: "a file is in the way: move it, or push elsewhere",
        errno.EEXIST: "a file is in the way: move it, or push elsewhere",
        errno.ENOTEMPTY: "a file is in the way: move it, or push elsewhere",
    }
    remedy = remedies.get(error.errno or 0, "check that the destination exists and is writable")
    return PushError(f"{destination}: the push failed: {filesystem.error_line(error)}", remedy)


def _digest(path: str) -> str:
    """Return the SHA-256 of a file, empty if there is none."""
    try:
        return file_digest(path)
    except FileNotFoundError:
        return ""


def _remove(path: str) -> None:
    """Remove a file of this push; what fails the push may fail this too."""
    with contextlib.suppress(OSError):
        filesystem.remove(path)


def _remove_empty(folder: str) -> None:
    """Remove a folder of this push, if its store has folders and it has no files."""
    with contextlib.suppress(OSError):
        if filesystem.exists(folder) and not filesystem.files_of(folder):
            filesystem.remove(folder)


def _names(folder: str) -> list[str]:
    try:
        return filesystem.names(folder)
    except FileNotFoundError:  # some object stores do not keep empty folders
        return []


def _next_version(taken: Sequence[int]) -> int:
    return max([int(time.time()), *(number + 1 for number in taken)])
