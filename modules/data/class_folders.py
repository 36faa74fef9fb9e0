"""Every file under a folder of images: of which class it is, or why of none.

Nothing is skipped silently. Each file is in exactly one of two iterations, which ImageExampleGen, its fingerprint and
`edgetune inspect` share: `files` of one of the class folders, or `others`. A class folder may have folders inside, at
any depth up to `MAX_DEPTH`, whose images are of the same class, as for torchvision's ImageFolder and Keras'
image_dataset_from_directory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from edgetune.modules.core import bounds
from edgetune.modules.core.threads import InOrder
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import DataDigest
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

IGNORED = (
    *("__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    "@eaDir",  # thumbnails of a Synology
)
MAX_DEPTH = 64
"""Folders inside the folder of all data; `modules.data.layouts.tree` refuses more."""
_READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
)
_NOT_READ = (
    *(".jxl", ".svg", ".svgz", ".psd", ".eps", ".ico", ".jp2", ".j2k", ".jpx", ".exr", ".hdr", ".dcm", ".nii", ".tga"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".xcf", ".dds", ".qoi", ".pcx"),
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".raw"),
)
IMAGE_ENDINGS = frozenset((*_READ, *_NOT_READ))
"""Endings of files that are meant as images, also of formats that are not read: such a file is rejected."""
# Over a network, one request takes longer than a thousand on a local disk.
_SIMULTANEOUS_REQUESTS = 16
_HIDDEN = "hidden, or of an operating system"


def ignored(name: str) -> bool:
    """Return whether a file or folder of this name is not data: hidden, or created by an operating system."""
    return name.startswith(".") or name in IGNORED


def ending(path: str) -> str:
    """Return the ending of a file name in lower case, with its dot; empty if it has none."""
    return os.path.splitext(path.rpartition("/")[2])[1].lower()  # noqa: PTH122 - it may be a URL


def may_be_image(path: str) -> bool:
    """Return whether a file is meant as an image by its name: it ends as one, or has no ending."""
    return ending(path) in ("", *IMAGE_ENDINGS)


def to_convert(path: str) -> str:
    """Return a hint for a file whose ending is of a format that is not read; empty for any other."""
    return f"; a {ending(path)} file: convert it to JPEG or PNG" if ending(path) in _NOT_READ else ""


@dataclass(frozen=True, slots=True)
class Other:
    """A file of no class."""

    path: str
    kind: str
    """What it is instead of an image: `hidden, or of an operating system`, its ending, or empty for an image."""
    reason: str = ""
    """Why an image has no class."""
    set_aside: bool = False
    """Whether it is an image in a folder that is left out as a whole, so that it does not count as unreadable."""


def is_followed(path: str, behind: bool) -> bool:
    """Return whether a folder is entered: each but a link that leads to a folder above or is behind another link.

    So links cannot lead in a circle, and what they lead to is entered a bounded number of times.

    Args:
        path: Of the folder.
        behind: Whether one of the folders above it, up to that of all data, is a link.
    """
    return not is_link(path) or not (behind or _leads_up(path))


def _behind_link(base: str, path: str) -> bool:
    """Return whether a folder inside `base`, or one between them, is a link."""
    parts = path.removeprefix(base).strip("/").split("/")
    return any(
        is_link("/".join([base.rstrip("/"), *parts[:number]])) for number in range(1, len(parts) + 1) if parts[0]
    )


def is_link(path: str) -> bool:
    """Return whether a path is a local link."""
    return not filesystem.is_remote(path) and os.path.islink(path)  # noqa: PTH114


def _leads_up(link: str) -> bool:
    target, place = os.path.realpath(link), os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    return os.path.commonpath([target, place]) == target


def class_folders(folder: str, base: str) -> list[str]:
    """Return the paths of the class folders in `folder`, sorted.

    Args:
        folder: `base`, or a folder inside it.
        base: The folder of all data.

    Raises:
        OSError: The folder cannot be listed.
    """
    behind = _behind_link(base, folder)
    paths = (f"{folder}/{name}" for name, is_folder in filesystem.entries(folder) if is_folder and not ignored(name))
    return [path for path in paths if is_followed(path, behind)]


def files(class_folder: str, base: str) -> Iterator[str]:
    """Yield the paths of everything in a class folder and in the folders inside, except for hidden names.

    A link to a folder that is not followed is yielded as it is: read as a file, it is reported.

    Args:
        class_folder: One of `class_folders`.
        base: The folder of all data.

    Raises:
        OSError: A folder cannot be listed.
    """
    yield from (path for path, hidden in _walk(class_folder, _behind_link(base, class_folder)) if not hidden)


def others(base: str, patterns: Collection[str]) -> Iterator[Other]:
    """Yield every file under `base` that is not one of `files` of the class folders of the patterns.

    Args:
        base: The folder of all data.
        patterns: Such as `*/*` or `train/*/*`, relative to `base`: of class folders and of what is in them.

    Raises:
        OSError: A folder cannot be listed.
    """
    parents = {pattern.removesuffix("*/*").rstrip("/") for pattern in patterns}
    yield from _others(base, "", parents)


def _others(base: str, inside: str, parents: Collection[str]) -> Iterator[Other]:
    folder = f"{base}/{inside}".rstrip("/")
    behind = _behind_link(base, folder)
    for name, is_folder in filesystem.entries(folder):
        path, below = f"{folder}/{name}", f"{inside}/{name}".lstrip("/")
        if not is_folder:
            yield _other(path, inside, parents, ignored(name))
            continue
        within = behind or is_link(path)
        if ignored(name):
            yield from (Other(file, _HIDDEN) for file in _hidden(path))
        elif not is_followed(path, behind):
            yield Other(path, "a link to a folder")
        elif inside in parents:
            yield from (Other(file, _HIDDEN) for file, hidden in _walk(path, within) if hidden)
        elif any(parent == below or parent.startswith(f"{below}/") for parent in parents):
            yield from _others(base, below, parents)
        else:
            yield from (_other(file, below, parents, hidden) for file, hidden in _walk(path, within))


def _hidden(folder: str) -> Iterator[str]:
    """Yield the files of a hidden folder; the folder itself if it may not be read, which is no concern of a user's."""
    if is_link(folder):
        yield folder
        return
    try:
        yield from (path for path, _ in _walk(folder, behind=True))
    except PermissionError:
        yield folder


