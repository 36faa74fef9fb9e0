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

from edgetune.modules.settings.run import Recipe, Settings
from edgetune.modules.training.early_stopping import BestEpoch
from edgetune.modules.training.epochs import Epochs

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """The saved state of a phase."""

    state: dict[str, Any]
    """Everything but arrays, as JSON values; floats are restored bit for bit."""
    arrays: Arrays


def save(folder: Path, name: str, epochs: int, state: dict[str, Any], arrays: Arrays) -> None:
    """Replace the checkpoint of a phase; if the disk is full or fails, log a warning and keep the previous one.

    Training goes on then: a missing checkpoint must not end it.

    Args:
        folder: Folder on a local disk, created if missing.
        name: Name of the phase.
        epochs: Number of finished epochs, at least 1.
        state: JSON values.
        arrays: Arrays by name.
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
        logging.warning("%s: cannot save the checkpoint after epoch %d of %s: %s", folder, epochs, name, error)
        return
    for old in _arrays_of(folder, name):
        if old != file:
            old.unlink(missing_ok=True)


def load(folder: Path, name: str, key: str) -> Checkpoint | None:
    """Return the last checkpoint of a phase; None if there is none, or it is damaged or belongs to another training.

    Args:
        folder: The folder given to `save`.
        name: Name of the phase.
        key: Expected `state["key"]`; it covers everything that the training depends on.
    """
    manifest = folder / f"{name}.json"
    if not manifest.exists():
        return None
    try:
        record = json.loads(manifest.read_bytes())
        state, file = record["state"], Path(record["arrays"])
        if file.name != record["arrays"]:
            raise ValueError(f"{file} is not the name of a file beside it")
        content = (folder / file).read_bytes()
        if _digest(content, state) != record["sha256"]:
            raise ValueError("it has changed since it was written")
        if state["key"] != key:
            raise ValueError("it belongs to other settings, weights or code")
        return Checkpoint(state, safetensors.numpy.load(content))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        logging.warning("%s is not used, the phase starts over: %s", manifest, error)
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
    recipe: Recipe,
) -> str:
    """Return the key that a checkpoint belongs to, as SHA-256 in hexadecimal.

    It covers the phase, its recipe and settings, the loss, the initial weights, the number and shapes of the batches,
    and the versions of Keras and TensorFlow, but not the content of the data.
    """
    facts = {
        "name": name,
        "settings": [recipe, settings.model_dump(mode="json")],
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
    """Callback that records every epoch and saves a checkpoint after it.

    It must be the last callback, because it saves what the others decided.
    """

    def __init__(self, stopping: BestEpoch, plateau: keras.callbacks.ReduceLROnPlateau, epochs: int) -> None:
        """Create the callback.

        Args:
            stopping: The callback that restores the best weights at the end.
            plateau: The callback that lowers the learning rate.
            epochs: Maximum number of epochs of the phase.
        """
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        """Values of every finished epoch, including those before a restart."""
        self._callbacks: dict[str, Any] = {"stopping": stopping, "plateau": plateau}
        self._last = epochs
        self._started = time.monotonic()
        self._target: tuple[Path, str, str] | None = None
        self._counters: dict[str, dict[str, float]] | None = None
        self._best: list[np.ndarray] = []
        self._stopped = False

    @property
    def finished(self) -> bool:
        """True if no epoch is left to train."""
        return self._stopped or len(self.epochs) >= self._last

    @property
    def seconds(self) -> float:
        """Duration of all epochs, including those before a restart."""
        return round(time.monotonic() - self._started, 2)

    def save_to(self, folder: Path, name: str, key: str) -> None:
        """Save every epoch from now on.

        Args:
            folder: Folder on a local disk.
            name: Name of the phase.
            key: Result of `training_key`.
        """
        self._target = (folder, name, key)

    def restore(self, model: keras.Model) -> None:
        """Restore the last checkpoint, if there is one; if the phase had finished, restore its best weights.

        Args:
            model: Compiled, not yet trained.
        """
        if self._target is None or (checkpoint := load(*self._target)) is None:
            return
        state, arrays = checkpoint.state, checkpoint.arrays
        model.optimizer.build(model.trainable_variables)
        for group, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
            for number, variable in enumerate(variables):
                variable.assign(arrays[_name(group, number)])
        self.epochs, self._counters, self._stopped = state["epochs"], state["counters"], state["stopped"]
        self._started = time.monotonic() - state["seconds"]
        last_is_best = state["counters"]["stopping"]["best_epoch"] == len(self.epochs) - 1
        weights = model.get_weights()
        self._best = weights if last_is_best else [arrays[_name("best", number)] for number in range(len(weights))]
        if self.finished:
            model.set_weights(self._best)
        logging.info("%s: restored %d epochs from %s", self._target[1], len(self.epochs), self._target[0])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the counters of the other callbacks, which have just been reset."""
        if self._counters is None:
            return
        for name, callback in self._callbacks.items():
            for counter in _COUNTERS[name]:
                setattr(callback, counter, self._counters[name][counter])
        stopping = self._callbacks["stopping"]
        stopping.best_weights = self._best

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record the epoch and save a checkpoint."""
        self.epochs.append({key: float(value) for key, value in (logs or {}).items()})
        if self._target is None:
            return
        folder, name, key = self._target
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
        if counters["stopping"]["best_epoch"] != epoch:  # otherwise the model has the best weights
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
