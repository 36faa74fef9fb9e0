"""Reading a file that lies in a folder of anyone's: whatever it turns out to be, it costs neither time nor memory.

A named pipe would be waited for, a device may never end, a link may lead to what is none of this folder's business, and
a name ending in `.jpg` says nothing about a size.
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
# An uncompressed image has up to 8 bytes a pixel; what else a file carries (previews, a short video) comes on top.
_BYTES_PER_PIXEL, _BESIDE_PIXELS = 8, 64 << 20


class UnreadableFile(Exception):
    """It is no file that can be read; the message says why, in a few words."""


def most_bytes(max_pixels: int) -> int:
    """Size of the largest file that can hold an image of so many pixels."""
    return max_pixels * _BYTES_PER_PIXEL + _BESIDE_PIXELS


def read_file(path: str, base: str | None, most: int, kind: str = "an image of data.max_pixels") -> bytes:
    """The content of a file.

    Args:
        path: The file, on this machine or behind a URL.
        base: The folder that a link may not lead out of; None where the user named the file, and a link may do that.
        most: Larger files are refused, in bytes.
        kind: What has no more bytes than that, for the message.

    Raises:
        UnreadableFile: No ordinary file, a link that leads out of `base` or nowhere, gone, not permitted, too large.
    """
    try:
        content = filesystem.read(path, most + 1) if filesystem.is_remote(path) else _read_local(path, base, most)
    except FileNotFoundError as error:
        gone = "a link to a file that does not exist" if os.path.islink(path) else "gone, or never there"  # noqa: PTH114
        raise UnreadableFile(gone) from error
    except (OSError, ValueError) as error:  # a ValueError where a name has a zero byte
        raise UnreadableFile(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > most:
        raise UnreadableFile(f"larger than the {most} bytes that {kind} can have")
    return content


def check_file(path: str, base: str | None) -> None:
    """Looks at a file of this machine without opening it.

    Raises:
        UnreadableFile: No ordinary file, or a link that leads out of `base`.
        OSError: Gone, or not permitted.
    """
    if base is not None and not _is_below(path, os.path.realpath(base)):
        raise UnreadableFile("a link that leads out of the folder of images; put the file itself there")
    _check_kind(os.stat(path))  # noqa: PTH116 - before it is opened: opening a device or a pipe may act on it


def _is_below(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def _read_local(path: str, base: str | None, most: int) -> bytes:
    check_file(path, base)
    # What was a file a moment ago may be a pipe now: never wait for one.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
        found = os.fstat(file.fileno())
        _check_kind(found)
        # Python makes room for as much as is asked for. A file system that does not tell sizes tells 0.
        return file.read(min(found.st_size or most, most) + 1)


def _check_kind(found: os.stat_result) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise UnreadableFile(name)
