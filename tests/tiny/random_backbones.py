"""Backbones for loading weights into, built once for each shape, since building takes longer than loading.

A test may use only one of a shape at a time, and compares its weights with those of another one that it builds.
"""

from __future__ import annotations

import functools
import itertools

import keras
import numpy as np

from edgetune.modules.models.backbone import assemble
from edgetune.modules.settings.training import ModelSettings

_seeds = itertools.count(1)
# A range from which no test draws the weights that it saves, so that weights that were not loaded are never equal.
_LOWEST, _HIGHEST = 2.0, 3.0


def spare(settings: ModelSettings) -> keras.Model:
    """Replace `modules.models.backbone.assemble`: return a backbone with new random weights."""
    backbone = shared(settings)
    rng = np.random.default_rng(next(_seeds))
    # As many different numbers as the smaller layers have: to draw all those of a large network takes a second.
    numbers = rng.uniform(_LOWEST, _HIGHEST, 4096).astype(np.float32)
    backbone.set_weights([np.resize(numbers, weight.shape) for weight in backbone.weights])
    backbone.trainable = True
    return backbone


def shared(settings: ModelSettings) -> keras.Model:
    """Replace `assemble` where weights do not matter: return the only backbone of this shape."""
    return _built(settings.backbone, settings.alpha, settings.minimalistic, settings.image_size)


@functools.cache
def _built(backbone: str, alpha: float | None, minimalistic: bool, image_size: int) -> keras.Model:
    shape = {"alpha": alpha, "minimalistic": minimalistic, "image_size": image_size}
    return assemble(ModelSettings(backbone=backbone, weights="none").model_copy(update=shape))
