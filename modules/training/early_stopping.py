"""Which epoch of a training is the best, and when no better one is to be expected.

The gates judge accuracy, so the best epoch is the most accurate one on `eval`, and of equally accurate ones the one of
the lowest loss. The loss alone picks too early: while a network grows over-confident, the loss on `eval` rises and its
accuracy may still rise too (Guo et al., 2017, "On Calibration of Modern Neural Networks", section 3).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import keras

_LOSS_SHARE = 1e-6
"""So little that one image of a million classified rightly outweighs any loss."""


def rank(values: Mapping[str, float]) -> float:
    """Orders epochs, of one phase or of two.

    Args:
        values: An epoch's `val_accuracy`, 0 to 1, and `val_loss`, at least 0.

    Returns:
        The lower, the better: the share of `eval` that is classified wrongly, 0 to 1, plus less than 1e-6 for the loss.
    """
    loss = values["val_loss"]
    return 1.0 - values["val_accuracy"] + _LOSS_SHARE * loss / (1.0 + loss)


class BestEpoch(keras.callbacks.EarlyStopping):
    """Keeps the weights of the best epoch; ends the phase where for long neither the accuracy nor the loss on `eval`
    was better than ever before."""

    def __init__(self, patience: int) -> None:
        """
        Args:
            patience: Epochs without either before the phase ends.
        """
        super().__init__("val_loss", patience=patience, restore_best_weights=True)
        self.lowest_loss = float("inf")

    def get_monitor_value(self, logs: dict[str, float] | None) -> float:
        """What Keras compares, for the lowest to win."""
        return rank(logs or {})

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins anew."""
        super().on_train_begin(logs)
        # Keras would compare in float32, in which the loss's share is lost beside the accuracy's.
        self.monitor_op = operator.lt
        self.best = self.lowest_loss = float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Counts the wait anew where the loss alone is better, too."""
        loss = (logs or {})["val_loss"]
        if loss < self.lowest_loss:
            self.lowest_loss = loss
            self.wait = -1  # Keras adds one before it looks
        super().on_epoch_end(epoch, logs)
