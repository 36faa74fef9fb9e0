"""Who may read what is pushed: whoever may read the destination, whatever the umask of the process that pushes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

_READ = stat.S_IRGRP | stat.S_IROTH
_ENTER = stat.S_IXGRP | stat.S_IXOTH


def policy(destination: Path) -> int:
    """Return the bits for reading that the group and others have on a folder, or on the nearest one above that exists.

    A server may run as another user. Bits for writing are never passed on.
    """
    nearest = next(folder for folder in (destination, *destination.parents) if folder.exists())
    return stat.S_IMODE(nearest.stat().st_mode) & (_READ | _ENTER)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it that do not exist, with the bits that `policy` says.

    Raises:
        OSError: It cannot be created.
    """
    bits = policy(folder)
    new = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    apply(bits, new)


def apply(bits: int, paths: Iterable[Path]) -> None:
    """Let the group and others read files and folders of this process as `policy` says, and nobody else.

    Args:
        bits: From `policy`.
        paths: Each alone, without what is in it; links are left as they are.
    """
    for path in paths:
        before = path.lstat().st_mode
        if not stat.S_ISLNK(before):
            allowed = bits if stat.S_ISDIR(before) else bits & _READ
            os.chmod(path, stat.S_IMODE(before) & ~(_READ | _ENTER) | allowed)  # noqa: PTH101 - as lstat above
