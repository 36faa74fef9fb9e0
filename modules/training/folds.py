"""Cross-validation of the head: every image is answered by a head that has not seen it, nor a near-duplicate of it.

The images of all splits are divided into k folds. For each fold a head of its own is trained as phase 1 trains it: the
next fold takes the place of `eval` (early stopping, learning rate), and the k - 2 others that of `train`. With ten
folds these are the shares of the default splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from edgetune.modules.core.keras_defaults import set_keras_defaults
from edgetune.modules.data.folds import divide
from edgetune.modules.models.classifier import build_head
from edgetune.modules.settings.run import FEWEST_FOLDS, HeadSettings, TrainingSettings
from edgetune.modules.training.cached_features import epochs, in_order
from edgetune.modules.training.logistic import can_solve, solve
from edgetune.modules.training.losses import build_loss
from edgetune.modules.training.phase import Phase, run_phase
from edgetune.modules.training.raw_features import RawFeatures

_BATCH = 1024
"""Rows of features in one prediction."""


@dataclass(frozen=True)
class Fold:
    """A trained head and the images that are held out of its training."""

    head: keras.Model
    held_out: np.ndarray
    """int `[n]`: rows of the features."""
    trained_on: int
    """Number of images that it learned from."""
    phase: Phase

    def answers(self, features: RawFeatures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of rows that are held out, int `[b]`, and probabilities, float32 `[b, C]`."""
        for start in range(0, len(self.held_out), _BATCH):
            rows = self.held_out[start : start + _BATCH]
            # Called directly: tracing a function for each head would take longer than the few batches that there are.
            yield rows, np.asarray(self.head(features.pooled[rows], training=False), np.float32)


def train_folds(
    features: RawFeatures, classes: int, folds: int, head: HeadSettings, settings: TrainingSettings, logs: str
) -> Iterator[Fold]:
    """Train a head for each fold.

    Args:
        features: Features of all images.
        classes: Number of classes, C.
        folds: Number of folds, at least 3.
        head: The architecture.
        settings: Phase 1, loss, batch size and seed. Heads train in float32 on one device, whatever
            `mixed_precision` and `distribution` say.
        logs: Folder for TensorBoard logs.

    Raises:
        DataError: There are too few groups of images.
        TrainingError: A loss is not a finite number.
    """
    if folds < FEWEST_FOLDS:
        raise ValueError(f"{folds} folds")
    set_keras_defaults()
    fold_of = divide(features.label, features.group, folds)
    for number in range(folds):
        stopping = fold_of == (number + 1) % folds
        train = np.flatnonzero(~stopping & (fold_of != number))
        # A class may have all its images in the other folds; its weight then has no effect.
        counts = np.maximum(1, np.bincount(features.label[train], minlength=classes))
        keras.utils.set_random_seed(settings.seed + number)
        network = build_head(features.pooled.shape[1], head, classes)
        name, loss = f"fold {number + 1} of {folds}", build_loss(settings, counts.tolist())
        if can_solve(head, settings, len(train)):
            views = [view[train] for view in features.views]
            rows = np.flatnonzero(stopping)
            evaluation = features.pooled[rows], features.label[rows]
            phase = solve(name, network, views, features.label[train], evaluation, loss, head.l2)
        else:
            phase = run_phase(
                name,
                network,
                epochs(features.views, features.label, settings, train),
                in_order(features.pooled, features.label, settings.batch_size, np.flatnonzero(stopping)),
                loss,
                settings.head,
                f"{logs}/fold-{number}",
                recipe=settings.recipe,
            )
        yield Fold(network, np.flatnonzero(fold_of == number), len(train), phase)
