"""Read a file from an untrusted folder with bounded time and memory.

A named pipe would block, a device may never end, a link may lead to private files outside the folder, and a file named
`.jpg` may have any size.
"""

from __future__ import annotations

import os
import stat

from edgetune.modules.storage import filesystem

_KINDS = (
    (stat.S_ISDIR, "a folder, not a file"),
    (stat.S_ISFIFO, "a named pipe, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
)


class UnreadableFile(Exception):
    """A path is not a readable file; the message says why, in a few words."""


def read_file(path: str, base: str | None, max_bytes: int, kind: str = "an image of data.max_pixels") -> bytes:
    """Return the content of a file.

    Args:
        path: The file, local or behind a URL.
        base: The folder that a link may not lead out of; None if the user named the file itself.
        max_bytes: Larger files are refused.
        kind: What `max_bytes` is the limit of, for the error message.

    Raises:
        UnreadableFile: Not an ordinary file, a link that leads out of `base` or nowhere, missing, not permitted, or too
            large.
    """
    try:
        content = (
            filesystem.read(path, max_bytes + 1) if filesystem.is_remote(path) else _read_local(path, base, max_bytes)
        )
    except FileNotFoundError as error:
        is_link = os.path.islink(path)  # noqa: PTH114
        gone = "a link to a file that does not exist" if is_link else f"does not exist{_other_capitals(path)}"
        raise UnreadableFile(gone) from error
    except (OSError, ValueError) as error:  # a ValueError if the name has a zero byte
        raise UnreadableFile(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > max_bytes:
        raise UnreadableFile(f"larger than the {max_bytes} bytes that {kind} can have")
    return content


def _other_capitals(path: str) -> str:
    """Return a hint if there is a file whose name differs only by capitals of the name or of the ending."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    starts = dict.fromkeys((stem, stem.lower(), stem.upper(), stem.capitalize()))
    names = [start + end for start in starts for end in dict.fromkeys((ending, ending.lower(), ending.upper()))]
    found = [other for other in names if other != name and os.path.lexists(os.path.join(folder, other))]  # noqa: PTH118
    return f", but {found[0]} does: capitals count" if found else ""


def check_file(path: str, base: str | None) -> None:
    """Check a local file without opening it.

    Raises:
        UnreadableFile: Not an ordinary file, or a link that leads out of `base`.
        OSError: Missing, or not permitted.
    """
    if base is not None and not _is_below(path, os.path.realpath(base)):
        raise UnreadableFile("a link that leads out of the folder of images; put the file itself there")
    _check_kind(os.stat(path))  # noqa: PTH116 - before opening, because opening a device or a pipe may act on it


def _is_below(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def _read_local(path: str, base: str | None, max_bytes: int) -> bytes:
    check_file(path, base)
    # The file may have been replaced by a pipe since the check: open it without blocking.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
        found = os.fstat(file.fileno())
        _check_kind(found)
        # Python allocates as much as is requested. File systems that do not report sizes report 0.
        return file.read(min(found.st_size or max_bytes, max_bytes) + 1)


def _check_kind(found: os.stat_result) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise UnreadableFile(name)
