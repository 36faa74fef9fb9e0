"""Everything that decides how a phase goes on after an epoch: saved after each, and put back where it was killed.

Keras's BackupAndRestore keeps weights, optimizer and epoch, but not the counters of early stopping and of the plateau,
nor the best weights, nor the history: what was resumed with it stops elsewhere and keeps other weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from edgetune.modules.settings.run import Settings
from edgetune.modules.training import checkpoint as resume
from edgetune.modules.training.early_stopping import BestEpoch
from edgetune.modules.training.epochs import Epochs

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
        if self._place is None or (checkpoint := resume.load(*self._place)) is None:
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
        resume.save(folder, name, len(self.epochs), state, arrays)


def _plain(value: Any) -> float | int:
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _name(group: str, number: int) -> str:
    return f"{group}/{number:05d}"
