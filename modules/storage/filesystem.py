"""List and read files and folders, local or behind a URL (`gs://`, `s3://`, any scheme that TensorFlow supports).

Local paths do not need TensorFlow, whose import alone takes seconds, so a wrong path is reported immediately.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_REMOTE_THREADS = 16
_STATUS = re.compile(r"HTTP response code (\d+)")
_MESSAGE = re.compile(r'"(?:message|error_description)": *"((?:[^"\\]|\\.)*)"')


def exists(path: str) -> bool:
    """Return whether a file or folder exists."""
    return bool(_local_or_remote(path, os.path.exists, "exists"))


def is_folder(path: str) -> bool:
    """Return whether a path is a folder."""
    return bool(_local_or_remote(path, os.path.isdir, "isdir"))


def names(folder: str) -> list[str]:
    """Return the names of all files and folders in a folder, sorted.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(name.rstrip("/") for name in _local_or_remote(folder, os.listdir, "listdir"))


def versions(folder: str) -> list[int]:
    """Return the numbers of the versions in a folder, which need not exist, sorted; servers take the last.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(int(name) for name in names(folder) if name.isdecimal()) if is_folder(folder) else []


def matching(folder: str, pattern: str) -> list[str]:
    """Return the paths below `folder` that match a glob pattern, sorted."""
    if is_remote(folder):
        return sorted(_local_or_remote(f"{folder}/{pattern}", str, "glob"))
    return sorted(str(path) for path in Path(folder).glob(pattern))


def read(path: str, max_bytes: int | None = None) -> bytes:
    """Return the content of a file that the user named, such as a list. For untrusted folders, use `safe_read`.

    Args:
        path: The file.
        max_bytes: Read no more than this many bytes; None for all.

    Raises:
        OSError: The file cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read(max_bytes)
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            # A reader reserves what is asked for.
            return bytes(file.read() if max_bytes is None else file.read(min(max_bytes, file.size())))
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error


def size_and_time(path: str) -> tuple[int, int] | None:
    """Return a file's size in bytes and modification time in nanoseconds since the epoch; None if it is missing."""
    if not is_remote(path):
        try:
            found = os.stat(path)  # noqa: PTH116 - unchanged: a pathlib.Path drops a trailing slash
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns
    import tensorflow as tf

    try:
        remote = tf.io.gfile.stat(path)
    except tf.errors.OpError:
        return None
    return int(remote.length), int(remote.mtime_nsec)


def sizes(folder: str) -> dict[str, int]:
    """Return the size in bytes of everything in a folder, by name.

    Raises:
        OSError: The folder cannot be read.
    """
    found = names(folder)
    paths = [f"{folder}/{name}" for name in found]
    if not is_remote(folder):
        sized = list(map(size_and_time, paths))
    else:  # a request for each
        with ThreadPoolExecutor(_REMOTE_THREADS) as pool:
            sized = list(pool.map(size_and_time, paths))
    # What is gone by now, or is a dangling link, has a name and no content.
    return {name: size[0] if size else 0 for name, size in zip(found, sized, strict=True)}


def write(path: str, content: bytes) -> None:
    """Write a file, in a folder that exists.

    Raises:
        OSError: It cannot be written.
    """
    if not is_remote(path):
        Path(path).write_bytes(content)
        return
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(content)
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error


def copy(source: Path, path: str) -> None:
    """Copy a file of this machine, in pieces, into a folder that exists.

    Raises:
        OSError: It cannot be read or written.
    """
    if not is_remote(path):
        shutil.copyfile(source, path)
        return
    import tensorflow as tf

    try:
        tf.io.gfile.copy(str(source), path, overwrite=True)
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error


def remove(path: str) -> None:
    """Remove a file or a folder with all that is in it; links are removed and not followed.

    Raises:
        OSError: It cannot be removed.
    """
    if is_remote(path):
        _local_or_remote(path, str, "rmtree" if is_folder(path) else "remove")
    elif os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - the path may be a URL
        shutil.rmtree(path)
    else:
        os.remove(path)  # noqa: PTH107


def make_empty(folder: str) -> None:
    """Remove everything in a folder, which need not exist.

    Raises:
        OSError: Something cannot be removed.
    """
    if exists(folder):
        for name in names(folder):
            remove(f"{folder}/{name}")


def files_of(folder: str) -> list[str]:
    """Return the relative paths of all files below `folder`, which may be a URL, sorted."""
    import tensorflow as tf

    found = []
    for parent, _, names in tf.io.gfile.walk(folder):
        inside = parent.rstrip("/").removeprefix(folder.rstrip("/")).strip("/")
        found += [f"{inside}/{name}" if inside else name for name in names]
    return sorted(found)


def fetch(folder: str, target: Path) -> None:
    """Copy a folder, local or a URL, to a folder of this machine, which is created.

    Raises:
        tf.errors.OpError: A file cannot be read or written.
    """
    import tensorflow as tf

    for name in files_of(folder):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        tf.io.gfile.copy(f"{folder}/{name}", str(target / name), overwrite=True)


def make_folder(url: str) -> None:
    """Create a folder behind a URL, if its store has folders.

    Google's object store has none and needs none. TensorFlow would look up the bucket instead, and retry for minutes if
    it does not exist.

    Raises:
        tf.errors.OpError: The folder cannot be created.
    """
    if not url.startswith("gs://"):
        import tensorflow as tf

        tf.io.gfile.makedirs(url)


def error_line(error: Exception) -> str:
    """Return a file system's error as one line: of an object store's error page, the HTTP status and the message."""
    text = str(error).strip()
    status, message = _STATUS.search(text), _MESSAGE.search(text)
    if status and message:
        return f"{status[1]} {message[1]}"
    return text.partition("\n")[0] or type(error).__name__


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return "://" in path


def _local_or_remote(path: str, local: Callable[[str], Any], remote: str) -> Any:
    if not is_remote(path):
        return local(path)
    import tensorflow as tf

    try:
        return getattr(tf.io.gfile, remote)(path)
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error
