"""A disk cache of arrays shared by successive trainings: written once and atomically, verified before every use.

    <folder>/<key>/<part>/manifest.json     key, part, and of each array: shape, dtype, bytes, CRC-32
    <folder>/<key>/<part>/<name>.bin        the array's bytes, row after row

The key covers everything that the content depends on; the parts of a key are built on demand. Rows are appended, so
their number need not be known in advance, and read through a memory map, so memory use does not grow with it.
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
_KEYS_KEPT = 2
"""Keys that stay in the folder, the current one included, if each of two settings has one: switching between them
rebuilds nothing."""
_REMEDY = "free some space, lower training.activation_cache.views, or set training.activation_cache.enabled to false"
"""For the trainer's cache."""
_CHUNK_BYTES = 1 << 24

Arrays = dict[str, np.ndarray]


class Writer:
    """Appends rows to named arrays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    def append(self, name: str, rows: np.ndarray) -> None:
        """Append rows `[n, ...]`; the first call fixes the shape and dtype of a row."""
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
        """Close the files and return each array's manifest entry."""
        for file in self._files.values():
            file.close()
        return self._facts


def open_or_build(
    folder: Path,
    key: str,
    part: str,
    build: Callable[[Writer], None],
    *,
    keys: int = _KEYS_KEPT,
    remedy: str = _REMEDY,
) -> Arrays:
    """Return the arrays of a part, memory-mapped and read-only; build them if the cache has no intact copy.

    Args:
        folder: Folder of all caches, created if missing. Its least recently used keys are removed.
        key: Hexadecimal digest of everything that the arrays depend on.
        part: Name of the part.
        build: Writes the part's arrays.
        keys: Number of keys that stay in the folder, the current one included.
        remedy: What to do if the disk is full.

    Raises:
        TrainingError: The disk is full or cannot be written.
    """
    part_folder = folder / key / part
    manifest = {"key": key, "part": part}
    arrays = _open(part_folder, manifest)
    if arrays is None:
        _build(part_folder, manifest, build, remedy)
        arrays = _open(part_folder, manifest)
        if arrays is None:
            raise TrainingError(f"{part_folder}: cannot read back what was just written", "check the disk")
    os.utime(part_folder.parent)
    _remove_old(folder, keys)
    return arrays


def _build(part_folder: Path, manifest: dict[str, str], build: Callable[[Writer], None], remedy: str) -> None:
    unfinished: Path | None = None
    try:
        part_folder.parent.mkdir(parents=True, exist_ok=True)
        # What a killed training left: one at a time runs here.
        for left in part_folder.parent.glob(f".{part_folder.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{part_folder.name}-", dir=part_folder.parent))
        writer = Writer(unfinished)
        try:
            build(writer)
        finally:
            facts = writer.close()
        (unfinished / _MANIFEST).write_text(json.dumps({**manifest, "arrays": facts}), encoding="utf-8")
        shutil.rmtree(part_folder, ignore_errors=True)
        unfinished.replace(part_folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"cannot be written: {error.strerror or error}"
        raise TrainingError(
            f"{part_folder.parent.parent}: {reason} (the cache for activations of the frozen part of the network)",
            remedy,
        ) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: it holds parts
            part_folder.parent.rmdir()


def _open(part_folder: Path, expected: dict[str, str]) -> Arrays | None:
    """Return the arrays, or None if the part is missing or damaged and must be built (again)."""
    if not part_folder.is_dir():
        return None
    try:
        manifest = json.loads((part_folder / _MANIFEST).read_text(encoding="utf-8"))
        arrays = manifest.pop("arrays")
        if manifest != expected:
            raise ValueError(f"its manifest is for {manifest}")
        return {name: _map(part_folder / f"{name}.bin", facts) for name, facts in arrays.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logging.warning("%s is damaged and is built again: %s", part_folder, error)
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


def _remove_old(folder: Path, keys: int) -> None:
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for key in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[keys:]:
        with contextlib.suppress(OSError):  # another process may be removing it too
            shutil.rmtree(key)
