"""One phase of training: compiled anew, stopped early, with its best weights and its history kept."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import keras
import numpy as np
import tensorflow as tf

from modules import progress
from modules.errors import TrainingError
from modules.settings import FineTuneSettings, PhaseSettings

MONITORED = "val_loss"


@dataclass(frozen=True)
class Phase:
    """What a phase did."""

    name: str
    epochs: tuple[dict[str, float], ...]
    """`loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate` of each epoch."""
    best_epoch: int
    """Index into `epochs`, from 0: the lowest `val_loss`. The model has its weights."""
    seconds: float
    trainable_parameters: int

    @property
    def best(self) -> dict[str, float]:
        """The best epoch's values."""
        return self.epochs[self.best_epoch]

    def as_json(self) -> dict[str, object]:
        """For `history.json`."""
        return asdict(self)


def run_phase(
    name: str,
    model: keras.Model,
    train: tf.data.Dataset,
    evaluation: tf.data.Dataset,
    loss: keras.losses.Loss,
    settings: PhaseSettings | FineTuneSettings,
    log_dir: str,
) -> Phase:
    """Trains `model` as it is: what is trainable was decided before.

    Args:
        name: Name of the phase, for people.
        model: Compiled anew here, with Adam at the phase's own rate. It has its best weights afterwards.
        train: Batches of images float32 `[n, S, S, 3]` and labels int64 `[n]`, changing from epoch to epoch.
        evaluation: The same without change.
        loss: The loss object, the same one in all phases.
        settings: Epochs, learning rate, patience.
        log_dir: Folder for TensorBoard.

    Raises:
        TrainingError: The loss is no number.
    """
    model.compile(keras.optimizers.Adam(settings.learning_rate), loss=loss, metrics=["accuracy"])
    started = time.monotonic()
    callbacks = [
        _Watch(name, settings.epochs),
        keras.callbacks.EarlyStopping(MONITORED, patience=settings.patience, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(MONITORED, factor=0.5, patience=max(1, settings.patience // 2)),
        keras.callbacks.TensorBoard(log_dir, write_graph=False),
    ]
    history = model.fit(
        train, validation_data=evaluation, epochs=settings.epochs, callbacks=callbacks, verbose=0
    ).history
    columns = {key: [float(value) for value in values] for key, values in history.items()}
    epochs = tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return Phase(
        name=name,
        epochs=epochs,
        best_epoch=int(np.argmin(columns[MONITORED])),
        seconds=round(time.monotonic() - started, 2),
        trainable_parameters=int(sum(math.prod(weight.shape) for weight in model.trainable_weights)),
    )


class _Watch(keras.callbacks.Callback):
    """Reports every epoch, and stops where the loss is no number: first of the callbacks, before any acts on it."""

    def __init__(self, name: str, epochs: int) -> None:
        super().__init__()
        self._name, self._epochs = name.replace("_", " "), epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == 0:
            progress.report(f"{self._name}: epoch 1/{self._epochs}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = logs or {}
        for key in ("loss", MONITORED):
            if not math.isfinite(values.get(key, math.nan)):
                raise TrainingError(
                    f"{self._name}: {key} is {values.get(key)} after epoch {epoch + 1}",
                    "lower training.head.learning_rate or training.fine_tune.learning_rate",
                )
        logs_line = f"accuracy {values['accuracy']:.3f}, eval {values['val_accuracy']:.3f}"
        progress.report(f"{self._name}: epoch {epoch + 1}/{self._epochs}, {logs_line}")
