"""Checkpoints of a training phase, so that a killed training resumes with the same result.

    <folder>/<name>-<epochs>.safetensors    the arrays
    <folder>/<name>.json                    {"arrays": file, "state": {...}, "sha256": of that file and the state}

One checkpoint per phase is kept and replaced after every epoch. The arrays are written first, under a name of their
own; renaming the JSON over the previous one makes the new checkpoint valid. So there is always a complete one, and an
incomplete one is detected by its digest.

Keras's BackupAndRestore keeps weights, optimizer and epoch, but not the counters of early stopping and of the plateau,
nor the best weights, nor the history: a training resumed with it stops elsewhere and keeps other weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf
from absl import logging

from edgetune.modules.settings.run import Settings
from edgetune.modules.training.early_stopping import BestEpoch
from edgetune.modules.training.epochs import Epochs

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


_COUNTERS = {
    "stopping": ("wait", "best", "best_epoch", "stopped_epoch", "lowest_loss"),
    "plateau": ("wait", "best", "cooldown_counter"),
}


def training_key(
    name: str,
    model: keras.Model,
    train: Epochs,
    evaluation: tf.data.Dataset,
    loss: keras.losses.Loss,
    settings: Settings,
) -> str:
    """What a checkpoint belongs to: the phase and its settings, the loss, the weights it begins with, what the data
    looks like, and the versions of Keras and TensorFlow. The content of the data is not looked at.

    Returns:
        SHA-256 in hexadecimal.
    """
    facts = {
        "name": name,
        "settings": settings.model_dump(mode="json"),
        "loss": [type(loss).__name__, loss.get_config()],
        "data": [train.steps, str(train.since(0).element_spec), int(evaluation.cardinality())],
        "trainable": len(model.trainable_variables),
        "versions": [keras.__version__, tf.__version__],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for variable in model.variables:
        array = variable.numpy()
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class TrainingState(keras.callbacks.Callback):
    """Records every epoch and saves a checkpoint after it. Last of the callbacks: it saves what the others decided."""

    def __init__(self, stopping: BestEpoch, plateau: keras.callbacks.ReduceLROnPlateau, epochs: int) -> None:
        """
        Args:
            stopping: Restores the best weights at the end.
            plateau: Lowers the learning rate.
            epochs: The phase ends after so many at the latest.
        """
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        """Values of every finished epoch, those before a restart included."""
        self._callbacks: dict[str, Any] = {"stopping": stopping, "plateau": plateau}
        self._last = epochs
        self._started = time.monotonic()
        self._place: tuple[Path, str, str] | None = None
        self._counters: dict[str, dict[str, float]] | None = None
        self._best: list[np.ndarray] = []
        self._stopped = False

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self._stopped or len(self.epochs) >= self._last

    @property
    def seconds(self) -> float:
        """Of all epochs, those before a restart included."""
        return round(time.monotonic() - self._started, 2)

    def keep_in(self, folder: Path, name: str, key: str) -> None:
        """From now on every epoch is saved.

        Args:
            folder: On a local disk.
            name: Of the phase.
            key: Of `training_key`.
        """
        self._place = (folder, name, key)

    def restore(self, model: keras.Model) -> None:
        """Puts the last checkpoint back, if there is one. A finished phase's model gets its best weights.

        Args:
            model: Compiled, not yet trained.
        """
        if self._place is None or (checkpoint := load(*self._place)) is None:
            return
        state, arrays = checkpoint.state, checkpoint.arrays
        model.optimizer.build(model.trainable_variables)
        for group, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
            for number, variable in enumerate(variables):
                variable.assign(arrays[_name(group, number)])
        self.epochs, self._counters, self._stopped = state["epochs"], state["counters"], state["stopped"]
        self._started = time.monotonic() - state["seconds"]
        here = state["counters"]["stopping"]["best_epoch"] == len(self.epochs) - 1
        weights = model.get_weights()
        self._best = weights if here else [arrays[_name("best", number)] for number in range(len(weights))]
        if self.finished:
            model.set_weights(self._best)
        logging.info("%s: %d epochs are taken from %s", self._place[1], len(self.epochs), self._place[0])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """The others have just set their counters to zero."""
        if self._counters is None:
            return
        for name, callback in self._callbacks.items():
            for counter in _COUNTERS[name]:
                setattr(callback, counter, self._counters[name][counter])
        stopping = self._callbacks["stopping"]
        stopping.best_weights = self._best

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records and saves."""
        self.epochs.append({key: float(value) for key, value in (logs or {}).items()})
        if self._place is None:
            return
        folder, name, key = self._place
        counters = {
            owner: {counter: _plain(getattr(callback, counter)) for counter in _COUNTERS[owner]}
            for owner, callback in self._callbacks.items()
        }
        state = {
            "key": key,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "stopped": bool(self.model.stop_training),
            "counters": counters,
        }
        groups: dict[str, Any] = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        if counters["stopping"]["best_epoch"] != epoch:  # else they are the model's own
            groups["best"] = self._callbacks["stopping"].best_weights
        arrays = {
            _name(group, number): value if isinstance(value, np.ndarray) else value.numpy()
            for group, values in groups.items()
            for number, value in enumerate(values)
        }
        save(folder, name, len(self.epochs), state, arrays)


def _plain(value: Any) -> float | int:
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _name(group: str, number: int) -> str:
    return f"{group}/{number:05d}"
