"""Cross-validation of the head: every image is answered by a head that has not seen it, nor a near-duplicate of it.

The images of all splits are divided into k folds. For each fold a head of its own is trained as phase 1 trains it: the
next fold takes the place of `eval` (early stopping, learning rate), and the k - 2 others that of `train`. With ten
folds these are the shares of the default splits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from edgetune.modules.core.errors import DataError
from edgetune.modules.core.keras_defaults import set_keras_defaults
from edgetune.modules.models.classifier import build_head
from edgetune.modules.settings.run import FEWEST_FOLDS, HeadSettings, TrainingSettings
from edgetune.modules.training.cached_features import epochs, in_order
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


def divide(label: np.ndarray, group: np.ndarray, folds: int) -> np.ndarray:
    """Divide images into folds: whole groups, with as equal shares of each class as groups allow.

    The method is scikit-learn's `StratifiedGroupKFold`. It takes the groups in the order of their ids, so the result
    depends neither on the order of the images nor on a seed.

    Args:
        label: int `[N]`.
        group: bytes or str `[N]`.
        folds: Number of folds.

    Returns:
        int `[N]`, the fold of each image, from 0.

    Raises:
        DataError: There are too few groups to give each fold one.
    """
    found = np.full(len(label), -1)
    try:
        with warnings.catch_warnings():
            # Some folds lack a class that has fewer images than there are folds; that is unavoidable.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            parts = StratifiedGroupKFold(folds).split(label, label, group)
            for number, (_, rows) in enumerate(parts):
                found[rows] = number
    except ValueError as error:
        raise _too_few(len(np.unique(group)), folds) from error
    if len(np.unique(found)) != folds or found.min() < 0:
        raise _too_few(len(np.unique(group)), folds)
    return found


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
        phase = run_phase(
            f"fold {number + 1} of {folds}",
            network,
            epochs(features.views, features.label, settings, train),
            in_order(features.pooled, features.label, settings.batch_size, np.flatnonzero(stopping)),
            build_loss(settings, counts.tolist()),
            settings.head,
            f"{logs}/fold-{number}",
        )
        yield Fold(network, np.flatnonzero(fold_of == number), len(train), phase)


def _too_few(groups: int, folds: int) -> DataError:
    return DataError(
        f"the images, {groups} groups of near-duplicates, are too few or too unequal for {folds} folds",
        f"add images, or set evaluation.folds to {FEWEST_FOLDS} or more, but fewer than {folds}, or to 0",
    )
