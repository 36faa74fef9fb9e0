"""Looking into folders, on this machine or behind a URL (`gs://`, `s3://`, what TensorFlow's file systems know).

Local folders need no TensorFlow, whose import alone takes seconds: a wrong path is told at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = re.compile(r"HTTP response code (\d+)")
_MESSAGE = re.compile(r'"(?:message|error_description)": *"((?:[^"\\]|\\.)*)"')


def exists(path: str) -> bool:
    """Whether there is anything."""
    return bool(_local_or_remote(path, os.path.exists, "exists"))


def is_folder(path: str) -> bool:
    """Whether it is a folder."""
    return bool(_local_or_remote(path, os.path.isdir, "isdir"))


def names(folder: str) -> list[str]:
    """Names of all files and folders inside, sorted.

    Raises:
        OSError: It cannot be read.
    """
    return sorted(name.rstrip("/") for name in _local_or_remote(folder, os.listdir, "listdir"))


def matching(folder: str, pattern: str) -> list[str]:
    """Paths below `folder` that match a glob pattern, sorted."""
    if is_remote(folder):
        return sorted(_local_or_remote(f"{folder}/{pattern}", str, "glob"))
    return sorted(str(path) for path in Path(folder).glob(pattern))


def read(path: str, most: int | None = None) -> bytes:
    """Return the content of a file that the user named, such as a list. For untrusted folders: `safe_read`.

    Args:
        path: The file.
        most: How many bytes are read at most; None for all.

    Raises:
        OSError: It cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read(most)
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read() if most is None else file.read(most))
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error


def size_and_time(path: str) -> tuple[int, int] | None:
    """Bytes and time of the last change, in nanoseconds since the epoch; None where there is no such file."""
    if not is_remote(path):
        try:
            found = os.stat(path)  # noqa: PTH116 - as it is: a pathlib.Path drops a trailing slash
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns
    import tensorflow as tf

    try:
        remote = tf.io.gfile.stat(path)
    except tf.errors.OpError:
        return None
    return int(remote.length), int(remote.mtime_nsec)


def files_of(folder: str) -> list[str]:
    """Relative paths of all files below `folder`, which may be a URL; sorted."""
    import tensorflow as tf

    found = []
    for parent, _, names in tf.io.gfile.walk(folder):
        inside = parent.rstrip("/").removeprefix(folder.rstrip("/")).strip("/")
        found += [f"{inside}/{name}" if inside else name for name in names]
    return sorted(found)


def make(url: str) -> None:
    """Makes a folder behind a URL, where folders are something.

    Google's object store has none: what is written there is there. TensorFlow would ask for the bucket instead, and go
    on asking for minutes where it does not exist.

    Raises:
        tf.errors.OpError: It cannot be made.
    """
    if not url.startswith("gs://"):
        import tensorflow as tf

        tf.io.gfile.makedirs(url)


def reason(error: Exception) -> str:
    """Why a file system refused, in one line: of the page that an object store answers with, its status and message."""
    text = str(error).strip()
    status, message = _STATUS.search(text), _MESSAGE.search(text)
    if status and message:
        return f"{status[1]} {message[1]}"
    return text.partition("\n")[0] or type(error).__name__


def is_remote(path: str) -> bool:
    """Whether it is a URL."""
    return "://" in path


def _local_or_remote(path: str, local: Callable[[str], Any], remote: str) -> Any:
    if not is_remote(path):
        return local(path)
    import tensorflow as tf

    try:
        return getattr(tf.io.gfile, remote)(path)
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error
