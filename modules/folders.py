"""Looking into folders, on this machine or behind a URL (`gs://`, `s3://`, what TensorFlow's file systems know).

Local folders need no TensorFlow, whose import alone takes seconds: a wrong path is told at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
    if _is_remote(folder):
        return sorted(_local_or_remote(f"{folder}/{pattern}", str, "glob"))
    return sorted(str(path) for path in Path(folder).glob(pattern))


def _is_remote(path: str) -> bool:
    return "://" in path


def _local_or_remote(path: str, local: Callable[[str], Any], remote: str) -> Any:
    if not _is_remote(path):
        return local(path)
    import tensorflow as tf

    try:
        return getattr(tf.io.gfile, remote)(path)
    except tf.errors.OpError as error:
        raise OSError(error.error_code, error.message, path) from error
