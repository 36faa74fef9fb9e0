"""List and read files and folders, local or behind a URL (`gs://`, `s3://`, any scheme that TensorFlow supports).

Local paths do not need TensorFlow, whose import alone takes seconds, so a wrong path is reported immediately.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LARGEST_VERSION = (1 << 63) - 1
"""Of TensorFlow Serving."""
_BLOCK = 1 << 20
_REMOTE_THREADS = 16
# TensorFlow's codes of errors that callers tell apart: NOT_FOUND, ALREADY_EXISTS and PERMISSION_DENIED.
_ERRNO = {5: errno.ENOENT, 6: errno.EEXIST, 7: errno.EACCES}
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


def entries(folder: str) -> list[tuple[str, bool]]:
    """Return name, and whether it is a folder, of everything in a folder, sorted; links are followed.

    Behind a URL each name that may be that of a folder costs a request: one without an ending, unless the store ends
    the names of folders with a slash, as Google's does.

    Raises:
        OSError: The folder cannot be read.
    """
    if not is_remote(folder):
        with os.scandir(folder) as found:
            # A link in a circle has an `is_dir` that raises, and `isdir` is false for it.
            return sorted((e.name, os.path.isdir(e.path) if e.is_symlink() else e.is_dir()) for e in found)  # noqa: PTH112
    listed = [name for name in _local_or_remote(folder, os.listdir, "listdir") if name.strip("/")]
    return sorted(
        (name.rstrip("/"), name.endswith("/") or "." not in name and is_folder(f"{folder}/{name}")) for name in listed
    )


def version_number(name: str) -> int | None:
    """Return the number of a version by the name of its folder, as TensorFlow Serving reads it; None if it is none.

    Servers look at ASCII digits alone, and take no number above 2^63 - 1.
    """
    number = int(name) if name.isascii() and name.isdecimal() else LARGEST_VERSION + 1
    return number if number <= LARGEST_VERSION else None


def versions(folder: str) -> list[int]:
    """Return the numbers of the versions in a folder, which need not exist, sorted; servers take the last.

    Raises:
        OSError: The folder cannot be read.
    """
    return in_order(names(folder)) if is_folder(folder) else []


def in_order(found: Iterable[str]) -> list[int]:
    """Return the numbers of those names that are versions, sorted."""
    return sorted(number for number in map(version_number, found) if number is not None)


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
        raise _os_error(error, path) from error


def blocks(path: str) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most 1 MiB.

    Raises:
        OSError: The file cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
        return
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except tf.errors.OpError as error:
        raise _os_error(error, path) from error


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
        raise _os_error(error, path) from error


def copy(source: str | Path, path: str) -> None:
    """Copy a file, local or a URL, in pieces, into a folder that exists.

    Raises:
        OSError: It cannot be read or written.
    """
    if not is_remote(path) and not is_remote(str(source)):
        shutil.copyfile(source, path)
        return
    import tensorflow as tf

    try:
        tf.io.gfile.copy(str(source), path, overwrite=True)
    except tf.errors.OpError as error:
        raise _os_error(error, path) from error


def rename(path: str, new: str, *, overwrite: bool = False) -> None:
    """Rename a file within its store; Google's object store does so without sending the content.

    Args:
        path: The file, local or a URL.
        new: Its new name, in a folder that exists.
        overwrite: Replace a file of that name; on a disk, that is always so.

    Raises:
        FileExistsError: There is a file of the new name already.
        OSError: It cannot be renamed.
    """
    if not is_remote(path):
        os.replace(path, new)  # noqa: PTH105 - the path may be a URL
        return
    import tensorflow as tf

    try:
        tf.io.gfile.rename(path, new, overwrite)
    except tf.errors.OpError as error:
        raise _os_error(error, path) from error


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
    """Return the relative paths of all files below `folder`, which may be a URL, sorted; none if it does not exist.

    Raises:
        OSError: The folder behind a URL cannot be read.
    """
    if is_remote(folder):
        import tensorflow as tf

        try:
            walked = list(tf.io.gfile.walk(folder))
        except tf.errors.OpError as error:
            raise _os_error(error, folder) from error
    else:
        walked = list(os.walk(folder, followlinks=True))
    found = []
    for parent, _, names in walked:
        inside = parent.rstrip("/").removeprefix(folder.rstrip("/")).strip("/")
        found += [f"{inside}/{name}" if inside else name for name in names]
    return sorted(found)


def fetch(folder: str, target: Path) -> None:
    """Copy a folder, local or a URL, to a folder of this machine, which is created.

    Raises:
        OSError: A file cannot be read or written.
    """
    for name in files_of(folder):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy(f"{folder}/{name}", str(target / name))


def make_folder(url: str) -> None:
    """Create a folder, and those above it; behind a URL only if its store has folders.

    Google's object store has none and needs none. TensorFlow would look up the bucket instead, and retry for minutes if
    it does not exist.

    Raises:
        OSError: The folder cannot be created.
    """
    if not url.startswith("gs://"):
        _local_or_remote(url, lambda path: os.makedirs(path, exist_ok=True), "makedirs")  # noqa: PTH103


def error_line(error: Exception) -> str:
    """Return a file system's error as one line: of an object store's error page, the HTTP status and the message."""
    text = str(getattr(error, "strerror", None) or error).strip()
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
        raise _os_error(error, path) from error


def _os_error(error: Any, path: str) -> OSError:
    """Return TensorFlow's error as one of the operating system; those that callers tell apart as their class."""
    return OSError(_ERRNO.get(error.error_code, errno.EIO), error.message, path)
