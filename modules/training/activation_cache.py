"""Arrays on disk that one training after the other may read: written once, checked before every use, never half.

    <folder>/<key>/<part>/manifest.json     key, part, and of each array: shape, dtype, bytes, CRC-32
    <folder>/<key>/<part>/<name>.bin        the array's bytes, row after row

The key stands for everything that the content depends on; parts of one key are built when they are wanted. Rows are
appended, so nobody has to know their number before; they are read through a memory map, so memory does not grow with
their number.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from edgetune.modules.core.errors import TrainingError

_MANIFEST = "manifest.json"
_KEPT = 2
"""Keys that stay in the folder, this one included: switching between two settings costs nothing."""
_CHUNK_BYTES = 1 << 24

Arrays = dict[str, np.ndarray]


class Writer:
    """Appends rows to named arrays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    def append(self, name: str, rows: np.ndarray) -> None:
        """Adds rows `[n, ...]`; shape and dtype of a row are those of the first call."""
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.bin").open("wb")
            self._facts[name] = {"shape": [0, *rows.shape[1:]], "dtype": rows.dtype.name, "bytes": 0, "crc32": 0}
        facts = self._facts[name]
        if (list(rows.shape[1:]), rows.dtype.name) != (facts["shape"][1:], facts["dtype"]):
            raise ValueError(f"rows of {name} are {rows.dtype} {rows.shape[1:]}, the first ones were {facts}")
        content = np.ascontiguousarray(rows).data.cast("B")
        self._files[name].write(content)
        facts["shape"][0] += len(rows)
        facts["bytes"] += content.nbytes
        facts["crc32"] = zlib.crc32(content, facts["crc32"])

    def close(self) -> dict[str, dict[str, Any]]:
        """Ends the files; the facts of each array."""
        for file in self._files.values():
            file.close()
        return self._facts


def open_or_build(folder: Path, key: str, part: str, build: Callable[[Writer], None]) -> Arrays:
    """The arrays of a part, memory-mapped and read-only: from the folder where they are whole, else built anew.

    Args:
        folder: Of all caches; made where it is missing. The least recently used keys in it are removed.
        key: Hexadecimal digest of everything that the arrays depend on.
        part: Name of the part.
        build: Writes its arrays.

    Raises:
        TrainingError: The disk is full, or cannot be written.
    """
    place = folder / key / part
    manifest = {"key": key, "part": part}
    arrays = _open(place, manifest)
    if arrays is None:
        _build(place, manifest, build)
        arrays = _open(place, manifest)
        if arrays is None:
            raise TrainingError(f"{place}: what was written is not what can be read", "check the disk")
    os.utime(place.parent)
    _remove_old(folder)
    return arrays


def _build(place: Path, manifest: dict[str, str], build: Callable[[Writer], None]) -> None:
    unfinished: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        writer = Writer(unfinished)
        try:
            build(writer)
        finally:
            facts = writer.close()
        (unfinished / _MANIFEST).write_text(json.dumps({**manifest, "arrays": facts}), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        unfinished.replace(place)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"cannot be written: {error.strerror or error}"
        raise TrainingError(
            f"{place.parent.parent}: {reason} (activations of the frozen part of the network are kept there)",
            "make room, lower training.activation_cache.views, or set training.activation_cache.enabled to false",
        ) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        with contextlib.suppress(OSError):  # parts are in it
            place.parent.rmdir()


def _open(place: Path, expected: dict[str, str]) -> Arrays | None:
    """None where there is nothing, or something that is not whole: it is built again, never trained on."""
    if not place.is_dir():
        return None
    try:
        manifest = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
        arrays = manifest.pop("arrays")
        if manifest != expected:
            raise ValueError(f"it is of {manifest}")
        return {name: _map(place / f"{name}.bin", facts) for name, facts in arrays.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logging.warning("%s is not whole and is built again: %s", place, error)
        return None


def _map(path: Path, facts: dict[str, Any]) -> np.ndarray:
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise ValueError(f"{path.name} has {size} bytes instead of {facts['bytes']}")
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    if crc != facts["crc32"]:
        raise ValueError(f"{path.name} has changed since it was written")
    return np.memmap(path, dtype=facts["dtype"], mode="r", shape=tuple(facts["shape"]))


def _remove_old(folder: Path) -> None:
    places = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for place in sorted(places, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        with contextlib.suppress(OSError):  # another process may be removing it too
            shutil.rmtree(place)
