"""Divide images into folds for a cross-validation; images that must not be separated stay together."""

from __future__ import annotations

import warnings

import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.settings.run import FEWEST_FOLDS


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
    from sklearn.model_selection import StratifiedGroupKFold

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


def _too_few(groups: int, folds: int) -> DataError:
    return DataError(
        f"the images, {groups} groups of near-duplicates, are too few or too unequal for {folds} folds",
        f"add images, or set evaluation.folds to {FEWEST_FOLDS} or more, but fewer than {folds}, or to 0",
    )
