"""What stands in a folder of classes, one entry after the other, and a fingerprint by which a change is seen.

Nothing is left out silently: what is no image is an entry too, so that reading it can say what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgetune.modules.core.threads import InOrder
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import DataDigest

IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
# Over a network, each file that is asked for takes longer than a disk takes for a thousand.
_AT_A_TIME = 16


def ignored(name: str) -> bool:
    """Whether a file or folder of this name is no data: hidden, or left behind by an operating system."""
    return name.startswith(".") or name in IGNORED


def class_folders(folder: str) -> list[str]:
    """Paths of the folders of classes in `folder`, sorted.

    Raises:
        OSError: It cannot be listed.
    """
    return [path for path in _paths(folder) if filesystem.is_folder(path)]


def without_class(folder: str) -> list[str]:
    """Paths of images that lie beside the folders of classes, by their names."""
    return [path for path in _paths(folder) if path.lower().endswith(_IMAGES) and not filesystem.is_folder(path)]


def entries(class_folder: str) -> list[str]:
    """Paths of everything in a folder of a class, also of what is no file.

    Raises:
        OSError: It cannot be listed.
    """
    return _paths(class_folder)


def fingerprint(base: str, paths: Iterable[str]) -> str:
    """Stands for names, sizes and times of files, in any order: 64 hexadecimal digits.

    A file that is moved from one class to another keeps size and time, so its path has to count. No list of all paths
    is made of them.
    """
    digest = DataDigest()
    for path, found in _with_sizes_and_times(base, paths):
        name = path.removeprefix(base).lstrip("/")
        digest.add(f"{len(name)}:{name}:{found}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _with_sizes_and_times(base: str, paths: Iterable[str]) -> Iterator[tuple[str, tuple[int, int] | None]]:
    def look(path: str) -> tuple[str, tuple[int, int] | None]:
        return path, filesystem.size_and_time(path)

    if not filesystem.is_remote(base):
        yield from map(look, paths)
        return
    calls = InOrder(look, _AT_A_TIME)
    for path in paths:
        yield from calls.call(path)
    yield from calls.rest()


def all_entries(folder: str) -> Iterator[str]:
    """Paths of everything that is data, or looks like it, in all class folders of `folder`."""
    yield from without_class(folder)
    for class_folder in class_folders(folder):
        yield from entries(class_folder)


def _paths(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in filesystem.names(folder) if name and not ignored(name)]
