"""Every supported architecture, built once for all tests: the largest take seconds."""

from __future__ import annotations

import functools
from typing import get_args

import keras
import pytest

from edgetune.modules.models.backbone import assemble
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.training import Backbone, ModelSettings

NAMES: tuple[str, ...] = get_args(Backbone)
VARIANTS = NAMES + tuple(f"{name} minimalistic" for name in NAMES if ARCHITECTURES[name].weighted_layers_minimalistic)
"""Names of all architectures and of their minimalistic variants."""
_SMALL = {"mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"}
PARAMETERS = [name if name in _SMALL else pytest.param(name, marks=pytest.mark.large) for name in VARIANTS]
"""All variants. Most are for `make large-test`: these three have additions, squeeze-and-excite, swish and dropout."""


def settings_of(variant: str) -> ModelSettings:
    """Return the settings of a variant with its smallest image size."""
    name, _, minimalistic = variant.partition(" ")
    size = ARCHITECTURES[name].min_image_size
    return ModelSettings(backbone=name, weights="none", image_size=size, minimalistic=bool(minimalistic))


@functools.cache
def built(variant: str) -> keras.Model:
    """Return the backbone with random weights. Tests may only freeze and unfreeze it."""
    keras.utils.set_random_seed(1)
    return assemble(settings_of(variant))
