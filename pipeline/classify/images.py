"""The images that a command names: files, folders, and standard input, which is an image or names some."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import cast

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.data.class_folders import ignored

Named = tuple[str, Path | bytes | DataError]
"""Name of an image, and its path, the content of its file, or why there is none."""
STANDARD_INPUT = "-"
# Of formats that are read; no list of names begins so.
_IMAGE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|....ftyp|\xff\x0a|\0\0\0\x0cJXL",
    re.DOTALL,
)
_LONGEST = 1 << 16
"""Bytes of a name."""


def listed(paths: Sequence[Path]) -> tuple[Iterable[Named], int | None]:
    """Return the images that are named, and their number; None if it is known only when they are read.

    Args:
        paths: Files, folders, which are searched with all in them, and `-`, at most once.

    Raises:
        ConfigError: Standard input is named and cannot be read, or twice.
        DataError: None of the paths exists.
    """
    streams = sum(str(path) == STANDARD_INPUT for path in paths)
    if streams:
        if streams > 1:
            raise ConfigError("- is given twice", "standard input can be read once")
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError(
                "-: standard input is a terminal", "pipe an image or names of images into it, one on each line"
            )
        return _all(paths), None
    if not any(os.path.lexists(path) for path in paths):
        named = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        raise DataError(f"{named}: does not exist" if len(paths) == 1 else f"{named}: none exists", "correct the path")
    found = list(_all(paths))
    return found, len(found)


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and in those inside it, sorted, without hidden ones.

    Raises:
        DataError: It contains no files, or cannot be read.
    """
    found = False
    for inside, below, names in os.walk(folder, onerror=_unreadable):
        below[:] = sorted(name for name in below if not ignored(name))
        for name in sorted(name for name in names if not ignored(name)):
            found = True
            yield Path(inside, name)
    if not found:
        raise DataError(f"{folder}: the folder contains no files", "name image files, or folders of them")


def from_stream(stream: BufferedReader) -> Iterator[Named]:
    """Yield the image that a stream is, or those that it names, one on each line or, as of `find -print0`, before NUL.

    Args:
        stream: Binary.
    """
    start = stream.peek(1 << 12)
    if _IMAGE.match(start):
        most = bounds.max_file_bytes(bounds.MAX_PIXELS)
        content = stream.read(most + 1)
        too_long = DataError(f"{STANDARD_INPUT}: larger than any image of {bounds.MAX_PIXELS} pixels")
        yield STANDARD_INPUT, content if len(content) <= most else too_long
        return
    for line in _lines(stream, b"\0" if b"\0" in start else b"\n"):
        if name := os.fsdecode(line):
            yield from _of(Path(name))


def _lines(stream: BufferedReader, end: bytes) -> Iterator[bytes]:
    if end == b"\n":
        while line := stream.readline(_LONGEST):
            yield line.rstrip(b"\r\n")
        return
    rest = b""
    while part := stream.read1(_LONGEST):
        *whole, rest = (rest + part).split(end)
        yield from whole
    yield rest


def _all(paths: Sequence[Path]) -> Iterator[Named]:
    for path in paths:
        yield from from_stream(cast(BufferedReader, sys.stdin.buffer)) if str(path) == STANDARD_INPUT else _of(path)


def _of(path: Path) -> Iterator[Named]:
    if not path.is_dir():
        yield str(path), path
        return
    try:
        for file in images_in(path):
            yield str(file), file
    except DataError as error:  # the folder itself
        yield str(path), error


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}", "check its permissions")
