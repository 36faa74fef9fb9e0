"""One phase of training: compile, train with early stopping, restore the best weights, return the history.

A phase that was killed resumes after its last finished epoch, with the same result as without the interruption.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core import progress
from edgetune.modules.core.errors import TrainingError
from edgetune.modules.settings.run import FineTuneSettings, PhaseSettings, Recipe
from edgetune.modules.training import distribution
from edgetune.modules.training.checkpoint import TrainingState, training_key
from edgetune.modules.training.distributed_fit import fit
from edgetune.modules.training.early_stopping import BestEpoch
from edgetune.modules.training.epochs import Epochs

_WARM_UP = 0.1
"""Share of the steps of fine-tuning in which the rate rises."""


@dataclass(frozen=True)
class Phase:
    """Results of a phase."""

    name: str
    epochs: tuple[dict[str, float], ...]
    """`loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate` of each epoch."""
    best_epoch: int
    """Index into `epochs`, from 0, of the one whose weights the model has: that with the highest `val_accuracy`, and of
    equal ones the lowest `val_loss`. With the recipe `auto` it is the last one of fine-tuning, and the chosen penalty
    of a logistic regression; with `tutorial` it is the one with the lowest `val_loss`."""
    seconds: float
    trainable_parameters: int

    @property
    def best(self) -> dict[str, float]:
        """The best epoch's values."""
        return self.epochs[self.best_epoch]

    def as_json(self) -> dict[str, object]:
        """Return the content for `history.json`."""
        return asdict(self)


def run_phase(
    name: str,
    model: keras.Model,
    train: Epochs,
    evaluation: tf.data.Dataset,
    loss: keras.losses.Loss,
    settings: PhaseSettings | FineTuneSettings,
    log_dir: str,
    resume_dir: str | None = None,
    recipe: Recipe = "auto",
    seconds: float = math.inf,
) -> Phase:
    """Train the layers of `model` that are marked trainable.

    Args:
        name: Name of the phase, used in messages and file names.
        model: The model; it is compiled here, with Adam at the phase's learning rate, and has its best weights
            afterwards. If it was built in the scope of a tf.distribute strategy, it is trained on those devices.
        train: Batches of images float32 `[n, S, S, 3]` and labels int64 `[n]`, augmented differently in each epoch.
        evaluation: Batches of the same kind, without augmentation.
        loss: The loss object, the same one in all phases.
        settings: Epochs, learning rate, patience.
        log_dir: Folder for TensorBoard logs.
        resume_dir: Folder on a local disk for the checkpoint after every epoch, shared by all phases of one training
            and by no other training; None for no checkpoints. A killed phase resumes from there with the weights,
            optimizer, counters, data order and history that it would have had; a finished phase is not trained again.
            The caller removes the folder when the whole training has succeeded.
        recipe: With `auto`, the rate of fine-tuning rises and then follows a cosine to its end, and the last epoch is
            kept; of phase 1 the most accurate one. With `tutorial`, the rate is lowered on plateaus, and the epoch with
            the lowest loss is kept.
        seconds: No further epoch begins after this time.

    Raises:
        TrainingError: The loss is not a finite number.
    """
    planned = recipe == "auto" and isinstance(settings, FineTuneSettings)
    stopping = BestEpoch(settings.patience, recipe, last=planned)
    # A plateau cannot lower a rate that follows a schedule: this one then only records it.
    plateau = keras.callbacks.ReduceLROnPlateau(
        "val_loss",
        factor=settings.plateau_factor,
        patience=settings.epochs if planned else settings.plateau_patience,
    )
    state = TrainingState(stopping, plateau, settings.epochs)
    if resume_dir is not None:
        state.save_to(Path(resume_dir), name, training_key(name, model, train, evaluation, loss, settings, recipe))
    strategy = distribution.strategy_of(model)
    with distribution.scope(strategy):  # the optimizer creates variables too
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        adam = keras.optimizers.Adam(_cosine(settings, train.steps) if planned else settings.learning_rate)
        # On a GPU, Keras would compile the step with XLA: a second time for the last batch of an epoch, which is
        # smaller, and only if XLA finds NVIDIA's assembler and libdevice, which not every installation provides.
        model.compile(adam, loss=loss, metrics=[accuracy], jit_compile=False)
        # A step that must create variables (the optimizer's, or those of a metric given by name) is traced twice.
        model.optimizer.build(model.trainable_variables)
        state.restore(model)
    if not state.finished:
        first = len(state.epochs)
        board = keras.callbacks.TensorBoard(log_dir, write_graph=False)
        callbacks = [_Watch(name, settings.epochs, first), stopping, plateau, board, _TimeLimit(seconds), state]
        if strategy is None:
            model.fit(
                train.since(first),
                steps_per_epoch=train.steps,
                validation_data=evaluation,
                initial_epoch=first,
                epochs=settings.epochs,
                callbacks=callbacks,
                verbose=0,
            )
        else:
            fit(strategy, model, loss, train, evaluation, range(first, settings.epochs), callbacks)
    return Phase(
        name=name,
        epochs=tuple(state.epochs),
        best_epoch=len(state.epochs) - 1 if planned else int(np.argmin([stopping.key(e) for e in state.epochs])),
        seconds=state.seconds,
        trainable_parameters=int(sum(math.prod(weight.shape) for weight in model.trainable_weights)),
    )


class _TimeLimit(keras.callbacks.Callback):
    """Callback that ends the training with the epoch during which the time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._end = time.monotonic() + seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if time.monotonic() >= self._end:
            self.model.stop_training = True


def _cosine(settings: PhaseSettings | FineTuneSettings, steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Rise linearly from 0 to the rate in a tenth of all steps, then fall to 0 along half a cosine.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), without restarts. The position
    is the optimizer's counter of steps, which a checkpoint restores.
    """
    total = settings.epochs * steps
    rising = max(1, round(_WARM_UP * total))
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - rising), warmup_target=settings.learning_rate, warmup_steps=rising
    )


class _Watch(keras.callbacks.Callback):
    """Callback that reports every epoch and raises if the loss is not finite; it runs before the other callbacks."""

    def __init__(self, name: str, epochs: int, first: int) -> None:
        super().__init__()
        self._name, self._epochs, self._first = name.replace("_", " "), epochs, first

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == self._first:
            progress.report(f"{self._name}: epoch {epoch + 1}/{self._epochs}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = logs or {}
        for key in ("loss", "val_loss"):
            if not math.isfinite(values.get(key, math.nan)):
                raise TrainingError(
                    f"{self._name}: {key} is {values.get(key)} after epoch {epoch + 1}",
                    "lower training.head.learning_rate or training.fine_tune.learning_rate",
                )
        logs_line = f"accuracy {values['accuracy']:.3f}, eval {values['val_accuracy']:.3f}"
        progress.report(f"{self._name}: epoch {epoch + 1}/{self._epochs}, {logs_line}")
