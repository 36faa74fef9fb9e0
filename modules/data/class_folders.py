"""List class folders and fingerprint them to detect changes.

Nothing is skipped silently: files that are not images are listed too, so that reading them reports what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgetune.modules.core.threads import InOrder
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import DataDigest

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
    """Return a digest of the paths, sizes and modification times of files, in any order, as 64 hexadecimal digits.

    Paths count because a file that is moved to another class keeps its size and time. `paths` is read as a stream.
    """
    digest = DataDigest()
    for path, found in _with_sizes_and_times(base, paths):
        name = path.removeprefix(base).lstrip("/")
        digest.add(f"{len(name)}:{name}:{found}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


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
