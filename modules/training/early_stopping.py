"""Select the best epoch of a training, and stop when no better one is expected.

The gates judge accuracy, so the best epoch is the most accurate on `eval`, and of equally accurate ones that with the
lowest loss. Loss alone selects too early an epoch: while a network becomes over-confident, its loss on `eval` rises and
its accuracy may still rise too (Guo et al., 2017, "On Calibration of Modern Neural Networks", section 3).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import keras

from edgetune.modules.settings.run import Recipe

_LOSS_SHARE = 1e-6
"""Small enough that one more correct image in a million outweighs any loss."""


def rank(values: Mapping[str, float]) -> float:
    """Return the sort key of an epoch, of one phase or of several; lower is better.

    Args:
        values: An epoch's `val_accuracy`, 0 to 1, and `val_loss`, at least 0.

    Returns:
        The share of `eval` that is misclassified, 0 to 1, plus less than 1e-6 for the loss.
    """
    loss = values["val_loss"]
    return 1.0 - values["val_accuracy"] + _LOSS_SHARE * loss / (1.0 + loss)


def key_of(recipe: Recipe) -> Callable[[Mapping[str, float]], float]:
    """Return the sort key by which a recipe selects epochs and phases; lower is better."""
    return rank if recipe == "auto" else operator.itemgetter("val_loss")


class BestEpoch(keras.callbacks.EarlyStopping):
    """Early stopping that watches accuracy and loss on `eval`, and restores the weights of the best epoch."""

    def __init__(self, patience: int, recipe: Recipe = "auto", *, last: bool = False) -> None:
        """Create the callback.

        Args:
            patience: The phase ends after so many epochs in which neither accuracy nor loss on `eval` has improved.
            recipe: With `tutorial`, the loss alone decides, as in the published method.
            last: Every epoch is better than those before it: the learning rate follows a plan to its end.
        """
        super().__init__("val_loss", patience=patience, restore_best_weights=True)
        self.lowest_loss = float("inf")
        self.key, self.last = key_of(recipe), last

    def get_monitor_value(self, logs: dict[str, float] | None) -> float:
        """Return the value that Keras compares; the lowest wins."""
        return min(self.best, 0.0) - 1.0 if self.last else self.key(logs or {})

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Reset the callback."""
        super().on_train_begin(logs)
        # Keras compares in float32, which would round away the loss's share of the rank.
        self.monitor_op = operator.lt
        self.best = self.lowest_loss = float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Restart the wait if the loss has improved, even if the accuracy has not."""
        loss = (logs or {})["val_loss"]
        if loss < self.lowest_loss:
            self.lowest_loss = loss
            self.wait = -1  # Keras adds one before comparing it with the patience
        super().on_epoch_end(epoch, logs)
