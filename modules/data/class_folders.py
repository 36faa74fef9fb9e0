"""List class folders and fingerprint them to detect changes.

Nothing is skipped silently: files that are not images are listed too, so that reading them reports what they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from edgetune.modules.core import bounds
from edgetune.modules.core.threads import InOrder
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import DataDigest
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
# Over a network, one request takes longer than a thousand on a local disk.
_SIMULTANEOUS_REQUESTS = 16


def ignored(name: str) -> bool:
    """Return whether a file or folder of this name is not data: hidden, or created by an operating system."""
    return name.startswith(".") or name in IGNORED


def class_folders(folder: str) -> list[str]:
    """Return the paths of the class folders in `folder`, sorted.

    Raises:
        OSError: The folder cannot be listed.
    """
    return [path for path in _paths(folder) if filesystem.is_folder(path)]


def without_class(folder: str) -> list[str]:
    """Return the paths of images, by file name, that are beside the class folders instead of inside."""
    return [path for path in _paths(folder) if path.lower().endswith(_IMAGES) and not filesystem.is_folder(path)]


def entries(class_folder: str) -> list[str]:
    """Return the paths of everything in a class folder, not only of files.

    Raises:
        OSError: The folder cannot be listed.
    """
    return _paths(class_folder)


def fingerprint(base: str, paths: Iterable[str]) -> str:
    """Return a digest of the paths, sizes and modification times of files, as 64 hexadecimal digits.

    Paths count because a file that is moved to another class keeps its size and time. Two files that have both in
    common can change places: of local files, the content of all but the first with the same size and time counts too,
    so that a swap changes what is read at one of the paths at least. Objects behind a URL get a new time with their
    new name. `paths` is read as a stream.
    """
    digest, seen = DataDigest(), bytearray(bounds.SEEN_BITS // 8)
    local = not filesystem.is_remote(base)
    for path, found in _with_sizes_and_times(base, paths):
        name = path.removeprefix(base).lstrip("/")
        content = _content(path, base) if local and found and _is_seen(seen, found) else ""
        digest.add(f"{len(name)}:{name}:{found}{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _is_seen(seen: bytearray, found: tuple[int, int]) -> bool:
    """Return whether a size and time were there before, and remember them.

    One bit stands for several of them; where two share it, a file is read in vain.
    """
    bit = int.from_bytes(hashlib.sha256(repr(found).encode()).digest()[:8], "big") % (8 * len(seen))
    before = seen[bit // 8] >> bit % 8 & 1
    seen[bit // 8] |= 1 << bit % 8
    return bool(before)


def _content(path: str, base: str) -> str:
    """Return the digest of a file's content; of a file that is not read, why."""
    try:
        content = read_file(path, base, bounds.MAX_FINGERPRINTED)
    except UnreadableFile as error:
        return str(error)
    return hashlib.sha256(content).hexdigest()


def _with_sizes_and_times(base: str, paths: Iterable[str]) -> Iterator[tuple[str, tuple[int, int] | None]]:
    def stat(path: str) -> tuple[str, tuple[int, int] | None]:
        return path, filesystem.size_and_time(path)

    if not filesystem.is_remote(base):
        yield from map(stat, paths)
        return
    calls = InOrder(stat, _SIMULTANEOUS_REQUESTS)
    for path in paths:
        yield from calls.call(path)
    yield from calls.rest()


def all_entries(folder: str) -> Iterator[str]:
    """Yield the paths of everything that is or looks like data in all class folders of `folder`."""
    yield from without_class(folder)
    for class_folder in class_folders(folder):
        yield from entries(class_folder)


def _paths(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in filesystem.names(folder) if name and not ignored(name)]
