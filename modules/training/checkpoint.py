"""The checkpoint that a killed training goes on from: one per phase, replaced after every epoch.

    <folder>/<name>-<epochs>.safetensors    the arrays
    <folder>/<name>.json                    {"arrays": file, "state": {...}, "sha256": of that file and the state}

The arrays are written first, under a name of their own; renaming the JSON onto the last one is what makes the new
checkpoint count. So there is a whole one at every moment, and whatever is not whole is known by its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from absl import logging

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """What was saved."""

    state: dict[str, Any]
    """Everything but arrays, as JSON can hold it; floats come back as they were, to the bit."""
    arrays: Arrays


def save(folder: Path, name: str, epochs: int, state: dict[str, Any], arrays: Arrays) -> None:
    """Replaces the checkpoint of `name`. On a disk that is full or broken the last one stays, and a log line says so:
    a checkpoint is there to save a training, not to end it.

    Args:
        folder: On a local disk; made where it is missing.
        name: Of the phase.
        epochs: Finished ones, at least 1.
        state: As JSON can hold it.
        arrays: By name.
    """
    file = folder / f"{name}-{epochs:04d}.safetensors"
    manifest = folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = safetensors.numpy.save({key: np.asarray(array, order="C") for key, array in arrays.items()})
        _write(file, content)
        record = {"arrays": file.name, "state": state, "sha256": _digest(content, state)}
        _write(manifest, json.dumps(record, indent=1).encode())
    except OSError as error:
        logging.warning("%s: no checkpoint after epoch %d of %s: %s", folder, epochs, name, error)
        return
    for old in _arrays_of(folder, name):
        if old != file:
            old.unlink(missing_ok=True)


def load(folder: Path, name: str, key: str) -> Checkpoint | None:
    """The last checkpoint of `name`; None where there is none, or where it is damaged or another training's.

    Args:
        folder: Where `save` wrote.
        name: Of the phase.
        key: What `state["key"]` must be: stands for everything that the training depends on.
    """
    manifest = folder / f"{name}.json"
    if not manifest.exists():
        return None
    try:
        record = json.loads(manifest.read_bytes())
        state, file = record["state"], Path(record["arrays"])
        if file.name != record["arrays"]:
            raise ValueError(f"{file} is not a name of a file beside it")
        content = (folder / file).read_bytes()
        if _digest(content, state) != record["sha256"]:
            raise ValueError("it has changed since it was written")
        if state["key"] != key:
            raise ValueError("it is of other settings, other weights or other code")
        return Checkpoint(state, safetensors.numpy.load(content))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        logging.warning("%s is not used, the phase begins anew: %s", manifest, error)
        return None


def _digest(content: bytes, state: dict[str, Any]) -> str:
    digest = hashlib.sha256(content)
    digest.update(json.dumps(state, sort_keys=True).encode())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Beside, then renamed: the file is whole or absent."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _arrays_of(folder: Path, name: str) -> list[Path]:
    prefix = f"{name}-"
    return [
        path
        for path in folder.glob("*.safetensors")
        if path.stem.startswith(prefix) and path.stem.removeprefix(prefix).isdigit()
    ]
