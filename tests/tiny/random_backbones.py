"""Backbones to load weights into: built once for each shape, for to build one takes longer than to load it.

Tests that use it hold one of a shape at a time, and compare its weights with those of another, built by itself.
"""

from __future__ import annotations

import functools
import itertools

import keras
import numpy as np

from edgetune.modules.models.backbone import assemble
from edgetune.modules.settings.training import ModelSettings

_seeds = itertools.count(1)
# Where no test draws the weights that it saves: what was not loaded is never equal by chance, or by the same seed.
_LOWEST, _HIGHEST = 2.0, 3.0


def spare(settings: ModelSettings) -> keras.Model:
    """In the place of `modules.models.backbone.assemble`: with random weights that it has never had before."""
    backbone = _built(settings.backbone, settings.alpha, settings.minimalistic, settings.image_size)
    rng = np.random.default_rng(next(_seeds))
    backbone.set_weights(
        [rng.uniform(_LOWEST, _HIGHEST, weight.shape).astype(np.float32) for weight in backbone.weights]
    )
    backbone.trainable = True
    return backbone


@functools.cache
def _built(backbone: str, alpha: float | None, minimalistic: bool, image_size: int) -> keras.Model:
    shape = {"alpha": alpha, "minimalistic": minimalistic, "image_size": image_size}
    return assemble(ModelSettings(backbone=backbone, weights="none").model_copy(update=shape))