def _other(path: str, folder: str, parents: Collection[str], hidden: bool) -> Other:
    if hidden:
        return Other(path, _HIDDEN)
    if ending(path) not in IMAGE_ENDINGS:
        return Other(path, ending(path) or "no ending")
    if folder in parents or not folder:
        return Other(path, "", "outside the class folders, so it has no label")
    return Other(path, "", f"in {folder}, which is not one of the class folders, so it has no label", set_aside=True)


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


def all_entries(base: str, patterns: Collection[str]) -> Iterator[str]:
    """Yield the paths of all files that are read, and of images that could be: by these, a run is as an earlier one.

    What else is under `base`, such as notes or the workdir of a run, is counted and makes no difference.
    """
    for pattern in patterns:
        for class_folder in class_folders(f"{base}/{pattern}".removesuffix("/*/*"), base):
            yield from files(class_folder, base)
    yield from (other.path for other in others(base, patterns) if not other.kind and not other.set_aside)


def _walk(folder: str, behind: bool, depth: int = 0, hidden: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the path of each file in a folder and those inside it, and whether it or one of the folders is hidden.

    Of a hidden folder no link is followed.
    """
    for name, is_folder in filesystem.entries(folder):
        path, is_hidden = f"{folder}/{name}", hidden or ignored(name)
        if is_folder and depth < MAX_DEPTH and is_followed(path, behind or is_hidden):
            yield from _walk(path, behind or is_link(path), depth + 1, is_hidden)
        else:
            yield path, is_hidden
