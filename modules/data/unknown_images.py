"""Images that show none of the classes: a folder of them, with folders inside, local or behind a URL."""

from __future__ import annotations

from collections.abc import Iterator

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.data import class_folders
from edgetune.modules.images import reader
from edgetune.modules.images.reading import Reading
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.safe_read import UnreadableFile, read_file

_MAX_DEPTH = 8


def fingerprint(folder: str) -> str:
    """Return a digest of the path, size and modification time of every file, as 64 hexadecimal digits.

    Raises:
        DataError: It is not a folder, cannot be listed, or has no files.
    """
    paths = list(_files(folder))
    if not paths:
        raise DataError(f"data.unknown {folder}: contains no files", "put images of none of the classes there")
    return class_folders.fingerprint(folder, paths)


def read(folder: str, reading: Reading) -> Iterator[bytes | str]:
    """Yield each image as JPEG or PNG, as ImageExampleGen reads it; for a file that is not used, its name and why.

    Args:
        folder: The folder, or its URL.
        reading: Options.

    Raises:
        DataError: It is not a folder, or cannot be listed.
    """
    for path in _files(folder):
        try:
            content = read_file(path, folder, bounds.max_file_bytes(reading.max_pixels))
            yield reader.read_image(content, reading).encoded
        except (UnreadableFile, reader.Unusable) as error:
            yield f"{path.removeprefix(folder).lstrip('/')}: {error}"


def _files(folder: str, depth: int = 0) -> Iterator[str]:
    folder = folder.rstrip("/")
    try:
        if not depth and not filesystem.is_folder(folder):
            what = "is not a folder" if filesystem.exists(folder) else "does not exist"
            raise DataError(f"data.unknown {folder}: {what}", "name a folder of images of none of the classes")
        if depth > _MAX_DEPTH:  # a link to a folder above would never end
            raise DataError(f"{folder}: more than {_MAX_DEPTH} folders deep", "put the images closer to data.unknown")
        names = filesystem.names(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}", "check the folder and its permissions") from None
    for name in names:
        path = f"{folder}/{name}"
        if not name or class_folders.ignored(name):
            continue
        if filesystem.is_folder(path):
            yield from _files(path, depth + 1)
        else:
            yield path
